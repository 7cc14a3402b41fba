"""A 3x3 convolution on a 2x2 map as one matrix product, lent to a network while it trains or is judged.

On a 2x2 map every output sees every input. The CPU library reaches a third of the machine's rate there,
and 20 of the 36 products per channel pair meet padding; VGG-19 ends in four such layers. The network
itself keeps ordinary convolutions: what is fused, exported or cut never sees this.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor, nn

WORTHWHILE = 32  # images: for fewer, laying out the matrix costs more than it saves
TAPS = [(q, p, 1 + p // 2 - q // 2, 1 + p % 2 - q % 2) for q in range(4) for p in range(4)]


@contextmanager
def fast_convolutions(model: nn.Module) -> Iterator[None]:
    """Inside, ``model``'s 3x3 convolutions take the product where it is faster; afterwards none does."""
    lent = [module for module in model.modules() if _fits(module) and "forward" not in vars(module)]
    for module in lent:
        module.forward = MethodType(_forward, module)
    try:
        yield
    finally:
        for module in lent:
            del module.forward


def _fits(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d:
        return False
    shape = (module.kernel_size, module.padding, module.stride, module.dilation, module.groups, module.padding_mode)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def _forward(self: nn.Conv2d, x: Tensor) -> Tensor:
    if x.shape[2:] != (2, 2) or len(x) < WORTHWHILE or x.device.type != "cpu":
        return nn.Conv2d.forward(self, x)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    y = ConvolutionOf2x2.apply(x.to(dtype), self.weight.to(dtype))
    return y if self.bias is None else y + self.bias.to(dtype)[:, None, None]


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
