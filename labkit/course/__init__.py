"""The course around the lab: blanks, instant checks, hand-in, collecting and grading.

``course`` imports the lab; the lab never imports ``course``. The student edition ships
``probe``, ``judge``, ``practice`` and ``submit`` of it, with ``visible.json``; the rest holds or
computes answers and stays with the staff.
"""

from labkit.course.practice import check, ready

__all__ = ["check", "ready"]
