"""What the channels put out, seen in one pass over images: how often each is zero, and how the inputs of the layers
that read them go together."""

import copy
import operator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from labkit.data import Images, batches
from labkit.hardware import mixed_precision
from labkit.pruning.groups import ChannelGroup, channel_groups
from labkit.pruning.scores import by_group
from labkit.settings import LabError

RELUS = (nn.ReLU, nn.ReLU6, F.relu, F.relu6, torch.relu, torch.relu_, "relu", "relu_")
PATCHES = 10  # He et al. (2017), section 4: samples for each image


@dataclass(frozen=True)
class Observed:
    """``zeros``: by channel group, the average percentage of zeros behind its ReLUs as a share 0..1, float
    (width,), for groups that pass one. ``moments``: by reading layer the second moments of what it sees, float
    (inputs * k * k, inputs * k * k): the mean over sampled patches of x xᵀ."""

    zeros: dict[str, Tensor]
    moments: dict[str, Tensor]


@torch.no_grad()
def observed(
    model: nn.Module, images: Images, layers: list[str] | None = None, patches: int = PATCHES, seed: int = 0
) -> Observed:
    """What ``model`` in evaluation mode shows of its channels on ``images``. ``layers`` names the reading layers
    whose inputs are wanted (None: all; [] counts zeros only); of each image, ``patches`` places of a convolution's
    output are drawn, and the patch that each of them sees is taken.

    Raises ``LabError`` for a network that cannot be followed, no images, a layer that reads no channel group, or
    inputs that are not finite.
    """
    if not len(images):
        raise LabError("There are no images to watch the channels on: give some training images.")
    device, groups = images.labels.device, channel_groups(model)
    readers = [layer for group in groups.values() for layer in group.layers("in")]
    if unknown := sorted(set(layers or ()) - set(readers)):
        raise LabError(f"{unknown[0]} reads no channel group: choose from {', '.join(readers)}.")
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).eval()
    watch = _Watch(model, groups, readers if layers is None else layers, patches, seed)
    with mixed_precision(device):
        for x, _ in batches(images, 100):
            watch.run(x)
    if odd := [name for name, total in watch.totals.items() if not total.isfinite().all()]:
        raise LabError(f"What {odd[0]} is given is not finite: the network did not train, or its weights are damaged.")
    zeros = {name: torch.stack([watch.zeros[node] for node in nodes]).mean(0) for name, nodes in watch.relus.items()}
    return Observed(
        {name: (share / len(images)).float().cpu() for name, share in zeros.items()},
        {name: (total / watch.samples[name]).cpu() for name, total in watch.totals.items()},
    )


class _Watch(fx.Interpreter):
    """Runs a traced network node by node, and looks at what its ReLUs put out and at what its readers are given."""

    def __init__(self, model: nn.Module, groups: dict[str, ChannelGroup], layers: list[str], patches: int, seed: int):
        super().__init__(_traced(model))
        self.patches, self.layers = patches, set(layers)
        self.generator = torch.Generator().manual_seed(seed)
        self.zeros, self.totals, self.samples = {}, {}, {}
        owner = {layer: name for name, group in groups.items() for layer in group.layers("out")}
        self.relus: dict[str, list[fx.Node]] = {}
        for node in self.module.graph.nodes:
            if _kind(self.module, node) in RELUS and (group := _owner(node.all_input_nodes, owner)):
                self.relus.setdefault(group, []).append(node)
        self.watched = {node for nodes in self.relus.values() for node in nodes}

    def run_node(self, node: fx.Node):
        if node.target in self.layers:
            self._add(node.target, self.fetch_args_kwargs_from_env(node)[0][0])
        result = super().run_node(node)
        if node in self.watched:
            zero = (result == 0).float().reshape(*result.shape[:2], -1).mean(2).sum(0)
            self.zeros[node] = self.zeros.get(node, 0) + zero
        return result

    def _add(self, name: str, x: Tensor) -> None:
        rows = _patches(self.module.get_submodule(name), x, self.patches, self.generator).float()
        with torch.autocast(x.device.type, enabled=False):  # half precision would drown what LASSO and ThiNet compare
            self.totals[name] = self.totals.get(name, 0) + rows.T @ rows
        self.samples[name] = self.samples.get(name, 0) + len(rows)


def _traced(model: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(model)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        raise LabError(
            f"What this {type(model).__name__} computes cannot be followed step by step ({error})."
        ) from None


def _kind(module: nn.Module, node: fx.Node):
    return type(module.get_submodule(node.target)) if node.op == "call_module" else node.target


def _owner(nodes: list[fx.Node], owner: dict[str, str]) -> str | None:
    """The channel group of the nearest layer behind ``nodes``, going back."""
    for node in nodes:
        if node.op == "call_module" and node.target in owner:
            return owner[node.target]
        adds = node.op == "call_function" and node.target in (operator.add, operator.iadd, torch.add)
        passes = node.op == "call_module" and node.target not in owner
        if (adds or passes) and (found := _owner(node.all_input_nodes, owner)):
            return found
    return None


def _patches(layer: nn.Module, x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(samples, inputs * k * k): what the layer is given at ``count`` random places of each image's output; of a
    linear layer, every row."""
    if isinstance(layer, nn.Linear):
        return x
    padded = F.pad(x, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)
    lines = []
    for size, kernel, stride, step in zip(padded.shape[2:], layer.kernel_size, layer.stride, layer.dilation):
        last = (size - step * (kernel - 1) - 1) // stride
        places = torch.randint(0, last + 1, (len(x), count, 1), generator=generator) * stride
        lines.append((places + step * torch.arange(kernel)).to(x.device))
    rows, columns = lines
    image = torch.arange(len(x), device=x.device)[:, None, None, None]
    found = padded.permute(0, 2, 3, 1)[image, rows[..., :, None], columns[..., None, :]]  # (N, count, k, k, inputs)
    return found.permute(0, 1, 4, 2, 3).reshape(len(x) * count, -1)


def activity(model: nn.Module, images: Images) -> dict[str, Tensor]:
    """1 - APoZ: how often a channel's ReLU is not zero, 0..1. APoZ, the average percentage of zeros (Hu et al.,
    2016, equation 1), prunes the channels that are zero most often.

    Raises ``LabError`` for a channel group that passes no ReLU, and where ``observed`` does.
    """
    zeros = observed(model, images, layers=[]).zeros

    def rows(group: ChannelGroup) -> list[Tensor]:
        if group.name not in zeros:
            raise LabError(f"The channels of {group.name} pass no ReLU, so they have no average percentage of zeros.")
        return [1 - zeros[group.name]]

    return by_group(model, rows, "mean")
