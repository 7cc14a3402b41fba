"""``labkit sweep GRID.toml``: a grid of trainings, prunings and fine-tunings on all cores, or on a cluster.

Every run is a folder in a store, made once: a sweep that was broken off goes on where it was, two sweeps on one
store share what they have in common, and one that is done has nothing to do.
"""

from functools import cache
from pathlib import Path

import torch

from labkit import data, hardware, measure, models, settings, workers
from labkit.data.shared import share
from labkit.files import write_text
from labkit.measure import CPU
from labkit.methods import front
from labkit.methods.front.grid import described, planned
from labkit.methods.front.work import diverged
from labkit.models import Specification
from labkit.progress import News
from labkit.records import WEIGHTS, load
from labkit.settings import LabError, Recipe
from labkit.tools import cluster, estimate
from labkit.tools.screen import Screen, repeatedly
from labkit.training import RECALIBRATION_IMAGES
from labkit.training.together import START_UP
from labkit.view import plots
from labkit.workers import Task

GRAPH = 1.0  # seconds to find a network's channel groups, cut it and count its costs
IN_TURNS = {"cpu": 0, "cuda": 4}  # trainings that take turns in one process; 0: none, each has its own
RECORD = 40_000  # bytes of a record and its scaling factors


def add_commands(commands) -> None:
    sweep_ = commands.add_parser("sweep", help="train, prune and fine-tune a grid of networks; a front of all")
    sweep_.add_argument("grid", type=Path, help="a TOML file; labkit/methods/front/grid.py shows one")
    sweep_.add_argument("--out", type=Path, help="the store of runs (default: runs/sweeps/NAME OF THE FILE)")
    sweep_.add_argument(
        "--workers", type=int, help="processes here (default: one per core); with --scheduler, how many to wait for"
    )
    sweep_.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, whose workers see the store")
    sweep_.add_argument("--dry-run", action="store_true", help="say what would be made and how long it takes")
    sweep_.set_defaults(command=sweep)


def sweep(options) -> None:
    """Raises ``LabError`` if some runs could not be made, when all others are."""
    here, grid = settings.current(), front.read(options.grid)
    if options.workers is not None and options.workers < 1:
        raise LabError(f"--workers is {options.workers}: give a whole number from 1.")
    store = (options.out or here.runs / "sweeps" / options.grid.stem).resolve()
    datasets = [grid.of(data.load(name, here.downloads)) for name in grid.data]
    device = CPU if options.scheduler else here.device
    if device != CPU and options.workers:
        raise LabError("--workers is for processes on a CPU: on a graphics card trainings take turns in one process.")
    precision = str(hardware.fast_dtype(device)).removeprefix("torch.")
    runs = {run["name"]: run for run in described(grid, datasets, precision)}
    todo = {name: run for name, run in runs.items() if not is_done(run, store) and not is_lost(run, runs, store)}
    if options.scheduler and not (options.dry_run and options.workers):
        count = cluster.workers_at(options.scheduler, options.workers)
    else:
        count = options.workers or workers.processes_for(len(todo), hardware.processes())
    at_once = count if options.scheduler else min(count, hardware.available() if device == CPU else 1)
    print(f"{options.grid.stem}: {len(runs)} runs, {len(runs) - len(todo)} done, {len(todo)} to make in {store}")
    if todo:
        print(forecast(todo, runs, datasets, count, at_once, device), flush=True)
    if not options.dry_run:
        failed = make_all(todo, runs, datasets, store, options.scheduler, count, device) if todo else []
        print(report(runs, store))
        if failed:
            raise LabError("\n  ".join([f"{len(failed)} runs failed; the same command tries them again:", *failed]))


def is_done(run: dict, store: Path) -> bool:
    folder = store / run["name"]
    return (folder / "record.json").exists() and ((folder / WEIGHTS).exists() or diverged(folder))


def is_lost(run: dict, runs: dict[str, dict], store: Path) -> bool:
    """Whether what the run is made from diverged."""
    parent = run["parent"]
    return parent is not None and (diverged(store / parent) or is_lost(runs[parent], runs, store))


def network_of(run: dict, runs: dict[str, dict]) -> Specification:
    """The network that a run trains or cuts out; of one that is cut by scores that do not exist yet, one of the
    widths that scores without knowledge give."""
    if run["kind"] == front.TRAINED:
        return Specification.from_dict(run["network"])
    network = network_of(runs[run["parent"]], runs)
    if run["kind"] == front.TUNED:
        return network
    return network.with_widths(planned(network, run["policy"], run["ratio"], run["at_least"]).widths)


def forecast(
    todo: dict[str, dict], runs: dict[str, dict], datasets: list, count: int, at_once: int, device: torch.device
) -> str:
    """Minutes on ``count`` workers, of which ``at_once`` compute at a time, and on one, from timed steps; and the disk
    that the new runs will take."""
    pace = cache(
        lambda network, batch: estimate.seconds_per_image(network, Recipe(1, batch), device, IN_TURNS[device.type])
    )
    sizes = {dataset.fingerprint(): estimate.Sizes.of(dataset) for dataset in datasets}
    networks = {name: network_of(run, runs) for name, run in todo.items()}
    paths = {}
    for name, run in todo.items():  # a parent comes before its children
        parent = network_of(runs[run["parent"] or name], runs)
        spent = seconds_of(run, networks[name], parent, sizes[run["images"]], pace)
        paths[name] = spent, spent + paths.get(run["parent"], (0, 0))[1]
    total, longest = sum(spent for spent, _ in paths.values()), max(path for _, path in paths.values())
    disk = sum(RECORD + 4 * measure.parameters(models.build(network)) for network in networks.values())
    disk += sum(pixels.numel() for d in datasets for pixels in (d.train.pixels, d.validation.pixels, d.test.pixels))
    where = f"{count} workers of one core each like this machine's" if device == CPU else "the graphics card"
    return (
        f"about {(START_UP + max(total / at_once, longest)) / 60:.1f} minutes on {where}"
        f"{f', {(START_UP + total) / 60:.1f} on one' * (count > 1)}; {disk / 1e6:.0f} MB on the disk"
    )


def seconds_of(run: dict, network: Specification, parent: Specification, sizes: estimate.Sizes, pace) -> float:
    """``pace`` gives the seconds of a training step for each image, by network and batch."""
    if run["kind"] == front.CUT:
        cut = pace(network, 50) * (2 * sizes.validation + RECALIBRATION_IMAGES)
        return GRAPH + estimate.FORWARD * (cut + pace(parent, 50) * sizes.validation)
    epochs, batch = run["recipe"]["epochs"], run["recipe"]["batch"]
    return epochs * (estimate.EPOCH + pace(network, batch) * (sizes.train + estimate.FORWARD * sizes.validation))


def make_all(
    todo: dict[str, dict],
    runs: dict[str, dict],
    datasets: list,
    store: Path,
    scheduler: str | None,
    count: int,
    device: torch.device,
) -> list[str]:
    """Make the runs of ``todo``, a parent before its children; a line for each that failed."""
    store.mkdir(parents=True, exist_ok=True)
    images = {dataset.fingerprint(): share(dataset, store) for dataset in datasets}
    tasks = [
        Task(
            name,
            front.make if device == CPU else front.in_turns,
            {"content": run, "images": images[run["images"]], "store": store, "device": device.type},
            store / name,
            run["parent"] if run["parent"] in todo else None,
        )
        for name, run in todo.items()
    ]
    screen, ended = Screen("sweep", len(tasks), "run"), []

    def done(task: Task, outcome: object) -> None:
        ended.append(task)
        how = "diverged" if diverged(task.folder) else "done"
        if isinstance(outcome, Exception):
            how = "not made" if is_lost(runs[task.name], runs, store) else f"failed ({_said(outcome)})"
        screen.say(f"{task.name}: {how}, {len(ended)} of {len(tasks)}")
        screen.done(len(ended))

    try:
        if device == CPU:
            executor = (lambda: cluster.cluster(scheduler, store)) if scheduler else (lambda: workers.local(count))
            outcomes = workers.run(tasks, executor, store / "logs", screen.hear, done, screen.say)
        else:
            news = News()
            with repeatedly(lambda: screen.hear(news.of(task.folder for task in tasks))):
                outcomes = workers.take_turns(tasks, IN_TURNS[device.type], done)
    finally:
        screen.close()
    return [
        f"{name}: {_said(outcome)}"
        for name, outcome in outcomes.items()
        if isinstance(outcome, Exception) and not is_lost(runs[name], runs, store)
    ]


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, LabError) else repr(error)


def report(runs: dict[str, dict], store: Path) -> str:
    """Table and figure of the grid's runs, also as files in the store, and which of them diverged."""
    there = [load(store / name) for name, run in runs.items() if is_done(run, store)]
    lines = [front.table(there)]
    lines += [f"{run.name} diverged: {run.results['said']}" for run in there if run.kind == front.DIVERGED]
    lost = [name for name, run in runs.items() if is_lost(run, runs, store)]
    lines += [f"{name}: not made, since what it is made from diverged" for name in lost]
    text = "\n\n".join(filter(None, lines)) + "\n"
    write_text(store / "results.md", text)
    written = [store / "results.md"]
    if any(run.kind == front.CUT for run in there):
        written.append(plots.save(front.front(there), store / "front.png"))
    return f"{text}\n{', '.join(map(str, written))}"
