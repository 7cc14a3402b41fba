"""What the trainings of this package share: a network is changed before the first step, and a record says by how much."""

import torch
from torch import nn

from labkit import training
from labkit.data import Dataset
from labkit.methods.learned.base import Learned


class Changed(Learned):
    """A method that changes the weights when it is attached, and trains what is left: its record says the validation
    accuracy ``before`` the first step as well."""

    def attach(self, model: nn.Module, seed: int) -> None:
        model.register_buffer("before", torch.zeros(()))

    @torch.no_grad()
    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        if number == 1:
            model.before.fill_(training.accuracy(model.eval(), data.validation))
        return False

    def numbers(self, model: nn.Module) -> dict[str, float]:
        return {}

    def before(self, model: nn.Module) -> dict[str, float]:
        """The result ``before``."""
        return {"before": round(float(model.before), 6)}
