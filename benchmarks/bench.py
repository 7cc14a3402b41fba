"""``make bench``: labkit's training step against the plain loop and against the machine's own limit;
surgery; latency of dense and thin networks; grading against nbgrader's. Paired in one run, medians; a JSON beside the table."""

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import grading
import plain_loop
import torch

from labkit import measure, models, pruning, records, training
from labkit.data import Images, augmented_batches
from labkit.settings import Recipe, current

RECIPE = Recipe(epochs=1, batch=100)
LAMBDA = 1e-4
TARGETS = {  # what is held, as (figure, bound, True if at least)
    "full width: times the plain loop": (2.0, True),
    "full width: of the matrix-product limit": (0.65, True),
    "surgery of VGG-19, seconds": (1.0, False),
    "grading: submissions a minute": (30, True),
}


def sign(gamma: torch.Tensor, lam: float) -> torch.Tensor:
    return lam * gamma.sign()


def labkit_steps(model, images: Images, device):
    """labkit's training, one ``yield`` after each step."""
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer, scaler = training.optimizer_of(model, RECIPE)
    for x, y in augmented_batches(images.to(device), RECIPE.batch, seed=0):
        training.train_step(model, x, y, optimizer, scaler, sign, LAMBDA)[0].item()
        yield


def step_seconds(steps, count: int) -> list[float]:
    """Durations of ``count`` steps, after two that warm up."""
    seconds, started = [], time.perf_counter()
    for _ in range(count + 2):
        next(steps)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    return seconds[2:]


def measure_steps(loop: str, width: float, count: int, device) -> float:
    """Median seconds of a step of one loop ("plain" or "labkit") on VGG-19 at ``width``."""
    torch.manual_seed(0)
    network = models.VGGNet(models.vgg_channels(19, width))
    size = RECIPE.batch * (count + 4)
    images = Images(torch.randint(0, 256, (size, 32, 32, 3)).to(torch.uint8), torch.randint(0, 10, (size,)))
    if loop == "plain":
        steps = plain_loop.steps(network, images, RECIPE, LAMBDA, device)
    else:
        training.keep_freed_memory()  # as fit does
        steps = labkit_steps(network, images, device)
    return statistics.median(step_seconds(steps, count))


def training_ratio(width: float, rounds: int, count: int, device) -> dict:
    """Images a second of both loops, in turn, each time in a process of its own, and the ratio round by round."""
    pairs = []
    for _ in range(rounds):
        pair = []
        for loop in ("plain", "labkit"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                pair.append(process.submit(measure_steps, loop, width, count, device).result())
        pairs.append(pair)
    return {
        "plain_images_per_second": RECIPE.batch / statistics.median(plain for plain, _ in pairs),
        "labkit_images_per_second": RECIPE.batch / statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(plain / ours for plain, ours in pairs),
    }


def matrix_product_limit(device, dtype: torch.dtype, size: int = 3072, runs: int = 12) -> float:
    """GFLOP a second of a square matrix product: the median of ``runs``."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[2:]) / 1e9


def surgery_and_latency(device) -> dict:
    """Seconds of surgery at 50 %, and latency of dense and 90 %-pruned VGG-19 at two batch sizes."""
    model = models.VGGNet(models.vgg_channels(19)).eval()
    scores = pruning.random_scores(pruning.scaling_factors(model), seed=0)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        pruning.thin(model, pruning.global_plan(scores, 0.5))
        seconds.append(time.perf_counter() - started)
    thin = pruning.thin(model, pruning.global_plan(scores, 0.9))
    networks = {"dense": model, "90 % pruned": thin}
    latencies = {
        f"{name}, batch {batch}": measure.latency(network, batch, runs=10, device=device).to_dict()
        for batch in (1, 64)
        for name, network in networks.items()
    }
    return {"surgery_seconds": statistics.median(seconds), "latency": latencies}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench.json"))
    options = parser.parse_args()
    device, started = current().device, time.perf_counter()

    gflop_per_image = 3 * 2 * measure.macs(models.VGGNet(models.vgg_channels(19))) / 1e9  # forward + 2 x backward
    fast, limits = training.fast_dtype(device), []
    limits.append(matrix_product_limit(device, fast))
    full = training_ratio(1.0, rounds=5, count=4, device=device)
    limits.append(matrix_product_limit(device, fast))  # before and after: the machine may drift
    limit, float32_limit = statistics.mean(limits), matrix_product_limit(device, torch.float32)
    full["of_limit"] = full["labkit_images_per_second"] * gflop_per_image / limit
    quarter = training_ratio(0.25, rounds=3, count=12, device=device)
    other = surgery_and_latency(device)
    graded = grading.ratio()
    figures = {
        "full width: times the plain loop": full["ratio"],
        "full width: of the matrix-product limit": full["of_limit"],
        "surgery of VGG-19, seconds": other["surgery_seconds"],
        "grading: submissions a minute": graded["labkit_submissions_per_minute"],
    }

    precision = str(fast).removeprefix("torch.")
    print(
        f"{device}, {torch.get_num_threads()} threads; matrix product {limit:.0f} GFLOP/s in {precision}, "
        f"{float32_limit:.0f} in float32 (ratio {limit / float32_limit:.2f})"
    )
    for name, row in {"full": full, "quarter": quarter}.items():
        print(
            f"VGG-19, {name} width, batch {RECIPE.batch}: plain loop {row['plain_images_per_second']:.0f} images/s, "
            f"labkit {row['labkit_images_per_second']:.0f}, ratio {row['ratio']:.2f}"
        )
    for name, (bound, at_least) in TARGETS.items():
        met = figures[name] >= bound if at_least else figures[name] <= bound
        print(
            f"{name}: {figures[name]:.2f} ({'at least' if at_least else 'at most'} {bound}: {'met' if met else 'NOT met'})"
        )
    if precision == "float32":
        print("no half precision in hardware here: the two targets of full width do not apply")
    for name, row in other["latency"].items():
        print(f"latency, {name}: {row['median']:.2f} ms, {row['subnormals']} subnormal weights")
    print(
        f"grading: nbgrader autograde {graded['nbgrader_submissions_per_minute']:.0f} submissions a minute, "
        f"labkit {graded['labkit_submissions_per_minute']:.0f}, ratio {graded['ratio']:.1f}"
    )
    print(f"{time.perf_counter() - started:.0f} s in all")
    products = {precision: limit, "float32": float32_limit}
    content = {"matrix_product_gflops": products, "full": full, "quarter": quarter, "grading": graded, **other}
    records.write_text(options.out, json.dumps(content | {"versions": records.versions()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
