"""A plan applied to a network: masked, folded, or cut."""

import copy
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from labkit import models
from labkit.pruning.groups import ChannelGroup, Member, channel_groups
from labkit.pruning.plan import ChannelPlan
from labkit.settings import LabError


def planned_groups(model: nn.Module, plan: ChannelPlan) -> dict[str, ChannelGroup]:
    """The channel groups of ``model``. Raises ``LabError`` if the plan is for another network."""
    groups = channel_groups(model)
    if {name: group.width for name, group in groups.items()} != plan.total:
        raise LabError("The plan was made for a network of other layers or widths: make it from this network's scores.")
    for name, kept in plan.kept.items():
        if list(kept) != sorted(set(kept) & set(range(plan.total[name]))):
            raise LabError(f"The plan's channels of {name} are not ascending numbers below {plan.total[name]}.")
    return groups


def silenced(model: nn.Module, groups: dict[str, ChannelGroup], plan: ChannelPlan) -> Iterator[tuple[Tensor, Tensor]]:
    """The parameters that have to be 0 at some rows for the plan's dropped channels to put out 0, and
    those rows: γ and β of every batch normalization, the filters of layers that none stands behind."""
    modules = dict(model.named_modules())
    for name, group in groups.items():
        keep = plan.mask(name)
        if keep.all():
            continue
        for member in group.members:
            if member.axis == "out" and member.norm is None:
                layer = modules[member.layer]
                for parameter in filter(lambda p: p is not None, (layer.weight, layer.bias)):
                    yield parameter, member.dropped(keep).to(parameter.device)


@torch.no_grad()
def masked(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A copy of ``model``, of the same size, in which every dropped channel is zero: it computes what
    the thin network computes."""
    model = copy.deepcopy(model)
    for parameter, rows in silenced(model, planned_groups(model, plan), plan):
        parameter[rows] = 0
    return model


@torch.no_grad()
def folded(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A copy of ``model`` that no longer needs its dropped channels' constants.

    A channel with γ = 0 puts out a constant, such as ReLU(β). Pruning drops it; here the layers that
    read it take its effect over first, in the running mean of the batch normalization behind them or in
    their bias. Exact inside the image; zero padding makes it an approximation at the border.

    Raises ``LabError`` for a layer that has neither.
    """
    groups, constants = planned_groups(model, plan), defaultdict(list)
    flat = copy.deepcopy(model).eval()
    modules = dict(flat.named_modules())
    for name, group in groups.items():
        for member in group.members:
            if member.axis == "out" and isinstance(modules[member.layer], nn.BatchNorm2d):
                modules[member.layer].weight[member.dropped(plan.mask(name))] = 0
            elif member.axis == "in":
                constants[member.layer].append((member, plan.mask(name)))

    inputs = {}
    for layer in constants:  # the constants are read off where they arrive
        modules[layer].register_forward_pre_hook(lambda module, x, layer=layer: inputs.update({layer: x[0][0]}))
    size = models.image_size(model)
    flat(torch.zeros(1, 3, size, size, device=next(flat.parameters()).device))

    model = copy.deepcopy(model)
    modules = dict(model.named_modules())
    for layer, readers in constants.items():
        arriving = inputs[layer]
        if arriving.dim() == 3:  # a map: its centre, which padding does not reach
            arriving = arriving[:, arriving.shape[1] // 2, arriving.shape[2] // 2]
        for member, keep in readers:
            _absorb(modules, member, member.dropped(keep).to(arriving.device), arriving)
    return model


def _absorb(modules: dict, member: Member, rows: Tensor, arriving: Tensor) -> None:
    """Let what stands behind a layer take over the constants that arrive at ``rows`` of its inputs."""
    layer = modules[member.layer]
    effect = layer.weight[:, rows].flatten(2).sum(2) if layer.weight.dim() == 4 else layer.weight[:, rows]
    if member.norm:
        modules[member.norm].running_mean -= effect @ arriving[rows]
    elif layer.bias is not None:
        layer.bias += effect @ arriving[rows]
    else:
        raise LabError(f"{member.layer} has neither a bias nor a batch normalization to fold a constant into.")


@torch.no_grad()
def thin(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A smaller copy of ``model`` with only the plan's channels, weights and statistics copied; its
    widths are the plan's. Result on the CPU, in evaluation mode.

    Every layer is cut once, when what all groups keep of it is known. Raises ``LabError`` if the plan is
    for another network or leaves a group without channels.
    """
    groups = planned_groups(model, plan)
    if empty := [name for name, kept in plan.kept.items() if not kept]:
        raise LabError(f"The plan leaves {', '.join(empty)} without channels (layer collapse): plan with at_least=1.")
    cut = copy.deepcopy(model).cpu()
    modules, dropped = dict(cut.named_modules()), defaultdict(list)
    for name, group in groups.items():
        for member in group.members:
            dropped[member.layer, member.axis].append(member.dropped(plan.mask(name)))
    for layer in {layer for layer, _ in dropped}:
        _cut(
            modules[layer],
            *(torch.cat(dropped.get((layer, axis), [torch.empty(0, dtype=torch.int64)])) for axis in ("out", "in")),
        )
    cut = cut.to(memory_format=torch.channels_last).eval()
    if hasattr(model, "specification"):
        cut.specification = model.specification.with_widths(len(plan.kept[name]) for name in groups)
    else:
        _refuse_if_another(cut, masked(model, plan).cpu().eval())
    return cut


def _refuse_if_another(cut: nn.Module, silent: nn.Module) -> None:
    """Where no family vouches for a network: raise ``LabError`` if ``cut`` and ``silent`` differ on an image."""
    size = models.image_size(cut)
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = silent(x)
    try:
        same = torch.allclose(cut(x), expected, atol=1e-4 * float(expected.abs().max()) + 1e-6)
    except RuntimeError as error:  # sizes that do not fit
        same, why = False, f"({str(error).splitlines()[0]})"
    else:
        why = "(a sigmoid, an added constant)"
    if not same:
        raise LabError(
            "The thin network does not compute what the masked one does: some operation treats a silent channel in a "
            f"way of its own {why}, so this network cannot be pruned by channel groups."
        )


def _cut(layer: nn.Module, outputs: Tensor, inputs: Tensor) -> None:
    """Take the numbered ``outputs`` and ``inputs`` out of a layer."""
    keep = torch.ones(layer.weight.shape[0], dtype=torch.bool)
    keep[outputs] = False
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(layer, name, None)
        if tensor is None:
            continue
        cut = tensor.detach()[keep]
        if name == "weight" and len(inputs):
            keep_inputs = torch.ones(tensor.shape[1], dtype=torch.bool)
            keep_inputs[inputs] = False
            cut = cut[:, keep_inputs]
        is_parameter = isinstance(tensor, nn.Parameter)
        setattr(layer, name, nn.Parameter(cut, tensor.requires_grad) if is_parameter else cut)
    rows, *columns = layer.weight.shape
    match layer:
        case nn.BatchNorm2d():
            layer.num_features = rows
        case nn.Linear():
            layer.out_features, layer.in_features = rows, columns[0]
        case nn.Conv2d():
            depthwise = layer.groups > 1
            layer.out_channels, layer.in_channels = rows, rows if depthwise else columns[0]
            layer.groups = rows if depthwise else 1
