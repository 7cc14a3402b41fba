"""Pruning while training: the network learns what it does not need."""

from labkit.methods.learned.autoprune import AutoPrune
from labkit.methods.learned.base import FLOAT, Learned, prunable, totals
from labkit.methods.learned.bitpruning import BitPruning
from labkit.methods.learned.drawings import (
    attention_module,
    between_bits,
    coarse_slopes,
    lives,
    pulled_up,
    steps_to_zero,
    thresholds,
)
from labkit.methods.learned.exploration import TrainCutTune, by_name, chosen, explore, known
from labkit.methods.learned.figures import (
    bit_lengths,
    by_layer,
    cells,
    compared,
    figures,
    one_each,
    over_epochs,
    results,
    sizes,
    summary,
    table,
)
from labkit.methods.learned.magnitude import Dense, TrainPruneTune, TrainPruneTuneChannels
from labkit.methods.learned.pcas import PCAS
from labkit.methods.learned.present import present, read_texts
from labkit.methods.learned.proximal import Proximal
from labkit.methods.learned.published import published
from labkit.methods.learned.score import ALLOWED, BASELINE, EXPLORED, SCALE, points_for, saved
from labkit.methods.learned.study import KIND, KINDS, NEAR, RECIPES, train, train_all
from labkit.methods.learned.threshold import STR
from labkit.methods.learned.work import COSTS

__all__ = ["ALLOWED", "BASELINE", "COSTS", "EXPLORED", "FLOAT", "KIND", "KINDS", "NEAR", "RECIPES", "SCALE"]
__all__ += ["train", "train_all"]
__all__ += ["AutoPrune", "BitPruning", "Dense", "Learned", "PCAS", "Proximal", "STR"]
__all__ += ["TrainCutTune", "TrainPruneTune", "TrainPruneTuneChannels"]
__all__ += ["attention_module", "between_bits", "coarse_slopes", "lives", "pulled_up", "steps_to_zero", "thresholds"]
__all__ += [
    "bit_lengths",
    "by_layer",
    "cells",
    "compared",
    "figures",
    "one_each",
    "over_epochs",
    "results",
    "sizes",
    "summary",
    "table",
]
__all__ += [
    "by_name",
    "chosen",
    "explore",
    "known",
    "points_for",
    "present",
    "prunable",
    "published",
    "read_texts",
    "saved",
    "totals",
]
