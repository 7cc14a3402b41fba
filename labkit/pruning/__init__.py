"""Scores -> plan -> thin network.

A score is one number per channel; a plan says which channels stay; a plan applied to a network gives the
thin network. What has to go together is a channel group.
"""

from labkit.pruning.groups import ChannelGroup, channel_groups
from labkit.pruning.plan import POLICIES, ChannelPlan, Scores, global_plan, uniform_plan, width_plan
from labkit.pruning.prepared import Prepared
from labkit.pruning.scores import CRITERIA, random_scores, scaling_factors
from labkit.pruning.sensitivity import alone, sensitivity
from labkit.pruning.surgery import folded, masked, thin

__all__ = ["CRITERIA", "POLICIES", "ChannelGroup", "ChannelPlan", "Prepared", "Scores", "alone", "channel_groups"]
__all__ += [
    "folded",
    "global_plan",
    "masked",
    "random_scores",
    "scaling_factors",
    "sensitivity",
    "thin",
    "uniform_plan",
    "width_plan",
]
