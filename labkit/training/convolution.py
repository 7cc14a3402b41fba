"""Two convolutions that a CPU computes better in another way, lent to a network while it trains or is judged.

A 3x3 convolution on a 2x2 map as one matrix product: every output sees every input there. The CPU library
reaches a third of the machine's rate, and 20 of the 36 products per channel pair meet padding; VGG-19 ends in
four such layers. A 1x1 convolution with a stride, as in a ResNet's shortcut, on the pixels that it reads: with
few input channels oneDNN's own gradient of the weight is wrong or writes past its memory (oneDNN #6035).

The network itself keeps ordinary convolutions: what is fused, exported or cut never sees this.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import type_before_parametrizations

WORTHWHILE = 32  # images: for fewer, laying out the matrix costs more than it saves
TAPS = [(q, p, 1 + p // 2 - q // 2, 1 + p % 2 - q % 2) for q in range(4) for p in range(4)]


@contextmanager
def fast_convolutions(model: nn.Module) -> Iterator[None]:
    """Inside, ``model``'s 3x3 convolutions take the product where it is faster, and strided 1x1 convolutions
    sample first; afterwards none does."""
    lent = [module for module in model.modules() if _forward_for(module) and "forward" not in vars(module)]
    for module in lent:
        module.forward = MethodType(_forward_for(module), module)
    try:
        yield
    finally:
        for module in lent:
            del module.forward


def _forward_for(module: nn.Module) -> Callable | None:
    if type_before_parametrizations(module) is not nn.Conv2d or (
        module.dilation,
        module.groups,
        module.padding_mode,
    ) != ((1, 1), 1, "zeros"):
        return None
    if (module.kernel_size, module.padding, module.stride) == ((3, 3), (1, 1), (1, 1)):
        return _forward
    sampled = (module.kernel_size, module.padding) == ((1, 1), (0, 0)) and module.stride != (1, 1)
    return _sampled_forward if sampled else None


def _forward(self: nn.Conv2d, x: Tensor) -> Tensor:
    if x.shape[2:] != (2, 2) or len(x) < WORTHWHILE or x.device.type != "cpu":
        return nn.Conv2d.forward(self, x)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    y = ConvolutionOf2x2.apply(x.to(dtype), self.weight.to(dtype))
    return y if self.bias is None else y + self.bias.to(dtype)[:, None, None]


def _sampled_forward(self: nn.Conv2d, x: Tensor) -> Tensor:
    if x.device.type != "cpu":
        return nn.Conv2d.forward(self, x)
    rows, columns = self.stride
    return F.conv2d(x[:, :, ::rows, ::columns], self.weight, self.bias)


class ConvolutionOf2x2(torch.autograd.Function):
    """``F.conv2d(x, weight, padding=1)`` for x (N, C, 2, 2) and weight (K, C, 3, 3), both of one dtype, as a
    product with a matrix (4 K, 4 C): output position q takes input position p through the tap p - q."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        (images, inputs), outputs = x.shape[:2], len(weight)
        matrix = weight.new_empty(4, outputs, 4, inputs)
        for q, p, row, column in TAPS:
            matrix[q, :, p] = weight[:, :, row, column]
        matrix = matrix.view(4 * outputs, 4 * inputs)
        flat = x.permute(0, 2, 3, 1).reshape(images, 4 * inputs)
        ctx.save_for_backward(flat, matrix)
        return (flat @ matrix.t()).view(images, 2, 2, outputs).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        # A second derivative would miss how flat and matrix came about; ``once_differentiable`` does not
        # notice where autograd.grad asks for some inputs only.
        if torch.is_grad_enabled():
            raise RuntimeError("no second derivatives inside fast_convolutions: leave it before create_graph=True")
        flat, matrix = ctx.saved_tensors
        images, outputs, inputs = len(flat), len(matrix) // 4, flat.shape[1] // 4
        gradient = gradient.permute(0, 2, 3, 1).reshape(images, 4 * outputs)
        of_x = (gradient @ matrix).view(images, 2, 2, inputs).permute(0, 3, 1, 2)
        of_matrix = (gradient.t() @ flat).view(4, outputs, 4, inputs)
        of_weight = flat.new_zeros(3, 3, outputs, inputs)
        for q, p, row, column in TAPS:
            of_weight[row, column] += of_matrix[q, :, p]
        return of_x, of_weight.permute(2, 3, 0, 1)
