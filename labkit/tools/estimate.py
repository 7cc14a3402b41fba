"""How long each notebook will take on this machine, from a few timed training steps."""

import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from labkit import hardware, methods, models, training, workers
from labkit.data import Dataset, Images
from labkit.models import Specification
from labkit.settings import LabError, Profile, Recipe, Settings
from labkit.training.together import CROWDED

START_UP = 6.0  # seconds to start a kernel, import torch and load the data
EPOCH = 0.2  # seconds at an epoch's end: the record so far, the live curve
FORWARD = 1 / 3  # an evaluation costs a third of a training step: no backward pass
WARM_UP, TIMED, ROUNDS, ENOUGH = 2, 2, 24, 1.0  # steps before, steps in a round, rounds at most, seconds in all


@dataclass(frozen=True)
class Sizes:
    """Images in the parts of a data set."""

    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, data: Dataset) -> "Sizes":
        return cls(len(data.train), len(data.validation), len(data.test))


@dataclass(frozen=True)
class Work:
    """Images that networks with ``keep`` of their channels train on and look at, in ``epochs`` epochs
    all told, while ``together`` trainings run at a time."""

    keep: float
    epochs: int = 0
    trained: int = 0
    evaluated: int = 0
    together: int = 1

    @classmethod
    def training(cls, keep: float, epochs: int, sizes: Sizes, together: int = 1, beside: int = 0) -> "Work":
        """``together`` equal trainings, and as many as ``beside`` says of others at the same time."""
        epochs *= together
        return cls(keep, epochs, epochs * sizes.train, epochs * sizes.validation, together + beside)


@dataclass(frozen=True)
class Cost:
    """What a notebook costs: ``rest`` seconds for figures, latencies and the like, and the ``work`` that
    depends on (profile, sizes, data set's name)."""

    rest: float
    work: Callable[[Profile, Sizes, str], list[Work]] = lambda profile, sizes, data: []


def costs() -> dict[str, Cost]:
    """What every method's notebooks cost, by notebook."""
    return {name: cost for table in methods.declared("COSTS") for name, cost in table.items()}


def left(table: Mapping[str, dict[float, float]], data: str, ratio: float) -> float:
    """The fraction of channels that a ratio leaves, interpolated in ``table``: by kind of data set, by ratio."""
    points = table.get(data, table["photographs"])
    return float(np.interp(ratio, list(points), list(points.values())))


def seconds_per_image(network: Specification, recipe: Recipe, device: torch.device, together: int) -> float:
    """Time of a training step, per image, while ``together`` trainings run: on a CPU one after the other on all
    threads or side by side on one each, whichever is faster now; ``together=0``: on one thread alone."""
    model = models.build(network, seed=0)
    if device.type == "cpu":
        cores = hardware.cores().count if together else 1
        count = recipe.batch
        seconds = training.seconds_per_step(model, _images(count, network.size), recipe, {1, max(1, cores // 2), cores})
        alone = min(seconds.values())
        crowded = CROWDED if workers.processes_for(together, cores) > cores else 1
        return min(alone, crowded * seconds[1] / min(max(1, together), cores)) / count
    return _seconds_in_turns(model, recipe, device, together)


def _images(count: int, size: int) -> Images:
    return Images(torch.zeros(count, size, size, 3, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64))


def _seconds_in_turns(model, recipe: Recipe, device: torch.device, together: int) -> float:
    images = _images(recipe.batch * (WARM_UP + TIMED * ROUNDS + 1), models.image_size(model))  # the epoch never ends
    data = Dataset("timing", tuple("0123456789"), images, images[:1], images[:1]).to(device)
    with tempfile.TemporaryDirectory() as folder:
        trainings = [
            training.steps(model, data, recipe, folder=Path(folder, str(number)), kind="timing")
            for number in range(together)
        ]
        try:
            hardware.seconds_of(trainings, WARM_UP, device)
            rounds = []
            while len(rounds) < ROUNDS and sum(rounds) < ENOUGH:
                rounds.append(hardware.seconds_of(trainings, TIMED, device))
        finally:
            for steps in trainings:  # what holds a file open keeps Windows from removing the folder
                steps.close()
    return statistics.median(rounds) / (TIMED * together * recipe.batch)


def seconds_for(notebook: str, profile: Profile, sizes: Sizes, data: str, step: Callable[[float, int], float]) -> float:
    """Seconds that ``notebook`` takes; ``step`` gives the seconds per image for a fraction of channels kept
    and a number of trainings that take turns. Raises ``LabError`` for a notebook that no method declares."""
    if notebook not in (known := costs()):
        raise LabError(f"What {notebook} costs is not declared: the notebooks that are, are {', '.join(known)}.")
    cost = known[notebook]
    return (
        START_UP
        + cost.rest
        + sum(
            EPOCH * part.epochs + (part.trained + FORWARD * part.evaluated) * step(part.keep, part.together)
            for part in cost.work(profile, sizes, data)
        )
    )


def timed(profile: Profile, device: torch.device) -> Callable[[float, int], float]:
    """A ``step`` for ``seconds_for`` that times each of the profile's networks once, when it is asked for."""
    return cache(
        lambda keep, together: seconds_per_image(
            models.named(profile.network, profile.width * keep), profile.train, device, together
        )
    )


def minutes_for(notebook: str, here: Settings, data: Dataset) -> str:
    """The line that a notebook shows before its long training."""
    load, step = hardware.Load(), timed(here.profile, here.device)
    seconds = seconds_for(notebook, here.profile, Sizes.of(data), data.name, step)
    precision = str(hardware.fast_dtype(here.device)).removeprefix("torch.")
    busy = f" {load.said()}" if here.device.type == "cpu" and load.is_busy() else ""
    return (
        f"{notebook}: about {seconds / 60:.1f} minutes in all on this machine "
        f"({here.profile.name} profile, {here.device}, {hardware.cores().count} threads, "
        f"{precision}); runs that exist are loaded.{busy}"
    )
