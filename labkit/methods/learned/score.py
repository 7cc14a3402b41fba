"""What an exploration is worth: how much smaller the stored network is, if it is about as accurate as the dense one."""

from collections.abc import Iterable

import numpy as np

from labkit.records import Record

BASELINE, EXPLORED = (
    "dense",
    "explore-",
)  # the folder of the unpruned training; how those of one's own explorations begin
ALLOWED = 0.02  # of validation accuracy, below the dense network
SCALE = ((0.0, 0), (0.5, 10), (0.75, 20), (0.9, 30), (0.95, 40))
"""Points by the share of the dense network's bytes that is saved: linear in between, nothing more beyond the last."""


def saved(run: Record, dense: Record) -> float:
    """The share of the dense network's bytes that a run does without; below 0 where it needs more."""
    return 1 - run.results["bytes"] / dense.results["bytes"]


def counts(run: Record, dense: Record) -> bool:
    """Whether a run is at most ``ALLOWED`` less accurate than the dense network."""
    return run.results["validation_accuracy"] >= dense.results["validation_accuracy"] - ALLOWED


def points_for(runs: Iterable[Record], dense: Record) -> int:
    """Points by ``SCALE`` for the best of the runs that count; 0 where none does."""
    best = max((saved(run, dense) for run in runs if counts(run, dense)), default=0.0)
    return round(float(np.interp(best, *zip(*SCALE))))
