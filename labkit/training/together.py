"""Trainings that do not need each other: at once, where that is faster."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from labkit import hardware, records, workers
from labkit.data.shared import share, shared
from labkit.records import Record
from labkit.training.loop import configuration, fit, steps
from labkit.training.pace import WORTHWHILE, seconds_per_step
from labkit.training.schedule import steps_per_epoch
from labkit.workers import Task

START_UP = 5.0  # seconds until workers have imported what they need
HERE_ONLY = ("folder", "watch", "save_every")  # arguments of ``fit`` that its configuration does not have


def fit_all(trainings: Iterable[dict]) -> list[Record]:
    """``fit(**training)`` for each of the keyword arguments given; the runs, in order.

    On a CPU with several cores each training has a process and a thread of its own where a short timing says
    that this is faster than one after the other on all threads; on a GPU they take turns in this process.
    ``watch`` is called here. One that fails lets the others finish; then its error is raised.
    """
    trainings = list(trainings)
    on_cpu = all(training["data"].train.labels.device.type == "cpu" for training in trainings)
    missing = [training for training in trainings if on_cpu and not _finished(training)]
    if (count := worthwhile(missing)) and _can_be_sent(missing):
        _in_processes(missing, count)
        return [records.load(training["folder"]) for training in trainings]
    return hardware.side_by_side(steps(**training) for training in trainings)


def _finished(training: dict) -> bool:
    config = configuration(**{name: value for name, value in training.items() if name not in HERE_ONLY})
    return records.is_there(training["folder"], config, (records.WEIGHTS,))


def _can_be_sent(trainings: list[dict]) -> bool:
    """Whether the penalties, functions of a notebook perhaps, can be brought to another process."""
    from joblib.externals import cloudpickle

    try:
        cloudpickle.dumps([training.get("penalty_gradient") for training in trainings])
    except Exception as error:  # whatever a function may hold that cannot be copied
        print(f"One training follows the other: the penalty cannot be sent to another process ({error}).")
        return False
    return True


def worthwhile(trainings: list[dict]) -> int:
    """How many processes are faster than this one alone; 0 if none are."""
    cores, count = hardware.cores().count, len(trainings)
    if count < 2 or cores < 2:
        return 0
    alone, each, timed = 0.0, [], {}
    for training in trainings:
        model, images, recipe = training["model"], training["data"].train, training["recipe"]
        key = model.specification, recipe.batch
        timed[key] = timed.get(key) or seconds_per_step(model, images, recipe, (1, cores))
        number = recipe.epochs * steps_per_epoch(len(images), recipe.batch)
        alone += number * min(timed[key].values())
        each.append(number * timed[key][1])
    together = START_UP + max(sum(each) / min(count, cores), *each)
    return workers.processes_for(count, cores) if together < WORTHWHILE * alone else 0


def _in_processes(trainings: list[dict], count: int) -> None:
    watches = {Path(training["folder"]).name: training.get("watch") for training in trainings}

    def hear(news):
        for progress in news:
            if progress.history and (watch := watches[progress.name]):
                watch(progress.history, progress.epochs)

    def done(name, outcome):
        if isinstance(outcome, Record) and (watch := watches[name]):
            watch(outcome.history, len(outcome.history))

    with tempfile.TemporaryDirectory(prefix="labkit-", ignore_cleanup_errors=True) as folder:
        tasks = [_task(training, Path(folder)) for training in trainings]
        outcomes = workers.run(tasks, lambda: workers.local(count), Path(folder), hear, done)
    for outcome in outcomes.values():
        if isinstance(outcome, Exception):
            raise outcome


def _task(training: dict, shared_in: Path) -> Task:
    folder = Path(training["folder"]).resolve()
    here = {"folder": folder, "data": share(training["data"], shared_in), "watch": None}
    return Task(folder.name, fit_shared, {"training": training | here}, folder)


def fit_shared(training: dict) -> Record:
    """``fit`` on a data set that ``share`` wrote."""
    return fit(**training | {"data": shared(training["data"])})
