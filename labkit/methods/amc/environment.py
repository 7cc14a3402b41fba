"""AMC's decision process (He et al., 2018, section 3): a network's channel groups one after the other, what the agent
sees of each, and what it may decide."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from labkit import models
from labkit.models import Specification
from labkit.pruning import channel_groups
from labkit.settings import LabError

LEAST = 0.2  # of a group's channels stay; the published code has the same bound
STATE = (
    "index",
    "type",
    "channels in",
    "channels out",
    "size",
    "stride",
    "kernel",
    "MACs",
    "reduced",
    "rest",
    "previous",
)
KINDS = (0.0, 0.5, 1.0)  # one convolution; with a depthwise one; several whose outputs are added up

Clamp = Callable[[float, list[int], int, int], int]
BudgetState = Callable[[Sequence[int], Sequence[int], int], tuple[float, float]]
Reward = Callable[[float, int, str], float]
SoftUpdate = Callable[[dict, dict, float], dict]


@dataclass(frozen=True)
class Parts:
    """What notebook 10 leaves to its reader: ``clamp(share, costs, least, budget)``, the channels that a group keeps; ``budget_state(whole, left, group)``, the two entries reduced and rest of a state; ``soft_update(target,
    online, tau)``, the target network's tensors by name; ``reward(accuracy, macs, kind)``."""

    clamp: Clamp
    budget_state: BudgetState
    soft_update: SoftUpdate
    reward: Reward


@dataclass(frozen=True, eq=False)
class Table:
    """The multiply-accumulates of a network as a function of its widths. Layer ``i`` costs ``factor[i]`` times the
    widths of the groups ``outputs[i]`` and ``inputs[i]``; -1 stands for channels that nobody decides, which are in the
    factor. ``facts``, a row for each group: type, channels in, channels out, size, stride, kernel, not normalised."""

    factor: np.ndarray
    outputs: np.ndarray
    inputs: np.ndarray
    facts: np.ndarray
    widths: tuple[int, ...]

    def by_layer(self, widths: Sequence[int]) -> np.ndarray:
        """int64 (layers,): each layer's MACs for one image."""
        padded = np.array([*widths, 1])
        return self.factor * padded[self.outputs] * padded[self.inputs]

    def macs(self, widths: Sequence[int]) -> int:
        """The network's MACs, as ``measure.macs`` counts them: 1 MAC = 2 FLOPs."""
        return int(self.by_layer(widths).sum())

    def line(self, widths: Sequence[int], group: int) -> list[int]:
        """The network's MACs for every width of one group, from 0 to all of it, the others as in ``widths``."""
        padded = np.tile([*widths, 1], (self.widths[group] + 1, 1))
        padded[:, group] = range(self.widths[group] + 1)
        return ((padded[:, self.outputs] * padded[:, self.inputs]) @ self.factor).tolist()

    def by_group(self, widths: Sequence[int]) -> list[int]:
        """MACs of the layers that put out each group's channels; the last entry is the classifier's, of no group."""
        owners = np.where(self.outputs < 0, len(self.widths), self.outputs)
        counted = np.bincount(owners, self.by_layer(widths), len(self.widths) + 1)
        return counted.astype(np.int64).tolist()


@lru_cache(maxsize=64)  # the dependency graph costs more than a thousand episodes' counting
def table(network: Specification) -> Table:
    """The table of a network of ``labkit.models``, from one pass of one image without memory or arithmetic."""
    model = models.build(network)
    groups = channel_groups(model)
    modules, sizes = dict(model.named_modules()), {}
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _, x, y, name=name: sizes.update({name: tuple(y.shape[2:])}))
    with torch.no_grad():
        model.to("meta").eval()(torch.zeros(1, 3, network.size, network.size, device="meta"))

    owner = {axis: {} for axis in ("out", "in")}
    for number, group in enumerate(groups.values()):
        for axis, found in owner.items():
            found.update(dict.fromkeys(group.layers(axis), number))
    rows = []
    for name, size in sizes.items():
        weight, out, into = modules[name].weight, owner["out"].get(name, -1), owner["in"].get(name, -1)
        fixed = (weight.shape[0] if out < 0 else 1) * (weight.shape[1] if into < 0 else 1)
        rows.append((math.prod(size) * math.prod(weight.shape[2:]) * fixed, out, into))
    factor, outputs, inputs = np.array(rows).T
    facts = np.array([_facts(group, modules, sizes) for group in groups.values()])
    return Table(factor, outputs, inputs, facts, network.widths)


def _facts(group, modules: dict, sizes: dict) -> tuple[float, ...]:
    """Type, channels in, channels out, size, stride and kernel of a group: of its first convolution."""
    convolutions = [modules[name] for name in group.layers("out") if isinstance(modules[name], nn.Conv2d)]
    ordinary = [layer for layer in convolutions if layer.groups == 1]
    kind = KINDS[2] if len(ordinary) > 1 else KINDS[1] if len(convolutions) > 1 else KINDS[0]
    first = modules[group.name]
    size = sizes[group.name][0]
    return kind, first.weight.shape[1], group.width, size, first.stride[0], first.kernel_size[0]


@dataclass(frozen=True, eq=False)
class Episode:
    """One walk through the groups: the channels that each keeps, the states float32 (groups, 11) in which that was
    decided, and the share of its channels that each keeps, float32 (groups,)."""

    widths: tuple[int, ...]
    states: np.ndarray
    shares: np.ndarray


class Environment:
    """Groups walked one by one. Everything here is a function of the channels that the groups so far keep: one function
    makes every state, the first and the later ones, so they cannot disagree. (The published code counts ``rest`` in
    weights at the start of an episode and in FLOPs after each step.)"""

    def __init__(self, network: Specification, budget: float, least: float = LEAST):
        """``budget``: the share of the network's MACs that every episode ends within; ``least``: the share of its
        channels that each group keeps at least, one channel always.

        Raises ``LabError`` for shares outside (0, 1] and for a budget below what ``least`` allows.
        """
        for name, share in {"budget": budget, "least": least}.items():
            if not 0 < share <= 1:
                raise LabError(f"The {name} is {share}: give a share above 0, up to 1.")
        self.table, self.network = table(network), network
        self.total = network.widths
        self.least = tuple(max(1, math.ceil(least * width)) for width in self.total)
        self.whole = self.table.by_group(self.total)
        self.budget = math.floor(budget * sum(self.whole))
        if self.budget < (lowest := self.table.macs(self.least)):
            raise LabError(
                f"{budget:.1%} of the MACs cannot be reached: with {least:.0%} of every group's channels left it is "
                f"{lowest / sum(self.whole):.1%}. Ask for more, or let the groups keep less."
            )
        facts = self.table.facts
        largest = facts.max(0)
        largest[1] = largest[2] = max(largest[1], largest[2])
        index = np.arange(len(facts)) / max(1, len(facts) - 1)
        macs = np.array(self.whole[:-1]) / sum(self.whole)
        self.fixed = np.column_stack([index, facts / np.where(largest > 0, largest, 1), macs]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.total)

    def left(self, kept: Sequence[int]) -> list[int]:
        """MACs by group, as ``Table.by_group`` has them, where the first groups keep ``kept`` and the others all."""
        return self.table.by_group([*kept, *self.total[len(kept) :]])

    def state(self, kept: Sequence[int], budget_state: BudgetState) -> np.ndarray:
        """float32 (11,), 0 to 1: what the agent sees of group ``len(kept)`` when those before it keep ``kept``."""
        group = len(kept)
        reduced, rest = budget_state(list(self.whole), self.left(kept), group)
        previous = kept[-1] / self.total[group - 1] if group else 1.0
        return np.array([*self.fixed[group], reduced, rest, previous], np.float32)

    def costs(self, kept: Sequence[int]) -> list[int]:
        """For each number of channels, from 0 to all, that group ``len(kept)`` may keep: the MACs of the network that is
        left if all later groups are cut to the least."""
        group = len(kept)
        return self.table.line([*kept, 0, *self.least[group + 1 :]], group)

    def decided(self, kept: Sequence[int], share: float, clamp: Clamp) -> int:
        """The channels that group ``len(kept)`` keeps where the agent asks for ``share`` of them: as many as leave a
        way to the budget, if all later groups are cut to the least.

        Raises ``LabError`` where the clamp allows too many channels, too few, or a broken number.
        """
        group = len(kept)
        costs = self.costs(kept)
        width = clamp(share, costs, self.least[group], self.budget)
        if not (self.least[group] <= width <= self.total[group] and int(width) == width):
            raise LabError(
                f"The clamp keeps {width} of {self.total[group]} channels of group {group + 1}, of which {self.least[group]} "
                "stay at least: look at it again."
            )
        width = int(width)
        if costs[width] > self.budget:
            raise LabError(
                f"The clamp keeps {width} channels of group {group + 1}: that leaves {costs[width]:,} MACs at least, and "
                f"the budget is {self.budget:,}. Look at it again."
            )
        return width

    def walk(self, choose: Callable[[np.ndarray], float], parts: Parts) -> Episode:
        """One episode: ``choose`` gives for each state the share that the group shall keep."""
        kept, states = [], []
        for _ in self.total:
            states.append(self.state(kept, parts.budget_state))
            kept.append(self.decided(kept, choose(states[-1]), parts.clamp))
        return Episode(tuple(kept), np.array(states), np.float32(np.array(kept) / self.total))
