"""PCAS: small attention modules say which channels the network looks at.

Yamamoto and Maeno (*PCAS: Pruning Channels with Attention Statistics for Deep Network Compression*, 2018): behind every
convolution stands an attention module (global average, two linear layers, sigmoid) that weighs each channel by a number
from 0 to 1, for each image anew. What a channel gets over the training images is its score; one ratio for the whole
network ranks all channels together; modules and channels are taken away and the rest is tuned.

The paper adds the modules to a trained network. In a training of eight epochs they learn with the network from the
first step instead: behind a network that is trained already they have little to gain, and after one epoch of their own
nearly every channel still has the half with which it began.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from labkit import models
from labkit.data import Dataset, Images, batches
from labkit.methods.learned.base import Channelwise, answers, checked_share, plain, tail
from labkit.methods.learned.channels import add_masks, drop, silence
from labkit.pruning import global_plan
from labkit.pruning.scores import by_group, rows_of

AttentionStatistic = Callable[[Tensor], Tensor]
"""What a layer's channels were given for every image, float 0..1 (images, channels) -> a score (channels,)."""
PROBE = ((0.1, 0.9), (0.5, 0.3), (0.6, 0.6))
IMAGES = 1000  # training images over which the statistic is taken


class Attention(nn.Module):
    """Maps (N, channels, h, w) -> weights 0..1 (N, channels, 1, 1): the channels' averages behind a ReLU, through two
    linear layers, the first of which has ``channels / reduction`` outputs. It begins with one half for every channel:
    a score that a random beginning has set would take many steps to forget it."""

    def __init__(self, channels: int, reduction: int, generator: torch.Generator):
        super().__init__()
        between = max(1, channels // reduction)
        self.layers = nn.Sequential(nn.Linear(channels, between), nn.ReLU(), nn.Linear(between, channels))
        with torch.no_grad():
            self.layers[0].weight.normal_(0, (2 / channels) ** 0.5, generator=generator)
            for zero in (self.layers[0].bias, self.layers[2].weight, self.layers[2].bias):
                zero.zero_()

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps.relu().mean((2, 3))).sigmoid()[:, :, None, None]


def _weighed(norm: nn.BatchNorm2d, inputs: tuple[Tensor], maps: Tensor) -> Tensor:
    return maps * norm.attention(maps) if norm.attends else maps


@dataclass(frozen=True)
class PCAS(Channelwise):
    """Before the last share ``tune`` of the epochs the share ``target`` of the channels goes. Until then the modules
    learn at ``rate`` times the learning rate. ``reduction``: how much narrower a module is than its layer."""

    statistic: AttentionStatistic
    target: float
    tune: float
    reduction: int
    rate: float
    name: ClassVar[str] = "pcas"

    def __post_init__(self):
        checked_share(self.target)

    @property
    def folder(self) -> str:
        return self.name

    def probe(self) -> list[float]:
        attention = torch.tensor(PROBE)
        return answers(self.statistic, attention, like=[attention[0]])

    def attach(self, model: nn.Module, seed: int) -> None:
        add_masks(model)
        generator = torch.Generator().manual_seed(seed)
        for norm in models.norms(model).values():
            norm.attention, norm.attends = Attention(norm.num_features, self.reduction, generator), True
            norm.register_forward_hook(_weighed)

    def groups(self, model: nn.Module) -> list[dict]:
        own = [parameter for norm in models.norms(model).values() for parameter in norm.attention.parameters()]
        return [{"params": own, "factor": self.rate}]

    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        pruned = tail(self.tune, epochs)
        if number == pruned:
            drop(model, global_plan(self.scores(model, data.train[:IMAGES]), self.target))
        for norm in models.norms(model).values():
            norm.attends = number < pruned
        return number == pruned

    def scores(self, model: nn.Module, images: Images) -> dict[str, Tensor]:
        """The statistic of every channel group on ``images``, float (width,)."""
        network, values = plain(model), attention_values(model, images)
        named = {layer: name for name, layer in network.named_modules()}
        return by_group(
            network,
            lambda group: rows_of(network, group, nn.BatchNorm2d, lambda norm: self.statistic(values[named[norm]])),
            "mean",
        )

    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        silence(model)


@torch.inference_mode()
def attention_values(model: nn.Module, images: Images) -> dict[str, Tensor]:
    """By batch normalization, what the module behind it gives each channel for each image, float (images, channels)."""
    norms, caught = models.norms(model), {}
    hooks = [
        norm.attention.register_forward_hook(
            lambda module, maps, given, name=name: caught.setdefault(name, []).append(given.flatten(1).float().cpu())
        )
        for name, norm in norms.items()
    ]
    was_training = model.training
    try:
        model.eval()
        for x, _ in batches(images, 500):
            model(x)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts) for name, parts in caught.items()}
