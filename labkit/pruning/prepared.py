"""One network, many plans."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from labkit.pruning.plan import ChannelPlan
from labkit.pruning.surgery import planned_groups, silenced


class Prepared:
    """A network on which plans are tried one after the other: masks are written and taken back in place,
    nothing is copied. ``model`` itself is never changed."""

    def __init__(self, model: nn.Module, device: torch.device | str = "cpu"):
        self.model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)

    @contextmanager
    def under(self, plan: ChannelPlan) -> Iterator[nn.Module]:
        """The network with the plan's dropped channels silenced; afterwards every bit is what it was."""
        written = list(silenced(self.model, planned_groups(self.model, plan), plan))
        before = [parameter[rows] for parameter, rows in written]
        try:
            for parameter, rows in written:
                parameter[rows] = 0
            yield self.model
        finally:
            for (parameter, rows), values in zip(written, before):
                parameter[rows] = values
