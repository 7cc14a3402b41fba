"""How long each notebook will take on this machine, from a few timed training steps."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from labkit.data import Dataset, Images, augmented_batches
from labkit.models import VGGNet, vgg_channels, with_widths
from labkit.settings import Profile, Settings
from labkit.training import fast_dtype, keep_freed_memory, optimizer_of, train_step

START_UP = 6.0  # seconds to start a kernel, import torch and load the data
FORWARD = 1 / 3  # an evaluation costs a third of a training step: no backward pass
TIMED_STEPS = 4

# A uniform network with as many MACs as one pruned by 90 % with a global threshold, which keeps
# more of the early layers, where the images are large.
THIN = 0.15

# By notebook: fraction of channels kept, number of runs, and the recipes whose epochs each run trains.
TRAININGS = {
    "01_sparsity_training": ((1.0, 3, ("train",)),),
    "02_scaling_factors": (),
    "03_channel_pruning": (),
    "04_fine_tuning": ((0.5, 1, ("fine_tune",)), (THIN, 3, ("fine_tune",)), (THIN, 1, ("train", "fine_tune"))),
    "05_report": (),
}
# Passes over the validation images: of the dense network, and of networks with half the channels.
EVALUATIONS = {"03_channel_pruning": ((1.0, 4), (0.5, 72))}
# Other work, in seconds: figures, latencies, recalibration on 1,000 images, the PDF.
REST = {
    "01_sparsity_training": 2,
    "02_scaling_factors": 2,
    "03_channel_pruning": 14,
    "04_fine_tuning": 6,
    "05_report": 5,
}


@dataclass(frozen=True)
class Sizes:
    """Images in the parts of a data set that a training passes over."""

    train: int
    validation: int

    @classmethod
    def of(cls, data: Dataset) -> "Sizes":
        return cls(len(data.train), len(data.validation))


def seconds_per_image(profile: Profile, device: torch.device, keep: float) -> float:
    """Median time of a training step of the profile's network with ``keep`` of its channels, per image."""
    keep_freed_memory()  # as fit does
    batch = profile.train.batch
    channels = vgg_channels(profile.depth, profile.width)
    channels = with_widths(channels, [max(1, round(keep * c)) for c in channels if c != "M"])
    model = VGGNet(channels).to(device, memory_format=torch.channels_last).train()
    optimizer, scaler = optimizer_of(model, profile.train)
    count = batch * (TIMED_STEPS + 2)
    images = Images(torch.zeros(count, 32, 32, 3, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)).to(device)
    seconds, started = [], time.perf_counter()
    for x, y in augmented_batches(images, batch, seed=0):
        loss, _ = train_step(model, x, y, optimizer, scaler)
        loss.item()  # waits for the device
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    return statistics.median(seconds[2:]) / batch


def estimate(profile: Profile, sizes: Sizes, step: Callable[[float], float]) -> dict[str, float]:
    """Seconds by notebook; ``step`` gives the seconds per image for a fraction of channels kept."""
    times = {keep: step(keep) for keep in (1.0, 0.5, THIN)}
    seconds = {}
    for notebook, trainings in TRAININGS.items():
        seconds[notebook] = START_UP + REST[notebook]
        for keep, runs, recipes in trainings:
            epochs = runs * sum(getattr(profile, recipe).epochs for recipe in recipes)
            seconds[notebook] += epochs * (sizes.train + FORWARD * sizes.validation) * times[keep]
        for keep, passes in EVALUATIONS.get(notebook, ()):
            seconds[notebook] += passes * FORWARD * sizes.validation * times[keep]
    return seconds


def measured(profile: Profile, sizes: Sizes, device: torch.device) -> dict[str, float]:
    """Seconds by notebook, from steps timed now; takes some seconds itself."""
    return estimate(profile, sizes, lambda keep: seconds_per_image(profile, device, keep))


def minutes_for(notebook: str, here: Settings, data: Dataset) -> str:
    """The line that a notebook shows before its long training."""
    seconds = measured(here.profile, Sizes.of(data), here.device)[notebook]
    precision = str(fast_dtype(here.device)).removeprefix("torch.")
    return (
        f"{notebook}: about {seconds / 60:.1f} minutes in all on this machine "
        f"({here.profile.name} profile, {here.device}, {torch.get_num_threads()} threads, "
        f"{precision}); runs that exist are loaded."
    )
