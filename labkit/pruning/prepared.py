"""One network, many plans."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from labkit.data import Images, batches
from labkit.hardware import mixed_precision
from labkit.pruning.plan import ChannelPlan
from labkit.pruning.surgery import planned_groups, silenced
from labkit.training.convolution import fast_convolutions


class Prepared:
    """A network on which plans are tried one after the other: masks are written and taken back in place,
    nothing is copied. ``model`` itself is never changed."""

    def __init__(self, model: nn.Module, device: torch.device | str = "cpu"):
        # No gradients: autocast would keep the cast weights of before, and a mask would not be seen.
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

    @torch.inference_mode()
    def accuracies(self, plans: list[ChannelPlan], images: Images, batch: int = 500) -> list[float]:
        """The accuracy in 0..1 under every plan, as ``training.evaluate`` of its thin network has it. What
        stands before the first layer that a plan changes is computed once for all plans that share it.
        For networks of ``labkit.models``."""
        steps, right = self.model.steps(), [0] * len(plans)
        first = [self._first_changed(plan, steps) for plan in plans]
        in_order = sorted(range(len(plans)), key=first.__getitem__)
        with mixed_precision(images.labels.device), fast_convolutions(self.model):
            for x, labels in batches(images, batch):
                done = 0
                for index in in_order:
                    x, done = _run(steps[done : first[index]], x), first[index]
                    with self.under(plans[index]):
                        right[index] += int((_run(steps[done:], x).argmax(1) == labels).sum())
        return [count / len(images) for count in right]

    def _first_changed(self, plan: ChannelPlan, steps: list[nn.Module]) -> int:
        changed = {id(parameter) for parameter, _ in silenced(self.model, planned_groups(self.model, plan), plan)}
        hit = (number for number, step in enumerate(steps) if changed & {id(p) for p in step.parameters()})
        return next(hit, len(steps) - 1)


def _run(steps: list[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for step in steps:
        x = step(x)
    return x
