"""Fronts as points in a plane: which of them are worth having, how good they are together, where they bend."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from labkit.settings import LabError

SCALE = ((0.0, 0), (0.4, 10), (0.84, 20), (0.86, 25))
"""Points by the share of the free area that a policy gains: linear in between, nothing more beyond the last."""


class Point(NamedTuple):
    """``cost``: the share of the unpruned network's multiply-accumulates that is left, 0..1; ``accuracy``: 0..1."""

    cost: float
    accuracy: float


def _checked(points: Iterable[tuple[float, float]]) -> list[Point]:
    points = [Point(*point) for point in points]
    for point in points:
        if not (0 <= point.cost <= 1 and 0 <= point.accuracy <= 1):  # NaN is refused as well
            raise LabError(
                f"A point of a front has cost {point.cost} and accuracy {point.accuracy}: both are shares from 0 to 1."
            )
    return points


def dominating(points: Iterable[tuple[float, float]]) -> list[Point]:
    """The points that no other dominates (is at least as cheap and at least as accurate, and one of both truly),
    each once, the cheapest first. Raises ``LabError`` for a point outside [0, 1]."""
    best: list[Point] = []
    for point in sorted(_checked(points), key=lambda point: (point.cost, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def hypervolume(points: Iterable[tuple[float, float]]) -> float:
    """The area that the points dominate, 0..1, as far as cost 1 and down to accuracy 0 (Zitzler and Thiele, 1999):
    every point brings the rectangle to the right of it and below it. 0 without points."""
    best = dominating(points)
    ends = [point.cost for point in best[1:]] + [1.0]
    return sum((end - point.cost) * point.accuracy for point, end in zip(best, ends))


def knee(points: Iterable[tuple[float, float]]) -> Point:
    """The point of the front that lies farthest above the diagonal: the largest accuracy minus cost, the cheaper one
    of equals. To its right, a share of the cost buys less than the same share of accuracy (Satopää et al., 2011, with
    axes that are shares already). Raises ``LabError`` without points."""
    best = dominating(points)
    if not best:
        raise LabError("A front without points has no knee: give one point at least.")
    return max(best, key=lambda point: point.accuracy - point.cost)


def gained(front: Iterable[tuple[float, float]], mine: Iterable[tuple[float, float]]) -> float:
    """The area that the points ``mine`` add to a front, 0..1: never less than 0."""
    front = list(front)
    return max(0.0, hypervolume([*front, *mine]) - hypervolume(front))


def free(front: Iterable[tuple[float, float]], unpruned: float) -> float:
    """The area above a front that a network of the unpruned accuracy 0..1 at no cost would gain: what is left to win.

    Raises ``LabError`` where the front is as good as that.
    """
    left = unpruned - hypervolume(front)
    if left <= 0:
        raise LabError(
            f"The front's area is {unpruned - left:.3f}, the unpruned accuracy {unpruned:.3f}: nothing is left to win."
        )
    return left


def points_for(gain: float, free: float) -> int:
    """Points for a policy by ``SCALE``: ``gain`` is the area gained, ``free`` the area that was left to win.

    Raises ``LabError`` for areas that are none.
    """
    if not (0 <= gain <= 1 and 0 < free <= 1):
        raise LabError(f"The area gained is {gain}, of {free} that was free: both are shares from 0 to 1.")
    return round(float(np.interp(gain / free, *zip(*SCALE))))
