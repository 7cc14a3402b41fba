"""Fronts of compression and accuracy: networks trained, cut by a criterion and a policy, fine-tuned."""

from labkit.methods.front.grid import Grid, read
from labkit.methods.front.view import front, table
from labkit.methods.front.work import CUT, DIVERGED, KINDS, TRAINED, TUNED, in_turns, make

__all__ = [
    "CUT",
    "DIVERGED",
    "KINDS",
    "TRAINED",
    "TUNED",
    "Grid",
    "front",
    "in_turns",
    "make",
    "read",
    "table",
]
