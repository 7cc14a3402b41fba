"""AMC (He et al., 2018): an agent learns how much of each channel group goes, and random search as its control."""

from labkit.methods.amc.agent import Agent, Batch, Constants, Memory, truncated_normal
from labkit.methods.amc.drawings import actor_critic, affordable, noise, states, walked
from labkit.methods.amc.environment import LEAST, STATE, Environment, Episode, Parts, Table, table
from labkit.methods.amc.figures import (
    accuracies,
    figures,
    policies,
    results,
    rewards,
    searches_table,
    seeds_table,
    shares,
    summary,
    tuned_beside,
)
from labkit.methods.amc.narrow import Narrow
from labkit.methods.amc.policies import (
    MOBILE_BUDGET,
    MOBILE_EPISODES,
    TRAINED,
    TUNED,
    by_rules,
    compared,
    filled,
    mobile,
    own_shares,
    tuned,
)
from labkit.methods.amc.policies import SCHEMAS as _OF_POLICIES
from labkit.methods.amc.search import (
    BUDGET,
    EPISODES,
    IMAGES,
    REWARDS,
    SEARCH,
    STATISTICS,
    WARM_UP,
    best_plan,
    probe,
    searched,
)
from labkit.methods.amc.search import SCHEMA as _OF_SEARCH
from labkit.methods.amc.work import COSTS

KINDS = {SEARCH: _OF_SEARCH} | _OF_POLICIES

__all__ = [
    "BUDGET",
    "COSTS",
    "EPISODES",
    "IMAGES",
    "KINDS",
    "LEAST",
    "MOBILE_BUDGET",
    "MOBILE_EPISODES",
    "REWARDS",
    "SEARCH",
    "STATE",
]
__all__ += ["STATISTICS", "TRAINED", "TUNED", "WARM_UP", "Agent", "Batch", "Constants", "Environment", "Episode"]
__all__ += ["Memory", "Narrow", "Parts", "Table", "accuracies", "actor_critic", "affordable", "best_plan", "by_rules"]
__all__ += [
    "compared",
    "filled",
    "figures",
    "mobile",
    "noise",
    "own_shares",
    "policies",
    "probe",
]
__all__ += ["results", "rewards", "searched", "searches_table", "seeds_table", "shares", "states", "summary", "table"]
__all__ += ["truncated_normal", "tuned", "tuned_beside", "walked"]
