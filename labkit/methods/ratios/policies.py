"""Who decides each layer's ratio: pure functions from curves and wishes to numbers."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

import numpy as np

from labkit.methods.front.policy import cost
from labkit.models import Specification
from labkit.pruning import ChannelPlan, Scores, width_plan
from labkit.settings import LabError

Curves = Mapping[str, Sequence[float]]
"""By channel group, the accuracy in 0..1 at each of some rising ratios, the first of which is 0."""


def tolerated(curves: Curves, ratios: Sequence[float], drop: float) -> dict[str, float]:
    """By group, the largest ratio at which, and below which, the accuracy is at most ``drop`` below the one at ratio 0:
    a curve that falls and comes back has failed where it fell first (Li et al., 2017, section 3.2, look at such curves
    by eye).

    Raises ``LabError`` for a drop below 0 and for ratios that do not begin with 0 and rise.
    """
    if not drop >= 0:
        raise LabError(f"The drop is {drop}: give 0 or a positive number such as 0.02.")
    if not ratios or ratios[0] != 0 or any(b <= a for a, b in zip(ratios, ratios[1:])):
        raise LabError(f"The ratios are {list(ratios)}: a curve begins with ratio 0, the unpruned network, and rises.")
    return {group: _until(curve[0] - drop, ratios, curve) for group, curve in curves.items()}


def _until(floor: float, ratios: Sequence[float], curve: Sequence[float]) -> float:
    """The last ratio before the curve first falls below ``floor``."""
    *_, (ratio, _) = takewhile(lambda point: point[1] >= floor, zip(ratios, curve))
    return ratio


def ratio_plan(scores: Scores, ratios: Mapping[str, float]) -> ChannelPlan:
    """Prune the ``round(ratio * width)`` lowest scores of every group, but never its last channel. Raises ``LabError``
    for a group that the ratios do not name."""
    if missing := [group for group in scores if group not in ratios]:
        raise LabError(f"There is no ratio for {missing[0]}: give one for each group.")
    return width_plan(scores, {name: max(1, len(s) - round(ratios[name] * len(s))) for name, s in scores.items()})


def macs_left(network: Specification, plan: ChannelPlan) -> float:
    """The share of the network's multiply-accumulates that a plan leaves, 0..1."""
    return cost(network, plan.widths)


def bisected(
    cost: Callable[[float], float], target: float, low: float = 0.0, high: float = 1.0, tolerance: float = 1e-3
) -> float:
    """An x between ``low`` and ``high`` with ``cost(x)`` at ``target`` or below, at most ``tolerance`` above the least
    such x. ``cost`` never rises as x grows; it may fall in steps.

    Raises ``LabError`` for bounds or a tolerance that leave nothing to halve, and for a target that even ``high`` does
    not reach, with the nearest that can be reached.
    """
    if not (low < high and tolerance > 0):
        raise LabError(
            f"Nothing to search from {low} to {high} with tolerance {tolerance}: give low < high, and more than 0."
        )
    if (nearest := cost(high)) > target:
        raise LabError(f"{target:g} cannot be reached: the nearest is {nearest:.4g}, at {high:g}.")
    if cost(low) <= target:
        return low
    while (width := high - low) > tolerance:
        low, high = (low, low + width / 2) if cost(low + width / 2) <= target else (low + width / 2, high)
    return high


def rising(final: float, steps: int) -> list[float]:
    """The ratio after each of ``steps`` prunings, so that each removes the same share of what the one before left, and
    the last is ``final`` exactly. Raises ``LabError`` for no steps or a ratio outside [0, 1)."""
    if steps < 1:
        raise LabError(f"{steps} steps reach no ratio: give 1 or more.")
    if not 0 <= final < 1:
        raise LabError(f"The final ratio is {final}: give a number from 0 up to, but not including, 1.")
    return [*(1 - np.geomspace(1, 1 - final, steps + 1)[1:-1]).tolist(), final]
