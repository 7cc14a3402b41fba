"""Run the student edition top to bottom, alone in a folder: once with every blank empty, once filled.

``python tests/edition.py RUNS``: RUNS holds the runs of the complete notebooks, which the filled
edition must find to be its own; the empty one starts without any.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from labkit.course import labs, release

LAB = labs.named(1)


def filled(notebook, complete):
    """The edition's notebook with the answers of the ``complete`` one, each check of a blank asserted."""
    answers = {cell.id: cell.source for cell in complete.cells if cell.id.startswith(("blank-", "manual-"))}
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
        if cell.id.startswith("check-"):
            functions = cell.source.partition(", ")[2]  # check("name", f, g)
            cell.source += f"\nassert ready({functions}"
    return notebook


def fill(folder: Path) -> None:
    for name, complete in release.complete_notebooks(LAB).items():
        path = folder / "notebooks" / f"{name}.ipynb"
        nbformat.write(filled(nbformat.read(path, as_version=4), complete), path)


def execute(folder: Path, runs: Path) -> int:
    """pytest's status for all notebooks of the edition in ``folder``, with its own labkit."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--nbval-lax", "--nbval-current-env"]
    environment = os.environ | {"PYTHONPATH": str(folder), "LABKIT_PROFILE": "quick", "LABKIT_RUNS": str(runs)}
    return subprocess.run([*command, "--nbval-cell-timeout=900", "notebooks"], cwd=folder, env=environment).returncode


def main(runs: Path) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        empty, full = Path(scratch, "empty"), Path(scratch, "filled")
        for folder in (empty, full):
            release.release(folder, (LAB,), "someone/pruning-lab", "v1")
        fill(full)
        print("student edition, every blank empty", flush=True)
        status = execute(empty, Path(scratch, "runs"))
        print("student edition, every blank filled", flush=True)
        return execute(full, runs) or status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
