"""VGG with batch normalization, built from a list of channels.

``[64, "M", 128, "M"]`` is a convolution of 64 channels, a 2x2 max pooling, a convolution of 128
channels and another pooling. A pruned network is the same list with smaller numbers, so every
network of the lab is saved and rebuilt from its list.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from labkit.settings import LabError

VGG = {
    11: (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512),
    16: (64, 64, "M", 128, 128, "M", *(256,) * 3, "M", *(512,) * 3, "M", *(512,) * 3),
    19: (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4),
}
INITIAL_SCALING_FACTOR = 0.5  # Network Slimming, section 4.3: higher baseline accuracy than 1


def vgg_channels(depth: int, width: float = 1.0) -> list:
    """The channel list of VGG-11, 16 or 19, every layer's width multiplied by ``width``."""
    if depth not in VGG:
        raise LabError(f"There is no VGG-{depth}: choose one of {', '.join(map(str, VGG))}.")
    return [c if c == "M" else max(1, round(c * width)) for c in VGG[depth]]


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution with padding 1 and no bias, ``(N, C, H, W) -> (N, K, H, W)``.

    On a 2x2 map every output sees every input. There, for a batch on a CPU, it is computed as one matrix
    product with 16 of the 36 multiplications that a convolution counts (the other 20 meet padding): the
    same result up to rounding, two to five times faster, and VGG-19 ends in four such layers.
    """

    WORTHWHILE = 32  # images: for fewer, laying out the matrix costs more than it saves

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] == (2, 2) and len(x) >= self.WORTHWHILE and x.device.type == "cpu":
            return _ConvolutionOf2x2.apply(x, self.weight.to(x.dtype))
        return super().forward(x)


class _ConvolutionOf2x2(torch.autograd.Function):
    """``F.conv2d(x, weight, padding=1)`` for x (N, C, 2, 2) and weight (K, C, 3, 3) as a product with
    a matrix (4 K, 4 C): output position q takes input position p through the tap p - q."""

    TAPS = [(q, p, 1 + p // 2 - q // 2, 1 + p % 2 - q % 2) for q in range(4) for p in range(4)]

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        (images, inputs), outputs = x.shape[:2], len(weight)
        matrix = weight.new_empty(4, outputs, 4, inputs)
        for q, p, row, column in _ConvolutionOf2x2.TAPS:
            matrix[q, :, p] = weight[:, :, row, column]
        matrix = matrix.view(4 * outputs, 4 * inputs)
        flat = x.permute(0, 2, 3, 1).reshape(images, 4 * inputs)
        ctx.save_for_backward(flat, matrix)
        return (flat @ matrix.t()).view(images, 2, 2, outputs).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        flat, matrix = ctx.saved_tensors
        images, outputs, inputs = len(flat), len(matrix) // 4, flat.shape[1] // 4
        gradient = gradient.permute(0, 2, 3, 1).reshape(images, 4 * outputs)
        of_x = (gradient @ matrix).view(images, 2, 2, inputs).permute(0, 3, 1, 2)
        of_matrix = (gradient.t() @ flat).view(4, outputs, 4, inputs)
        of_weight = flat.new_zeros(3, 3, outputs, inputs)
        for q, p, row, column in _ConvolutionOf2x2.TAPS:
            of_weight[row, column] += of_matrix[q, :, p]
        return of_x, of_weight.permute(2, 3, 0, 1)


class VGGNet(nn.Module):
    """Convolutions (3x3, no bias), each with batch normalization and ReLU, then global average
    pooling and one linear layer. Input float (N, 3, H, W), output logits (N, classes)."""

    def __init__(self, channels: list, classes: int = 10):
        super().__init__()
        self.channels, self.classes = list(channels), classes
        layers, width, index, pools = OrderedDict(), 3, 0, 0
        for c in channels:
            if c == "M":
                pools += 1
                layers[f"pool{pools}"] = nn.MaxPool2d(2)
                continue
            index += 1
            layers[f"conv{index}"] = Conv3x3(width, c)
            layers[f"norm{index}"] = nn.BatchNorm2d(c)
            layers[f"relu{index}"] = nn.ReLU(inplace=True)
            width = c
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, INITIAL_SCALING_FACTOR)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def prunable(model: nn.Module) -> dict[str, tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions whose output channels carry a scaling factor, by name, each with its norm."""
    modules = list(model.named_modules())
    return {
        name: (conv, norm)
        for (name, conv), (_, norm) in zip(modules, modules[1:])
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    }


def with_widths(channels: list, widths: list[int]) -> list:
    """The channel list with its numbers replaced, in order: ``([64, "M", 128], [3, 5]) -> [3, "M", 5]``."""
    remaining = iter(widths)
    return [c if c == "M" else next(remaining) for c in channels]
