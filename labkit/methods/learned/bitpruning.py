"""BitPruning: every layer learns how many bits its weights take.

Nikolić et al. (*BitPruning: Learning Bitlengths for Aggressive and Accurate Quantization*, 2020): a weight is
rounded to one of 2ⁿ equally spaced values between the layer's smallest and largest. Between two whole bit lengths b and
b + 1 the layer computes with a mixture, (1 - α) Q_b + α Q_(b+1) for the length b + α, so that the length has a gradient;
the weights get theirs straight through the rounding. The loss has a penalty on the lengths, which are kept at 1 or
more. At the end the lengths are rounded up, and the weights are trained a little longer at them.

The paper quantizes activations likewise; here they stay float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labkit.data import Dataset
from labkit.methods.granularity.masks import prunable
from labkit.methods.learned.base import Learned, answers, plain, summary, tail, zero_share
from labkit.settings import LabError
from labkit.training.method import Finished

BitPenalty = Callable[[Tensor, Tensor], Tensor]
"""Bit lengths, float (tensors,), and the number of elements of each tensor, (tensors,) -> the penalty before its factor,
a scalar that can be differentiated by the bit lengths."""
PROBE = (2.0, 4.5, 8.0), (100.0, 50.0, 10.0)


def quantized(weights: Tensor, bits: Tensor) -> Tensor:
    """``weights`` rounded to the nearest of 2**bits equally spaced values from their smallest to their largest; ``bits``
    is a whole number, scalar."""
    low, high = weights.aminmax()
    size = (high - low).clamp_min(torch.finfo(weights.dtype).tiny) / (2**bits - 1)
    return low + ((weights - low) / size).round() * size


def interpolated(weights: Tensor, bits: Tensor) -> Tensor:
    """The mixture of the two whole bit lengths around ``bits`` (scalar, clipped at 1). Differentiable: by the weights
    straight through, by the bits as the line between the two lengths."""
    length = bits.clamp_min(1)
    below, values = length.detach().floor(), weights.detach()
    fewer, more = quantized(values, below), quantized(values, below + 1)
    return fewer + (length - below) * (more - fewer) + (weights - values)


class BitLength(nn.Module):
    """Stands in front of a layer's weight."""

    def __init__(self, start: float):
        super().__init__()
        self.bits = nn.Parameter(torch.tensor(float(start)))

    def forward(self, weights: Tensor) -> Tensor:
        return interpolated(weights, self.bits)


@dataclass(frozen=True)
class BitPruning(Learned):
    """Every layer begins with ``start`` bits. ``factor`` weighs the penalty; for the last share ``tune`` of the epochs
    the lengths are whole and fixed. Raises ``LabError`` for a start below 1."""

    penalty: BitPenalty
    factor: float
    start: float
    tune: float
    name: ClassVar[str] = "bitpruning"

    def __post_init__(self):
        if not 1 <= self.start <= 16:
            raise LabError(f"The bit length {self.start!r} is none: give a number from 1 to 16.")

    def probe(self) -> list[float]:
        bits, elements = (torch.tensor(values) for values in PROBE)
        return answers(self.penalty, bits, elements, like=[bits.sum()])

    def attach(self, model: nn.Module, seed: int) -> None:
        for layer in prunable(model).values():
            parametrize.register_parametrization(layer, "weight", BitLength(self.start))

    def groups(self, model: nn.Module) -> list[dict]:
        return [{"params": list(lengths(model).values()), "weight_decay": 0.0}]

    @torch.no_grad()
    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        first = tail(self.tune, epochs)
        fixed = number >= first
        for bits in lengths(model).values():
            bits.requires_grad_(not fixed)
            if fixed:
                bits.ceil_()
        return number == first

    def loss(self, model: nn.Module) -> Tensor:
        return self.factor * self.penalty(torch.stack(list(lengths(model).values())), elements(model))

    @torch.no_grad()
    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        for bits in lengths(model).values():
            bits.clamp_(min=1)

    def numbers(self, model: nn.Module) -> dict[str, float]:
        bits, sizes = torch.stack(list(lengths(model).values())).detach().cpu(), elements(model).cpu()
        zeros = zero_share(layer.weight for layer in prunable(model).values())
        return {"sparsity": zeros, "bits": float((bits * sizes).sum() / sizes.sum())}

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        network = plain(model)
        bits = {name: int(length) for name, length in lengths(model).items()}
        return Finished(network, results=summary(model.specification, network, bits) | {"shrinkage_budget": 0.0})


def lengths(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every layer's bit length, a scalar."""
    return {name: layer.parametrizations.weight[0].bits for name, layer in prunable(model).items()}


def elements(model: nn.Module) -> Tensor:
    """The number of weights of every layer, float (tensors,)."""
    sizes = [layer.weight.numel() for layer in prunable(model).values()]
    return torch.tensor(sizes, dtype=torch.float32, device=next(model.parameters()).device)
