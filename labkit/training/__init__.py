"""Train, evaluate and recalibrate a network: one loop, on a GPU or a CPU, that can be broken off and goes on."""

from labkit.training.evaluation import RECALIBRATION_IMAGES, accuracy, evaluate, recalibrate
from labkit.training.loop import PROBE, SNAPSHOTS, Diverged, configuration, fingerprint, fit, steps
from labkit.training.method import Finished, Method
from labkit.training.pace import best_threads, seconds_per_step
from labkit.training.schedule import learning_rates, shrinkage_budget, steps_per_epoch
from labkit.training.step import optimizer_of, train_step
from labkit.training.together import fit_all

__all__ = [
    "PROBE",
    "RECALIBRATION_IMAGES",
    "SNAPSHOTS",
    "Diverged",
    "Finished",
    "Method",
    "accuracy",
    "best_threads",
    "configuration",
    "evaluate",
]
__all__ += [
    "fingerprint",
    "fit",
    "fit_all",
    "learning_rates",
    "optimizer_of",
    "recalibrate",
    "seconds_per_step",
    "shrinkage_budget",
    "steps",
]
__all__ += ["steps_per_epoch", "train_step"]
