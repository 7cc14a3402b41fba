"""What a network costs: parameters, multiply-accumulates, latency."""

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.hardware import threads as pinned
from labkit.models import image_size

CPU = torch.device("cpu")


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def macs(model: nn.Module) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image of the network's size
    (``models.image_size``); 1 MAC = 2 FLOPs."""
    size = image_size(model)
    model = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one batch: median and quartiles of ``runs`` forward passes.
    ``subnormals`` weights were too small for a normal float32 and were set to 0 before timing."""

    median: float
    quartile1: float
    quartile3: float
    batch: int
    runs: int
    threads: int
    subnormals: int

    def to_dict(self) -> dict:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.median:.2f} ms ({self.quartile1:.2f} to {self.quartile3:.2f}), batch {self.batch}"


@torch.inference_mode()
def latency(model: nn.Module, batch: int = 1, runs: int = 30, threads: int = 1, device=CPU) -> Latency:
    """Time float32 inference of ``model`` on random images of the network's size, after a warm-up.

    The number of threads is pinned, because a small network can be slower on many. Subnormal
    weights, which slow a CPU five to ten times, are counted and flushed in the timed copy.
    """
    device, size = torch.device(device), image_size(model)
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).float().eval()
    subnormals = sum(flush_subnormals(tensor) for tensor in model.state_dict().values() if tensor.is_floating_point())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, size, size, generator=generator).to(device, memory_format=torch.channels_last)
    milliseconds = []
    with pinned(threads):
        for run in range(-max(3, runs // 5), runs):
            started = time.perf_counter()
            model(x)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if run >= 0:
                milliseconds.append(1000 * (time.perf_counter() - started))
    quartile1, median, quartile3 = quartiles(milliseconds)
    return Latency(median, quartile1, quartile3, batch, runs, threads, subnormals)


@torch.inference_mode()
def in_turns(runners: Iterable[Callable[[Tensor], Tensor]], images: Tensor, runs: int, threads: int) -> list[Latency]:
    """Inference time of each of ``runners`` on the same ``images`` on the CPU, in order. They take turns, run by run, so
    that what else the machine does meets all of them alike."""
    runners = list(runners)
    milliseconds = [[] for _ in runners]
    with pinned(threads):
        for run in range(-3, runs):
            for runner, times in zip(runners, milliseconds):
                started = time.perf_counter()
                runner(images)
                if run >= 0:
                    times.append(1000 * (time.perf_counter() - started))
    return [
        Latency(median, low, high, len(images), runs, threads, 0) for low, median, high in map(quartiles, milliseconds)
    ]


def quartiles(times: Sequence[float]) -> list[float]:
    """First quartile, median and third quartile of two times or more, within their range however few there are."""
    return statistics.quantiles(times, n=4, method="inclusive")


def flush_subnormals(tensor: Tensor) -> int:
    """Set subnormal values to 0, in place; how many there were."""
    subnormal = (tensor != 0) & (tensor.abs() < torch.finfo(tensor.dtype).tiny)
    tensor[subnormal] = 0
    return int(subnormal.sum())


def costs(model: nn.Module) -> dict:
    """Parameters, MACs and latency, as a record keeps them."""
    return {"parameters": parameters(model), "macs": macs(model), "latency_ms": latency(model).to_dict()}
