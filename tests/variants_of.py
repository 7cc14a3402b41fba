"""Two students of an edition with variants, from the release to the TA's list.

``python tests/variants_of.py FOLDER``: each executes notebook 01, filled in (three trainings; 2 to 20 minutes each; what
is in FOLDER already is loaded). Then four hand-ins are collected and graded: the two; one with the first's records under
a third id; and one whose records were changed to the fourth's seed and images. Prints both students' numbers, the code
points, and what is noted. ``… FOLDER 3`` executes notebooks 01 to 03.
"""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import edition as student_edition
import nbformat
import submissions as made

from labkit import data, records, settings
from labkit.course import edition, labs, release
from labkit.course.grading.collect import collect
from labkit.course.grading.grade import grade
from labkit.course.practice.variant import PLACEHOLDER
from labkit.tools.run import execute
from labkit.view.tables import markdown

LAB, COURSE = labs.named(1), replace(edition.current(), variants="a class of two")
STUDENTS, COPIES, DISGUISES = ("s1000001", "s1000002"), "s1000003", "s1000004"


def worked(student: str, folder: Path, names: tuple[str, ...]) -> None:
    """The edition with all blanks filled in, the id in the first notebook, and the notebooks of these ``names``
    executed. Runs that were there stay."""
    runs, aside = folder / "runs", folder.with_suffix(".runs")
    if runs.exists():
        shutil.move(runs, aside)
    release.release(folder, (LAB,), "someone/pruning-lab", "v1")
    if aside.exists():
        shutil.move(aside, runs)
    inherited = {name: value for name, value in os.environ.items() if name not in ("LABKIT_SEED", "LABKIT_DATA")}
    for number, name in enumerate(names):
        path = folder / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook = student_edition.filled(notebook, release.complete_notebooks(LAB)[name])
        if number == 0:
            (cell,) = (cell for cell in notebook.cells if cell.id == "student")
            cell.source = cell.source.replace(PLACEHOLDER, student)
        nbformat.write(notebook, path)
        execute(path, path, inherited | {"PYTHONPATH": str(folder), "LABKIT_RUNS": str(runs)}, runs)


def runs_of(student: str, folder: Path) -> Path:
    return folder / "runs" / f"quick-shapes-seed{COURSE.seed_of(student)}" / LAB.name


def numbers(runs: Path) -> dict[str, str]:
    """What a student would write into the report, by run."""
    return {
        run.name: f"{run.results['validation_accuracy']:.2%}, Σ|γ| {run.history[-1]['gamma_l1']:.2f}"
        for run in records.load_all(runs)
        if run.history
    }


def handed_in(student: str, kept: dict[str, bytes], pages: dict | None = None) -> bytes:
    """An archive with these records; the notebooks in ``pages`` as executed, the others as if."""
    notebooks = made.run(made.filled(release.released_notebooks(LAB, COURSE), {})) | (pages or {})
    files = made.files(student, notebooks, names={"records/sparsity-lambda0/record.json": None})
    files[COURSE.report_name(student, LAB)] = made.report(student)
    return made.zipped(files | {f"records/{name}/record.json": content for name, content in kept.items()})


def records_in(runs: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(runs.glob("*/record.json"))}


def disguised(content: bytes, student: str) -> bytes:
    """A record with this student's seed and description of the images written into it."""
    record, seed = json.loads(content), COURSE.seed_of(student)
    record["config"] |= {"seed": seed, "data": data.load(settings.with_split("shapes", seed), Path()).describe()}
    return json.dumps(record).encode()


def main(place: Path, count: int = 1) -> None:
    edition.current = lambda: COURSE
    names, kept, pages = LAB.notebooks[:count], {}, {}
    for student in STUDENTS:
        folder = place / student
        worked(student, folder, names)
        kept[student] = records_in(runs_of(student, folder))
        read = {name: nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4) for name in names}
        pages[student] = read
    found = [numbers(runs_of(student, place / student)) for student in STUDENTS]
    rows = [[name, *(column.get(name, "–") for column in found)] for name in found[0]]
    print(
        markdown(["run", *(f"{name}, seed {COURSE.seed_of(name)}" for name in STUDENTS)], rows), end="\n\n", flush=True
    )

    first = kept[STUDENTS[0]]
    kept |= {COPIES: first, DISGUISES: {name: disguised(content, DISGUISES) for name, content in first.items()}}
    export, course = place / "export", place / "grading"
    for folder in (export, course):
        shutil.rmtree(folder, ignore_errors=True)
    export.mkdir()
    for student in kept:
        (export / COURSE.archive_name(student, LAB)).write_bytes(handed_in(student, kept[student], pages.get(student)))
    collect(export, course, COURSE, LAB)
    for result in grade(course, LAB):
        print(f"{result['student']}: {result['points']:g} of {result['of']} code points")
    for result in map(json.loads, (path.read_text("utf-8") for path in sorted((course / "graded").glob("*/*.json")))):
        well = [finding["text"] for finding in result["findings"] if finding["well"]]
        print(f"\n{result['student']}, what is well:", *(f"✓ {text}" for text in well), sep="\n")
    print("\n" + (course / "graded" / LAB.name / "notes.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:]))
