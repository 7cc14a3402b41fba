"""Ratios: who decides how much of each layer goes. Sensitivity, rising schedules, NetAdapt with a measured table."""

from labkit.methods.ratios.adapt import (
    LATENCIES,
    Candidate,
    budgets,
    chosen,
    latencies,
    long_term,
    member,
    netadapt,
    plans,
    widest,
)
from labkit.methods.ratios.adapt import SCHEMAS as _OF_SEARCH
from labkit.methods.ratios.drawings import halving, netadapt_loop, shares_of_layers, ways_up
from labkit.methods.ratios.figures import (
    after_penalties,
    compared,
    curves,
    drops,
    errors,
    figures,
    penalties_table,
    predicted_and_measured,
    results,
    schedules_table,
    search,
    summary,
    table_slices,
    together,
    ways,
)
from labkit.methods.ratios.latency import SCHEMA as _OF_TABLE
from labkit.methods.ratios.latency import TABLE, Block, LatencyTable, conditions, loaded, measured
from labkit.methods.ratios.policies import bisected, macs_left, ratio_plan, rising, tolerated
from labkit.methods.ratios.schedules import (
    FINAL,
    REGULARIZATIONS,
    SCHEDULES,
    STEPS,
    penalised,
    regularizations,
    schedules,
)
from labkit.methods.ratios.schedules import SCHEMAS as _OF_SCHEDULES
from labkit.methods.ratios.sensitivity import (
    RATIOS,
    SENSITIVITY,
    TARGETS,
    TUNED,
    families,
    plan_for,
    scored,
    sensitivities,
)
from labkit.methods.ratios.sensitivity import SCHEMA as _OF_CURVES
from labkit.methods.ratios.work import COSTS

KINDS = {SENSITIVITY: _OF_CURVES, TABLE: _OF_TABLE} | _OF_SEARCH | _OF_SCHEDULES

__all__ = ["COSTS", "FINAL", "KINDS", "LATENCIES", "RATIOS"]
__all__ += ["REGULARIZATIONS", "SCHEDULES", "SENSITIVITY", "STEPS", "TABLE", "TARGETS", "TUNED"]
__all__ += ["Block", "Candidate", "LatencyTable", "after_penalties", "bisected", "budgets", "chosen", "compared"]
__all__ += [
    "conditions",
    "curves",
    "errors",
    "families",
    "figures",
    "halving",
    "latencies",
    "loaded",
]
__all__ += ["long_term", "macs_left", "measured", "member", "netadapt", "netadapt_loop", "penalised", "penalties_table"]
__all__ += [
    "plan_for",
    "plans",
    "predicted_and_measured",
    "ratio_plan",
    "regularizations",
    "results",
    "rising",
]
__all__ += [
    "schedules",
    "schedules_table",
    "scored",
    "search",
    "sensitivities",
    "shares_of_layers",
    "summary",
    "table_slices",
]
__all__ += ["drops", "together", "tolerated", "ways", "ways_up", "widest"]
