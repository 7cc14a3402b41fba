"""The course as web pages, from the notebooks as they were executed: nothing runs. Sphinx writes them, and every file that
they need lies beside them, so that they can be read without a network.

The public site holds no graded answer; the instructors' site has all of them. Not in the student edition: this
package, which reads the answers.
"""

from labkit.course.site.write import build

__all__ = ["build"]
