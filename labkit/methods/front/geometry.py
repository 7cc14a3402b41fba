"""Fronts as points in a plane: which of them are worth having, how good they are together, where they bend."""

from collections.abc import Iterable
from typing import NamedTuple

from labkit.settings import LabError

FULL, STEP = 25, 0.0025  # points for a policy at most; the area that each is worth


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
    """The point of the front that lies farthest above the straight line between its two ends; of a front of one or
    two points the cheapest. Raises ``LabError`` without points."""
    best = dominating(points)
    if not best:
        raise LabError("A front without points has no knee: give one point at least.")
    first, last = best[0], best[-1]
    rise, run = last.accuracy - first.accuracy, last.cost - first.cost
    # the distance from the line, but for a factor that is the same for all
    return max(best, key=lambda point: (point.accuracy - first.accuracy) * run - (point.cost - first.cost) * rise)


def gained(front: Iterable[tuple[float, float]], mine: Iterable[tuple[float, float]]) -> float:
    """The area that the points ``mine`` add to a front, 0..1: never less than 0."""
    front = list(front)
    return hypervolume([*front, *mine]) - hypervolume(front)


def points_for(gain: float) -> int:
    """Points for a policy, 0 to ``FULL``: one for every ``STEP`` of area gained, rounded to the nearest.

    Raises ``LabError`` for a gain that is none.
    """
    if not 0 <= gain <= 1:
        raise LabError(f"The area gained is {gain}: it is a share from 0 to 1.")
    return min(FULL, round(gain / STEP))
