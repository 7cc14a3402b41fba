"""Fronts as points: dominance, area, knee and the scale of points, against the simplest way to compute each."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.methods import front

CELLS = 20
SHARES = st.integers(0, CELLS).map(lambda k: k / CELLS)
POINTS = st.lists(st.tuples(SHARES, SHARES), max_size=8)


def by_grid(points) -> float:
    """The area, counted in squares: one is covered if some point lies to its left and above it."""
    edges = range(CELLS)
    covered = sum(any(c * CELLS <= x and a * CELLS >= y + 1 for c, a in points) for x in edges for y in edges)
    return covered / CELLS**2


@given(POINTS)
def test_the_area_is_the_number_of_squares_below_the_staircase(points):
    assert math.isclose(front.hypervolume(points), by_grid(points), abs_tol=1e-9)


@given(POINTS, st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(points, rng):
    shuffled = [*points, *points[:2]]
    rng.shuffle(shuffled)
    assert front.dominating(shuffled) == front.dominating(points)
    assert math.isclose(front.hypervolume(shuffled), front.hypervolume(points), abs_tol=1e-12)


@given(POINTS)
def test_a_point_is_on_the_front_exactly_if_no_other_dominates_it(points):
    def dominated(point):
        return any(c <= point[0] and a >= point[1] and (c, a) != point for c, a in points)

    assert front.dominating(points) == sorted({point for point in points if not dominated(point)})
    assert math.isclose(front.hypervolume(front.dominating(points)), front.hypervolume(points), abs_tol=1e-12)


@given(POINTS, POINTS)
def test_what_is_gained_is_never_negative_and_only_new_area(points, mine):
    gain = front.gained(points, mine)
    assert gain >= 0
    assert math.isclose(gain, by_grid([*points, *mine]) - by_grid(points), abs_tol=1e-9)
    assert front.gained(points, points) == 0


@given(POINTS.filter(len))
def test_no_point_of_a_front_lies_farther_above_the_diagonal_than_its_knee(points):
    bend = front.knee(points)
    assert bend in front.dominating(points)
    assert all(a - c <= bend.accuracy - bend.cost + 1e-12 for c, a in points)


def test_a_front_worked_out_by_hand():
    points = [(0.5, 0.75), (0.25, 0.5), (0.625, 0.7)]
    assert front.dominating(points) == [(0.25, 0.5), (0.5, 0.75)]
    assert front.hypervolume(points) == pytest.approx(0.25 * 0.5 + 0.5 * 0.75)
    assert front.knee(points) == (0.25, 0.5), "as far above the diagonal as the other, and cheaper"
    assert front.hypervolume([]) == 0


@pytest.mark.parametrize("point", [(1.1, 0.5), (-0.1, 0.5), (0.5, 1.01), (0.5, -1), (math.nan, 0.5), (0.5, math.nan)])
def test_a_point_outside_is_refused(refused, point):
    for function in (front.dominating, front.hypervolume, front.knee):
        with refused("shares from 0 to 1"):
            function([(0.5, 0.5), point])


def test_a_front_without_points_has_no_knee(refused):
    with refused("without points"):
        front.knee([])


def test_points_rise_with_the_share_of_the_free_area_and_end_at_25():
    shares = [k / 100 for k in range(101)]
    points = [front.points_for(share * 0.7, 0.7) for share in shares]
    assert points == sorted(points) and points[0] == 0 and points[-1] == 25
    for share, worth in front.SCALE:
        assert front.points_for(share * 0.5, 0.5) == worth
    assert front.points_for(0.9, 0.5) == 25


@pytest.mark.parametrize(
    "gain, free", [(-0.1, 0.5), (1.1, 0.5), (math.nan, 0.5), (0.1, 0), (0.1, -0.2), (0.1, math.nan)]
)
def test_an_area_that_is_none_gives_no_points(refused, gain, free):
    with refused("shares from 0 to 1"):
        front.points_for(gain, free)


def test_the_free_area_is_what_the_unpruned_accuracy_leaves_open(refused):
    assert front.free([(0.5, 0.8)], 0.9) == pytest.approx(0.9 - 0.4)
    with refused("nothing is left to win"):
        front.free([(0.0, 0.9)], 0.9)
