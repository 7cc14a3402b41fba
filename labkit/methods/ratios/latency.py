"""A latency look-up table (Yang et al., 2018, NetAdapt, section 3.3): what each block of a network takes with so many
channels in and out, measured on one machine, and the sum of it for any widths."""

import platform
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit import hardware, measure, models, records
from labkit.methods import schemas
from labkit.methods.schemas import POSITIVE, TEXT
from labkit.models import Specification
from labkit.records import Record
from labkit.settings import LabError

TABLE = "ratios-latency-table"
SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)  # of a block's channels: where the table is measured
COLOURS = 3
MULTIPLE = 8  # CPUs compute channels in blocks: 13 take as long as 16, so only whole blocks are worth removing
BATCH, THREADS, ROUNDS = 16, 1, 20
UNDISTURBED, MEDIAN = 0.25, 0.5  # quantiles of the repeats: the lower one is about what a run takes that nothing stops
DTYPE = torch.float32

CONDITIONS = {"machine": TEXT, "torch": TEXT, "threads": schemas.integer(1, 1024), "batch": schemas.IMAGES}
CONDITIONS |= {"dtype": TEXT}
GRID = schemas.array(schemas.integer(1, 4096), 50)
BLOCK = schemas.record(
    {"inputs": GRID, "outputs": GRID, "milliseconds": schemas.array(schemas.array(POSITIVE, 50), 50)}
)
RESULTS = {"blocks": schemas.by_name(BLOCK, 64), "whole": POSITIVE, "seconds": POSITIVE}
SCHEMA = schemas.of_kind(TABLE, CONDITIONS | {"rounds": schemas.COUNT, "network": schemas.NETWORK}, RESULTS)


def conditions(batch: int = BATCH, threads: int = THREADS, dtype: torch.dtype = DTYPE) -> dict:
    """What a latency holds for: this machine, this torch, and how it is measured."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}"[:200],
        "torch": torch.__version__,
        "threads": threads,
        "batch": batch,
        "dtype": str(dtype).removeprefix("torch."),
    }


def _processor() -> str:
    """The processor's name, and how many this machine has of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{hardware.processors()} x {named[0] if named else platform.processor()}"


@dataclass(frozen=True)
class Block:
    """Milliseconds of one block, float (inputs, outputs), at each of ``inputs`` and ``outputs`` channels."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    milliseconds: tuple[tuple[float, ...], ...]

    def at(self, inputs: int, outputs: int) -> float:
        """Milliseconds with so many channels, linear between the measured ones and beyond the fewest."""
        return float(
            _between(self.outputs, [_between(self.inputs, c, inputs) for c in zip(*self.milliseconds)], outputs)
        )


def _between(places: tuple[int, ...], values, place: int) -> float:
    """The piecewise linear function through ``values`` at ``places``; its first and last piece go on beyond."""
    if len(places) == 1:
        return values[0]
    right = min(max(np.searchsorted(places, place), 1), len(places) - 1)
    (a, b), (low, high) = places[right - 1 : right + 1], values[right - 1 : right + 1]
    return low + (high - low) * (place - a) / (b - a)


@dataclass(frozen=True)
class LatencyTable:
    """Blocks by the convolution that each begins with, in the network's order; ``conditions`` say what they hold
    for; ``whole`` is what the unpruned network took in the same rounds, in milliseconds for a batch."""

    blocks: dict[str, Block]
    conditions: dict
    whole: float

    def block(self, name: str) -> Block:
        if name not in self.blocks:
            raise LabError(
                f"The latency table has no block {name!r}, only {', '.join(self.blocks)}: measure it for this network."
            )
        return self.blocks[name]

    def by_block(self, widths: dict[str, int], colours: int = COLOURS) -> dict[str, float]:
        """Milliseconds of every block of a chain whose convolutions have ``widths`` channels, by their names, and
        whose images have ``colours``. Raises ``LabError`` for a convolution that is not in the table."""
        inputs = [colours, *widths.values()]
        return {name: self.block(name).at(i, o) for (name, o), i in zip(widths.items(), inputs)}

    def predicted(self, widths: dict[str, int]) -> float:
        """Milliseconds of the whole network: the sum over its blocks."""
        return sum(self.by_block(widths).values())


def loaded(record: Record, here: dict | None = None) -> LatencyTable:
    """The table in a record. ``here``: the conditions under which it will be used, those of this machine where they
    are left out. Raises ``LabError`` for a table that was measured under others."""
    found = {key: record.config[key] for key in CONDITIONS}
    here = here or conditions()
    if differs := [key for key in CONDITIONS if found[key] != here[key]]:
        said = "; ".join(f"{key} is {found[key]!r} there and {here[key]!r} here" for key in differs)
        raise LabError(
            f"The latency table {record.name} does not hold here ({said}): delete its folder and measure again."
        )
    blocks = {
        name: Block(tuple(b["inputs"]), tuple(b["outputs"]), tuple(map(tuple, b["milliseconds"])))
        for name, b in record.results["blocks"].items()
    }
    return LatencyTable(blocks, found, record.results["whole"])


def blocks_of(model: nn.Module) -> list[nn.Sequential]:
    """A chain of layers, cut before each convolution but the first. Raises ``LabError`` for a network whose layers
    branch, since its blocks' times do not add up one after the other."""
    if not isinstance(model, models.FAMILIES["vgg"].Network):
        raise LabError(
            f"{type(model).__module__.rpartition('.')[2]} is no chain of layers: the table is for VGG networks."
        )
    steps = model.steps()
    starts = [number for number, step in enumerate(steps) if isinstance(step, nn.Conv2d)]
    return [nn.Sequential(*steps[a:b]) for a, b in pairwise([*starts, len(steps)])]


@torch.inference_mode()
def in_turns(networks: list[nn.Module], batch: int = BATCH, rounds: int = ROUNDS, threads: int = THREADS) -> Tensor:
    """Milliseconds of each block of each network in each of ``rounds``, float64 (rounds, networks, blocks). Every round
    runs every network once, in another order, so that a machine that slows down, or is stopped every so often, slows all of
    them; each is run once, untimed, before. Random images in float32, channels last."""
    chains = [blocks_of(_ready(network)) for network in networks]
    size = models.image_size(networks[0])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, COLOURS, size, size, generator=generator).to(memory_format=torch.channels_last)
    taken = torch.empty(rounds, len(chains), len(chains[0]), dtype=torch.float64)
    with hardware.threads(threads):
        for turn in range(rounds):
            for number in torch.randperm(len(chains), generator=generator).tolist():
                _clocked(chains[number], x)
                taken[turn, number] = torch.tensor(_clocked(chains[number], x), dtype=torch.float64).diff().mul(1000)
    return taken


def _clocked(chain: list[nn.Sequential], x: Tensor) -> list[float]:
    """Seconds on the clock before the first block and after each."""
    clock = [time.perf_counter()]
    for block in chain:
        x = block(x)
        clock.append(time.perf_counter())
    return clock


def _ready(network: nn.Module) -> nn.Module:
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            measure.flush_subnormals(tensor)
    return network.to("cpu", memory_format=torch.channels_last).to(DTYPE).eval()


def grid(width: int) -> list[int]:
    """The numbers of channels at which a block of ``width`` is measured: ``SHARES`` of it, whole multiples of
    ``MULTIPLE``."""
    return sorted({min(width, MULTIPLE * max(1, round(share * width / MULTIPLE))) for share in SHARES})


def measured(network: Specification, folder: Path, batch: int = BATCH, threads: int = THREADS) -> Record:
    """Measure the table of a network on this machine and keep it as a record; made once for these conditions.

    The blocks are timed where they stand, inside whole networks that take turns: one network for each pair of
    ``SHARES``, which its layers have in turn, so that every block meets every pair. A table is a measurement: another
    machine, or another hour, gives other numbers.
    """
    config = conditions(batch, threads) | {"rounds": ROUNDS, "network": network.to_dict()}

    def measure_all() -> Record:
        started, names = time.perf_counter(), list(models.convolutions(models.build(network)))
        pairs = [(even, odd) for even in range(len(SHARES)) for odd in range(len(SHARES))]
        places = [[grid(width)[min(p, len(grid(width)) - 1)] for p in range(len(SHARES))] for width in network.widths]
        widths = [[place[pair[i % 2]] for i, place in enumerate(places)] for pair in pairs]
        networks = [models.build(network.with_widths(chosen), seed=0) for chosen in [*widths, network.widths]]
        *rows, whole = in_turns(networks, batch, ROUNDS, threads).quantile(UNDISTURBED, dim=0).tolist()
        found = {name: defaultdict(list) for name in names}
        for chosen, row in zip(widths, rows):
            for name, inputs, outputs, taken in zip(names, [COLOURS, *chosen], chosen, row):
                found[name][inputs, outputs].append(taken)
        results = {"blocks": {name: _as_grid(times) for name, times in found.items()}, "whole": sum(whole)}
        results |= {"seconds": time.perf_counter() - started}
        return records.save(Record(TABLE, config, network.to_dict(), results=results).with_folder(folder))

    return records.run_once(folder, config, measure_all)


def _as_grid(times: dict[tuple[int, int], list[float]]) -> dict:
    inputs, outputs = (sorted(set(places)) for places in zip(*times))
    rows = [[statistics.median(times[i, o]) for o in outputs] for i in inputs]
    return {"inputs": inputs, "outputs": outputs, "milliseconds": rows}
