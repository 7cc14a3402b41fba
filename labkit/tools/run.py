"""Notebooks executed headless, in order, with what each cell took. Not in the student edition."""

import os
import time
from datetime import datetime
from pathlib import Path

from labkit.progress import News
from labkit.settings import LabError, Settings
from labkit.tools import figures
from labkit.tools.screen import Screen, repeatedly
from labkit.view.tables import markdown

CELL_TIMEOUT = 6 * 3600  # seconds; a full-scale training is one cell


def run_notebooks(sources: list[Path], here: Settings) -> None:
    """Execute notebooks in order into ``here``'s folder; executed copies, figures and tables stay there."""
    from labkit import data

    print(f"{data.load(here.data, here.downloads)}; profile {here.profile.name!r}, seed {here.seed}, {here.device}")
    print(f"everything goes to {here.folder}")
    spent, started = [], time.perf_counter()
    for source in sources:
        begun, target = time.perf_counter(), here.folder / "notebooks" / source.name
        cells = execute(source, target, {**os.environ, **here.environment()}, here.folder)
        seconds = time.perf_counter() - begun
        spent += [(source.stem, "start of the kernel", seconds - sum(cells.values()))]
        spent += [(source.stem, f"`{line}`", seconds) for line, seconds in cells.items()]
        print(f"{source.stem}: {seconds:.0f} s")
    figures.draw(here.folder, here.folder)
    print(f"all notebooks: {time.perf_counter() - started:.0f} s\n")
    print(where_time_went(spent), end="\n\n")
    print((here.folder / "results.md").read_text(encoding="utf-8"))


def where_time_went(spent: list[tuple[str, str, float]], shown: int = 10) -> str:
    """A table of the cells (notebook, first line, seconds) that took longest, and of all others together."""
    ranked, total = sorted(spent, key=lambda row: -row[2]), sum(seconds for *_, seconds in spent)
    rows = [*ranked[:shown], ("", f"{len(ranked[shown:])} others", sum(seconds for *_, seconds in ranked[shown:]))]
    cells = [[notebook, line, f"{seconds:.1f}", f"{seconds / total:.0%}"] for notebook, line, seconds in rows]
    return markdown(["notebook", "cell", "seconds", "share"], cells)


def execute(source: Path, target: Path, environment: dict[str, str], runs: Path) -> dict[str, float]:
    """Execute one notebook in its own folder and leave the executed copy in ``target``, also if a cell
    fails; meanwhile say how the trainings in ``runs`` get on. Returns the seconds that each cell took, by
    its number and first line."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(source, as_version=4)
    screen, news = Screen(source.stem, len(notebook.cells), "cell"), News()
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(source.parent)}},
        on_cell_start=lambda cell, cell_index: screen.done(cell_index + 1),
    )
    try:
        with repeatedly(lambda: screen.hear(news.of(runs.glob("*")))):
            client.execute(env=environment)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise LabError(f"{source.name} stopped at a cell; the copy so far is {target}.\n{error}") from error
    finally:
        screen.close()
        notebook.metadata.pop("widgets", None)  # without its state some viewers refuse the whole notebook
        target.parent.mkdir(parents=True, exist_ok=True)
        seconds = _cell_seconds(notebook)
        nbformat.write(notebook, target)
    return seconds


def _cell_seconds(notebook) -> dict[str, float]:
    seconds = {}
    for number, cell in enumerate(notebook.cells):
        times = cell.metadata.pop("execution", {})  # of no use to a reader, and different every time
        if "iopub.execute_input" in times and "shell.execute_reply" in times:
            begun, ended = (times[key].rstrip("Z") for key in ("iopub.execute_input", "shell.execute_reply"))
            spent = datetime.fromisoformat(ended) - datetime.fromisoformat(begun)
            seconds[f"[{number}] {cell.source.strip().splitlines()[0][:60]}"] = spent.total_seconds()
    return seconds
