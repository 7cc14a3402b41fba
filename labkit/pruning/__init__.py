"""Scores -> plan -> thin network.

A score is one number a channel; a plan says which channels stay; a plan applied to a network gives
the thin network. Every criterion and every policy of the course meets in ``ChannelPlan``.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models import prunable, with_widths
from labkit.settings import LabError

Scores = Mapping[str, Tensor]
"""By layer name, one score a channel, float (channels,): the lowest are pruned first."""


@dataclass(frozen=True)
class ChannelPlan:
    """Which output channels of each layer stay.

    ``kept`` holds ascending channel indices by layer, ``total`` the layer's channels before,
    ``requested`` the prune ratio asked for, ``threshold`` the highest pruned score, ``guarded``
    the layers in which the guard kept channels that the threshold alone would have taken.
    """

    kept: dict[str, tuple[int, ...]]
    total: dict[str, int]
    requested: float
    threshold: float | None = None
    guarded: tuple[str, ...] = ()

    @property
    def widths(self) -> list[int]:
        """Channels left per layer."""
        return [len(kept) for kept in self.kept.values()]

    @property
    def achieved(self) -> float:
        """The fraction of all channels that the plan removes, 0..1."""
        return 1 - sum(self.widths) / sum(self.total.values())

    def mask(self, layer: str) -> Tensor:
        """bool (channels,): True where the channel stays."""
        mask = torch.zeros(self.total[layer], dtype=torch.bool)
        mask[list(self.kept[layer])] = True
        return mask

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict) -> "ChannelPlan":
        kept = {layer: tuple(indices) for layer, indices in content["kept"].items()}
        return cls(**content | {"kept": kept, "guarded": tuple(content["guarded"])})

    def __str__(self) -> str:
        head = f"requested {self.requested:.1%}, achieved {self.achieved:.2%} of {sum(self.total.values())} channels"
        rows = [
            f"{layer:>18}  {len(kept):4d} of {self.total[layer]:4d}" + ("  (guarded)" if layer in self.guarded else "")
            for layer, kept in self.kept.items()
        ]
        return "\n".join([head, *rows])


def scaling_factors(model: nn.Module) -> dict[str, Tensor]:
    """|γ| of every prunable layer: Network Slimming's score."""
    return {name: norm.weight.detach().abs().float().cpu() for name, (_, norm) in prunable(model).items()}


def random_scores(scores: Scores, seed: int) -> dict[str, Tensor]:
    """Scores of the same shape that know nothing: the control."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(len(score), generator=generator) for name, score in scores.items()}


def global_plan(scores: Scores, ratio: float, at_least: int = 1) -> ChannelPlan:
    """Prune the ``round(ratio * channels)`` lowest scores of all layers ranked together.

    Ties fall to the channel that comes first, so the count is exact. The guard keeps the
    ``at_least`` best channels of every layer (0: no guard); what it saves is taken from the
    next-lowest scores elsewhere. Network Slimming, section 3, with the guard added.

    Raises ``LabError`` for a ratio outside [0, 1), scores that are not finite, or a ratio that the
    guard cannot reach.
    """
    if not 0 <= ratio < 1:
        raise LabError(f"The prune ratio is {ratio}: give a number from 0 up to, but not including, 1.")
    everything = torch.cat(list(scores.values()))
    if not everything.isfinite().all():
        raise LabError("Some scores are not finite: the network they come from did not train; train it again.")

    total = {name: len(score) for name, score in scores.items()}
    count = round(ratio * len(everything))
    protected = {name: _best(score, at_least) for name, score in scores.items()}
    free = ~torch.cat(list(protected.values()))
    if count > int(free.sum()):
        reachable = int(free.sum()) / len(everything)
        raise LabError(
            f"The prune ratio {ratio:g} asks for {count} of {len(everything)} channels, but keeping at least "
            f"{at_least} in each of {len(total)} layers allows only {int(free.sum())} (ratio {reachable:.4f})."
        )

    order = everything.argsort(stable=True)
    unguarded = set(order[:count].tolist())
    pruned = order[free[order]][:count]
    keep = torch.ones(len(everything), dtype=torch.bool)
    keep[pruned] = False
    layers = list(zip(total, keep.split(list(total.values())), torch.arange(len(keep)).split(list(total.values()))))
    return ChannelPlan(
        kept={name: tuple(mask.nonzero().flatten().tolist()) for name, mask, _ in layers},
        total=total,
        requested=ratio,
        threshold=float(everything[pruned].max()) if count else None,
        guarded=tuple(name for name, mask, rows in layers if any(row in unguarded for row in rows[mask].tolist())),
    )


def _best(score: Tensor, count: int) -> Tensor:
    """bool (channels,): the ``count`` highest scores, the later channel first among ties."""
    best = torch.zeros(len(score), dtype=torch.bool)
    best[score.argsort(stable=True)[max(0, len(score) - count) :]] = True
    return best


def masked(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A copy of ``model``, of the same size, in which every dropped channel is zero after its
    BatchNorm: γ = β = 0. It computes what the thin network computes."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, (_, norm) in prunable(model).items():
            for parameter in (norm.weight, norm.bias):
                parameter[~plan.mask(name).to(parameter.device)] = 0
    return model


def folded(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A copy of a sequential ``model`` that no longer needs its dropped channels' constants.

    A channel with γ ≈ 0 puts out the constant ReLU(β). Pruning drops it; here the next layer's
    BatchNorm mean (or the classifier's bias) takes its effect over first. Exact inside the image;
    zero padding makes it an approximation at the border.
    """
    model = copy.deepcopy(model)
    layers = list(prunable(model).items())
    with torch.no_grad():
        for (name, (_, norm)), (_, (next_conv, next_norm)) in zip(layers, layers[1:]):
            constant = _constant(norm, plan.mask(name))
            next_norm.running_mean -= next_conv.weight.sum((2, 3)) @ constant
        name, (_, norm) = layers[-1]
        model.classifier.bias += model.classifier.weight @ _constant(norm, plan.mask(name))
    return model


def _constant(norm: nn.BatchNorm2d, mask: Tensor) -> Tensor:
    return F.relu(norm.bias) * ~mask.to(norm.bias.device)


@torch.enable_grad()  # the dependency graph is read from autograd's
def thin(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A smaller copy of ``model`` with only the plan's channels, weights and statistics copied.

    Torch-Pruning's dependency graph finds what hangs on each channel (BatchNorm, the next layer's
    inputs), so that the same call serves networks with coupled channels. Result on the CPU.

    Raises ``LabError`` if the plan is for another network or leaves a layer without channels.
    """
    import torch_pruning as tp

    model = copy.deepcopy(model).cpu().requires_grad_()
    layers = prunable(model)
    if {name: conv.out_channels for name, (conv, _) in layers.items()} != plan.total:
        raise LabError("The plan was made for a network of other layers or widths: make it from this network's scores.")
    if empty := [name for name, kept in plan.kept.items() if not kept]:
        raise LabError(f"The plan leaves {', '.join(empty)} without channels (layer collapse): plan with at_least=1.")
    graph = tp.DependencyGraph().build_dependency(model, torch.zeros(1, 3, 32, 32))
    for name, (conv, _) in layers.items():
        dropped = (~plan.mask(name)).nonzero().flatten().tolist()
        if dropped:
            graph.get_pruning_group(conv, tp.prune_conv_out_channels, dropped).prune()
    model.channels = with_widths(model.channels, plan.widths)
    return model.to(memory_format=torch.channels_last).eval()
