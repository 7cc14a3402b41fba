"""One network, many widths: the accuracy of a policy without a new network, a mask or a copy."""

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data import Images, normalise
from labkit.hardware import mixed_precision
from labkit.pruning import ChannelPlan, Scores, channel_groups, width_plan
from labkit.training.convolution import fast_convolutions


class Narrow:
    """A network of ``labkit.models`` whose channels are laid in the order of their scores, the best first, once. A
    policy that keeps the best ``k`` channels of a group is then a slice of every tensor: a view. What stands before the
    first layer that reads a group is computed once for all policies, since there no channel knows of another."""

    def __init__(self, model: nn.Module, scores: Scores, images: Images, statistics: Images | None = None):
        """``images`` are judged, all in one batch; with ``statistics``, training images, batch normalization is estimated
        again on them for every policy, in the same pass. ``model`` itself is never changed."""
        self.labels, device = images.labels, images.labels.device
        self.model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.scores, modules, axes = scores, dict(self.model.named_modules()), {}
        for number, (name, group) in enumerate(channel_groups(model).items()):
            order = scores[name].argsort(stable=True).flip(0).to(device)  # as ``width_plan`` ranks ties
            for member in group.members:
                _reorder(modules[member.layer], member.axis, order)
                axes.setdefault(member.layer, {})[member.axis] = number
        self.layers = [(modules[name], _tensors(modules[name]), found) for name, found in axes.items()]
        self.depthwise = {m for m, *_ in self.layers if isinstance(m, nn.Conv2d) and m.groups > 1}
        self.told = len(statistics) if statistics else 0
        if statistics:
            for norm in filter(lambda module: isinstance(module, nn.BatchNorm2d), modules.values()):
                norm.forward = partial(_normalised, norm, self.told)

        readers = {id(module) for module, _, found in self.layers if "in" in found}
        steps = self.model.steps()
        self.start = next(i for i, step in enumerate(steps) if readers & {id(module) for module in step.modules()})
        pixels = torch.cat([statistics.pixels, images.pixels]) if statistics else images.pixels
        self.x = self._run(steps[: self.start], normalise(pixels))

    def plan(self, widths: Sequence[int]) -> ChannelPlan:
        """The plan that keeps the best ``widths[i]`` channels of the i-th group."""
        return width_plan(self.scores, dict(zip(self.scores, widths)))

    def accuracy(self, widths: Sequence[int]) -> float:
        """The accuracy 0..1 of the network that has ``widths``, as ``training.evaluate`` of its thin network has it."""
        for module, tensors, axes in self.layers:
            out, into = (widths[axes[axis]] if axis in axes else None for axis in ("out", "in"))
            for name, tensor in tensors.items():
                view = tensor[:out, :into] if tensor.dim() > 1 else tensor[:out]
                (module._parameters if name in module._parameters else module._buffers)[name] = view
            if module in self.depthwise:
                module.groups = out
        logits = self._run(self.model.steps()[self.start :], self.x[:, : widths[0]])
        return int((logits[self.told :].argmax(1) == self.labels).sum()) / len(self.labels)

    @torch.inference_mode()
    def _run(self, steps: list[nn.Module], x: Tensor) -> Tensor:
        with mixed_precision(x.device), fast_convolutions(self.model):
            for step in steps:
                x = step(x)
        return x


def _normalised(norm: nn.BatchNorm2d, told: int, x: Tensor) -> Tensor:
    """x (N, C, H, W) normalised by the mean and variance of its first ``told`` images."""
    values = x[:told].float().permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # torch.var_mean takes seven times as long
    mean = values.mean(0)
    variance = (values - mean).square_().sum(0) / (len(values) - 1)
    return F.batch_norm(x, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps)


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    """What a layer computes with, by name, but for counters."""
    found = dict(layer.named_parameters(recurse=False)) | dict(layer.named_buffers(recurse=False))
    return {name: tensor.detach() for name, tensor in found.items() if tensor.dim()}


def _reorder(layer: nn.Module, axis: str, order: Tensor) -> None:
    for tensor in _tensors(layer).values():
        if axis == "out":
            tensor.copy_(tensor[order])
        elif tensor.dim() > 1:
            tensor.copy_(tensor[:, order])
