"""The controls: one training without pruning, and train, prune, tune in as many epochs as every method gets."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from labkit.data import Dataset
from labkit.methods.granularity.masks import network_masks, prunable
from labkit.methods.learned.base import Channelwise, Learned, checked_share, plain, tail
from labkit.methods.learned.channels import add_masks, drop, silence
from labkit.pruning import filter_norms, uniform_plan


@dataclass(frozen=True)
class Dense(Learned):
    """Trains, and prunes nothing."""

    name: ClassVar[str] = "dense"


@dataclass(frozen=True)
class TrainPruneTune(Learned):
    """The share ``target`` of all weights, the smallest |w| of the network, becomes 0 and stays 0 for the last share
    ``tune`` of the epochs (Han et al., 2015, in one step). The learning rate goes on as it would."""

    target: float
    tune: float
    name: ClassVar[str] = "train-prune-tune"

    def __post_init__(self):
        checked_share(self.target)

    def attach(self, model: nn.Module, seed: int) -> None:
        for layer in prunable(model).values():
            layer.register_buffer("stays", torch.ones_like(layer.weight, dtype=torch.bool))

    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        if number == tail(self.tune, epochs):
            for name, stays in network_masks(model, "global", self.target).items():
                prunable(model)[name].stays.copy_(stays)
        return False

    @torch.no_grad()
    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        for layer in prunable(model).values():
            layer.weight.mul_(layer.stays)


@dataclass(frozen=True)
class TrainPruneTuneChannels(Channelwise):
    """The share ``target`` of every layer's channels, those of the smallest filters (Li et al., 2017, section 3.1),
    becomes silent and stays so for the last share ``tune`` of the epochs."""

    target: float
    tune: float
    name: ClassVar[str] = "train-prune-tune-channels"

    def __post_init__(self):
        checked_share(self.target)

    def attach(self, model: nn.Module, seed: int) -> None:
        add_masks(model)

    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        if number == tail(self.tune, epochs):
            drop(model, uniform_plan(filter_norms(plain(model)), self.target))
        return False

    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        silence(model)
