"""Fronts of compression and accuracy: networks trained, cut by a criterion and a policy, fine-tuned."""

from labkit.methods.front.geometry import SCALE, Point, free, gained, hypervolume, points_for
from labkit.methods.front.grid import Grid, read
from labkit.methods.front.policy import RATIOS, cost, counted, points_of, recipe
from labkit.methods.front.view import front, table
from labkit.methods.front.work import CUT, DIVERGED, KINDS, POLICY, TRAINED, TUNED, in_turns, make

__all__ = [
    "CUT",
    "DIVERGED",
    "SCALE",
    "KINDS",
    "POLICY",
    "RATIOS",
    "TRAINED",
    "TUNED",
    "Grid",
    "Point",
    "cost",
    "counted",
    "front",
    "free",
    "gained",
    "hypervolume",
    "in_turns",
    "make",
    "points_for",
    "points_of",
    "read",
    "recipe",
    "table",
]
