"""Scores -> plan -> thin network.

A score is one number per channel; a plan says which channels stay; a plan applied to a network gives the
thin network. What has to go together is a channel group.
"""

from labkit.pruning.groups import ChannelGroup, channel_groups
from labkit.pruning.plan import ChannelPlan, Scores, global_plan
from labkit.pruning.prepared import Prepared
from labkit.pruning.scores import random_scores, scaling_factors
from labkit.pruning.sensitivity import alone, sensitivity
from labkit.pruning.surgery import folded, masked, thin

__all__ = ["ChannelGroup", "ChannelPlan", "Prepared", "Scores", "alone", "channel_groups", "folded", "global_plan"]
__all__ += ["masked", "random_scores", "scaling_factors", "sensitivity", "thin"]
