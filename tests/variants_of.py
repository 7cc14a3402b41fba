"""Two students of an edition with variants, from the release to the TA's list: lab 1 as each of them would run it.

``python tests/variants_of.py FOLDER``: trains everything twice (5 to 15 minutes each on two cores; what is in FOLDER
already is loaded), hands in, and grades three hand-ins: the two, and the first student's records under a third id.
Prints both students' numbers side by side, the code points, and what is noted.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import edition as student_edition
import nbformat

from labkit import records
from labkit.course import edition, labs, release
from labkit.course.practice.submit import zipped
from labkit.course.practice.variant import PLACEHOLDER
from labkit.tools.run import execute
from labkit.view.tables import markdown

LAB, WORD = labs.named(1), "a class of two"
STUDENTS, COPIES = ("s1000001", "s1000002"), "s1000003"


def made_for(student: str, folder: Path) -> Path:
    """The edition, filled in, with this student's id in the first notebook."""
    release.release(folder, (LAB,), "someone/pruning-lab", "v1")
    for number, name in enumerate(LAB.notebooks):
        path = folder / "notebooks" / f"{name}.ipynb"
        complete = release.complete_notebooks(LAB)[name]
        notebook = student_edition.filled(nbformat.read(path, as_version=4), complete)
        if number == 0:
            (cell,) = (cell for cell in notebook.cells if cell.id == "student")
            cell.source = cell.source.replace(PLACEHOLDER, student)
        nbformat.write(notebook, path)
    return folder


def environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("LABKIT_SEED", "LABKIT_DATA")}
    return inherited | {"PYTHONPATH": str(folder), "LABKIT_RUNS": str(folder / "runs")}


def run(folder: Path) -> None:
    for name in LAB.notebooks:
        path = folder / "notebooks" / f"{name}.ipynb"
        execute(path, path, environment(folder), folder / "runs")


def labkit(*arguments: str, folder: Path | None = None) -> str:
    command = [sys.executable, "-m", "labkit", *arguments]
    at = {"cwd": folder, "env": environment(folder)} if folder else {}
    done = subprocess.run(command, capture_output=True, text=True, **at)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def numbers(runs: Path) -> dict[str, str]:
    """What a student would copy into a report, by what it is."""
    found = {}
    for run in records.load_all(runs):
        if "validation_accuracy" in run.results:
            found[run.name] = f"{run.results['validation_accuracy']:.2%}"
        if run.kind == "pruning":
            found[run.name] = f"{run.results['validation']['as_it_stands']:.2%}, {sum(run.network['widths'])} channels"
    return found


def copied(archive: Path, student: str, target: Path) -> None:
    """Another's archive under one's own id: code, records and report as they are."""
    with zipfile.ZipFile(archive) as source:
        files = {name: source.read(name) for name in source.namelist() if name != "receipt.json"}
    target.write_bytes(zipped(files))


def main(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    this = replace(edition.current(), variants=WORD)
    edition.current = lambda: this
    folders = {student: place / student for student in STUDENTS}
    for student, folder in folders.items():
        if not list(folder.glob("pruning_lab*.zip")):
            runs = folder / "runs"
            shutil.move(runs, place / "kept") if runs.exists() else None
            made_for(student, folder)
            shutil.move(place / "kept", runs) if (place / "kept").exists() else None
            run(folder)
            print(labkit("submit", student, folder=folder), flush=True)
    found = {
        student: numbers(folder / "runs" / f"quick-shapes-seed{this.seed_of(student)}" / LAB.name)
        for student, folder in folders.items()
    }
    rows = [[name, *(found[student].get(name, "–") for student in STUDENTS)] for name in found[STUDENTS[0]]]
    print(markdown(["run", *(f"{student}, seed {this.seed_of(student)}" for student in STUDENTS)], rows), flush=True)
    print(graded(place, folders, this))


def graded(place: Path, folders: dict[str, Path], this: edition.Edition) -> str:
    """What collecting and grading say of the two hand-ins and of the copy."""
    from labkit.course.grading.collect import collect
    from labkit.course.grading.grade import grade

    export, course = place / "export", place / "grading"
    shutil.rmtree(export, ignore_errors=True)
    shutil.rmtree(course, ignore_errors=True)
    export.mkdir()
    for student, folder in folders.items():
        shutil.copy(folder / this.archive_name(student, LAB), export)
    copied(export / this.archive_name(STUDENTS[0], LAB), COPIES, export / this.archive_name(COPIES, LAB))
    collect(export, course, this, LAB)
    results = grade(course, LAB)
    points = [f"{result['student']}: {result['points']:g} of {result['of']} code points" for result in results]
    notes = (course / "graded" / LAB.name / "notes.md").read_text(encoding="utf-8")
    return "\n".join([*points, "", notes])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
