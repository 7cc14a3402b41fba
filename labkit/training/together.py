"""Trainings that do not need each other: at once, where that is faster."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from labkit import hardware, records, workers
from labkit.data.shared import share, shared
from labkit.progress import Progress
from labkit.records import Record
from labkit.training.loop import configuration, fit, steps
from labkit.training.pace import WORTHWHILE, seconds_per_step
from labkit.training.schedule import steps_per_epoch
from labkit.workers import Task

START_UP = 5.0  # seconds until workers have imported what they need
CROWDED = 1.15  # times as long, where there are more processes than cores
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
        made = {training["folder"]: outcome for training, outcome in zip(missing, _by_workers(missing, count))}
        outcomes = [made.get(training["folder"]) or records.load(training["folder"]) for training in trainings]
    else:
        outcomes = hardware.side_by_side(hardware.guarded(steps(**training)) for training in trainings)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def _finished(training: dict) -> bool:
    config = configuration(**{name: value for name, value in training.items() if name not in HERE_ONLY})
    return records.is_there(training["folder"], config, (records.WEIGHTS,))


def _can_be_sent(trainings: list[dict]) -> bool:
    """Whether the trainings, functions of a notebook in them, can be brought to another process."""
    from joblib.externals.loky.backend.reduction import dumps  # what sends them

    try:
        dumps([training | {"data": None, "watch": None} for training in trainings])
    except Exception as error:  # whatever a function may hold that cannot be copied
        print(f"One training follows the other, since they cannot be sent to other processes ({error}).")
        return False
    return True


def worthwhile(trainings: list[dict]) -> int:
    """How many processes are faster than this one alone; 0 if none are."""
    cores, count = hardware.processes(), len(trainings)
    if count < 2 or cores < 2:
        return 0
    alone, each, timed = 0.0, [], {}
    for training in trainings:
        model, images, recipe = training["model"], training["data"].train, training["recipe"]
        key = model.specification, recipe.batch
        timed[key] = timed.get(key) or seconds_per_step(model, images, recipe, {1, hardware.cores().count})
        number = recipe.epochs * steps_per_epoch(len(images), recipe.batch)
        alone += number * min(timed[key].values())
        each.append(number * timed[key][1])
    processes = workers.processes_for(count, cores)
    together = max(sum(each) / min(processes, cores), *each) * (CROWDED if processes > cores else 1)
    return processes if START_UP + together < WORTHWHILE * alone else 0


def _by_workers(trainings: list[dict], count: int) -> list[Record | Exception]:
    folders = [Path(training["folder"]).resolve() for training in trainings]
    watches = {folder: training.get("watch") for folder, training in zip(folders, trainings)}

    def hear(news: dict[Path, Progress]) -> None:
        for folder, progress in news.items():
            if progress.history and (watch := watches[folder]):
                watch(progress.history, progress.epochs)

    def done(task: Task, outcome: object) -> None:
        if isinstance(outcome, Record) and (watch := watches[task.folder]):
            watch(outcome.history, len(outcome.history))

    with tempfile.TemporaryDirectory(prefix="labkit-", ignore_cleanup_errors=True) as scratch:
        tasks = []
        for number, (folder, training) in enumerate(zip(folders, trainings)):
            sent = {"folder": folder, "data": share(training["data"], Path(scratch)), "watch": None}
            tasks.append(Task(f"{number}-{folder.name}", fit_shared, {"training": training | sent}, folder))
        outcomes = workers.run(tasks, lambda: workers.local(count), Path(scratch), hear, done)
    return [outcomes[task.name] for task in tasks]


def fit_shared(training: dict) -> Record:
    """``fit`` on a data set that ``share`` wrote."""
    return fit(**training | {"data": shared(training["data"])})
