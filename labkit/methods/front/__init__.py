"""Fronts of compression and accuracy: networks trained, cut by a criterion and a policy, fine-tuned."""

from labkit.methods.front.board import Entry, board, board_figure, board_table, entry, read_entry, save_entry
from labkit.methods.front.costs import COSTS
from labkit.methods.front.drawings import coupled, selection, what_half_saves
from labkit.methods.front.editor import editor, preview
from labkit.methods.front.figures import (
    areas,
    areas_table,
    figures,
    fronts,
    gains_table,
    policies,
    results,
    summary,
    what_a_front_is,
    widths_left,
)
from labkit.methods.front.geometry import SCALE, Point, dominating, free, gained, hypervolume, knee, points_for
from labkit.methods.front.grid import Grid, read
from labkit.methods.front.policy import (
    BY_SENSITIVITY,
    RATIOS,
    cost,
    described,
    fine_tuned,
    fine_tuned_all,
    global_front,
    knobs,
    linear_latency,
    load_plan,
    numbers,
    per_channel,
    points_of,
    policy,
    reaching,
    recipe,
    save_plan,
    stages,
)
from labkit.methods.front.view import front, table
from labkit.methods.front.work import CUT, DIVERGED, KINDS, POLICY, TRAINED, TUNED, in_turns, make

__all__ = ["BY_SENSITIVITY", "COSTS", "CUT", "DIVERGED", "KINDS", "POLICY", "RATIOS", "SCALE", "TRAINED", "TUNED"]
__all__ += ["Entry", "Grid", "Point", "figures", "front", "in_turns", "make", "read", "results", "summary", "table"]
__all__ += [
    "areas",
    "areas_table",
    "coupled",
    "gains_table",
    "fronts",
    "policies",
    "selection",
]
__all__ += ["what_a_front_is", "what_half_saves", "widths_left"]
__all__ += ["board", "board_figure", "board_table", "entry", "read_entry", "save_entry"]
__all__ += ["cost", "described", "editor", "fine_tuned", "fine_tuned_all", "global_front", "knobs", "linear_latency"]
__all__ += [
    "load_plan",
    "numbers",
    "per_channel",
    "points_of",
    "policy",
    "preview",
    "reaching",
    "recipe",
    "save_plan",
    "stages",
]
__all__ += ["dominating", "free", "gained", "hypervolume", "knee", "points_for"]
