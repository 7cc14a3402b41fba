"""Handing in lab 2: its report counts under one name only, which nobody else's has."""

import os
import zipfile

import fronts
import nbformat
import pytest
import submissions as made

from labkit import settings
from labkit.course import edition, hand_in, labs, release, report_name
from labkit.course.practice import submit

LAB, STUDENT = labs.named(2), "ab1234"
NAME = f"pruning_lab2_{STUDENT}.pdf"


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """The lab's notebooks, filled in and run."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name, notebook in made.run(made.filled(release.released_notebooks(LAB), {})).items():
        for cell in notebook.cells:
            cell.source = cell.source.replace(submit.PLACEHOLDER, STUDENT)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture
def desk(notebooks, tmp_path, monkeypatch):
    """``desk(name, id)`` hands in with a PDF of that name that carries that id; what the archive holds."""
    monkeypatch.setattr(submit, "visible_points", lambda materials, cells: ({}, []))
    for path, content in fronts.archived({"trained": fronts.TRAINED}, STUDENT).items():
        run = tmp_path / "runs" / path.split("/")[1]
        run.mkdir(parents=True)
        (run / "record.json").write_bytes(content)

    def desk(name=NAME, student=STUDENT):
        if name:
            (tmp_path / "runs" / name).write_bytes(made.report(student))
            os.utime(tmp_path / "runs" / name, (0, 0))
        receipt = submit.submit(STUDENT, LAB, notebooks, tmp_path / "runs", tmp_path / "out")
        with zipfile.ZipFile(receipt.path) as archive:
            return archive.namelist()

    desk.runs, desk.out = tmp_path / "runs", tmp_path / "out"
    return desk


def test_the_report_has_the_archives_name():
    assert report_name(f" {STUDENT} ", LAB.number) == NAME == edition.current().archive_name(STUDENT, LAB)[:-4] + ".pdf"
    assert report_name(STUDENT, 1) == report_name(STUDENT, 3) == "report.pdf"


def test_what_is_right_is_packed(desk):
    files = desk()
    assert {NAME, "records/trained/record.json", "receipt.json"} <= set(files)
    assert {f"notebooks/{name}.ipynb" for name in LAB.notebooks} <= set(files)


@pytest.mark.parametrize("name", ["report.pdf", "pruning_lab2_cd5678.pdf", "pruning_lab1_ab1234.pdf", "report.PDF"])
def test_a_report_of_another_name_is_refused_with_both_names(desk, refused, name):
    with refused(f"{NAME} is missing", f"there is {name}, which is not its name", f"run notebook {LAB.last_notebook}"):
        desk(name)
    assert not desk.out.exists()


def test_a_missing_report_is_refused(desk, refused):
    with refused(f"{NAME} is missing: run notebook"):
        desk(None)
    assert not desk.out.exists()


@pytest.mark.parametrize("student", ["cd5678", submit.PLACEHOLDER])
def test_a_report_of_another_student_is_refused_under_the_right_name(desk, refused, student):
    with refused(f"{NAME} carries the id {student!r}", repr(STUDENT)):
        desk(student=student)
    assert not desk.out.exists()


def test_hand_in_says_it_instead_of_raising(desk, notebooks, monkeypatch, capsys):
    monkeypatch.chdir(notebooks)
    folder = settings.current(lab=LAB.number).folder
    folder.mkdir(parents=True)
    (folder / "report.pdf").write_bytes(made.report(STUDENT))
    hand_in(STUDENT, lab=LAB.number)
    said = capsys.readouterr().out
    assert said.startswith("Not handed in. ") and NAME in said and "there is report.pdf" in said
    assert not list(notebooks.parent.glob("*.zip"))
