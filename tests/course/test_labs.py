"""The table of labs, and that a new lab is one entry in it, its notebook and its blanks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import needs
import pytest
import submissions as made

from labkit.course import blanks, labs, release
from labkit.course import edition as course_edition
from labkit.course.grading import findings
from labkit.settings import REPOSITORY

NOTEBOOK = "90_throw_away"
ENTRY = f"""    Lab(
        number=9,
        title="Thrown away",
        summary="Double a number.",
        notebooks=("{NOTEBOOK}",),
        points=7,
        blanks="lab9",
    ),
"""
BLANKS = '''"""The blank of a lab that is thrown away after the test."""

from labkit.course.blanks import Blank, Credit, Mistake


def _cases(rng):
    for number in rng.sample(range(3, 100), 3):
        yield "doubled", "any", [number]


BLANKS = (
    Blank(
        name="doubling",
        title="Blank 1 · doubling",
        notebook="90_throw_away",
        points=2,
        functions={"doubled": ["number"]},
        cases=_cases,
        credit=(Credit(2),),
        mistakes=(Mistake("return number ** 2", "Squared, not doubled."),),
    ),
)
'''
SOLUTION = '''def doubled(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    return 2 * number  # the only right one
    ### END SOLUTION'''
STUDENT = "ab1234"


def cell(name: str, source: str, **facts):
    new = nbformat.v4.new_code_cell(source, id=name)
    default = {"grade_id": name, "schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    new.metadata["nbgrader"] = default | facts
    return new


def notebook():
    """One blank with its check, one answer that is graded by eye, and the hand-in."""
    answer = 'answers["why"] = """\\n### BEGIN SOLUTION\\nBecause it is the sum with itself.\\n### END SOLUTION\\n"""'
    cells = [
        nbformat.v4.new_markdown_cell("# Thrown away", id="90-title"),
        nbformat.v4.new_code_cell("from labkit.course import check, hand_in\\n\\nanswers = {}", id="90-start"),
        nbformat.v4.new_markdown_cell("## Doubling (2 points)", id="90-doubling"),
        cell("blank-doubling", SOLUTION, solution=True),
        cell("check-doubling", 'check("doubling", doubled)', grade=True, locked=True, points=2),
        nbformat.v4.new_markdown_cell("## Why (5 points)", id="90-why"),
        cell("manual-why", answer, grade=True, solution=True, points=5),
        nbformat.v4.new_code_cell(f'hand_in("{STUDENT}", lab=9)', id="90-hand-in"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


WRITES_EXAMPLES = """import runpy, sys
sys.argv[1:] = ["9"]
runpy.run_module("labkit.course.answers", run_name="__main__")"""


class Copy:
    """The repository's needed files in another folder, and how to work there."""

    def __init__(self, folder: Path):
        self.folder = folder
        skipped = shutil.ignore_patterns("__pycache__", "figures", "*.safetensors", "*.png")
        for name in ("labkit", "notebooks", "containers", "data/reference/quick-shapes-seed0"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=skipped)
        for name in release.TOP:
            shutil.copy(REPOSITORY / name, folder)

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}

    def labkit(self, *commands: list[str], where: Path | None = None, first: str = "") -> str:
        """What ``labkit`` prints, run in one process with the copy (or the edition) in ``where``."""
        where = where or self.folder
        own = {"PYTHONPATH": str(where), "LABKIT_RUNS": str(self.folder / "runs"), "PYTHONDONTWRITEBYTECODE": "1"}
        code = f"{first}\nfrom labkit import cli\nfor words in {commands!r}: assert cli.main(words) == 0, words"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=where, env=os.environ | own, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with a lab 9; ``before`` holds the files as they were."""
    copy = Copy(tmp_path_factory.mktemp("copy"))
    copy.before = copy.files()
    table = copy.folder / "labkit/course/labs.py"
    text = table.read_text(encoding="utf-8")
    end = text.index("\n)\n", text.index("LABS = ("))
    table.write_text(text[: end + 1] + ENTRY + text[end + 1 :], encoding="utf-8")
    (table.parent / "blanks/lab9.py").write_text(BLANKS, encoding="utf-8")
    nbformat.write(notebook(), copy.folder / f"notebooks/{NOTEBOOK}.ipynb")
    commands = [["release", "--lab", str(n), "--out", str(copy.folder / f"edition{n}")] for n in (9, 1, "all")]
    copy.labkit(*commands, first=WRITES_EXAMPLES)
    return copy


def fill_and_run(folder: Path, complete: Path, names) -> None:
    """The edition's notebooks with the complete ones' answers, saved as if they had been run."""
    for name in names:
        page = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        answers = {cell.id: cell.source for cell in nbformat.read(complete / f"{name}.ipynb", as_version=4).cells}
        for count, cell in enumerate((cell for cell in page.cells if cell.cell_type == "code"), 1):
            if cell.id.startswith(("blank-", "manual-")):
                cell.source = release.REGION.sub(lambda region: region[0], answers[cell.id])
            cell.source = cell.source.replace("your student id", STUDENT)
            cell.execution_count = count
        nbformat.write(page, folder / f"{name}.ipynb")


def hand_in(copy: Copy, edition: Path, lab: labs.Lab, export: str) -> str:
    fill_and_run(edition / "notebooks", copy.folder / "notebooks", lab.notebooks)
    if lab.report:
        name = course_edition.current().report_name(STUDENT, lab)
        report = copy.folder / "runs" / "quick-shapes-seed0" / lab.name / name
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(made.report(STUDENT))
        os.utime(report, (0, 0))
    words = ["submit", STUDENT, "--lab", str(lab.number), "--out", str(copy.folder / export)]
    return copy.labkit(words, where=edition, first=TRY if lab.number == 9 else "")


TRY = "from labkit.course import check; check('doubling', lambda number: number ** 2)"


@pytest.fixture(scope="module")
def handed_in(copy):
    """Lab 9 handed in by a student with its edition, and lab 1 with its own; what was printed."""
    lab9 = labs.Lab(9, "", "", (NOTEBOOK,), 7)
    return {
        9: hand_in(copy, copy.folder / "edition9", lab9, "export9"),
        1: hand_in(copy, copy.folder / "edition1", labs.named(1), "export1"),
    }


def test_a_new_lab_edits_no_file_but_the_table(copy):
    after = copy.files()
    assert {name for name in copy.before if after[name] != copy.before[name]} == {"labkit/course/labs.py"}
    new = {"labkit/course/blanks/lab9.py", "labkit/course/practice/visible/lab9.json", f"notebooks/{NOTEBOOK}.ipynb"}
    assert {name for name in after if name not in copy.before and not name.startswith("edition")} == new


def test_an_edition_has_its_own_labs_notebooks_and_examples(copy, handed_in):
    for number, notebooks in ((9, [NOTEBOOK]), (1, list(labs.named(1).notebooks))):
        folder = copy.folder / f"edition{number}"
        assert sorted(path.stem for path in (folder / "notebooks").glob("*.ipynb")) == notebooks
        assert [p.stem for p in (folder / "labkit/course/practice/visible").iterdir()] == [f"lab{number}"]
        assert (folder / "labkit/course/practice/questions/lab1.toml").exists() == (number == 1)
        assert not (folder / "labkit/course/blanks").exists()
        assert (folder / "data/reference").exists() == (number == 1)
    text = (copy.folder / "edition9/README.md").read_text(encoding="utf-8")
    assert "labkit submit YOUR_STUDENT_ID --lab 9" in text and "pruning_lab9_YOUR_STUDENT_ID.zip" in text
    empty = release.emptied(notebook())
    assert "raise NotImplementedError" in empty.cells[3].source and "2 * number" not in empty.cells[3].source


def test_all_labs_can_be_one_edition(copy):
    folder = copy.folder / "editionall"
    found = {path.stem for path in (folder / "notebooks").glob("*.ipynb")}
    assert found == {notebook for lab in labs.LABS for notebook in lab.notebooks} | {NOTEBOOK}
    visible = {path.stem for path in (folder / "labkit/course/practice/visible").iterdir()}
    assert visible == {lab.name for lab in labs.LABS} | {"lab9"}
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "## Lab 1: Network Slimming" in text and "## Lab 9: Thrown away" in text


def test_the_check_finds_its_blank_in_any_lab(copy, handed_in):
    assert "✗ Blank 1: Squared, not doubled." in handed_in[9]


def test_both_labs_are_handed_in_each_for_itself(copy, handed_in):
    assert "together 2 of 2." in handed_in[9] and f"pruning_lab9_{STUDENT}.zip" in handed_in[9]
    assert "together 35 of 35." in handed_in[1] and f"pruning_lab1_{STUDENT}.zip" in handed_in[1]


@pytest.fixture(scope="module")
def course(copy, handed_in):
    course, odd = copy.folder / "class", copy.folder / "odd"
    copy.labkit(
        *(
            ["collect", str(copy.folder / export), "--lab", number, "--course", str(folder)]
            for export, number, folder in (("export9", "9", course), ("export1", "1", course), ("export9", "1", odd))
        )
    )
    return course


def test_each_lab_is_collected_for_itself(course):
    for number, count in ((9, 1), (1, 5)):
        folder = course / "collected" / f"lab{number}" / STUDENT
        content = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
        assert content["refused"] is None and len(list((folder / "notebooks").iterdir())) == count
        assert content["notes"] == [] and len(content["blanks"]) == {9: 1, 1: 7}[number]


def test_the_archive_of_another_lab_is_noticed(copy, course):
    notes = (copy.folder / "odd/collected/lab1/notes.md").read_text(encoding="utf-8")
    assert "Its receipt is of lab `9`, not of lab 1." in notes and "05_report is missing." in notes


@needs.bubblewrap
@needs.nbgrader
def test_each_lab_is_graded_and_exported_for_itself(copy, course):
    of_lab = [["--course", str(course), "--lab", number] for number in ("9", "1")]
    copy.labkit(*([command, *options] for options in of_lab for command in ("grade", "export", "feedback")))
    for number, points, of in ((9, 2, 7), (1, 35, 100)):
        result = json.loads((course / "graded" / f"lab{number}" / f"{STUDENT}.json").read_text(encoding="utf-8"))
        assert result["points"] == result["of"] == points and (result["findings"] == []) == (number == 9)
        header, row = (course / f"grades_lab{number}.csv").read_text(encoding="utf-8-sig").splitlines()
        found = dict(zip(header.split(","), row.split(",")))
        assert (found["code"], found["max"], found["total"]) == (str(points), str(of), "")
        assert (course / "feedback" / f"lab{number}" / f"{STUDENT}.html").exists()
    assert [p.name for p in sorted((course / "autograded" / STUDENT).iterdir())] == ["lab1", "lab9"]


# The table as it is


def test_a_lab_that_does_not_exist_is_refused_with_the_list(refused):
    for number in (0, 77, "x", "", "all"):
        with refused(f"There is no lab {number}", "choose one of 1"):
            labs.named(number)
    assert labs.named("1") is labs.named(1) is labs.chosen("1")[0] and labs.chosen("all") == labs.LABS


@pytest.mark.parametrize("lab", labs.LABS, ids=lambda lab: lab.name)
def test_the_table_says_of_a_lab_what_its_notebooks_hold(lab):
    cells = {name: page.cells for name, page in release.complete_notebooks(lab).items()}
    graded = [cell for page in cells.values() for cell in page if cell.metadata.get("nbgrader", {}).get("grade")]
    of = {name: [c for c in page if c in graded] for name, page in cells.items()}
    worth = {name: sum(c.metadata.nbgrader.points for c in found) for name, found in of.items()}
    assert sum(worth[name] for name in lab.bonus_notebooks) == lab.bonus
    assert sum(worth.values()) == lab.points + lab.bonus
    assert lab.notebooks[len(lab.notebooks) - len(lab.bonus_notebooks) :] == lab.bonus_notebooks
    for name, blank in blanks.of(lab).items():
        assert {f"blank-{name}", f"check-{name}"} <= {cell.id for cell in cells[blank.notebook]}
    assert {f"blank-{name}" for name in blanks.of(lab)} == {
        cell.id for page in cells.values() for cell in page if cell.id.startswith("blank-")
    }
    assert set(findings.cells_of(lab)) <= {cell.id for cell in graded}


def test_numbers_notebooks_and_blanks_belong_to_one_lab():
    for values in (
        [lab.number for lab in labs.LABS],
        [name for lab in labs.LABS for name in lab.notebooks],
        [name for lab in labs.LABS for name in blanks.of(lab)],
    ):
        assert len(values) == len(set(values))
    on_disk = {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert on_disk == {name for lab in labs.LABS for name in lab.notebooks}
