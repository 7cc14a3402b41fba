"""Scores: how much each channel matters, one number per channel of every group."""

import torch
from torch import Tensor, nn

from labkit.pruning.groups import channel_groups
from labkit.pruning.plan import Scores
from labkit.settings import LabError

JOIN = {
    "mean": lambda rows: rows.mean(0),
    "sum": lambda rows: rows.sum(0),
    "max": lambda rows: rows.amax(0),
}
"""Rules that join the scores of a group's layers, (layers, channels) -> (channels,)."""


def scaling_factors(model: nn.Module, join: str = "mean") -> dict[str, Tensor]:
    """|γ| of every channel group: Network Slimming's score (section 3). Where several batch
    normalizations share a group's channels, ``join`` names the rule that makes one score of them.

    Raises ``LabError`` for an unknown rule or a group without batch normalization.
    """
    if join not in JOIN:
        raise LabError(f"There is no rule {join!r} to join coupled layers: choose one of {', '.join(JOIN)}.")
    modules, scores = dict(model.named_modules()), {}
    for name, group in channel_groups(model).items():
        norms = [m for m in group.members if m.axis == "out" and isinstance(modules[m.layer], nn.BatchNorm2d)]
        if not norms:
            raise LabError(f"The channel group {name} has no batch normalization, so no scaling factors.")
        rows = torch.zeros(len(norms), group.width)
        for row, member in zip(rows, norms):
            row[member.channels] = modules[member.layer].weight.detach().abs().float().cpu()[member.positions]
        scores[name] = JOIN[join](rows)
    return scores


def random_scores(scores: Scores, seed: int) -> dict[str, Tensor]:
    """Scores of the same shape that know nothing: the control."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(len(score), generator=generator) for name, score in scores.items()}


CRITERIA = {
    "scaling-factor": lambda model, images, seed: scaling_factors(model),
    "random": lambda model, images, seed: random_scores(scaling_factors(model), seed),
}
"""What makes the scores: functions of (network, training images, seed), by the name that a sweep uses."""
