"""Lab 2 as a TA has it: three hand-ins from a folder of zips to a CSV, the findings, and the class's board."""

import class_of
import fronts
import needs
import pytest

from labkit.course import labs
from labkit.course.grading import board, findings
from labkit.methods import front
from labkit.records import Record

pytestmark = [needs.bubblewrap, needs.nbgrader]
LAB = labs.named(2)
POLICY, FRONT = "manual-policy", "manual-report-front"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The class folder after collect, grade, export, feedback and board, and its students by kind."""
    folder, people = tmp_path_factory.mktemp("course"), class_of.students(lab=LAB)
    class_of.export_folder(folder / "export", people)
    for words in (("collect", str(folder / "export")), ("grade",), ("export",), ("feedback",)):
        class_of.command(*words, f"--lab={LAB.number}", f"--course={folder / 'class'}")
    class_of.command("board", f"--course={folder / 'class'}")
    return folder / "class", dict(zip(("perfect", "careless", "hostile"), people))


def said(course, kind, well, cell=None):
    folder, people = course
    found = class_of.graded(folder, LAB)[people[kind].name]["findings"]
    return "\n".join(f["text"] for f in found if f["well"] == well and cell in (None, f["cell"]))


def test_the_blanks_have_the_marks_that_they_deserve(course):
    folder, people = course
    results = class_of.graded(folder, LAB)
    assert {p.name: results[p.name]["points"] for p in people.values()} == {p.name: p.points for p in people.values()}


def test_a_report_counts_under_its_own_name_only(course):
    folder, people = course
    results = class_of.graded(folder, LAB)
    for kind, person in people.items():
        pdf = f"pruning_lab2_{person.name}.pdf"
        kept = [path.name for path in (folder / "collected" / LAB.name / person.name).glob("*.pdf")]
        assert kept == ([] if kind == "careless" else [pdf])
        assert any(person.noted in note for note in results[person.name]["notes"]) == bool(person.noted)
    assert results[people["perfect"].name]["notes"] == []
    notes = results[people["careless"].name]["notes"]
    assert any(f"`pruning_lab2_{people['careless'].name}.pdf`" in note and "`report.pdf`" in note for note in notes)
    assert any("carries the id `another`" in note for note in results[people["hostile"].name]["notes"])


def test_an_honest_policy_has_its_points_proposed_from_its_record(course):
    base = front.points_of(map(record, fronts.GLOBAL_RUNS), fronts.NETWORK)
    gained = front.gained(base, front.points_of(map(record, fronts.POLICIES), fronts.NETWORK))
    points = front.points_for(gained, front.free(base, record("trained").results["validation_accuracy"]))
    assert gained > 0.005 and points > 0
    good = said(course, "perfect", True, POLICY)
    assert f"gain an area of {gained:.4f}" in good and f": {points:g} of {front.SCALE[-1][1]} points" in good
    for cell in (name for name, cell in findings.cells_of(LAB).items() if not cell.optional):
        assert said(course, "perfect", True, cell), cell


def record(name):
    """An honest record as the front's functions take it."""
    return Record(**fronts.honest()[name])


def test_what_a_careless_student_lacks_is_said(course):
    wrong = said(course, "careless", False)
    assert "The global front has no point that counts at 55%." in wrong
    assert "policy-late: it was not fine-tuned by the one recipe" in wrong
    assert ": 0 of 25 points on the scale." in said(course, "careless", True)


FORGED = {
    "policy-edited: validation, epoch 1: 0.9999 is no count of 600 images",
    "policy-great: 100.0% of the validation images are right, and 50.0% of those trained on",
    "policy-even: the kept channels of features.conv1 are not ascending indices below 16",
    "policy-paths: the plan's layers are not those of its parent's network",
    "policy-late: it has the history of global-10 to the last digit, but another plan",
    "The record 'policy-alien' is not one that labkit wrote: its kind is 'front-best'",
}


@pytest.mark.parametrize("sentence", sorted(FORGED))
def test_what_a_hostile_student_forged_is_named(course, sentence):
    assert sentence in said(course, "hostile", False, POLICY)


def test_a_record_whose_name_is_no_runs_is_left_out(course):
    folder, people = course
    student = people["hostile"].name
    kept = folder / "collected" / LAB.name / student / "records"
    assert all(path.name in fronts.forged() for path in kept.iterdir())
    assert any("`records/policy-a;b/record.json`" in n for n in class_of.graded(folder, LAB)[student]["notes"])


def test_the_csv_has_a_row_for_everybody_and_no_zero_by_silence(course):
    folder, people = course
    rows = class_of.marks(folder / f"grades_{LAB.name}.csv")
    assert rows.keys() == {person.name for person in people.values()}
    for person in people.values():
        row = rows[person.name]
        assert (float(row["code"]), row["max"]) == (person.points, str(LAB.points))
        assert not any(value for column, value in row.items() if column.startswith("manual-"))


def test_the_board_counts_only_what_contradicts_nothing(course):
    folder, people = course
    found = board.standings(folder)
    own = {kind: found[person.name] for kind, person in people.items()}
    assert {kind: (sorted(s.policies), s.left_out) for kind, s in own.items()} == {
        "perfect": (["policy-even", "policy-late"], 0),
        "careless": (["policy-even"], 1),
        "hostile": ([], 5),
    }
    assert own["hostile"].gained == own["careless"].gained == 0 < own["perfect"].gained
    page = (folder / "board" / "lab2.md").read_text(encoding="utf-8")
    assert f"| 1 | `{people['perfect'].name}` |" in page
    assert "policy-great" not in page and (folder / "board" / "lab2.png").read_bytes().startswith(b"\x89PNG")


def test_a_board_of_nobody_is_refused(tmp_path, refused):
    with refused("holds no submissions", "labkit collect --lab 2"):
        board.standings(tmp_path)
