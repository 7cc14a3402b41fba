"""Channel groups: what has to be pruned together.

One convolution's output channels in a VGG, a whole residual stream in a ResNet, the expanded channels
with their depthwise convolution in a MobileNet. Torch-Pruning's dependency graph (Fang et al., 2023)
finds them once; scores, plans, masks, folding and surgery all speak of them.
"""

import copy
import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from labkit import models
from labkit.settings import LabError

# What treats every channel by itself or all alike, by the names of autograd's functions.
CHANNELWISE = re.compile(
    r"(Relu|Hardtanh|Hardsigmoid|Hardswish|LeakyRelu|Silu|Gelu|Sigmoid|Tanh|Elu|Add|Mul|Sub|Div|Neg|Clone|Alias|"
    r"ToCopy|Clamp|ClampMin|MaxPool2DWithIndices|AvgPool2D|AdaptiveAvgPool2D|AdaptiveMaxPool2D|Mean|"
    r"NativeDropout|FusedDropout|Squeeze|UpsampleNearest2D|UpsampleBilinear2D|AsStrided)Backward(Inplace)?\d*$"
)
KNOWN_LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Member:
    """A layer's share in a group: ``axis`` is ``"out"`` or ``"in"``; the entry ``positions[i]`` of that axis
    belongs to the group's channel ``channels[i]``; ``norm`` is the batch normalization right behind the layer."""

    layer: str
    axis: str
    positions: Tensor
    channels: Tensor
    norm: str | None = None

    def dropped(self, keep: Tensor) -> Tensor:
        """int64: the positions of the channels that ``keep``, bool (width,), drops."""
        return self.positions[~keep[self.channels]]


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels that stay or go together, called after their first convolution."""

    name: str
    width: int
    members: tuple[Member, ...]

    def layers(self, axis: str) -> list[str]:
        return [member.layer for member in self.members if member.axis == axis]

    def __str__(self) -> str:
        return f"{self.name}: {self.width} channels of {', '.join(self.layers('out'))}; read by {', '.join(self.layers('in'))}"


def channel_groups(model: nn.Module) -> dict[str, ChannelGroup]:
    """The channel groups of ``model`` by name, in the order of their first convolutions; channels that the
    network puts out are none.

    Raises ``LabError`` with the name of what the dependency graph does not know how to couple.
    """
    specification = getattr(model, "specification", None)
    return dict(_of_specification(specification)) if specification else _traced(model)


@lru_cache(maxsize=64)  # the graph costs more than the surgery
def _of_specification(specification: models.Specification) -> dict[str, ChannelGroup]:
    # At one channel the graph takes a depthwise convolution for an ordinary one, so it is asked about two.
    wide = specification.with_widths(max(2, width) for width in specification.widths)
    found = _traced(models.build(wide))
    rows = {name: torch.arange(width) for name, width in zip(found, specification.widths)}
    return {
        name: ChannelGroup(
            name,
            len(rows[name]),
            tuple(Member(m.layer, m.axis, rows[name], rows[name], m.norm) for m in group.members),
        )
        for name, group in found.items()
    }


@torch.enable_grad()  # the graph is read from autograd's
def _traced(model: nn.Module) -> dict[str, ChannelGroup]:
    import torch_pruning as tp

    model = copy.deepcopy(model).cpu().float().eval().requires_grad_()
    names = {module: name for name, module in model.named_modules()}
    _refuse_unknown_layers(model)
    size = models.image_size(model)
    try:
        graph = tp.DependencyGraph().build_dependency(model, torch.zeros(1, 3, size, size), verbose=False)
    except (ArithmeticError, LookupError, AttributeError, AssertionError, ValueError, RuntimeError) as error:
        raise LabError(
            f"The channels of this {type(model).__name__} cannot be followed on images of {size} x {size} (its attribute "
            f"size sets that): {type(error).__name__}, {' '.join(str(error).split())}."
        ) from error
    _refuse_unknown_operations(graph, names)

    groups, grouped = {}, set()
    for module, name in names.items():
        if not isinstance(module, nn.Conv2d) or module.groups > 1 or name in grouped or module not in graph.module2node:
            continue
        whole = graph.get_pruning_group(module, tp.prune_conv_out_channels, list(range(module.out_channels)))
        members, ends = [], False
        for item in whole.items:
            node, axis = item.dep.target, "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
            ends = ends or axis == "out" and not node.outputs
            if node.module in names and isinstance(node.module, KNOWN_LAYERS):
                positions, channels = (torch.tensor(list(map(int, rows))) for rows in (item.idxs, item.root_idxs))
                members.append(Member(names[node.module], axis, positions, channels, _norm_behind(node, names)))
        grouped |= {member.layer for member in members if member.axis == "out"}
        if not ends:
            groups[name] = ChannelGroup(name, module.out_channels, tuple(members))
    return groups


def _norm_behind(node, names: dict) -> str | None:
    """The name of the batch normalization that alone reads a layer's output."""
    followers = [follower.module for follower in node.outputs]
    return names[followers[0]] if len(followers) == 1 and isinstance(followers[0], nn.BatchNorm2d) else None


def _refuse_unknown_layers(model: nn.Module) -> None:
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not isinstance(module, KNOWN_LAYERS):
            raise LabError(
                f"{name or 'The network'} is a {type(module).__name__} with weights of its own: channels can be "
                f"followed through {', '.join(kind.__name__ for kind in KNOWN_LAYERS)} only."
            )
        if isinstance(module, nn.Conv2d) and 1 < module.groups and module.groups != module.out_channels:
            raise LabError(f"{name} is a convolution in {module.groups} groups: only depthwise ones can be followed.")


def _refuse_unknown_operations(graph, names: dict) -> None:
    """What the graph does not know it takes for an operation on every channel by itself."""
    for module, node in graph.module2node.items():
        if not node.inputs:  # made of parameters only, such as a linear layer's transposed weight
            continue
        kind = type(module).__name__
        unknown = kind == "_ElementWiseOp" and not CHANNELWISE.match(str(module._grad_fn))
        if unknown or kind in ("_SplitOp", "_UnbindOp", "_ExpandOp", "_SliceOp"):
            raise LabError(
                f"{_layer_before(node, names)} is followed by an operation whose channels cannot be followed "
                f"({node.name.rstrip(')').rpartition('(')[2]}): this network cannot be pruned by channel groups."
            )


def _layer_before(node, names: dict) -> str:
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop(0)
        if node.module in names and names[node.module]:
            return names[node.module]
        if id(node) not in seen:
            seen.add(id(node))
            waiting += node.inputs
    return "The input"
