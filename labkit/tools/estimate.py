"""How long each notebook will take on this machine, from a few timed training steps."""

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from labkit import hardware, training
from labkit.data import Dataset, Images
from labkit.models import VGGNet, vgg_channels, with_widths
from labkit.settings import Profile, Settings
from labkit.methods.slimming.experiments import RECALIBRATION_IMAGES

START_UP = 6.0  # seconds to start a kernel, import torch and load the data
EPOCH = 0.2  # seconds at an epoch's end: the record so far, the live curve
FORWARD = 1 / 3  # an evaluation costs a third of a training step: no backward pass
SWEPT = 7  # ratios in the sweeps of notebook 03
WARM_UP, TIMED, ROUNDS, ENOUGH = 2, 2, 24, 1.0  # steps before, steps in a round, rounds at most, seconds in all

# The fraction of channels left in a uniform network with as many MACs as one pruned with a global threshold,
# by prune ratio: seen in the reference runs. Photographs keep more of the early layers, where maps are large.
LEFT = {
    "shapes": {0.5: 0.53, 0.7: 0.35, 0.9: 0.15},
    "photographs": {0.5: 0.76, 0.7: 0.65, 0.9: 0.35},
}

# Other work, in seconds: figures, latencies, the PDF.
REST = {
    "01_sparsity_training": 2,
    "02_scaling_factors": 2,
    "03_channel_pruning": 4,
    "04_fine_tuning": 6,
    "05_report": 5,
}


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
    all told, ``together`` trainings taking turns."""

    keep: float
    epochs: int = 0
    trained: int = 0
    evaluated: int = 0
    together: int = 1


def work(profile: Profile, sizes: Sizes, kind: str) -> dict[str, list[Work]]:
    """What each notebook trains and evaluates; ``kind`` is a key of ``LEFT``."""

    def trainings(keep: float, epochs: int, together: int = 1) -> Work:
        epochs *= together
        return Work(keep, epochs, epochs * sizes.train, epochs * sizes.validation, together)

    long, short, left = profile.train.epochs, profile.fine_tune.epochs, LEFT[kind]
    *milder, hardest = profile.ratios
    prunings = 2 * len(profile.ratios)
    treated = (prunings + 2 * SWEPT) * (4 * sizes.validation + 2 * RECALIBRATION_IMAGES)
    return {
        "01_sparsity_training": [trainings(1.0, long, together=3)],
        "02_scaling_factors": [],
        "03_channel_pruning": [
            Work(1.0, evaluated=prunings * sizes.validation + 2 * sizes.test),
            Work(left[0.5], evaluated=treated + (prunings + 2) * sizes.test),
        ],
        "04_fine_tuning": [
            trainings(left[hardest], short, together=3),
            *(trainings(left[ratio], short) for ratio in milder),
            trainings(left[hardest], long + short),
            Work(1.0, evaluated=2 * sizes.test),
            Work(left[0.5], evaluated=(3 * len(profile.ratios) + 1) * sizes.test),
        ],
        "05_report": [],
    }


def seconds_per_image(profile: Profile, device: torch.device, keep: float, together: int) -> float:
    """Time of a training step of the profile's network with ``keep`` of its channels, per image, while
    ``together`` trainings take turns: the median over rounds of a few steps."""
    channels = vgg_channels(profile.depth, profile.width)
    channels = with_widths(channels, [max(1, round(keep * c)) for c in channels if c != "M"])
    count = profile.train.batch * (WARM_UP + TIMED * ROUNDS + 1)  # the epoch never ends
    images = Images(torch.zeros(count, 32, 32, 3, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64))
    data = Dataset("timing", tuple("0123456789"), images, images[:1], images[:1]).to(device)
    with tempfile.TemporaryDirectory() as folder:
        trainings = [
            training.steps(VGGNet(channels), data, profile.train, folder=Path(folder, str(number)), kind="timing")
            for number in range(together)
        ]

        hardware.seconds_of(trainings, WARM_UP, device)
        rounds = []
        while len(rounds) < ROUNDS and sum(rounds) < ENOUGH:
            rounds.append(hardware.seconds_of(trainings, TIMED, device))
    return statistics.median(rounds) / (TIMED * together * profile.train.batch)


def seconds_for(notebook: str, profile: Profile, sizes: Sizes, kind: str, step: Callable[[float, int], float]) -> float:
    """Seconds that ``notebook`` takes; ``step`` gives the seconds per image for a fraction of channels kept
    and a number of trainings that take turns."""
    return (
        START_UP
        + REST[notebook]
        + sum(
            EPOCH * part.epochs + (part.trained + FORWARD * part.evaluated) * step(part.keep, part.together)
            for part in work(profile, sizes, kind)[notebook]
        )
    )


def timed(profile: Profile, device: torch.device) -> Callable[[float, int], float]:
    """A ``step`` for ``seconds_for`` that times each network once, when it is asked for."""
    alone = device.type == "cpu"  # where one training follows the other
    return cache(lambda keep, together: seconds_per_image(profile, device, keep, 1 if alone else together))


def kind_of(data: str) -> str:
    """What a data set's images are, as the thin networks they leave are concerned: a key of ``LEFT``."""
    return data if data in LEFT else "photographs"


def minutes_for(notebook: str, here: Settings, data: Dataset) -> str:
    """The line that a notebook shows before its long training."""
    step = timed(here.profile, here.device)
    seconds = seconds_for(notebook, here.profile, Sizes.of(data), kind_of(data.name), step)
    precision = str(hardware.fast_dtype(here.device)).removeprefix("torch.")
    return (
        f"{notebook}: about {seconds / 60:.1f} minutes in all on this machine "
        f"({here.profile.name} profile, {here.device}, {torch.get_num_threads()} threads, "
        f"{precision}); runs that exist are loaded."
    )
