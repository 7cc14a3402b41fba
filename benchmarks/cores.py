"""What a processor's cores give: one training on all of them, several at once, beside a busy program; how much
memory workers need. Part of ``make bench``; alone: ``python benchmarks/cores.py``."""

import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch

from labkit import hardware, models, training, workers
from labkit.data import Dataset, Images
from labkit.data.shared import share, shared
from labkit.settings import Recipe
from labkit.view.tables import markdown
from labkit.workers import Task

RECIPE = Recipe(epochs=1, batch=50, schedule="linear")  # the quick profile's network and batch
NETWORK = models.named("vgg11", 0.5)
STEPS = 20
ROUNDS = 3
SWEPT = 24  # trainings
MANY = 50_000  # images, as CIFAR-10 has


def some_data(images: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 32, 32, 3), generator=generator, dtype=torch.uint8)
    every = Images(pixels, torch.randint(0, 10, (images,), generator=generator))
    return Dataset("bench", tuple("0123456789"), every, every[:50], every[:50])


def train(images: Path, folder: Path) -> float:
    """Milliseconds a step of one training, with as many threads as labkit chooses."""
    data = shared(images)
    record = training.fit(models.build(NETWORK, seed=0), data, RECIPE, folder=folder, kind="bench")
    return 1000 * record.results["seconds"] * RECIPE.batch / len(data.train)


def together(count: int, trainings: int, images: Path, folder: Path) -> list[float]:
    """``trainings`` by ``count`` workers; milliseconds a step of each."""
    tasks = [
        Task(str(n), train, {"images": images, "folder": folder / str(n)}, folder / str(n)) for n in range(trainings)
    ]
    outcomes = workers.run(tasks, lambda: workers.local(count), folder / "logs")
    return [outcomes[task.name] for task in tasks]


def spin(until) -> None:
    while not until.is_set():
        sum(range(10_000))


@contextmanager
def busy_neighbour():
    """Another program that keeps one core busy."""
    context = get_context("spawn")
    end = context.Event()
    process = context.Process(target=spin, args=(end,), daemon=True)
    process.start()
    time.sleep(1)
    try:
        yield
    finally:
        end.set()
        process.join()


def measure_cores() -> dict:
    """Milliseconds a step, medians of rounds in turn; the throughput of a sweep; megabytes of workers."""
    granted = hardware.cores()
    with tempfile.TemporaryDirectory() as folder:
        folder, number = Path(folder), iter(range(10**6))
        images = share(some_data(STEPS * RECIPE.batch), folder)

        def new() -> Path:
            return folder / f"runs{next(number)}"

        together(granted.count, granted.count, images, new())  # workers are ready
        rows = {"one training": [], "at once, one a core": [], "one training beside a busy program": []}
        for _ in range(ROUNDS):
            rows["one training"].append(train(images, new()))
            rows["at once, one a core"].append(statistics.mean(together(granted.count, granted.count, images, new())))
            with busy_neighbour():
                rows["one training beside a busy program"].append(train(images, new()))
        medians = {name: statistics.median(values) for name, values in rows.items()}
        return {
            "cores": granted.count,
            "why": granted.reason,
            "milliseconds": medians,
            "beside_busy": medians["one training beside a busy program"] / medians["one training"],
            "sweep": sweep_pair(granted.count, images, new),
            "memory": memory(new()),
        }


def sweep_pair(count: int, images: Path, new) -> dict:
    """Seconds of ``SWEPT`` trainings one after the other on all threads, and by workers; once each. How many
    threads is not asked before each, which would cost as much as such a short training."""
    os.environ["LABKIT_THREADS"] = str(count)
    started = time.perf_counter()
    for _ in range(SWEPT):
        train(images, new())
    del os.environ["LABKIT_THREADS"]
    middle = time.perf_counter()
    together(count, SWEPT, images, new())
    seconds = {"alone": middle - started, "workers": time.perf_counter() - middle}
    return {"trainings": SWEPT, "steps": STEPS} | seconds | {"ratio": seconds["alone"] / seconds["workers"]}


def resident(images: Path, folder: Path) -> float:
    """What this process holds, in megabytes, when it trains on ``images``: its share of what it has in common
    with others counted to its part (``pss``), where the system says that."""
    data = shared(images)
    some = Dataset(data.name, data.classes, data.train[: 4 * RECIPE.batch], data.validation, data.test)
    training.fit(models.build(NETWORK, seed=0), some, RECIPE, folder=folder, kind="bench")
    data.train.pixels.sum()  # every page was read
    time.sleep(3)  # until all are here
    found = psutil.Process().memory_full_info()
    return getattr(found, "pss", found.rss) / 1e6


def memory(folder: Path) -> dict[str, float]:
    """Megabytes of one worker and of four on a data set of CIFAR-10's size, and of its images."""
    folder.mkdir()
    images = share(some_data(MANY), folder)
    found = {"images": images.stat().st_size / 1e6}
    for count in (1, 4):
        tasks = [
            Task(
                f"{count}-{n}", resident, {"images": images, "folder": folder / f"{count}-{n}"}, folder / f"{count}-{n}"
            )
            for n in range(count)
        ]
        outcomes = workers.run(tasks, lambda count=count: workers.local(count), folder / "logs")
        found[f"{count} worker" + "s" * (count > 1)] = sum(outcomes.values())
    return found


def targets(results: dict) -> list[tuple]:
    """What ``speed.Target`` is made of."""
    found = [("beside a busy program, times as long as alone", results["beside_busy"], 2.5, False)]
    if results["cores"] > 1:
        found.append(("sweep by workers, times one after the other", results["sweep"]["ratio"], 1.25))
    return found


def report(results: dict) -> str:
    sweep, memory_ = results["sweep"], results["memory"]
    rows = [[name, f"{ms:.0f}"] for name, ms in results["milliseconds"].items()]
    return "\n".join(
        [
            f"{results['cores']} threads: {results['why']}",
            "",
            markdown(["VGG-11 at half width, batch 50", "ms a step"], rows),
            "",
            f"sweep of {sweep['trainings']} trainings of {sweep['steps']} steps: {sweep['workers']:.1f} s by "
            f"{results['cores']} workers, {sweep['alone']:.1f} s one after the other: {sweep['ratio']:.2f} times",
            f"memory: 1 worker {memory_['1 worker']:.0f} MB, 4 workers {memory_['4 workers']:.0f} MB, of which the "
            f"images are {memory_['images']:.0f} MB, once",
        ]
    )


if __name__ == "__main__":
    print(report(measure_cores()))
