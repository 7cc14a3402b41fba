"""Submissions a minute for the seven blanks: labkit's sandbox, warm and one by one, and ``nbgrader autograde``, in turn.

All get the same students and the same code: imports, blanks and checks, none of the lab's trainings. nbgrader
executes a notebook for each student; labkit starts a sandbox for each, or a process below one that is warm.
``python benchmarks/grading.py 5 24`` measures both ways of the sandbox: five rounds, 24 students, a worker a core.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nbformat

from labkit.course import answers, blanks, labs
from labkit.course.grading import grade, sandbox

LAB = labs.named(1)
BLANKS = blanks.of(LAB)
IMPORTS = "import torch\nfrom torch import nn\n\nfrom labkit.course import check, ready"


def notebook() -> nbformat.NotebookNode:
    """All blanks, answered, each with its check, as nbgrader expects them."""
    cells = [nbformat.v4.new_code_cell(IMPORTS)]
    for name, blank in BLANKS.items():
        code = nbformat.v4.new_code_cell(answers.solution(name), id=f"blank-{name}")
        code.metadata["nbgrader"] = _metadata(f"blank-{name}", solution=True)
        check = nbformat.v4.new_code_cell(f"assert ready({', '.join(blank.functions)})", id=f"check-{name}")
        check.metadata["nbgrader"] = _metadata(f"check-{name}", grade=True, locked=True, points=blank.points)
        cells += [code, check]
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )


def _metadata(name: str, **facts) -> dict:
    return {
        "grade_id": name,
        "schema_version": 3,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
    } | facts


WAYS = {
    "warm": lambda: sandbox.Warm(sandbox.bubblewrap()),
    "one_by_one": lambda: sandbox.OneByOne(sandbox.bubblewrap(), "to compare"),
}


def labkit_seconds(folder: Path, students: list[str], way: str) -> float:
    """Seconds to grade, torch's import included."""
    found = {name: {"source": answers.solution(name), "found": "id"} for name in BLANKS}
    for student in students:
        (folder / "collected" / LAB.name / student).mkdir(parents=True)
        content = {"student": student, "refused": None, "notes": [], "code": {}, "blanks": found}
        (folder / "collected" / LAB.name / student / "submission.json").write_text(json.dumps(content))
    started = time.perf_counter()
    with WAYS[way]() as opened:
        results = grade.grade(folder, LAB, opened)
    assert [result["points"] for result in results] == [35] * len(students)
    return time.perf_counter() - started


def nbgrader_seconds(folder: Path, students: list[str]) -> float:
    for path in (folder / "source" / "lab1", *(folder / "submitted" / student / "lab1" for student in students)):
        path.mkdir(parents=True)
        nbformat.write(notebook(), path / "blanks.ipynb")
    _nbgrader(folder, "generate_assignment", "lab1")
    started = time.perf_counter()
    _nbgrader(folder, "autograde", "lab1", "--create")
    assert len(list((folder / "autograded").glob("*/lab1/blanks.ipynb"))) == len(students)
    return time.perf_counter() - started


def _nbgrader(folder: Path, *words: str) -> None:
    beside = Path(sys.executable).parent  # nbgrader starts alembic by its name
    environment = os.environ | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "nbgrader", *words, f"--course-dir={folder}"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)


def measured(rounds: int, students: int, runners: dict) -> dict:
    """Submissions a minute of each runner, medians; each one's seconds over the first's, medians of the rounds."""
    names, seconds = [f"student{number}" for number in range(students)], {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(runner(Path(folder), names))
    first, *others = runners
    found = {f"{name}_submissions_per_minute": 60 * students / statistics.median(seconds[name]) for name in runners}
    return found | {
        f"{name}_over_{first}": statistics.median(b / a for a, b in zip(seconds[first], seconds[name], strict=True))
        for name in others
    }


if __name__ == "__main__":
    rounds, students = map(int, sys.argv[1:3] or (1, 6))
    runners = {way: partial(labkit_seconds, way=way) for way in WAYS}
    if not sys.argv[1:]:
        runners["nbgrader"] = nbgrader_seconds
    print(json.dumps(measured(rounds, students, runners), indent=1))
