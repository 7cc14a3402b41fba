"""The student edition: no answer in it, in text or in function; what it ships fits together."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from labkit import data, settings
from labkit.course import answers, blanks, edition, labs, release
from labkit.course.practice import ask, check
from labkit.settings import REFERENCE, REPOSITORY

LAB = labs.named(1)

# Calls every function of the edition's labkit with the arguments of every blank; prints those that answer.
CALL_EVERYTHING = """
import contextlib, importlib, inspect, io, json, pkgutil
import labkit
from labkit.course.practice import check, probe
from labkit.course.practice.judge import compare

def functions():
    for module in pkgutil.walk_packages(labkit.__path__, "labkit."):
        if module.name != "labkit.__main__":
            for name, value in inspect.getmembers(importlib.import_module(module.name), callable):
                if getattr(value, "__module__", "").startswith("labkit"):
                    yield f"{module.name}.{name}", value
                    for method, inner in inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else ():
                        yield f"{module.name}.{name}.{method}", inner

def answers(function, part):
    try:
        inspect.signature(function).bind(*part["parameters"])
    except (TypeError, ValueError):
        return False
    cases = part["cases"]
    return all(
        all(compare(case["expected"], probe.observe(function, case["arguments"], part["watched"])).values())
        for case in cases
    )

found, tried = [], 0
for name, function in functions():
    tried += 1
    for material in check.visible().values():
        for blank, part in material["functions"].items():
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                if answers(function, part):
                    found.append(f"{name} answers {blank}")
print(json.dumps([labkit.__file__, tried, found]))
"""


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edition") / "pruning-lab"
    release.release(folder, (LAB,), "someone/pruning-lab", "v1.0")
    return folder


def called(folder: Path, scratch: Path) -> tuple[str, int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", CALL_EVERYTHING],
        cwd=scratch,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


HELPFUL = """
class Mask:
    def indices(mask):
        return mask.nonzero().flatten()

def fill(a, b):
    a.bias.data.copy_(b.bias.data)
"""


@pytest.fixture(scope="module")
def answering(student, tmp_path_factory):
    """Where labkit came from, how many of its functions were called, and which answer a blank, when one module more is
    in the edition, whose functions do."""
    module = student / "labkit" / "helpful.py"
    module.write_text(HELPFUL)
    try:
        return called(student, tmp_path_factory.mktemp("called"))
    finally:
        module.unlink()


def test_no_function_of_the_editions_labkit_answers_a_blank(student, answering):
    file, tried, found = answering
    assert Path(file).is_relative_to(student) and tried > 80 + 3
    assert [one for one in found if not one.startswith("labkit.helpful.")] == []


def test_a_function_that_answered_a_blank_would_be_found(answering):
    assert [one for one in answering[2] if one.startswith("labkit.helpful.")] == [
        "labkit.helpful.Mask.indices answers kept_channels",
        "labkit.helpful.fill answers copy_linear_bias",
    ]


def test_nothing_that_a_solution_says_occurs_in_the_edition(student):
    assert len(release.solution_pieces((LAB,))) > 40
    assert release.leaks(student, (LAB,)) == []


def test_a_leak_stops_the_release_however_it_is_laid_out(student, tmp_path, monkeypatch, refused):
    assert "axis.set(xlim=(0,1),label=None)" == release.bare("axis.set(\n    xlim=(0, 1),\n    label=None,\n)")
    piece = "\n  ".join(sorted(release.solution_pieces((LAB,)))[0])
    monkeypatch.setattr(release, "_readme", lambda course, labs: f"# Read me\n{piece}\n")
    with refused("give 1 answers away", "README.md"):
        release.release(tmp_path / "edition", (LAB,))


def test_only_blanks_outputs_and_set_up_differ_from_the_complete_notebooks(student):
    for name, complete in release.complete_notebooks(LAB).items():
        given = nbformat.read(student / "notebooks" / f"{name}.ipynb", as_version=4)
        nbformat.validate(given)
        assert [cell.id for cell in given.cells if cell.id != "setup"] == [cell.id for cell in complete.cells]
        for cell in given.cells:
            assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)
        sources = {cell.id: cell.source.removeprefix("# NBVAL_CHECK_OUTPUT\n") for cell in complete.cells[1:]}
        changed = {cell.id for cell in given.cells[2:] if cell.source != sources[cell.id]}
        assert changed == {c.id for c in complete.cells if release.REGION.search(c.source)}


def test_every_blank_has_its_docstring_nothing_else_and_a_hint_above_it(student):
    for blank in blanks.declared(LAB).values():
        cells = nbformat.read(student / "notebooks" / f"{blank.notebook}.ipynb", as_version=4).cells
        (source,) = (cell.source for cell in cells if cell.id == blank.cell)
        above = next(above.source for above, cell in zip(cells, cells[1:]) if cell.id == blank.cell)
        assert above.count("<summary>Hint") == source.count("raise NotImplementedError") == len(blank.functions)
        for function, parameters in blank.functions.items():
            assert f"def {function}({', '.join(parameters)}):" in source


def test_an_exercise_ships_with_its_examples_and_without_points(student):
    shipped = json.loads((student / "labkit/course/practice/visible/lab1.json").read_text(encoding="utf-8"))
    assert shipped.keys() == blanks.declared(LAB).keys()
    for name in blanks.declared(LAB).keys() - blanks.of(LAB).keys():
        cells = nbformat.read(student / "notebooks" / f"{shipped[name]['notebook']}.ipynb", as_version=4).cells
        exercise, check_ = (next(c for c in cells if c.id == f"{kind}-{name}") for kind in ("exercise", "check"))
        assert exercise.source.endswith('"""\n    raise NotImplementedError') and "nbgrader" not in exercise.metadata
        assert check_.metadata == {"editable": False, "deletable": False}
        assert shipped[name]["points"] == 0 and shipped[name]["credit"] == []


STAFF = {"answers.py", "release.py", "staff.py", "produce.py", "run.py", "blanks", "grading"}
STAFF |= {path.name for path in (REPOSITORY / "labkit" / "methods").glob("*_tasks.py")}


def test_staff_files_stay_behind(student):
    assert not {path.name for path in student.rglob("*")} & STAFF
    assert not list(student.rglob("*.png")) and not list(student.rglob("hidden*"))
    course = {path.relative_to(student / "labkit/course").as_posix() for path in (student / "labkit/course").rglob("*")}
    practice = {
        f"practice/{name}.py" for name in ("__init__", "ask", "check", "judge", "probe", "saved", "submit", "variant")
    }
    practice |= {"practice", "practice/visible", "practice/visible/lab1.json"}
    practice |= {"practice/questions", "practice/questions/lab1.toml"}
    assert course == {"__init__.py", "labs.py", "edition.py", "edition.json"} | practice


def test_the_reference_runs_of_every_experiment_ship_and_nothing_else_of_them(student):
    ours = {path.relative_to(REPOSITORY) for path in REFERENCE.glob("*/lab1/*/*") if path.parent.name != "figures"}
    assert {path.relative_to(student) for path in (student / "data").rglob("*") if path.is_file()} == ours
    assert {path.parts[2] for path in ours} >= {"quick-shapes-seed0", "quick-shapes-seed1", "half-folder-cifar10-seed0"}
    names = {path.name for path in ours}
    assert names == {"record.json", "gammas.safetensors", "weights.safetensors"}


def test_a_module_that_says_so_is_withheld_and_all_in_a_package_that_does(tmp_path, monkeypatch):
    folder = tmp_path / "labkit"
    (folder / "secret").mkdir(parents=True)
    (folder / "open.py").write_text('"""Ships."""\n')
    (folder / "closed.py").write_text('"""Draws.\n\nNot in the student edition: a task draws it.\n"""\n')
    (folder / "secret" / "__init__.py").write_text('"""Not in the student edition."""\n')
    (folder / "secret" / "table.json").write_text("{}")
    (folder / "page.typ").write_text("text")
    assert {path.name for path in release._unwithheld(folder)} == {"open.py", "page.typ"}


POSIX = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "crypt", "seccomp"}


def test_nothing_that_ships_imports_a_module_that_windows_lacks(student):
    for path in student.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & POSIX, path


def test_badges_and_set_up_name_repository_and_tag(student):
    for path in sorted((student / "notebooks").glob("*.ipynb")):
        first, setup = nbformat.read(path, as_version=4).cells[:2]
        assert f"colab.research.google.com/github/someone/pruning-lab/blob/v1.0/notebooks/{path.name}" in first.source
        assert '"v1.0"' in setup.source and "https://github.com/someone/pruning-lab" in setup.source
        assert '"torch-pruning>=1.6.1,<2"' in setup.source and "--no-deps" in setup.source
        assert all(setup.source.count(f'"{name}>=') == 1 for name in release.COLAB_LACKS)
        assert setup.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}}
        assert setup.source.startswith("# @title ") and max(map(len, setup.source.splitlines())) <= 88
    assert "someone/pruning-lab" in (student / "README.md").read_text()
    assert edition.Edition(**json.loads((student / "labkit/course/edition.json").read_text())).ref == "v1.0"


def test_without_a_repository_there_is_no_badge_and_no_word_of_colab(tmp_path):
    release.release(tmp_path / "edition", (LAB,))
    for name in ("notebooks/01_sparsity_training.ipynb", "README.md"):
        assert "colab" not in (tmp_path / "edition" / name).read_text(encoding="utf-8").lower()


def test_the_readmes_choose_with_variables_that_labkit_reads(student):
    """In each shell's words, and as ``os.environ`` in Colab; the folder of runs is the one that follows."""
    for path in (student / "README.md", REPOSITORY / "README.md"):
        text = path.read_text(encoding="utf-8")
        assert "<!-- colab" not in text
        assert set(re.findall(r"LABKIT_\w+", text)) <= set(re.findall(r"LABKIT_\w+", settings.__doc__))
        chosen = re.findall(r"""(?:`|set |\$env:|")LABKIT_(\w+)(?:"\])? ?= ?"?(\w+)""", text)
        assert chosen.count(("DATA", "cifar10")) >= 4 and set(chosen) == {("DATA", "cifar10")}
        here = settings.current({"LABKIT_DATA": "cifar10", "LABKIT_RUNS": "runs"})
        assert f"`{here.folder.as_posix()}/`" in text
        for name in data.NAMES:
            assert f"`{name}`" in text or f"`--data {name}`" in text
        for name in settings.PROFILES:
            assert f"`{name}`" in text or f"`--profile {name}`" in text


def test_the_zip_holds_the_folder_and_equal_editions_are_equal_files(student, tmp_path):
    target = student.with_name("pruning-lab.zip")
    before = target.read_bytes()
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
    assert names == {f"pruning-lab/{p.relative_to(student).as_posix()}" for p in student.rglob("*") if p.is_file()}
    release.release(student, (LAB,), "someone/pruning-lab", "v1.0")
    assert target.read_bytes() == before


@pytest.mark.parametrize(("repository", "ref"), [("name-alone", "v1"), ("a/b", ""), ("a/b c", "v1"), ("a/b", 'v"1')])
def test_a_wrong_repository_or_tag_is_refused(repository, ref, tmp_path, refused):
    with refused(repository, "OWNER/NAME"):
        release.release(tmp_path / "edition", (LAB,), repository, ref)


def test_a_folder_with_something_else_is_left_alone(tmp_path, refused):
    (tmp_path / "thesis.tex").write_text("years of work")
    with refused("holds something"):
        release.release(tmp_path, (LAB,))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


COLAB = """
import sys, types
google, colab, drive = types.ModuleType("google"), types.ModuleType("google.colab"), types.ModuleType("google.colab.drive")
drive.mount = lambda where: print("mounted", where)
google.colab, colab.drive = colab, drive
sys.modules |= {"google": google, "google.colab": colab, "google.colab.drive": drive}
"""


@pytest.mark.parametrize("keep", [False, True])
def test_the_set_up_cell_clones_the_tag_and_leaves_colabs_packages_alone(student, tmp_path, keep):
    """In a stand-in for Colab: git and pip are recorded, not run."""
    source = nbformat.read(student / "notebooks" / "01_sparsity_training.ipynb", as_version=4).cells[1].source
    source = source.replace("/content/", f"{tmp_path}/content/").replace(
        "KEEP_IN_DRIVE = True", f"KEEP_IN_DRIVE = {keep}"
    )
    record = "import subprocess\nsubprocess.run = lambda command, check: print(command)\n"
    end = "\nprint(sys.path[0]); import os; print(os.environ.get('LABKIT_RUNS'))"
    said = printed(COLAB + record + source + end)
    assert ("mounted" in said) == keep == ("MyDrive/pruning-lab/runs" in said)
    assert ("your runs stay in your Drive" in said) == keep == ("end with this session" not in said)
    assert "'--branch', 'v1.0', 'https://github.com/someone/pruning-lab'" in said
    assert "'--no-deps'" in said and "--upgrade" not in said
    assert not re.search(r"'(torch|ipywidgets|ipython|numpy)[>='<]", said)


def printed(code: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "LABKIT_RUNS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_set_up_cell_says_one_line_where_nothing_has_to_be_done(student, tmp_path):
    source = nbformat.read(student / "notebooks" / "01_sparsity_training.ipynb", as_version=4).cells[1].source
    assert printed(source) == "Nothing to set up: this is not Colab.\n"
    (tmp_path / "pruning-lab").mkdir()  # the kernel was started again, and the course is there
    again = printed(COLAB + source.replace("/content/", f"{tmp_path}/")).splitlines()
    assert again == [
        f"mounted {tmp_path}/drive",
        f"Set up: the course is in {tmp_path}/pruning-lab, your runs stay in your Drive.",
    ]


def test_the_set_up_cell_brings_the_course_last(student, tmp_path):
    """So that where the index or the repository cannot be reached, running the cell again tries all of it again."""
    source = nbformat.read(student / "notebooks" / "01_sparsity_training.ipynb", as_version=4).cells[1].source
    record = "import subprocess\nsubprocess.run = lambda command, check: print(command[:2])\n"
    commands = printed(COLAB + record + source.replace("/content/", f"{tmp_path}/")).splitlines()[1:-1]
    assert commands == [f"{[sys.executable, '-m']}", "['git', 'clone']", f"{[sys.executable, '-m']}"]


def test_every_lab_is_run_as_on_colab():
    workflow = (REPOSITORY / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    parts = re.search(r"^ +part: \[(.*?)\]", workflow, re.MULTILINE)[1].replace('"', "").split(", ")
    assert parts == ["widgets", *(str(lab.number) for lab in labs.LABS)]
    assert f"set -- {' '.join(parts)}\n" in (REPOSITORY / ".ci" / "colab").read_text(encoding="utf-8")


def test_what_the_lab_imports_is_in_colab_or_installed_there():
    colab = (REPOSITORY / ".ci" / "colab.txt").read_text(encoding="utf-8")
    has = {name.lower().replace("_", "-") for name in re.findall(r"^([\w-]+)==", colab, re.MULTILINE)}
    requirements = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    lab = re.findall(r"^([\w-]+)>=", requirements.partition("# Working with the notebooks")[0], re.MULTILINE)
    assert len(lab) > 20
    assert set(lab) - has == set(release.COLAB_LACKS) and not has & set(release.COLAB_LACKS)
    assert release.COLAB_TAKES.keys() <= set(release.COLAB_LACKS)


def test_no_sentence_of_checks_and_questions_gives_the_expression_away():
    files = (check.VISIBLE / "lab1.json", ask.QUESTIONS / "lab1.toml")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    for name in blanks.declared(LAB):
        for line in answers.solution(name).splitlines():
            for expression in re.findall(r"\w+(?:\.\w+)*\[[^]]+\]|\w+\.\w+\(\)(?:\.\w+\(\))*", line):
                selection = re.sub(r"^[\w.]+(?=\[)", "", expression)
                said = selection in text and selection != "torch.no_grad()"  # which the hints name, too
                assert not said or len(selection) < 5, (name, selection)
