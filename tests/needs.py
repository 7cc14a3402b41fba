"""What some tests need that ``make`` cannot install: without it they are skipped, each with the command that brings it."""

import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _bubblewrap() -> str | None:
    """Why the sandbox cannot work here, or None."""
    if not sys.platform.startswith("linux"):
        return "the sandbox needs Linux: in Windows use WSL 2 and there apt install bubblewrap"
    if not shutil.which("bwrap"):
        return "bubblewrap is missing: apt install bubblewrap"
    try:
        tried = subprocess.run(
            ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True
        )
    except OSError as error:
        return f"bubblewrap does not start ({error}): apt install --reinstall bubblewrap"
    if tried.returncode:
        return f"bubblewrap cannot work here ({tried.stderr.strip()}): docs/ta.md says what it needs"
    return None


def _nbgrader() -> str | None:
    return None if find_spec("nbgrader") else 'nbgrader is missing: pip install -e ".[grading]"'


def _cluster() -> str | None:
    return None if find_spec("distributed") else 'Dask is missing: pip install -e ".[cluster]"'


def _site() -> str | None:
    for module in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline"):
        if not find_spec(module):
            return f'{module} is missing: pip install -e ".[site]"'
    return None


def _browser() -> str | None:
    for module in ("jupyterlab", "selenium"):
        if not find_spec(module):
            return f'{module} is missing: pip install -e ".[cluster,grading,site,test]"'
    if not shutil.which("chromedriver") or not any(map(shutil.which, BROWSERS)):
        return "Chromium or its driver is missing: apt install chromium chromium-driver"
    return None


def _mark(reason: str | None):
    return pytest.mark.skipif(reason is not None, reason=str(reason))


bubblewrap, nbgrader, browser = _mark(_bubblewrap()), _mark(_nbgrader()), _mark(_browser())
cluster, site = _mark(_cluster()), _mark(_site())


def warm():
    """A sandbox that stays, for ``with``; where submissions cannot have namespaces of their own the test is skipped."""
    from labkit.course.grading import sandbox

    try:
        return sandbox.Warm(sandbox.bubblewrap())
    except sandbox.Cold as reason:
        pytest.skip(str(reason))
