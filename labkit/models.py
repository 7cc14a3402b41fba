"""VGG with batch normalization, built from a list of channels.

``[64, "M", 128, "M"]`` is a convolution of 64 channels, a 2x2 max pooling, a convolution of 128
channels and another pooling. A pruned network is the same list with smaller numbers, so every
network of the lab is saved and rebuilt from its list.
"""

from collections import OrderedDict

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
            layers[f"conv{index}"] = nn.Conv2d(width, c, 3, padding=1, bias=False)
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
