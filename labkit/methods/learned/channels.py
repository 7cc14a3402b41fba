"""Channels that are silent while a network trains: γ = 0 and β = 0."""

import torch
from torch import nn

from labkit import models
from labkit.methods.learned.base import plain
from labkit.pruning import ChannelPlan, channel_groups


def add_masks(model: nn.Module) -> None:
    """Give every batch normalization a buffer ``stays``, bool (channels,), all True."""
    for norm in models.norms(model).values():
        norm.register_buffer("stays", torch.ones(norm.num_features, dtype=torch.bool))


def drop(model: nn.Module, plan: ChannelPlan) -> None:
    """Mask the channels that the plan drops, in place, and silence them."""
    norms = models.norms(model)
    for name, group in channel_groups(plain(model)).items():
        for member in group.members:
            if member.axis == "out" and member.layer in norms:
                norms[member.layer].stays[member.dropped(plan.mask(name))] = False
    silence(model)


@torch.no_grad()
def silence(model: nn.Module) -> None:
    """Put masked channels back to 0, in place, wherever the last update moved them."""
    for norm in models.norms(model).values():
        norm.weight.mul_(norm.stays)
        norm.bias.mul_(norm.stays)
