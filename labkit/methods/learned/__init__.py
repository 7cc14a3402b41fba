"""Pruning while training: the network learns what it does not need."""

from labkit.methods.learned.autoprune import AutoPrune
from labkit.methods.learned.base import Learned
from labkit.methods.learned.bitpruning import BitPruning
from labkit.methods.learned.magnitude import Dense, TrainPruneTune, TrainPruneTuneChannels
from labkit.methods.learned.pcas import PCAS
from labkit.methods.learned.proximal import Proximal
from labkit.methods.learned.study import KIND, KINDS, RECIPES, train, train_all
from labkit.methods.learned.threshold import STR

__all__ = ["KIND", "KINDS", "RECIPES", "train", "train_all"]
__all__ += ["AutoPrune", "BitPruning", "Dense", "Learned", "PCAS", "Proximal", "STR"]
__all__ += ["TrainPruneTune", "TrainPruneTuneChannels"]
