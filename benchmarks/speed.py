"""``make bench``: training and evaluation against the plain loop and against the machine's own limit,
where a step's time goes, surgery, a scan of plans, latency of dense and thin networks. Everything that is
compared is measured in turn in one run; medians of ratios. A JSON file and a picture beside the table.
"""

import argparse
import itertools
import json
import re
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cores
import numpy as np
import plain_loop
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from labkit import hardware, measure, models, pruning, records, settings, training
from labkit.data import Dataset, Images, augmented_batches
from labkit.files import write_text
from labkit.pruning import groups
from labkit.settings import Recipe
from labkit.view import plots
from labkit.view.tables import markdown

RECIPE = Recipe(epochs=1, batch=100)
LAMBDA = 1e-4
WARM_UP = 3  # steps
STEPS = {"cpu": {1.0: 3, 0.25: 10}, "cuda": {1.0: 100, 0.25: 100}}  # timed in each round, by width
ROUNDS = {1.0: 5, 0.25: 3}
SCANNED = 200  # images
SIDE_BY_SIDE = 3  # trainings at a time on a GPU, as notebook 01 does

KINDS = {  # of operations in a training step, by PyTorch's names; the first that fits counts
    "convolution, backward": r"convolution_backward|ConvolutionOf2x2Backward",
    "convolution, forward": r"convolution|ConvolutionOf2x2",
    "products of 2x2 maps, classifier": r"::(add)?mm$",
    "batch normalization": r"batch_norm",
    "ReLU": r"relu|threshold|clamp_min",
    "pooling": r"pool",
    "optimizer": r"sgd|Optimizer",
}
REST = "copies, augmentation, loss, penalty"


@dataclass(frozen=True)
class Target:
    what: str
    value: float
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        return f"{self.what}: {self.value:.2f} ({word} {self.bound:g}: {'met' if self.met else 'NOT met'})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time labkit against the plain loop and this machine's limit.")
    parser.add_argument("--out", type=Path, help="folder for bench.json and bench.png (default: runs/bench)")
    options = parser.parse_args()
    here, started = settings.current(), time.perf_counter()
    results = measure_all(here.device, here.profile)
    results["seconds"] = time.perf_counter() - started
    out = options.out or here.runs / "bench"
    write_text(out / "bench.json", json.dumps(results, indent=1) + "\n")
    plots.save(picture(results), out / "bench.png")
    print(report(results))
    print(f"{results['seconds']:.0f} s in all; {out / 'bench.json'}, {out / 'bench.png'}")


def measure_all(device: torch.device, profile: settings.Profile) -> dict:
    """Every figure of the benchmark, as plain numbers under the names that ``bench.json`` has."""
    half = hardware.fast_dtype(device)
    limits = [matrix_product_limit(device, half)]
    trained = {width: training_pair(width, device) for width in ROUNDS}
    limits.append(matrix_product_limit(device, half))  # before and after: the machine may drift
    limit = statistics.mean(limits)
    # An image's nominal operations, forward + 2 x backward: 5 % of them labkit skips on a CPU (training.convolution).
    gflop = 3 * 2 * measure.macs(vgg19(1.0)) / 1e9
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": str(half).removeprefix("torch."),
        "matrix_product_gflops": {"fast": limit, "float32": matrix_product_limit(device, torch.float32)},
        "trainings_together": trainings_together(device),
        "training": {f"{width:g}": pair for width, pair in trained.items()},
        "of_limit": trained[1.0]["labkit"] * gflop / limit,
        "evaluation": evaluation_pair(device),
        "step": {"profile": profile.name} | step_profile(profile, device),
        "surgery_seconds": surgery_seconds(),
        "scan": scan_pair(profile, device),
        "latency": latencies(device),
        "cores": cores.measure_cores() if device.type == "cpu" else None,
        "versions": records.versions(),
    }


def sign(gamma: torch.Tensor, lam: float) -> torch.Tensor:
    return lam * gamma.sign()


def some_images(count: int) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.randint(0, 10, (count,), generator=generator))


def vgg19(width: float) -> nn.Module:
    return models.build(models.named("vgg19", width), seed=0)


def labkit_steps(network: nn.Module, images: Images, device: torch.device, folder: Path):
    """What ``fit`` does, step by step."""
    data = Dataset("bench", tuple("0123456789"), images, images[:1], images[:1]).to(device)
    options = {"kind": "bench", "lam": LAMBDA, "penalty_gradient": sign, "folder": folder}
    return training.steps(network, data, RECIPE, **options)


def trainings_together(device: torch.device) -> int:
    return SIDE_BY_SIDE if device.type == "cuda" else 1


def images_per_second(loop: str, width: float, count: int, device: torch.device) -> float:
    """Speed of one loop, "plain" or "labkit", on VGG-19 at ``width``, over ``count`` steps."""
    together = trainings_together(device) if loop == "labkit" else 1
    images = some_images(RECIPE.batch * (WARM_UP + count + 1))  # the epoch does not end
    with tempfile.TemporaryDirectory() as folder:
        if loop == "plain":
            loops = [plain_loop.steps(vgg19(width), images, RECIPE, LAMBDA, device)]
        else:
            loops = [labkit_steps(vgg19(width), images, device, Path(folder, str(n))) for n in range(together)]
        try:
            hardware.seconds_of(loops, WARM_UP, device)
            return together * count * RECIPE.batch / hardware.seconds_of(loops, count, device)
        finally:
            for steps in loops:
                steps.close()


def training_pair(width: float, device: torch.device) -> dict[str, float]:
    """Both loops in turn, each time in a process of its own."""
    pairs = []
    for _ in range(ROUNDS[width]):
        pair = []
        for loop in ("plain", "labkit"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                count = STEPS[device.type][width]
                pair.append(process.submit(images_per_second, loop, width, count, device).result())
        pairs.append(pair)
    return _pair(pairs)


def evaluation_pair(device: torch.device, rounds: int = 3) -> dict[str, float]:
    """Evaluation of VGG-19 at full width, both ways in turn."""
    network, images = vgg19(1.0), some_images(500 if device.type == "cpu" else 10_000)
    resident, pairs = images.to(device), []
    for _ in range(rounds + 1):
        seconds = []
        for way in (
            lambda: plain_loop.evaluate(network, images, RECIPE.batch, device),
            lambda: training.evaluate(network, resident),
        ):
            started = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - started)
        pairs.append([len(images) / t for t in seconds])
    return _pair(pairs[1:])


def _pair(pairs: list[list[float]]) -> dict[str, float]:
    """Images a second of both, and the median over rounds of their ratio."""
    plain, ours = (statistics.median(column) for column in zip(*pairs))
    return {"plain": plain, "labkit": ours, "ratio": statistics.median(b / a for a, b in pairs)}


def matrix_product_limit(device: torch.device, dtype: torch.dtype, runs: int = 12) -> float:
    """GFLOP a second of a square matrix product: the median of ``runs``."""
    size = 3072 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[2:]) / 1e9


def step_profile(profile: settings.Profile, device: torch.device, count: int = 10) -> dict:
    """Milliseconds of a training step of the profile's network by kind of operation."""
    recipe = profile.train
    model = models.build(models.named(profile.network, profile.width), seed=0)
    model = model.to(device, memory_format=torch.channels_last).train()
    gammas = [norm.weight for norm in models.norms(model).values()]
    optimizer, scaler = training.optimizer_of(model, recipe)
    batches = augmented_batches(some_images(recipe.batch * (WARM_UP + count)).to(device), recipe.batch, seed=0)

    def steps(number: int) -> float:
        started = time.perf_counter()
        for x, y in itertools.islice(batches, number):
            training.train_step(model, x, y, optimizer, scaler, gammas, (sign, LAMBDA))[0].item()
        return time.perf_counter() - started

    steps(WARM_UP)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profiler(activities=activities) as trace:
        seconds = steps(count)
    kinds = {kind: ms / count for kind, ms in by_kind(trace.key_averages(), device).items()}
    network = f"{profile.network}, width {profile.width:g}, batch {recipe.batch}"
    return {"network": network, "milliseconds": 1000 * seconds / count, "kinds": kinds}


def by_kind(events, device: torch.device) -> dict[str, float]:
    """Milliseconds of a profile's operators by ``KINDS``. On a GPU an operator's own time is that of its
    kernels, which have rows of their own, too: those are left out."""
    milliseconds = dict.fromkeys([*KINDS, REST], 0.0)
    for event in events:
        if event.device_type == DeviceType.CPU:
            own = event.self_cpu_time_total if device.type == "cpu" else event.self_device_time_total
            kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, event.key)), REST)
            milliseconds[kind] += own / 1000
    return milliseconds


def surgery_seconds(rounds: int = 5) -> float:
    """Median time to cut half of VGG-19's channels."""
    model, seconds = vgg19(1.0).eval(), []
    scores = pruning.random_scores(pruning.scaling_factors(model), seed=0)
    for _ in range(rounds):
        started = time.perf_counter()
        pruning.thin(model, pruning.global_plan(scores, 0.5))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def scan_pair(profile: settings.Profile, device: torch.device, rounds: int = 3) -> dict:
    """Seconds to judge every group of the profile's VGG at nine ratios: each plan cut, with the dependency graph
    asked anew, and evaluated; and ``pruning.sensitivity``. Both in turn."""
    images, drawn = some_images(SCANNED).to(device), models.build(models.named(profile.network, profile.width), seed=0)
    model = training.recalibrate(drawn.to(device), images)  # as drawn, it would take all images for one class
    scores = pruning.random_scores(pruning.scaling_factors(model), seed=0)
    ratios = [k / 10 for k in range(1, 10)]
    plans = [pruning.alone(scores, group, ratio) for group in scores for ratio in ratios]
    pairs, accuracies = [], {}
    for _ in range(rounds):
        started = time.perf_counter()
        accuracies["cut"] = [training.evaluate(cut_anew(model, plan), images) for plan in plans]
        middle = time.perf_counter()
        found = pruning.sensitivity(model, scores, ratios, images)
        pairs.append([middle - started, time.perf_counter() - middle])
        accuracies["scan"] = list(itertools.chain(*found.values()))
    cut, scan = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    facts = {"groups": len(scores), "plans": len(plans), "images": SCANNED}
    return facts | {"cut": cut, "scan": scan, "ratio": ratio, "equal": accuracies["cut"] == accuracies["scan"]}


def cut_anew(model: nn.Module, plan: pruning.ChannelPlan) -> nn.Module:
    groups._of_specification.cache_clear()
    return pruning.thin(model, plan)


def latencies(device: torch.device) -> dict[str, dict]:
    """Latency of dense and 90 %-pruned VGG-19 (random scores) at batch 1 and 64."""
    dense = vgg19(1.0).eval()
    scores = pruning.random_scores(pruning.scaling_factors(dense), seed=0)
    networks = {"dense": dense, "90 % pruned": pruning.thin(dense, pruning.global_plan(scores, 0.9))}
    return {
        f"{name}, batch {batch}": measure.latency(network, batch, runs=10, device=device).to_dict()
        for batch in (1, 64)
        for name, network in networks.items()
    }


def speed_up(results: dict, batch: int) -> float:
    """How many times faster the 90 %-pruned network is."""
    return (
        results["latency"][f"dense, batch {batch}"]["median"]
        / results["latency"][f"90 % pruned, batch {batch}"]["median"]
    )


def targets(results: dict) -> list[Target]:
    """What labkit promises on this device. Twice the plain loop is asked where the hardware has a half
    precision: in float32 both loops use the same arithmetic, and the plain one is close to its limit."""
    gpu, half = results["device"] != "cpu", results["precision"] != "float32"
    full, quarter = results["training"]["1"]["ratio"], results["training"]["0.25"]["ratio"]
    found = [Target("full width, times the plain loop", full, 15 if gpu else 2)] if gpu or half else []
    if not gpu:
        found += [
            Target("full width, nominal operations, of the matrix-product limit", results["of_limit"], 0.7),
            Target("90 % pruned, times faster at batch 1", speed_up(results, 1), 5),
            Target("90 % pruned, times faster at batch 64", speed_up(results, 64), 5),
        ]
        found += [Target("quarter width, times the plain loop", quarter, 1.8)] if half else []
        found += [Target(*row) for row in cores.targets(results["cores"])]
    found += [Target("scan of plans, times cut-and-evaluate", results["scan"]["ratio"], 8)]
    return [*found, Target("surgery of VGG-19, seconds", results["surgery_seconds"], 1.0, at_least=False)]


def report(results: dict) -> str:
    limit = results["matrix_product_gflops"]
    pairs = {
        "training, full width": results["training"]["1"],
        "training, quarter width": results["training"]["0.25"],
        "evaluation, full width": results["evaluation"],
    }
    number, step, scan = results["trainings_together"], results["step"], results["scan"]
    together = f", {number} trainings taking turns" if number > 1 else ""
    shares = sorted(step["kinds"].items(), key=lambda item: -item[1])
    total = sum(step["kinds"].values())
    lines = [
        f"{results['device']}, {results['threads']} threads; matrix product {limit['fast']:.0f} GFLOP/s in "
        f"{results['precision']}, {limit['float32']:.0f} in float32",
        "",
        markdown(
            ["VGG-19, images/s", "plain loop", f"labkit{together}", "ratio"],
            [[name, f"{p['plain']:.0f}", f"{p['labkit']:.0f}", f"{p['ratio']:.2f}"] for name, p in pairs.items()],
        ),
        "",
        f"Where the {step['milliseconds']:.0f} ms of a training step, not recorded, go ({step['network']}):",
        "",
        markdown(["operation", "ms", "share"], [[n, f"{ms:.1f}", f"{ms / total:.0%}"] for n, ms in shares]),
        "",
        markdown(
            ["latency of VGG-19", "ms", "subnormal weights"],
            [[name, f"{row['median']:.2f}", str(row["subnormals"])] for name, row in results["latency"].items()],
        ),
        "",
        f"scan of {scan['plans']} plans ({scan['groups']} groups, 9 ratios) on {scan['images']} images: {scan['scan']:.2f} s, "
        f"cut and evaluated {scan['cut']:.2f} s, accuracies {'equal' if scan['equal'] else 'NOT equal'}",
        "",
        *([cores.report(results["cores"]), ""] if results["cores"] else []),
        *map(str, targets(results)),
    ]
    return "\n".join(lines)


def picture(results: dict) -> Figure:
    """Speeds, a step's time, latencies."""
    figure, (speed, time_, latency) = plots.panels(
        3, "Images a second of both loops; where a training step's time goes; latencies.", height=3.2, width=11
    )
    pairs = [results["training"]["1"], results["training"]["0.25"], results["evaluation"]]
    x = np.arange(len(pairs))
    for i, (loop, label) in enumerate({"plain": "plain loop", "labkit": "labkit"}.items()):
        speed.bar(x + 0.4 * i - 0.2, [pair[loop] for pair in pairs], 0.4, label=label, **plots.bar_style(i))
    for i, pair in enumerate(pairs):
        speed.text(i, max(pair["plain"], pair["labkit"]) * 1.1, f"{pair['ratio']:.1f}×", ha="center")
    names = ["training,\nfull width", "training,\nquarter width", "evaluation,\nfull width"]
    speed.set(title="against the plain loop", ylabel="images/s (log scale)", xlabel="VGG-19", yscale="log")
    speed.set_xticks(x, names, fontsize=8)
    speed.set_ylim(top=3 * max(max(p["plain"], p["labkit"]) for p in pairs))
    speed.legend(fontsize=8, loc="upper left")

    kinds = sorted(results["step"]["kinds"].items(), key=lambda item: item[1])
    time_.barh([name for name, _ in kinds], [ms for _, ms in kinds], color=plots.COLOURS[2])
    time_.tick_params(axis="y", labelsize=8)
    time_.set(title=f"a step, {results['step']['network']}", xlabel="milliseconds", ylabel="")
    time_.title.set_fontsize(9)

    for i, name in enumerate(("dense", "90 % pruned")):
        heights = [results["latency"][f"{name}, batch {batch}"]["median"] for batch in (1, 64)]
        latency.bar(np.arange(2) + 0.4 * i - 0.2, heights, 0.4, label=name, **plots.bar_style(i))
    for i, batch in enumerate((1, 64)):
        top = results["latency"][f"dense, batch {batch}"]["median"]
        latency.text(i, top * 1.15, f"{speed_up(results, batch):.0f}× faster", ha="center")
    latency.set(title="latency of VGG-19", ylabel="milliseconds (log scale)", xlabel="images at a time", yscale="log")
    latency.set_xticks([0, 1], ["1", "64"])
    latency.set_ylim(top=6 * results["latency"]["dense, batch 64"]["median"])
    latency.legend(fontsize=8, loc="upper left")
    return figure


if __name__ == "__main__":
    main()
