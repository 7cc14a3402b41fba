"""How much every channel group matters: each is pruned alone, at every ratio."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from labkit.data import Images
from labkit.pruning.plan import ChannelPlan, Scores, global_plan
from labkit.pruning.prepared import Prepared
from labkit.settings import LabError


def alone(scores: Scores, group: str, ratio: float, at_least: int = 1) -> ChannelPlan:
    """A plan that prunes the ``round(ratio * channels)`` lowest scores of ``group`` and nothing else; the
    ``at_least`` best stay.

    Raises ``LabError`` for a group that has no scores, and where ``global_plan`` does.
    """
    if group not in scores:
        raise LabError(f"There are no scores of a channel group {group!r}, only of {', '.join(scores)}.")
    plan = global_plan({group: scores[group]}, ratio, at_least)
    total = {name: len(score) for name, score in scores.items()}
    whole = {name: tuple(range(width)) for name, width in total.items()}
    return replace(plan, kept=whole | plan.kept, total=total)


def sensitivity(
    model: nn.Module, scores: Scores, ratios: Sequence[float], images: Images, batch: int = 500
) -> dict[str, list[float]]:
    """The accuracy in 0..1 on ``images`` by channel group, a number for each of ``ratios``, with that group pruned
    alone; as ``training.evaluate`` of each thin network has it. ``model``, of ``labkit.models``, stays as it is.

    Raises ``LabError`` for a ratio outside [0, 1) or one that leaves a group without channels, and for scores of
    other groups or widths than the network's.
    """
    plans = [alone(scores, group, ratio) for group in scores for ratio in ratios]
    found = iter(Prepared(model, images.labels.device).accuracies(plans, images, batch))
    return {group: [next(found) for _ in ratios] for group in scores}
