"""``labkit run`` and ``labkit figures``: every notebook, figure and table again, from one command."""

import os
import time
from datetime import datetime
from pathlib import Path

from labkit import settings
from labkit.settings import LabError

NOTEBOOKS = settings.REPOSITORY / "notebooks"
CELL_TIMEOUT = 6 * 3600  # seconds; a full-scale training is one cell


def add_commands(commands) -> None:
    run = commands.add_parser("run", help="execute the notebooks; keep executed copies, figures and a results table")
    run.add_argument("--profile", help="quick, half or full (default: full with a GPU, else quick)")
    run.add_argument("--data", help="shapes, cifar10, cifar100, minicifar or folder:PATH (default: the profile's)")
    run.add_argument("--seed", help="seed of weights and batches (default: 0)")
    run.add_argument("--out", type=Path, help="where the runs are kept (default: runs/)")
    run.set_defaults(command=run_notebooks)

    figures = commands.add_parser("figures", help="redraw every figure and table from the records in a folder")
    figures.add_argument("folder", type=Path, help="an experiment's folder, or a folder of experiments")
    figures.add_argument("--out", type=Path, help="where to draw them (default: into the folder itself)")
    figures.set_defaults(command=redraw)


def run_notebooks(options) -> None:
    """Execute notebooks 01-05 headless, in order, in one experiment's folder."""
    from labkit import data

    given = {"PROFILE": options.profile, "DATA": options.data, "SEED": options.seed, "RUNS": options.out}
    given = {f"LABKIT_{name}": str(value) for name, value in given.items() if value is not None}
    here = settings.current({**os.environ, **given})
    print(f"{data.load(here.data, here.downloads)}; profile {here.profile.name!r}, seed {here.seed}, {here.device}")
    print(f"everything goes to {here.folder}")

    sources, started = sorted(NOTEBOOKS.glob("*.ipynb")), time.perf_counter()
    if not sources:
        raise LabError(
            f"There are no notebooks in {NOTEBOOKS}: run labkit from a clone of the course (pip install -e .)."
        )
    spent = []
    for source in sources:
        begun, target = time.perf_counter(), here.folder / "notebooks" / source.name
        cells = execute(source, target, {**os.environ, **here.environment()})
        seconds = time.perf_counter() - begun
        spent += [(source.stem, "start of the kernel", seconds - sum(cells.values()))]
        spent += [(source.stem, f"`{line}`", seconds) for line, seconds in cells.items()]
        print(f"{source.stem}: {seconds:.0f} s")
    draw(here.folder, here.folder)
    print(f"all notebooks: {time.perf_counter() - started:.0f} s\n")
    print(where_time_went(spent), end="\n\n")
    print((here.folder / "results.md").read_text(encoding="utf-8"))


def where_time_went(spent: list[tuple[str, str, float]], shown: int = 10) -> str:
    """A table of the cells (notebook, first line, seconds) that took longest, and of all others together."""
    from labkit.methods.slimming.tables import markdown

    ranked, total = sorted(spent, key=lambda row: -row[2]), sum(seconds for *_, seconds in spent)
    rows = [*ranked[:shown], ("", f"{len(ranked[shown:])} others", sum(seconds for *_, seconds in ranked[shown:]))]
    cells = [[notebook, line, f"{seconds:.1f}", f"{seconds / total:.0%}"] for notebook, line, seconds in rows]
    return markdown(["notebook", "cell", "seconds", "share"], cells)


def execute(source: Path, target: Path, environment: dict[str, str]) -> dict[str, float]:
    """Execute one notebook in its own folder and leave the executed copy in ``target``, also if a cell
    fails. Returns the seconds that each cell took, by its number and first line."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from tqdm.std import tqdm

    notebook = nbformat.read(source, as_version=4)
    bar = tqdm(total=len(notebook.cells), desc=source.stem, unit="cell", leave=False)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(source.parent)}},
        on_cell_start=lambda cell, cell_index: bar.update(cell_index + 1 - bar.n),
    )
    try:
        client.execute(env=environment)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise LabError(f"{source.name} stopped at a cell; the copy so far is {target}.\n{error}") from error
    finally:
        bar.close()
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
            spent = datetime.fromisoformat(ended) - datetime.fromisoformat(begun)  # Python 3.10 reads no "Z"
            seconds[f"[{number}] {cell.source.strip().splitlines()[0][:60]}"] = spent.total_seconds()
    return seconds


def redraw(options) -> None:
    """Draw all experiments in ``options.folder`` and write their tables."""
    from labkit.methods.slimming import tables, tasks as gallery
    from labkit.view import plots

    found = tables.experiments(options.folder)
    if not found:
        raise LabError(f"{options.folder} holds no finished runs: give a folder made by labkit run, or data/reference.")
    out = options.out or options.folder
    for experiment in found:
        inside = out if experiment == options.folder else out / experiment.name
        print(f"{len(draw(experiment, inside))} figures in {inside / 'figures'}")
    print(f"tables in {_write_tables(options.folder, out)}")
    families = {name: tables.measurements(members) for name, members in tables.families(options.folder).items()}
    if families and options.folder not in found:  # a folder of finished experiments
        print(f"all experiments in {plots.save(gallery.seed_bands(families), out / 'seed-bands.png')}")


def draw(experiment: Path, out: Path) -> list[Path]:
    """All figures of one experiment as PNG in ``out/figures``, and its tables in ``out/results.md``."""
    from labkit.methods.slimming import tasks as gallery
    from labkit.view import plots

    _write_tables(experiment, out)
    return [plots.save(figure, out / "figures" / f"{name}.png") for name, figure in gallery.gallery(experiment).items()]


def _write_tables(folder: Path, out: Path) -> Path:
    from labkit import records
    from labkit.methods.slimming import tables

    records.write_text(out / "results.md", tables.results(folder))
    return out / "results.md"
