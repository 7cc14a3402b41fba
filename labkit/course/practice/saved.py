"""Notebooks as a student saved them: which file it is, whether it was run from top to bottom, whose it is.

What would be sent back later is refused here, with a sentence.
"""

import json
import re
from pathlib import Path

from labkit.settings import LabError
from labkit.view.report import student_of


def candidates(folder: Path, name: str) -> list[Path]:
    """Files of a notebook, such as "Copy of NAME.ipynb" or "NAME (1).ipynb", the newest first."""
    files = [path for path in folder.glob("*.ipynb") if name in path.stem and path.name[0] != "." and path.is_file()]
    return sorted(files, key=lambda path: (-path.stat().st_mtime_ns, path.stem != name, path.name))


def found(folder: Path, name: str) -> tuple[Path, list[str]]:
    """A notebook's file, and a line about it if there was a choice."""
    match candidates(folder, name):
        case []:
            raise LabError(
                f"{name}.ipynb is not in {folder.resolve()}: save it there, or name the right folder with "
                f"--notebooks (in Colab: mount Drive, and save a copy of the notebook in Drive)."
            )
        case [path] if path.stem == name:
            return path, []
        case [path, *others]:
            rest = f", the newest of {len(others) + 1} (not {', '.join(p.name for p in others)})" if others else ""
            return path, [f"for {name}, {path.name} was taken{rest}."]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error.strerror}): close it elsewhere, and hand in again.") from error


def code_cells(content: bytes, path: Path) -> list[dict]:
    """A notebook's code cells that are not empty, in order, down to the hand-in's: ``number`` (among
    the code cells), ``id``, ``source``, ``count`` and ``error`` (a name, or None). Raises ``LabError``."""
    try:
        cells = [cell for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"]
        found = [_cell(cell, number) for number, cell in enumerate(cells, 1)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LabError(
            f"{path} is no notebook ({type(error).__name__}: {str(error)[:80]}): open it, save it again, or take "
            "the one that was given out and run it."
        ) from None
    last = next((index for index, cell in enumerate(found) if "hand_in(" in cell["source"]), len(found))
    return [cell for cell in found[:last] if cell["source"].strip()]


def _cell(cell: dict, number: int) -> dict:
    """What is looked at in a cell of the file, in either of the forms that Jupyter and Colab save."""
    grading = cell["metadata"].get("nbgrader", {}).get("grade_id")
    names = [str(output.get("ename")) for output in cell["outputs"] if output["output_type"] == "error"]
    count = cell.get("execution_count")
    return {
        "number": number,
        "id": grading or cell.get("id"),
        "source": "".join(cell["source"]),
        "count": count if type(count) is int else None,
        "error": names[0] if names else None,
    }


def never_run(cells: list[dict]) -> bool:
    """Whether a notebook is still as it was given out."""
    return all(cell["count"] is None for cell in cells)


def refuse_unrun(cells: list[dict], path: Path) -> None:
    """Raises ``LabError`` for the first cell that was not run, or not after those above it."""
    for before, cell in zip([None, *cells], cells):
        if cell["count"] is None:
            if stopped := next((above for above in cells[: cell["number"]] if above["error"]), None):
                raise LabError(
                    f"{path}: {_named(stopped)} stopped with {stopped['error']}, so nothing below it was run: mend it or "
                    "empty it, choose Restart and run all, save, and hand in again."
                )
            raise LabError(f"{path}: {_named(cell)} was not run: choose Restart and run all, save, and hand in again.")
        if before and cell["count"] <= before["count"]:
            raise LabError(
                f"{path}: {_named(cell)} was run before {_named(before)}, which stands above it: choose Restart and "
                "run all, save, and hand in again."
            )


def refuse_another_student(student: str, cells: list[dict], path: Path) -> None:
    """Raises ``LabError`` if the last notebook, as it was saved, names somebody else."""
    names = [
        found[2] for cell in cells if (found := re.search(r"^STUDENT *= *(['\"])(.*)\1", cell["source"], re.MULTILINE))
    ]
    if names and names[0].strip() != student:
        raise LabError(
            f"{path}, as it is saved, says STUDENT = {names[0]!r} and not {student!r}: write your id there, run all "
            "cells, save the notebook, and hand in again."
        )


def refuse_report_of_another(student: str, report: Path, content: bytes, notebook: str) -> None:
    """Raises ``LabError`` if the report, as the last notebook made it, carries another id or none."""
    if (name := student_of(content)) != student:
        raise LabError(
            f"{report} carries {f'the id {name!r}' if name else 'no id'} and not {student!r}: it was made before STUDENT "
            f"was set. Write your id into STUDENT at the top of notebook {notebook}, choose Restart and run all, save it, "
            "and hand in again."
        )


def refuse_unsaved(path: Path, report: Path) -> None:
    """Raises ``LabError`` if the last notebook was not saved since it made the report."""
    if path.stat().st_mtime < report.stat().st_mtime:
        raise LabError(f"{path} was saved before the report was made: save the notebook now, and hand in again.")


def not_written(cells: list[dict], path: Path) -> list[str]:
    """A line if answers that are graded by eye are not written yet."""
    empty = re.compile(r'# Your code here\.|^answers\["\w+"\] = f?"""\s*"""', re.MULTILINE)
    count = sum(bool(empty.search(cell["source"])) for cell in cells)
    return [f"{path.name}: {count} answer{'s are' * (count > 1) or ' is'} not written yet."] if count else []


def stopped(cells: list[dict], path: Path) -> list[str]:
    return [
        f"{path.name}: {_named(cell)} stopped with {cell['error']}."
        for cell in cells
        if cell["error"] and not str(cell["id"]).startswith("check-")
    ]


def _named(cell: dict) -> str:
    line = cell["source"].strip().splitlines()[0]
    return f"code cell {cell['number']} ({line[:60]}{'…' if len(line) > 60 else ''})"
