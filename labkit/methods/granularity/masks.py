"""Which weights go: the five granularities of a convolution, and three ways to spread a ratio over a network.

The weight of a convolution is float (c_o, c_i, k_h, k_w). A *structure* is what goes as a whole. Mao et al.,
*Exploring the Regularity of Sparse Structure in Convolutional Neural Networks*, 2017, section 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.settings import LabError


@dataclass(frozen=True)
class Granularity:
    """``leading``: the axes that number the structures; what lies along the others goes as a whole. ``of``: where
    the same number of every so many neighbours has to stay, how many; else 0."""

    leading: int
    of: int = 0


GRANULARITIES = {
    "fine-grained": Granularity(leading=4),
    "N:M": Granularity(leading=4, of=4),
    "vector": Granularity(leading=3),
    "kernel": Granularity(leading=2),
    "channel": Granularity(leading=1),
}


def named(name: str) -> Granularity:
    """The granularity ``name``. Raises ``LabError`` with the list where there is none."""
    if name not in GRANULARITIES:
        raise LabError(f"There is no granularity {name!r}: choose one of {', '.join(GRANULARITIES)}.")
    return GRANULARITIES[name]


def mask(weight: Tensor, granularity: str, ratio: float) -> Tensor:
    """The weights that stay, bool (c_o, c_i, k_h, k_w), when the structures with the smallest mean |w| go:
    exactly ``round(ratio * n)`` of all n. For ``"N:M"`` M is 4 and N what the ratio leaves of 4.

    Raises ``LabError`` for a ratio outside [0, 1), an unknown granularity, a weight that is not of four axes or has
    structures without weights, and for what ``pattern`` refuses.
    """
    checked(ratio)
    kind = named(granularity)
    if weight.dim() != 4 or not weight.numel():
        raise LabError(
            f"A weight of shape {tuple(weight.shape)} has no structures to rank: give (c_o, c_i, k_h, k_w), none of them 0."
        )
    if kind.of:
        return pattern(weight.flatten(1), _kept_of(ratio, kind.of), kind.of).view_as(weight)
    structures = weight.shape[: kind.leading]
    scores = weight.detach().abs().reshape(math.prod(structures), -1).mean(1)
    stays = strongest(scores, ratio)
    return stays.view(*structures, *[1] * (4 - kind.leading)).expand_as(weight).clone()


def checked(ratio: float) -> float:
    """``ratio``; raises ``LabError`` outside [0, 1)."""
    if not 0 <= ratio < 1:
        raise LabError(f"The prune ratio {ratio!r} leaves nothing, or more than all: give a number from 0 to below 1.")
    return ratio


def _kept_of(ratio: float, of: int) -> int:
    kept = of * (1 - ratio)
    if not math.isclose(kept, round(kept), abs_tol=1e-6):
        raise LabError(f"No N of N:{of} is a prune ratio of {ratio:g}: give a multiple of {1 / of:g}.")
    return round(kept)


def strongest(scores: Tensor, ratio: float) -> Tensor:
    """Bool like ``scores`` (n,): False for exactly ``round(ratio * n)`` of the lowest; of equal ones the first."""
    stays = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    stays[scores.argsort(stable=True)[: round(ratio * len(scores))]] = False
    return stays


def pattern(matrix: Tensor, n: int, m: int) -> Tensor:
    """N:M: bool like ``matrix`` (rows, columns), True for the ``n`` largest |w| of every ``m`` neighbours in a row.
    A100 has 2:4 in hardware (Mishra et al., *Accelerating Sparse Deep Neural Networks*, 2021, section 3).

    Raises ``LabError`` where ``n`` is not from 1 to ``m``, or a row is no multiple of ``m`` long.
    """
    if not 0 < n <= m:
        raise LabError(f"{n}:{m} is no pattern: N weights of every M stay, so N is from 1 to M.")
    if matrix.shape[-1] % m or not matrix.numel():
        raise LabError(
            f"A row of {matrix.shape[-1]} weights cannot be cut into groups of {m}: leave this layer dense, or pad its "
            f"inputs to a multiple of {m}."
        )
    groups = matrix.detach().abs().unflatten(-1, (-1, m))
    order = groups.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, order[..., :n], True).view_as(matrix)


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers of a network, by name: their weights are pruned, nothing else."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}


def global_magnitude(model: nn.Module, ratio: float, seed: int) -> dict[str, Tensor]:
    """All weights of the network in one ranking."""
    magnitudes = {name: layer.weight.detach().abs() for name, layer in prunable(model).items()}
    stays = strongest(torch.cat([values.flatten() for values in magnitudes.values()]), ratio)
    parts = stays.split([values.numel() for values in magnitudes.values()])
    return {name: part.view_as(values) for (name, values), part in zip(magnitudes.items(), parts)}


def layerwise_magnitude(model: nn.Module, ratio: float, seed: int) -> dict[str, Tensor]:
    """A ranking for each layer: all lose the same share."""
    weights = {name: layer.weight.detach() for name, layer in prunable(model).items()}
    return {name: strongest(w.abs().flatten(), ratio).view_as(w) for name, w in weights.items()}


def at_random(model: nn.Module, ratio: float, seed: int) -> dict[str, Tensor]:
    """Random weights, the same share of each layer, drawn from ``seed``: the control."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: layer.weight for name, layer in prunable(model).items()}
    draws = {name: torch.rand(w.numel(), generator=generator) for name, w in weights.items()}
    return {name: strongest(draws[name], ratio).view_as(w).to(w.device) for name, w in weights.items()}


METHODS = {"global": global_magnitude, "layer-wise": layerwise_magnitude, "random": at_random}


def network_masks(model: nn.Module, method: str, ratio: float, seed: int = 0) -> dict[str, Tensor]:
    """By layer, the weights that stay: exactly ``round(ratio * n)`` go, of the whole network or of each layer, as the
    ``method`` of ``METHODS`` says. Raises ``LabError`` for a ratio outside [0, 1) or an unknown method."""
    if method not in METHODS:
        raise LabError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}.")
    return METHODS[method](model, checked(ratio), seed)


def pattern_masks(model: nn.Module, n: int = 2, m: int = 4) -> dict[str, Tensor]:
    """By layer, the weights that an N:M pattern leaves; layers whose rows (inputs × kernel) are no multiple of ``m``
    stay dense, and are not in it."""
    rows = {name: layer.weight.flatten(1) for name, layer in prunable(model).items()}
    fitting = {name: row for name, row in rows.items() if row.shape[1] % m == 0}
    return {name: pattern(row, n, m).view_as(prunable(model)[name].weight) for name, row in fitting.items()}


@torch.no_grad()
def apply(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """Set the weights that do not stay to 0, in place; the same network."""
    layers = prunable(model)
    for name, stays in masks.items():
        layers[name].weight.mul_(stays)
    return model
