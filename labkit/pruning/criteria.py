"""Every criterion by its name."""

from labkit.pruning.observed import activity
from labkit.pruning.regression import lasso, thinet
from labkit.pruning.scores import chance, filter_norms, scaling_factors, taylor

CRITERIA = {
    "filter-l1": lambda model, images, seed: filter_norms(model, 1),
    "filter-l2": lambda model, images, seed: filter_norms(model, 2),
    "filter-l1-per-weight": lambda model, images, seed: filter_norms(model, 1, per_weight=True),
    "scaling-factor": lambda model, images, seed: scaling_factors(model),
    "apoz": lambda model, images, seed: activity(model, images),
    "thinet": thinet,
    "lasso": lasso,
    "taylor": taylor,
    "random": lambda model, images, seed: chance(model, seed),
}
"""What makes the scores: functions of (network, training images, seed), by the name that a sweep uses."""
