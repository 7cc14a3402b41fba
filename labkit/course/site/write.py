"""Have Sphinx make the site from its sources. Not in the student edition: it reads the answers."""

import io
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from labkit.course import labs as table
from labkit.course.labs import Lab
from labkit.course.release import clear, course_at, leaks, refuse_other
from labkit.course.site.pages import sources
from labkit.settings import LabError

NEEDS = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline")
STYLE = Path(__file__).with_name("style.css")
CONFIGURATION = {
    "author": "",
    "copyright": "",
    "extensions": ["myst_nb", "sphinx-mathjax-offline", "sphinx.ext.githubpages"],
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 3,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_render_markdown_format": "myst",  # tables in outputs
    "smartquotes": False,  # text stays letter for letter, and a leak can be found in it
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "navbar_persistent": [],  # a second search field
        "show_navbar_depth": 2,
        "use_download_button": False,
        "use_fullscreen_button": False,
    },
    "html_static_path": ["static"],
    "html_css_files": [STYLE.name],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "html_domain_indices": False,
    "html_use_index": False,
}
MATHJAX = ("tex-chtml.js", "input/tex/extensions", "output/chtml")  # of 24 MB the 2 that TeX with web fonts needs


def build(out: Path, labs: tuple[Lab, ...], repository: str = "", ref: str = "", solutions: bool = False) -> Path:
    """Write the site of ``labs`` to the folder ``out``, replacing the one that was there; its front page.

    ``solutions``: the instructors' site, with answers. With the ``repository`` and ``ref`` of the student edition,
    pages link to it. Raises ``LabError`` for a repository that is not OWNER/NAME, a folder that holds something
    else, a notebook that was not executed, a warning of Sphinx, or an answer that would have been published.
    """
    course = course_at(repository, ref)
    if missing := [name for name in NEEDS if not find_spec(name)]:
        raise LabError(f'The site needs {", ".join(missing)}: pip install -e ".[site]" brings what is missing.')
    title = "The pruning lab: worked solutions" if solutions else "The pruning lab"
    files = sources(labs, course, solutions) | {f"static/{STYLE.name}": STYLE.read_bytes()}
    what = "site with solutions" if solutions else "site without solutions"
    refuse_other(out, what, _title_of(out) == title)
    with tempfile.TemporaryDirectory() as scratch:
        source, pages = Path(scratch, "source"), Path(scratch, "pages")
        for path, content in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(content)
        if warnings := _made(source, pages, Path(scratch, "state"), title):
            raise LabError(f"Sphinx warns of {warnings[0].replace(f'{source}/', '')}: mend that first.")
        _trim(pages / "_static")
        found = [] if solutions else leaks(pages, table.LABS)
        if found:
            raise LabError(f"The site would give {len(found)} answers away, the first in {found[0]}: mend that first.")
        clear(out, what, _title_of(out) == title)
        shutil.copytree(pages, out)
    return out / "index.html"


def _title_of(site: Path) -> str | None:
    """The title of a site that was built here, as its inventory says it."""
    inventory = site / "objects.inv"
    if not inventory.exists():
        return None
    return inventory.read_bytes().split(b"\n")[1].removeprefix(b"# Project: ").decode()


def _made(source: Path, pages: Path, state: Path, title: str) -> list[str]:
    """Make ``pages`` of what is in ``source``; the lines in which Sphinx warns."""
    from sphinx.application import Sphinx
    from sphinx.util.console import strip_escape_sequences
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    said, configuration = io.StringIO(), CONFIGURATION | {"project": title, "html_title": title}
    with patch_docutils(), docutils_namespace():
        app = Sphinx(source, None, pages, state, "html", configuration, status=None, warning=said, freshenv=True)
        app.build(force_all=True)
    return strip_escape_sequences(said.getvalue()).splitlines()


def _trim(static: Path) -> None:
    """Remove files that no page asks for: most of MathJax, and what debuggers and translators read."""
    mathjax = static / "mathjax"
    for path in [path for path in static.rglob("*") if path.is_file()]:
        unused = mathjax in path.parents and not path.relative_to(mathjax).as_posix().startswith(MATHJAX)
        if unused or path.suffix in (".map", ".po", ".mo"):
            path.unlink()
