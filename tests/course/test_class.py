"""A class from a folder of zips to a CSV: every mark as expected, every guess on the list."""

import json
import os

import class_of
import fronts
import nbformat
import needs
import pytest
import submissions as made

from labkit.course import blanks, edition, labs, release
from labkit.course.practice import submit
from labkit.settings import REFERENCE

pytestmark = [needs.bubblewrap, needs.nbgrader]
LAB = class_of.LAB


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The class folder after collect, grade, export and feedback, and its students."""
    folder, people = tmp_path_factory.mktemp("course"), class_of.students()
    class_of.export_folder(folder / "export", people)
    for words in (("collect", str(folder / "export")), ("grade",), ("export",), ("feedback",)):
        class_of.command(*words, f"--course={folder / 'class'}")
    return folder / "class", people


def test_every_mark_is_as_expected(course):
    folder, people = course
    results = class_of.graded(folder)
    assert {p.name: results[p.name]["points"] for p in people} == {p.name: p.points for p in people}


def test_every_guess_and_repair_is_on_the_list_and_nothing_else(course):
    folder, people = course
    results, page = class_of.graded(folder), (folder / "collected" / LAB.name / "notes.md").read_text(encoding="utf-8")
    for person in people:
        found = results[person.name]["notes"]
        if person.noted and person.points is not None:
            assert any(person.noted in note for note in found) and person.name in page, person.name
    clean = [p.name for p in people if p.points is not None and not p.noted and "Cell" not in p.name]
    hostile = {name for name, result in results.items() if any("kept" in n or "Blank 3" in n for n in result["notes"])}
    assert all(not results[name]["notes"] for name in clean if name not in hostile)


def test_the_list_after_grading_names_code_that_is_alike_and_code_that_was_stopped(course):
    folder, people = course
    sections = (folder / "graded" / LAB.name / "notes.md").read_text(encoding="utf-8").split("\n## ")
    said = {section.split()[0]: section for section in sections[1:]}
    one, two = (person.name for person in people if "SameProbe" in person.name)
    assert f"blank-kept-channels: the same unusual code as {two}." in said[one] and one in said[two]
    assert f"report.pdf is byte for byte that of {two}." in said[one]
    for alike in ("same unusual code", "byte for byte"):
        assert sum(alike in section for section in said.values()) == 2
    assert any("did not end within" in section for section in said.values())
    assert all(person.name in said for person in people if person.points is None)


def test_the_csv_has_a_row_for_everybody_and_no_zero_by_silence(course):
    folder, people = course
    rows = class_of.marks(folder / f"grades_{LAB.name}.csv")
    assert rows.keys() == {person.name for person in people}
    for person in people:
        manual = [value for column, value in rows[person.name].items() if "manual" in column.lower()]
        assert not any(manual), "nobody has graded these by hand yet"


def test_an_exercise_is_marked_nowhere(course):
    folder, people = course
    wrong = next(person.name for person in people if "Exercises" in person.name)
    (row,) = (row for name, row in class_of.marks(folder / f"grades_{LAB.name}.csv").items() if name == wrong)
    assert row["code"] == "35" and row["max"] == str(LAB.points) and row["comments"] == ""
    assert list(class_of.graded(folder)[wrong]["blanks"]) == list(blanks.of(LAB))
    page = (folder / "feedback" / LAB.name / f"{wrong}.html").read_text(encoding="utf-8")
    for exercise in blanks.declared(LAB).keys() - blanks.of(LAB).keys():
        assert not any(exercise in column for column in row) and f"exercise-{exercise}" not in page


def test_feedback_tells_nothing_that_a_student_smuggled_out(course):
    folder, people = course
    smuggler = next(person.name for person in people if "NamesItsExce" in person.name)
    page = (folder / "feedback" / LAB.name / f"{smuggler}.html").read_text(encoding="utf-8")
    assert "stops with an exception of its own" in page and "inputs [" not in page


def test_grading_again_gives_the_same_marks_and_reuses_the_work(course, capsys):
    folder, _ = course
    before = {path: path.read_bytes() for path in (folder / "graded" / LAB.name).glob("*.json")}
    class_of.command("grade", f"--course={folder}")
    assert before == {path: path.read_bytes() for path in (folder / "graded" / LAB.name).glob("*.json")}
    (folder / "graded" / LAB.name / f"{sorted(before)[0].stem}.json").unlink()
    class_of.command("grade", f"--course={folder}")
    assert before == {path: path.read_bytes() for path in (folder / "graded" / LAB.name).glob("*.json")}


def test_the_hidden_seed_is_drawn_once_and_shown_to_nobody(course):
    folder, _ = course
    seed = (folder / "hidden_seed").read_text().strip()
    assert len(seed) == 32
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "hidden_seed" and path.suffix in (".json", ".ipynb", ".html", ".csv", ".md"):
            assert seed not in path.read_text(encoding="utf-8")


def shipped():
    """Records of lab 1 by the run's name."""
    files = (REFERENCE / "quick-shapes-seed0" / LAB.name).glob("*/record.json")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in files}


@pytest.mark.parametrize(("lab", "runs"), [(LAB, shipped), (labs.named(2), fronts.honest)], ids=["lab1", "lab2"])
def test_what_submit_packs_is_collected_without_a_note_and_gets_all_points(lab, runs, tmp_path):
    notebooks = made.run(made.filled(release.released_notebooks(lab), {}))
    for cell in notebooks[lab.last_notebook].cells:
        cell.source = cell.source.replace("your student id", "b1234567")
    (tmp_path / "notebooks").mkdir()
    for name, notebook in notebooks.items():
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    for name, content in runs().items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    report = tmp_path / "runs" / edition.current().report_name("b1234567", lab)
    report.write_bytes(made.report("b1234567"))
    os.utime(report, (0, 0))
    receipt = submit.submit("b1234567", lab, tmp_path / "notebooks", tmp_path / "runs", tmp_path / "export")
    points = sum(blank.points for blank in blanks.of(lab).values())
    assert f"together {points:g} of {points:g}" in str(receipt)
    for words in (("collect", str(tmp_path / "export")), ("grade",)):
        class_of.command(*words, f"--lab={lab.number}", f"--course={tmp_path / 'class'}")
    result = class_of.graded(tmp_path / "class", lab)["b1234567"]
    assert (result["points"], result["notes"], result["refused"]) == (points, [], None)
    doubted = {finding["cell"]: finding["text"] for finding in result["findings"] if not finding["well"]}
    assert doubted and all("course's reference runs" in text for text in doubted.values())
