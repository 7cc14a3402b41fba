"""VGG with batch normalization (Simonyan and Zisserman, 2015, configurations A, D and E), for small
images: global average pooling and one linear layer instead of three."""

from collections import OrderedDict
from itertools import accumulate

from torch import nn

from labkit.models.specification import Chain, GlobalPool

STAGES = (64, 128, 256, 512, 512)
BLOCKS = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CATALOGUE = {
    name: (blocks, tuple(width for width, count in zip(STAGES, blocks) for _ in range(count)))
    for name, blocks in BLOCKS.items()
}


def groups(blocks: tuple[int, ...]) -> int:
    """Every convolution is a channel group of its own."""
    return sum(blocks)


class Network(Chain):
    """Stages of 3x3 convolutions (no bias), each with batch normalization and ReLU; 2x2 max pooling
    between stages."""

    def __init__(self, specification):
        super().__init__()
        layers, inputs = OrderedDict(), 3
        stage_ends = list(accumulate(specification.blocks))
        for number, width in enumerate(specification.widths, 1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm2d(width)
            layers[f"relu{number}"] = nn.ReLU(inplace=True)
            if number in stage_ends[:-1]:
                layers[f"pool{stage_ends.index(number) + 1}"] = nn.MaxPool2d(2)
            inputs = width
        self.features = nn.Sequential(layers)
        self.pool = GlobalPool()
        self.classifier = nn.Linear(inputs, specification.classes)
