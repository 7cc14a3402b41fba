"""One list of dependencies: requirements.txt; the other files must say the same."""

import ast
import re
import sys

from labkit.course import release
from labkit.settings import REPOSITORY

ASKED = {"torch", "torchvision", "matplotlib", "seaborn", "ipywidgets", "jupyterlab", "nbval"}
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn", "torch-pruning": "torch_pruning"}


def requirements() -> dict[str, str]:
    """Package -> the whole line, of every line that is not a comment."""
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    return {re.match(r"[\w-]+", line)[0]: line for line in lines if line.strip() and not line.startswith("#")}


def extra(name: str) -> dict[str, str]:
    """Package -> the whole line, of one extra in pyproject.toml, written as in requirements.txt."""
    pyproject = (REPOSITORY / "pyproject.toml").read_text()
    lines = re.search(rf"^{name} = \[\n(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)[1].splitlines()
    lines = [re.sub(r'^ *"([^"]+)",', r"\1", line) for line in lines]
    return {re.match(r"[\w-]+", line)[0]: line for line in lines}


def test_every_dependency_is_a_range_with_a_reason():
    for name, line in (requirements() | extra("cluster") | extra("grading") | extra("test") | extra("dev")).items():
        assert re.fullmatch(r"[\w-]+>=[\d.]+(,<\d+)?\s+# \S.*", line), f"{name}: {line}"
    assert requirements().keys() >= ASKED


def test_pyproject_and_environment_take_requirements_txt():
    pyproject = (REPOSITORY / "pyproject.toml").read_text()
    assert 'dependencies = { file = ["requirements.txt"] }' in pyproject
    environment = (REPOSITORY / "environment.yml").read_text()
    assert "- -r requirements.txt" in environment
    minimum = re.search(r'requires-python = "(>=[\d.]+)"', pyproject)[1]
    assert f"python{minimum}" in environment


def test_the_lock_pins_every_requirement():
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE))
    wanted = requirements() | extra("cluster") | extra("grading") | extra("test")
    assert wanted.keys() <= {name.lower().replace("_", "-") for name in pinned}


def test_contributing_can_be_read_at_once_and_names_files_that_are_there():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.encode()) < 6000
    named = re.findall(r"`((?:course|tests|benchmarks|docs|data|\.ci)/[\w./]+)`", text)
    assert len(named) > 5
    for path in named:
        name = path.replace("labN", "lab1")
        assert (REPOSITORY / name).exists() or (REPOSITORY / "labkit" / name).exists(), path


def test_every_place_names_the_same_pythons():
    text = {
        name: (REPOSITORY / name).read_text(encoding="utf-8")
        for name in ("Makefile", "pyproject.toml", "README.md", "requirements.lock", ".github/workflows/test.yml")
    }
    assert 'requires-python = ">=3.11"' in text["pyproject.toml"]
    assert "3.11, 3.12 or 3.13" in text["Makefile"] and "3.10.%," in text["Makefile"]
    assert "Python 3.11, 3.12 or 3.13" in text["README.md"]
    assert "# Python 3.11\n" in text["requirements.lock"]
    assert 'python: ["3.11", "3.13"]' in text[".github/workflows/test.yml"]  # the oldest and the newest


def test_labkit_imports_only_what_is_required():
    allowed = {IMPORT_NAMES.get(name, name) for name in requirements()} | set(sys.stdlib_module_names)
    allowed |= {"labkit", "IPython", "nbformat", "google"}  # come with ipywidgets, nbclient and onnx
    allowed |= extra("cluster").keys()  # imported where --scheduler is given
    staff = (
        extra("grading").keys() | extra("site").keys() | {"nbconvert", "sqlalchemy"}
    )  # the last two come with nbgrader
    staff |= {"probe"}  # the neighbour in the sandbox of the process that runs the blanks
    for path in (REPOSITORY / "labkit").rglob("*.py"):
        room, *inside = path.relative_to(REPOSITORY / "labkit").parts
        shipped = room != "course" or inside[0] in release.COURSE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            assert {name.partition(".")[0] for name in names} <= (allowed if shipped else allowed | staff), path.name
