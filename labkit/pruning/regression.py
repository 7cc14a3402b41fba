"""Channels chosen by what the next layer would miss: ThiNet's greedy search, LASSO selection, and the least-squares
reconstruction of the next layer's weights.

All three follow from the second moments of what the reading layer is given, and from its weights: with both, the Gram
matrix of the channels' contributions is known. So one pass over the images is enough, and no matrix of all samples is
ever made.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from labkit.data import Images
from labkit.pruning.groups import ChannelGroup, Member
from labkit.pruning.observed import observed
from labkit.pruning.plan import ChannelPlan
from labkit.pruning.scores import by_group
from labkit.pruning.surgery import planned_groups, thin
from labkit.settings import LabError

RIDGE = 1e-4  # of the mean second moment: above what rounding in float32 makes of inputs that are zero or equal


def contributions(moments: Tensor, weight: Tensor) -> Tensor:
    """The Gram matrix of the input channels' contributions: entry (i, j) is the mean over samples of zᵢ · zⱼ, where
    zᵢ is what channel i adds to all outputs. ``moments``: float (inputs * k * k, the same), ``weight``: (outputs,
    inputs, k, k) or (outputs, inputs). Returns float64 (inputs, inputs)."""
    inputs = weight.shape[1]
    flat = weight.detach().flatten(1).double().cpu()
    taps = flat.shape[1] // inputs
    both = moments.double() * (flat.T @ flat)
    return both.view(inputs, taps, inputs, taps).sum((1, 3))


def greedy_order(gram: Tensor) -> list[int]:
    """ThiNet's order of removal (Luo et al., 2017, algorithm 1): each time the channel without which the removed
    ones together add least to the output, |Σ zᵢ|²; ties fall to the first."""
    cost, together, order = gram.diag().clone(), torch.zeros(len(gram), dtype=gram.dtype), []
    for _ in range(len(gram)):
        order.append(int((cost + 2 * together).argmin()))
        together += gram[:, order[-1]]
        cost[order[-1]] = torch.inf
    return order


def lasso_strengths(gram: Tensor) -> Tensor:
    """The strength of the L1 penalty, as a share of the strongest that keeps a channel at all, at which each channel
    is still kept, float64 (inputs,) in 0..1: min over β of |Σ (1 - βᵢ) zᵢ|² + λ |β|₁ (He et al., 2017, equation 2),
    by scikit-learn's path of all λ (least angle regression). The paper scales every slice of the weight to norm 1
    first; here a channel counts with what it contributes. A channel that leaves the path and comes back counts from
    where it first came.

    Raises ``LabError`` where no channel contributes anything: every λ keeps nothing.
    """
    from sklearn.linear_model import lars_path

    values, vectors = np.linalg.eigh(gram.numpy())
    design = np.sqrt(values.clip(min=0))[:, None] * vectors.T  # a few rows with the Gram matrix of all samples
    target = design.sum(1)
    if not np.abs(design.T @ target).max() > 0:
        raise LabError("The LASSO keeps nothing: no channel contributes to the layer's output on these images.")
    strengths, _, path = lars_path(design, target, method="lasso", max_iter=10 * len(design))
    kept = np.abs(path) > 0
    first = np.where(kept.any(1), kept.argmax(1), len(strengths) - 1)
    return torch.from_numpy(strengths[np.maximum(first - 1, 0)] / strengths[0] * kept.any(1))


def reconstruction(moments: Tensor, weight: Tensor, keep: Tensor) -> tuple[Tensor, float]:
    """The weights of the kept inputs that bring the layer's output closest to what it was, by least squares (He et
    al., 2017, section 3.1), float (outputs, kept, ...), and the error that stays, as a share 0..1 of the output's
    second moment. ``keep``: bool (inputs,). Raises ``LabError`` where nothing is kept."""
    if not keep.any():
        raise LabError("No input is kept, so nothing can be reconstructed: keep one channel at least.")
    inputs, shape = weight.shape[1], weight.shape[2:]
    flat, moments = weight.detach().flatten(1).double().cpu(), moments.double()
    rows = keep.repeat_interleave(flat.shape[1] // inputs)
    kept, shared = moments[rows][:, rows], moments[rows] @ flat.T
    ridge = RIDGE * moments.diag().mean() + torch.finfo(torch.float64).tiny
    factor = torch.linalg.cholesky(kept + ridge * torch.eye(len(kept), dtype=kept.dtype))
    solved = torch.cholesky_solve(shared, factor)
    whole = float((flat @ moments * flat).sum())
    error = whole - float((2 * shared * solved - solved * (kept @ solved)).sum())
    new = solved.T.reshape(len(weight), -1, *shape).to(weight.dtype)
    return new, max(0.0, error) / whole if whole else 0.0


def _gram(model: nn.Module, member: Member, width: int, moments: dict[str, Tensor]) -> Tensor:
    """``contributions`` of a group's channels to one of its reading layers."""
    whole = contributions(moments[member.layer], model.get_submodule(member.layer).weight)
    own = whole[member.positions][:, member.positions]
    channel = torch.nn.functional.one_hot(member.channels, width).double()
    return channel.T @ own @ channel


def _readers(group: ChannelGroup) -> list[Member]:
    return [member for member in group.members if member.axis == "in"]


def thinet(model: nn.Module, images: Images, seed: int = 0, join: str = "mean") -> dict[str, Tensor]:
    """When ThiNet would remove each channel, as a share 0..1 of its group: the first removed has 0. Its sample of
    places is ``observed``'s; of each place all outputs are taken, not one (Luo et al., 2017, section 3.2)."""
    moments = observed(model, images, seed=seed).moments

    def rows(group: ChannelGroup) -> list[Tensor]:
        orders = (greedy_order(_gram(model, member, group.width, moments)) for member in _readers(group))
        return [torch.tensor(order).argsort() / group.width for order in orders]

    return by_group(model, rows, join)


def lasso(model: nn.Module, images: Images, seed: int = 0, join: str = "mean") -> dict[str, Tensor]:
    """``lasso_strengths`` of every group's channels, 0..1."""
    moments = observed(model, images, seed=seed).moments

    def rows(group: ChannelGroup) -> list[Tensor]:
        return [lasso_strengths(_gram(model, member, group.width, moments)).float() for member in _readers(group)]

    return by_group(model, rows, join)


def _kept_inputs(model: nn.Module, group: ChannelGroup, plan: ChannelPlan) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Of each layer that reads the group its name, its weight and which of its inputs the plan keeps, bool
    (inputs,)."""
    for member in _readers(group):
        weight = model.get_submodule(member.layer).weight
        keep = torch.ones(weight.shape[1], dtype=torch.bool)
        keep[member.dropped(plan.mask(group.name))] = False
        yield member.layer, weight, keep


@torch.no_grad()
def reconstructed(model: nn.Module, plan: ChannelPlan, moments: dict[str, Tensor]) -> nn.Module:
    """``thin(model, plan)`` with the weights of every reading layer fitted anew to what it put out before.
    ``moments`` are ``observed`` on the network before pruning. Raises ``LabError`` where ``thin`` does."""
    model = copy.deepcopy(model).cpu()
    for group in planned_groups(model, plan).values():
        for layer, weight, keep in _kept_inputs(model, group, plan):
            if not keep.all():
                weight[:, keep] = reconstruction(moments[layer], weight, keep)[0]
    return thin(model, plan)


def reconstruction_errors(model: nn.Module, plan: ChannelPlan, moments: dict[str, Tensor]) -> dict[str, float]:
    """By channel group, what a plan loses of what the reading layers put out, with their weights fitted anew: the
    ``reconstruction`` error 0..1, the mean over the group's readers."""
    errors = {}
    for name, group in planned_groups(model, plan).items():
        found = [reconstruction(moments[layer], w, keep)[1] for layer, w, keep in _kept_inputs(model, group, plan)]
        errors[name] = sum(found) / len(found)
    return errors


def closest(model: nn.Module, plans: Sequence[ChannelPlan], moments: dict[str, Tensor]) -> ChannelPlan:
    """Of several plans of equal widths, for every group the channels that lose least by ``reconstruction_errors``;
    the first plan's where they are equal. No criterion that looks for such channels always finds the best.

    Raises ``LabError`` for plans of different widths.
    """
    first = plans[0]
    if any(plan.widths != first.widths for plan in plans):
        raise LabError("The plans keep different numbers of channels: compare plans of equal widths.")
    errors = [reconstruction_errors(model, plan, moments) for plan in plans]
    best = {name: min(range(len(plans)), key=lambda number: errors[number][name]) for name in first.kept}
    return replace(first, kept={name: plans[number].kept[name] for name, number in best.items()}, threshold=None)
