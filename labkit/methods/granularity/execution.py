"""What runs: a convolution as a sparse product, 2:4 in hardware, a thin network of equal weights, and their times."""

import copy
import warnings
from bisect import bisect_left
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import measure, models
from labkit.measure import Latency, parameters
from labkit.methods.granularity.masks import checked, pattern, prunable
from labkit.models import Specification

CAPABILITY = (8, 0)  # of CUDA devices: from here on 2:4 is in the hardware


class SparseConv2d(nn.Module):
    """A convolution as the product of its weight in torch's CSR format (c_o, c_i·k_h·k_w) with the unfolded image.
    Same input, same output as ``convolution``, whose zeros are not stored and not multiplied. Not for groups."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        assert convolution.groups == 1 and isinstance(convolution.padding, tuple)
        names = ("kernel_size", "dilation", "padding", "stride")
        self.unfolding = {name: getattr(convolution, name) for name in names}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the format a beta
            self.weight = convolution.weight.detach().flatten(1).to_sparse_csr()
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        (n, _, *sizes), settings = x.shape, self.unfolding.values()
        height, width = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, dilation, padding, stride in zip(sizes, *settings)
        )
        columns = F.unfold(x, **self.unfolding).transpose(0, 1).flatten(1)  # (c_i·k_h·k_w, N·places)
        y = (self.weight @ columns).unflatten(1, (n, height, width)).transpose(0, 1)
        return y if self.bias is None else y + self.bias[:, None, None]


def sparse(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in evaluation mode whose convolutions are ``SparseConv2d``."""
    model = copy.deepcopy(model).eval()
    for name, layer in prunable(model).items():
        if isinstance(layer, nn.Conv2d):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, SparseConv2d(layer))
    return model


def thin_specification(network: Specification, ratio: float) -> Specification:
    """The network with all widths multiplied by one number, so that its parameters come nearest to those that the
    ratio leaves of ``network``. Raises ``LabError`` for a ratio outside [0, 1)."""

    def narrowed(percent: int) -> Specification:
        return replace(network, widths=tuple(max(1, round(width * percent / 200)) for width in network.widths))

    def weights(percent: int) -> int:
        thin = narrowed(percent)
        with torch.device("meta"):  # counted, not made
            return parameters(models.FAMILIES[thin.family].Network(thin))

    percents = range(1, 201)
    wanted = (1 - checked(ratio)) * weights(200)
    place = bisect_left(percents, wanted, key=weights)
    return narrowed(min(percents[max(0, place - 1) : place + 1], key=lambda percent: abs(weights(percent) - wanted)))


def in_hardware(device: torch.device) -> bool:
    """Whether the device multiplies 2:4 matrices at twice the rate: CUDA of compute capability 8.0 or newer."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= CAPABILITY


@torch.no_grad()
def two_four_product(matrix: Tensor, x: Tensor) -> tuple[Tensor, str]:
    """``matrix`` (rows, columns) with its 2:4 mask, times ``x`` (columns, n), and how it was done: ``"executed"`` in
    float16 by ``torch.sparse.to_sparse_semi_structured`` where the device has it, else ``"emulated"`` by a dense
    product with zeros, which gives the same numbers and saves nothing. Raises ``LabError`` as ``pattern`` does."""
    pruned = matrix * pattern(matrix, 2, 4)
    if in_hardware(matrix.device):
        return torch.sparse.to_sparse_semi_structured(pruned.half().contiguous()) @ x.half(), "executed"
    return pruned @ x, "emulated"


@torch.inference_mode()
def latencies(networks: list[nn.Module], batch: int, runs: int = 100, threads: int = 1) -> list[Latency]:
    """Inference time of every network on one batch of random images, on the CPU; as ``measure.latency``, but the
    networks take turns, run by run, so that what else the machine does meets all of them alike. They are put into
    evaluation mode and their convolutions into channels_last."""
    size = models.image_size(networks[0])
    x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    for layer in (layer for network in networks for layer in network.eval().modules() if isinstance(layer, nn.Conv2d)):
        layer.to(memory_format=torch.channels_last)  # as convolutions are fastest
    return measure.in_turns(networks, x, runs, threads)
