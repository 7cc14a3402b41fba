"""Two students of an edition with variants, from the release to the TA's list, with the commands that people type.

``python tests/variants_of.py FOLDER``: a copy of the course releases lab 1 for a class with variants. Two students execute
its first two notebooks, filled in, and hand in their records, with the other notebooks as if they had been run. So do
two copies: the first student's hand-in under a third id, and the same with the fourth's seed and images written over the
records. All are collected and graded. Prints both students' numbers, the code points, and what is noted. On few images
and for one epoch, in some minutes; ``… FOLDER full`` does it at the scale of the course. What is in FOLDER already is
loaded.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import edition as student_edition
import nbformat
import submissions as made

from labkit import records
from labkit.course import labs, release
from labkit.course.practice.variant import PLACEHOLDER
from labkit.settings import REPOSITORY
from labkit.tools.run import execute
from labkit.view.tables import markdown

LAB, EXECUTED, WORD = labs.named(1), 2, "a class of two"
RECORD = "*/record.json"
STUDENTS, COPIES, DISGUISES = ("s1000001", "s1000002"), "s1000003", "s1000004"
DESCRIBE = """
import json, sys
from labkit import data, settings
from labkit.course import edition
seed = edition.current().seed_of(sys.argv[1])
print(json.dumps({"seed": seed, "data": data.load(settings.with_split("shapes", seed), ".").describe()}))
"""


def surroundings(labkit: Path, runs: Path) -> dict[str, str]:
    """The environment of somebody who has this ``labkit``'s folder, and no settings but where the runs are."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("LABKIT_SEED", "LABKIT_DATA")}
    return inherited | {"PYTHONPATH": str(labkit), "LABKIT_RUNS": str(runs)}


def python(*arguments: str, at: Path) -> str:
    """What a Python process prints that has the labkit in the folder ``at``."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=at, env=surroundings(at, at / "runs"), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def staffs_copy(folder: Path, full: bool) -> Path:
    """The course, in a folder of its own, since a release with variants writes its ``edition.json``."""
    for name in ("labkit", "notebooks", "data"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in release.TOP:
        shutil.copy(REPOSITORY / name, folder)
    if not full:
        student_edition.smaller(folder)
    return folder


def worked(student: str, edition: Path, folder: Path) -> bytes:
    """The student's archive: the edition with all blanks filled in and the id in the first notebook, of which the first
    notebooks are executed. What is executed already stays."""
    if not folder.exists():
        shutil.copytree(edition, folder)
    for name in LAB.notebooks[:EXECUTED]:
        path = folder / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        if any(cell.get("execution_count") for cell in notebook.cells):
            continue
        notebook = student_edition.filled(notebook, release.complete_notebooks(LAB)[name])
        for cell in notebook.cells:
            cell.source = cell.source.partition("\nassert ready(")[0]  # a check is handed in as it was given out
        if name == LAB.notebooks[0]:
            (cell,) = (cell for cell in notebook.cells if cell.id == "student")
            cell.source = cell.source.replace(PLACEHOLDER, student)
        nbformat.write(notebook, path)
        execute(path, path, surroundings(folder, folder / "runs"), folder / "runs")

    released, pages = (
        {name: nbformat.read(place / "notebooks" / f"{name}.ipynb", as_version=4) for name in LAB.notebooks}
        for place in (edition, folder)
    )
    executed = {name: pages[name] for name in LAB.notebooks[:EXECUTED]}
    kept = {
        f"records/{path.parent.name}/record.json": path.read_bytes() for path in sorted(runs_in(folder).glob(RECORD))
    }
    kept |= {LAB.report: made.report(student)}
    return made.zipped(made.files(student, made.run(made.filled(released, {})) | executed, extra=kept))


def runs_in(folder: Path) -> Path:
    (runs,) = (folder / "runs").glob(f"*/{LAB.name}")
    return runs


def numbers(folder: Path) -> dict[str, str]:
    """What a student would write into the report, by run."""
    return {
        run.name: f"{run.results['validation_accuracy']:.2%}, loss {last['loss']:.4f}, Σ|γ| {last['gamma_l1']:.2f}"
        for run in records.load_all(runs_in(folder))
        for last in run.history[-1:]
    }


def copied(archive: Path, student: str, written_over: dict | None = None) -> None:
    """Another's ``archive`` under this student's id, beside it; with the student's seed and images ``written_over``
    those of the records."""
    with zipfile.ZipFile(archive) as source:
        files = {name: source.read(name) for name in source.namelist() if name != "receipt.json"}
    for name in files if written_over else ():
        if name.endswith("/record.json"):
            record = json.loads(files[name])
            record["config"] |= {key: value for key, value in written_over.items() if key in record["config"]}
            files[name] = json.dumps(record).encode()
    archive.with_name(re.sub(r"s\d{7}", student, archive.name)).write_bytes(made.zipped(files))


def main(place: Path, scale: str = "small") -> None:
    staff, export = place / "staff", place / "export"
    if not staff.exists():
        staffs_copy(staff, scale == "full")
        print(python("-m", "labkit", "release", "--variant-by-student", WORD, at=staff))
    edition = staff / "build" / "pruning-lab"
    shutil.rmtree(export, ignore_errors=True)
    export.mkdir()
    for student in STUDENTS:
        (export / f"pruning_lab{LAB.number}_{student}.zip").write_bytes(worked(student, edition, place / student))
    first = export / f"pruning_lab{LAB.number}_{STUDENTS[0]}.zip"
    copied(first, COPIES)
    copied(first, DISGUISES, json.loads(python("-c", DESCRIBE, DISGUISES, at=staff)))

    found = [numbers(place / student) for student in STUDENTS]
    rows = [[name, *(column.get(name, "–") for column in found)] for name in found[0]]
    print(markdown(["run", *STUDENTS], rows), end="\n\n", flush=True)
    shutil.rmtree(staff / "grading", ignore_errors=True)
    for arguments in (("collect", str(export)), ("grade",)):
        print(python("-m", "labkit", *arguments, at=staff))
    graded = staff / "grading" / "graded" / LAB.name
    for result in map(json.loads, (path.read_text(encoding="utf-8") for path in sorted(graded.glob("*.json")))):
        well = sum(finding["well"] for finding in result["findings"])
        print(f"{result['student']}: {result['points']:g} of {result['of']} code points, {well} findings ✓")
    print((graded / "notes.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
