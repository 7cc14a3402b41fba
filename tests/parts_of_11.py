"""The functions that notebook 11 asks for, and every method built with them."""

import torch

from labkit.methods import learned
from labkit.methods.learned import RECIPES


def proximal_step(gammas, amount):
    return gammas.sign() * (gammas.abs() - amount).clamp(min=0)


def soft_threshold(weights, threshold):
    outside = (weights.abs() > threshold).to(weights.dtype)
    return weights.sign() * (weights.abs() - threshold) * outside, outside, -weights.sign() * outside


def coarse_gradient(upstream, weights, auxiliary):
    return upstream * weights.sign() * torch.sigmoid(auxiliary)


def attention_statistic(attention):
    return attention.mean(0)


def bit_penalty(bits, elements):
    return (bits * elements).sum() / elements.sum()


def dense():
    return learned.Dense()


def magnitude(target, channels=False):
    kind = learned.TrainPruneTuneChannels if channels else learned.TrainPruneTune
    return kind(target, **RECIPES["train-prune-tune"])


def proximal(**constants):
    return learned.Proximal(proximal_step, **RECIPES["proximal"] | constants)


def soft(target=None, **constants):
    return learned.STR(soft_threshold, target=target, **RECIPES["str"] | constants)


def autoprune(**constants):
    return learned.AutoPrune(coarse_gradient, **RECIPES["autoprune"] | constants)


def pcas(**constants):
    return learned.PCAS(attention_statistic, **RECIPES["pcas"] | constants)


def bitpruning(**constants):
    return learned.BitPruning(bit_penalty, **RECIPES["bitpruning"] | constants)


def each():
    """One of every kind."""
    return [dense(), magnitude(0.5), magnitude(0.5, True), proximal(), soft(0.8), autoprune(), pcas(), bitpruning()]
