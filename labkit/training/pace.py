"""How long a training step takes on this machine, with how many threads: timed, not guessed.

Two threads that wait for each other lose far more than half where another program keeps a core busy, and
several trainings on one thread each get more out of the cores than one training on all of them.
"""

import copy
import itertools
import statistics
import time
from collections.abc import Iterable

import torch
from torch import nn

from labkit import hardware
from labkit.data import Images, augmented_batches
from labkit.settings import Recipe, threads_asked
from labkit.training.convolution import fast_convolutions
from labkit.training.step import optimizer_of, train_step

WARM_UP, TIMED, ROUNDS, ENOUGH = 1, 2, 5, 0.4  # steps before, steps timed, rounds at most, seconds that are enough
WORTHWHILE = 0.95  # more threads, or processes, are left where they save less than a twentieth


def seconds_per_step(model: nn.Module, images: Images, recipe: Recipe, counts: Iterable[int]) -> dict[int, float]:
    """By number of threads, the median seconds of a training step of ``model`` on a CPU, all timed in turn.
    ``model`` stays as it is."""
    counts = tuple(counts)
    model = copy.deepcopy(model).to("cpu", memory_format=torch.channels_last).train()
    optimizer, scaler = optimizer_of(model, recipe)
    some = images.to("cpu")[torch.arange(recipe.batch) % len(images)]
    ((x, y),) = itertools.islice(augmented_batches(some, recipe.batch, seed=0), 1)
    seconds = {count: [] for count in counts}
    with fast_convolutions(model):
        for _ in range(ROUNDS):
            for count in counts:
                with hardware.threads(count):
                    for number in range(-WARM_UP, TIMED):  # the first step after a change wakes threads up
                        started = time.perf_counter()
                        train_step(model, x, y, optimizer, scaler)
                        seconds[count] += [time.perf_counter() - started] * (number >= 0)
            if all(sum(timed) >= ENOUGH for timed in seconds.values()):
                break
    return {count: statistics.median(timed) for count, timed in seconds.items()}


def best_threads(model: nn.Module, images: Images, recipe: Recipe) -> int:
    """The number of threads with which a training on this CPU is fastest now: all that the machine grants
    (``hardware.cores``), or half as often as half is faster, as beside a busy program. Not asked where
    ``LABKIT_THREADS`` says it."""
    count = hardware.cores().count
    while count > 1 and threads_asked() is None:
        timed = seconds_per_step(model, images, recipe, (count, count // 2))
        if timed[count] < WORTHWHILE * timed[count // 2]:
            break
        count //= 2
    return count
