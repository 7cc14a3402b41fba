"""Scores: how much each channel matters, one number per channel of every group.

A criterion gives such scores; the lowest are pruned first. Those here look at the weights alone, or at the gradient;
those that watch what the channels put out are in ``observed`` and ``regression``.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data import Images, batches
from labkit.pruning.groups import ChannelGroup, channel_groups
from labkit.pruning.plan import Scores
from labkit.settings import LabError

JOIN = {
    "mean": lambda rows: rows.mean(0),
    "sum": lambda rows: rows.sum(0),
    "max": lambda rows: rows.amax(0),
}
"""Rules that join the scores of a group's layers, (layers, channels) -> (channels,)."""


def by_group(model: nn.Module, score: Callable[[ChannelGroup], list[Tensor]], join: str) -> dict[str, Tensor]:
    """For every channel group the rows that ``score`` finds, one a layer, each float (width,), joined.

    Raises ``LabError`` for an unknown rule or a score that is not finite.
    """
    if join not in JOIN:
        raise LabError(f"There is no rule {join!r} to join coupled layers: choose one of {', '.join(JOIN)}.")
    scores = {name: JOIN[join](torch.stack(score(group))) for name, group in channel_groups(model).items()}
    for name, values in scores.items():
        if not values.isfinite().all():
            raise LabError(f"A score of {name} is not finite: the network did not train, or its images are damaged.")
    return scores


def rows_of(
    model: nn.Module, group: ChannelGroup, kinds: type | tuple[type, ...], score: Callable[[nn.Module], Tensor]
) -> list[Tensor]:
    """``score`` of each of the group's own layers of these ``kinds``, float (layer's channels,), as rows over the
    group's channels."""
    modules, rows = dict(model.named_modules()), []
    for member in group.members:
        if member.axis == "out" and isinstance(modules[member.layer], kinds):
            row = torch.zeros(group.width)
            row[member.channels] = score(modules[member.layer]).detach().float().cpu()[member.positions]
            rows.append(row)
    return rows


def scaling_factors(model: nn.Module, join: str = "mean") -> dict[str, Tensor]:
    """|γ| of every channel group: Network Slimming's score (section 3). Where several batch
    normalizations share a group's channels, ``join`` names the rule that makes one score of them.

    Raises ``LabError`` for an unknown rule, a group without batch normalization or a score that is not finite.
    """
    return by_group(model, lambda group: _norm_rows(model, group, lambda norm: norm.weight.abs()), join)


def _norm_rows(model: nn.Module, group: ChannelGroup, score: Callable[[nn.Module], Tensor]) -> list[Tensor]:
    rows = rows_of(model, group, nn.BatchNorm2d, score)
    if not rows:
        raise LabError(f"The channel group {group.name} has no batch normalization, so no scaling factors.")
    return rows


def filter_norms(model: nn.Module, p: float = 1, per_weight: bool = False, join: str = "mean") -> dict[str, Tensor]:
    """The Lp norm of every filter (the L1 norm: Li et al., 2017, section 3.1); ``per_weight`` divides it by the
    filter's number of weights, as in rankings of all layers together; inside a layer it changes nothing.

    Raises ``LabError`` for p ≤ 0, a filter without weights, an unknown rule or a score that is not finite.
    """
    if not p > 0:
        raise LabError(f"p is {p}: the Lp norm needs a number above 0, such as 1 or 2.")

    def norms(layer: nn.Module) -> Tensor:
        filters = layer.weight.flatten(1)
        if not filters.shape[1]:
            raise LabError(f"A filter of {layer} has no weights, so no norm.")
        return torch.linalg.vector_norm(filters, p, dim=1) / (filters.shape[1] if per_weight else 1)

    return by_group(model, lambda group: rows_of(model, group, (nn.Conv2d, nn.Linear), norms), join)


def taylor(model: nn.Module, images: Images, seed: int = 0, batch: int = 50, join: str = "sum") -> dict[str, Tensor]:
    """How much the loss would change without a channel, to first order: (γ ∂L/∂γ + β ∂L/∂β)², the mean over batches
    of labelled ``images`` (Molchanov et al., 2019, equation 8, with the batch normalization as the gate).

    Raises ``LabError`` for no images, a group without batch normalization, an unknown rule or a score that is not
    finite.
    """
    if not len(images):
        raise LabError("There are no images to take gradients on: give some training images.")
    device = images.labels.device
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    squares = {norm: torch.zeros_like(norm.weight) for norm in norms}
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    with torch.enable_grad():
        gates = [parameter.requires_grad_() for norm in norms for parameter in (norm.weight, norm.bias)]
        for x, y in batches(images[order.to(device)], batch):
            found = iter(torch.autograd.grad(F.cross_entropy(model(x), y), gates))
            for norm, of_weight, of_bias in zip(norms, found, found):
                squares[norm] += (norm.weight * of_weight + norm.bias * of_bias).detach().square()
    count = -(-len(images) // batch)
    return by_group(model, lambda group: _norm_rows(model, group, lambda norm: squares[norm] / count), join)


def chance(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """``random_scores`` for a network, whatever its layers and weights."""
    return random_scores({name: torch.empty(group.width) for name, group in channel_groups(model).items()}, seed)


def random_scores(scores: Scores, seed: int) -> dict[str, Tensor]:
    """Scores of the same shape that know nothing: the control."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(len(score), generator=generator) for name, score in scores.items()}
