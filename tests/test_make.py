"""``make`` as it is typed on a fresh machine, with stand-ins for Python: nothing is installed here."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from labkit.settings import REPOSITORY

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed: apt install make")

SETS_UP = ("run", "test", "lab", "figures", "release", "site", "bench", "doctor", "lint")
# Says its version, makes a .venv in which it is the Python, and writes down what else it is asked to do.
PYTHON = """\
#!/bin/sh
case "$*" in
  *print*) echo {version} ;;
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; printf '#!/bin/sh\\n' > .venv/bin/labkit
    chmod +x .venv/bin/*; echo "{version}: new .venv" >> asked ;;
  *) echo "{version}: $*" >> asked ;;
esac
"""


@pytest.fixture
def clone(tmp_path):
    """A folder with what ``make`` reads, and no Python but the stand-ins python3.10, python3.12 and python3.13."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for version in ("3.10.13", "3.12.1", "3.13.0"):
        stand_in = tmp_path / "bin" / f"python{version.rpartition('.')[0]}"
        stand_in.write_text(PYTHON.format(version=version))
        stand_in.chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON", "LAB"))}
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def planned(folder: Path, *arguments: str) -> str:
    """What ``make`` would do in a folder, set up with Python 3.12."""
    done = make(folder, "-n", "PYTHON=python3.12", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", SETS_UP)
@pytest.mark.parametrize(
    "python, found", [("python3.10", "python3.10 is Python 3.10.13"), ("python0.9", "there is no python0.9")]
)
def test_an_older_python_is_refused_in_one_sentence_before_anything_is_made(clone, tree, target, python, found):
    before = tree(clone)
    done = make(clone, target, f"PYTHON={python}")
    assert done.returncode != 0 and done.stdout == "" and tree(clone) == before
    assert re.fullmatch(rf"Makefile:\d+: \*\*\* {found}, and the lab needs [^\n]*\.  Stop\.\n", done.stderr), (
        done.stderr
    )
    assert f"PYTHON=python3.12 make {target}." in done.stderr


def test_run_installs_what_running_needs_and_test_adds_the_rest(clone):
    assert make(clone, "run", "PYTHON=python3.12").returncode == 0
    first = (clone / "asked").read_text().splitlines()
    assert first[0] == "3.12.1: new .venv" and first[-1].endswith(" -e .") and len(first) == 3
    assert make(clone, "run").returncode == 0  # by its own Python, with nothing left to do
    assert (clone / "asked").read_text().splitlines() == first
    plan = planned(clone, "test")
    assert "venv .venv" not in plan and '-e ".[cluster,grading,site,test]"' in plan


def test_a_changed_list_sets_up_again_and_another_python_anew(clone):
    assert make(clone, "run", "PYTHON=python3.12").returncode == 0
    (clone / ".venv" / "of-the-old-one").touch()
    os.utime(clone / "pyproject.toml", (2e9, 2e9))
    assert make(clone, "run").returncode == 0
    assert (clone / ".venv" / "of-the-old-one").exists()
    assert make(clone, "run", "PYTHON=python3.13").returncode == 0
    assert not (clone / ".venv" / "of-the-old-one").exists()
    assert "3.13.0: new .venv" in (clone / "asked").read_text()


def test_test_has_three_parts_in_order(clone):
    plan = planned(clone, "test")
    places = [
        plan.index(part) for part in ('-e ".[cluster,grading,site,test]"', " tests && ", " notebooks && ", "edition.py")
    ]
    assert places == sorted(places)
    assert plan.count("--nbval-lax") == 1  # the notebooks once, those of a lab in order
    assert "-n 2 -p side_by_side" in plan[plan.index("--nbval-lax") :]


@pytest.mark.parametrize("given, lab", [((), "1"), (("LAB=2",), "2"), (("LAB=all",), "all")])
def test_the_lab_is_passed_on(clone, given, lab):
    assert f"labkit run --lab {lab} --profile quick\n" in planned(clone, "run", *given)
    assert f"labkit figures --lab {lab if given else 'all'} data/reference\n" in planned(clone, "figures", *given)
    release = planned(clone, "release", "REPO=someone/lab", "REF=v1", *given)
    assert f'labkit release --lab {lab} --repo "someone/lab" --ref "v1"\n' in release
    solutions = planned(clone, "release", "SOLUTIONS=1", *given)
    assert f'labkit release --solutions --lab {lab} --repo "" --ref "main"\n' in solutions


def test_the_site_takes_its_own_packages_and_every_lab_unless_one_is_chosen(clone):
    plan = planned(clone, "site", "REPO=someone/lab", "REF=v1")
    assert '-e ".[site]"' in plan and 'labkit site --lab all --repo "someone/lab" --ref "v1"\n' in plan
    chosen = planned(clone, "site", "SOLUTIONS=1", "LAB=2")
    assert 'labkit site --solutions --lab 2 --repo "" --ref "main"\n' in chosen
