"""Run the student edition top to bottom, alone in a folder: once with every blank empty, once filled.

``python tests/edition.py RUNS``: RUNS holds the runs of the complete notebooks, which the filled
edition must find to be its own, so that it trains nothing; the empty one goes on from the runs that ship,
on few images and for one epoch. ``python tests/edition.py RUNS NOTEBOOK`` is about one notebook, which may
train; it runs on Windows and macOS, too.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from labkit.course import labs, release

SMALLER = {
    "settings.py": {
        "train=Recipe(epochs=8, batch=50": "train=Recipe(epochs=1, batch=50",
        "fine_tune=Recipe(epochs=6,": "fine_tune=Recipe(epochs=1,",
    },
    "data/__init__.py": {
        "generate(5600, seed=0)": "generate(700, seed=0)",
        "everything[:4000], everything[4000:4600], everything[4600:]": "everything[:500], everything[500:600], everything[600:]",
    },
}


def filled(notebook, complete):
    """The edition's notebook with the answers of the ``complete`` one, each check of a blank asserted."""
    answers = {cell.id: cell.source for cell in complete.cells if "### BEGIN SOLUTION" in cell.source}
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
        if cell.id.startswith("check-"):
            functions = cell.source.partition(", ")[2]  # check("name", f, g)
            cell.source += f"\nassert ready({functions}"
    return notebook


def fill(folder: Path, of: tuple[labs.Lab, ...] = labs.LABS) -> None:
    """The edition's notebooks ``of`` these labs, with every blank filled."""
    for lab in of:
        for name, complete in release.complete_notebooks(lab).items():
            path = folder / "notebooks" / f"{name}.ipynb"
            nbformat.write(filled(nbformat.read(path, as_version=4), complete), path)


def smaller(folder: Path) -> None:
    """The edition's own labkit at a scale of seconds: few images, one epoch."""
    for name, changes in SMALLER.items():
        path = folder / "labkit" / name
        text = path.read_text(encoding="utf-8")
        for before, after in changes.items():
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


def execution(folder: Path, runs: Path, log: Path, what: str = "notebooks") -> subprocess.Popen:
    """pytest at work on notebooks of the edition in ``folder``, with its own labkit, on one thread."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--nbval-lax", "--nbval-current-env"]
    environment = os.environ | {"PYTHONPATH": str(folder), "LABKIT_PROFILE": "quick", "LABKIT_RUNS": str(runs)}
    environment |= {"OMP_NUM_THREADS": "1"}
    command += ["--nbval-cell-timeout=900", what]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT)


def main(runs: Path, notebook: str = "") -> int:
    what = f"notebooks/{notebook}.ipynb" if notebook else "notebooks"
    sys.stdout.reconfigure(errors="replace")
    # On Windows a kernel that has just ended may still hold a file.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        empty, full = Path(scratch, "empty"), Path(scratch, "filled")
        for folder in (empty, full):
            release.release(folder, labs.LABS, "someone/pruning-lab", "v1")
        smaller(empty)
        fill(full)
        at_work = {  # one core each
            folder: execution(folder, its_runs, folder.with_suffix(".log"), what)
            for folder, its_runs in ((empty, Path(scratch, "runs")), (full, runs))
        }
        for folder, process in at_work.items():
            process.wait()
            print(
                f"student edition, every blank {folder.name}",
                folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace"),
                sep="\n",
                flush=True,
            )
        return int(any(process.returncode for process in at_work.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), *sys.argv[2:]))
