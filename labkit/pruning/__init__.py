"""Scores -> plan -> thin network.

A score is one number per channel; a plan says which channels stay; a plan applied to a network gives the
thin network. What has to go together is a channel group.
"""

from labkit.pruning.criteria import CRITERIA
from labkit.pruning.groups import ChannelGroup, channel_groups
from labkit.pruning.observed import Observed, activity, observed
from labkit.pruning.plan import POLICIES, ChannelPlan, Scores, global_plan, uniform_plan, width_plan
from labkit.pruning.prepared import Prepared
from labkit.pruning.regression import (
    closest,
    contributions,
    greedy_order,
    lasso,
    lasso_strengths,
    reconstructed,
    reconstruction,
    reconstruction_errors,
    thinet,
)
from labkit.pruning.scores import JOIN, filter_norms, random_scores, scaling_factors, taylor
from labkit.pruning.sensitivity import alone, sensitivity
from labkit.pruning.surgery import folded, masked, thin

__all__ = ["CRITERIA", "JOIN", "POLICIES", "ChannelGroup", "ChannelPlan", "Observed", "Prepared", "Scores"]
__all__ += ["activity", "alone", "channel_groups", "closest", "contributions", "filter_norms", "folded", "global_plan"]
__all__ += ["greedy_order", "lasso", "lasso_strengths", "masked", "observed", "random_scores", "reconstructed"]
__all__ += ["reconstruction", "reconstruction_errors", "scaling_factors", "sensitivity", "taylor", "thin", "thinet"]
__all__ += ["uniform_plan", "width_plan"]
