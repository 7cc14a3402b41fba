"""Train, evaluate and recalibrate a network: one loop, on a GPU or a CPU, that can be broken off and goes on."""

from labkit.training.evaluation import accuracy, evaluate, recalibrate
from labkit.training.loop import PROBE, SNAPSHOTS, fingerprint, fit, optimizer_of, steps, train_step
from labkit.training.schedule import learning_rates, shrinkage_budget, steps_per_epoch

__all__ = ["PROBE", "SNAPSHOTS", "accuracy", "evaluate", "fingerprint", "fit", "learning_rates", "optimizer_of"]
__all__ += ["recalibrate", "shrinkage_budget", "steps", "steps_per_epoch", "train_step"]
