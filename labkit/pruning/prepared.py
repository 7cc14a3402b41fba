"""One network, many plans."""

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from labkit.data import Images, batches
from labkit.hardware import mixed_precision
from labkit.pruning.groups import ChannelGroup
from labkit.pruning.plan import ChannelPlan
from labkit.pruning.surgery import planned_groups, silenced
from labkit.training.convolution import fast_convolutions


@dataclass(frozen=True)
class Family:
    """Plans, by their ``numbers``, that share what the network's steps before ``start`` compute. Where ``kept``
    is given, step ``start`` reads the one group that they prune, of which they keep the channels ``kept``,
    bool (plans, width): some, and each plan all those of the plan before it."""

    start: int
    numbers: list[int]
    kept: Tensor | None = None


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
        stands before the first layer that a plan changes is computed once for all plans that share it; so is
        a layer that reads a group which plans prune alone, more and more of it. For networks of
        ``labkit.models``."""
        right = [0] * len(plans)
        with mixed_precision(images.labels.device), fast_convolutions(self.model):
            for x, labels in batches(images, batch):
                for number, logits in self.logits(plans, x):
                    right[number] += int((logits.argmax(1) == labels).sum())
        return [count / len(images) for count in right]

    @torch.inference_mode()
    def logits(self, plans: list[ChannelPlan], x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each plan's number, in the order in which they are computed, and its logits (N, classes) for
        x (N, 3, H, W)."""
        steps, done = self.model.steps(), 0
        for family in sorted(self._families(plans), key=lambda family: family.start):
            x, done = _run(steps[done : family.start], x), family.start
            if family.kept is not None:
                for number, read in zip(family.numbers, _read(steps[done], x, family.kept)):
                    yield number, _run(steps[done + 1 :], read)
                continue
            for number in family.numbers:
                with self.under(plans[number]):
                    logits = _run(steps[done:], x)
                yield number, logits

    def _families(self, plans: list[ChannelPlan]) -> Iterator[Family]:
        steps, together = self.model.steps(), defaultdict(list)
        for number, plan in enumerate(plans):
            groups = planned_groups(self.model, plan)
            together[tuple(name for name in groups if len(plan.kept[name]) < plan.total[name])].append(number)
        for pruned, numbers in together.items():
            reader = _only_reader(self.model, groups[pruned[0]]) if len(pruned) == 1 else None
            if reader is not None:
                numbers.sort(key=lambda number: sum(plans[number].widths))
                kept = torch.stack([plans[number].mask(pruned[0]) for number in numbers])
                if kept[0].any() and not (kept[:-1] & ~kept[1:]).any():
                    yield Family(reader, numbers, kept.to(next(self.model.parameters()).device))
                    continue
            changed = {id(p) for p, _ in silenced(self.model, groups, plans[numbers[0]])}
            hit = (number for number, step in enumerate(steps) if changed & {id(p) for p in step.parameters()})
            yield Family(next(hit, len(steps) - 1), numbers)


def _only_reader(model: nn.Module, group: ChannelGroup) -> int | None:
    """The number of the step that alone reads the group's channels, all of them as its inputs, if the group's
    layers are whole steps."""
    modules, steps = dict(model.named_modules()), model.steps()
    layers = [modules[layer] for axis in ("out", "in") for layer in group.layers(axis)]
    alone = len(group.layers("in")) == 1 and all(layer in steps for layer in layers)
    return steps.index(layers[-1]) if alone else None


def _read(layer: nn.Module, x: Tensor, kept: Tensor) -> Iterator[Tensor]:
    """What ``layer``, a convolution or a linear layer, puts out where only the channels ``kept[i]`` of x
    arrive. It is linear: each output is the one before and what the new channels add. Added up in float32 and
    rounded to x's precision once, as in one product."""
    output, before = None, torch.zeros_like(kept[0])
    for keep in kept:
        new, before = keep & ~before, keep
        if new.any():
            share = {"weight": layer.weight[:, new].to(x.dtype).float()}
            if layer.bias is not None:
                share["bias"] = layer.bias.to(x.dtype).float() * (output is None)
            with torch.autocast(x.device.type, enabled=False):
                added = functional_call(layer, share, (x[:, new].float(),))
            output = added if output is None else output + added
        yield output.to(x.dtype)


def _run(steps: list[nn.Module], x: Tensor) -> Tensor:
    for step in steps:
        x = step(x)
    return x
