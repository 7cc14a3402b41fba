"""A plan: which channels stay. Every criterion and every ratio policy meets in ``ChannelPlan``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from labkit.settings import LabError

Scores = Mapping[str, Tensor]
"""By channel group, one score per channel, float (channels,): the lowest are pruned first."""


@dataclass(frozen=True)
class ChannelPlan:
    """Which channels of each group stay.

    ``kept`` holds ascending channel indices by group, ``total`` the group's channels before,
    ``requested`` the prune ratio asked for, ``threshold`` the highest pruned score, ``guarded``
    the groups in which the guard kept channels that the threshold alone would have taken.
    """

    kept: dict[str, tuple[int, ...]]
    total: dict[str, int]
    requested: float
    threshold: float | None = None
    guarded: tuple[str, ...] = ()

    @property
    def widths(self) -> list[int]:
        """Channels left per group."""
        return [len(kept) for kept in self.kept.values()]

    @property
    def achieved(self) -> float:
        """The fraction of all channels that the plan removes, 0..1."""
        return 1 - sum(self.widths) / sum(self.total.values())

    def mask(self, group: str) -> Tensor:
        """bool (channels,): True where the channel stays."""
        mask = torch.zeros(self.total[group], dtype=torch.bool)
        mask[list(self.kept[group])] = True
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


def uniform_plan(scores: Scores, ratio: float, at_least: int = 1) -> ChannelPlan:
    """Prune the ``round(ratio * width)`` lowest scores of every group: the control that knows nothing of layers.
    A group too narrow for that keeps its ``at_least`` best channels and is named in ``guarded``; what it
    saves is taken nowhere else. Raises ``LabError`` for a ratio outside [0, 1) or scores that are not finite."""
    parts = {}
    for name, score in scores.items():
        most = max(0, len(score) - at_least) / len(score)
        parts[name] = global_plan({name: score}, min(ratio, most) if 0 <= ratio < 1 else ratio, at_least)
    thresholds = [part.threshold for part in parts.values() if part.threshold is not None]
    return ChannelPlan(
        kept={name: part.kept[name] for name, part in parts.items()},
        total={name: len(score) for name, score in scores.items()},
        requested=ratio,
        threshold=max(thresholds, default=None),
        guarded=tuple(name for name, score in scores.items() if len(score) - round(ratio * len(score)) < at_least),
    )


def width_plan(scores: Scores, widths: Mapping[str, int]) -> ChannelPlan:
    """Keep the ``widths[group]`` highest scores of each group: for whoever wants to choose every width. A group
    that is not named keeps all. Raises ``LabError`` for a group that does not exist, a width that its group
    does not have, or scores that are not finite."""
    for name, width in widths.items():
        if name not in scores:
            raise LabError(f"There is no layer {name!r}: choose one of {', '.join(scores)}.")
        if not 1 <= width <= len(scores[name]):
            raise LabError(f"{name} has {len(scores[name])} channels: it cannot keep {width}.")
    total = {name: len(score) for name, score in scores.items()}
    parts = {name: global_plan({name: s}, 1 - widths.get(name, len(s)) / len(s)) for name, s in scores.items()}
    thresholds = [part.threshold for part in parts.values() if part.threshold is not None]
    return ChannelPlan(
        kept={name: part.kept[name] for name, part in parts.items()},
        total=total,
        requested=1 - sum(len(part.kept[name]) for name, part in parts.items()) / sum(total.values()),
        threshold=max(thresholds, default=None),
    )


POLICIES = {"global": global_plan, "uniform": uniform_plan}
"""Who decides each layer's share: functions of (scores, ratio, at_least), by the name that a sweep uses."""


def _best(score: Tensor, count: int) -> Tensor:
    """bool (channels,): the ``count`` highest scores, the later channel first among ties."""
    best = torch.zeros(len(score), dtype=torch.bool)
    best[score.argsort(stable=True)[max(0, len(score) - count) :]] = True
    return best
