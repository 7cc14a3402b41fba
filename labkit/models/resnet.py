"""ResNet of basic blocks (He et al., 2016, section 3.3), with the stem for small images: one 3x3
convolution of stride 1, no pooling."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models.specification import Chain, GlobalPool, stages

STAGES = (64, 128, 256, 512)


def groups(blocks: tuple[int, ...]) -> int:
    """A block's inner convolution is a group; so is each stage's residual stream, which the stem or the
    first block's shortcut begins and every block of the stage adds to."""
    return sum(blocks) + len(blocks)


def _widths(blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Full widths in the order of ``_split``."""
    widths = [STAGES[0]]
    for stage, block in stages(blocks):
        widths.append(STAGES[stage])
        if stage > 0 and block == 0:
            widths.append(STAGES[stage])
    return tuple(widths)


CATALOGUE = {name: (blocks, _widths(blocks)) for name, blocks in {"resnet18": (2, 2, 2, 2)}.items()}


class Block(nn.Module):
    """conv, norm, ReLU, conv, norm, plus the shortcut; a first block of a later stage halves the map."""

    def __init__(self, inputs: int, inner: int, width: int, halves: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, stride=2 if halves else 1, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if halves:
            convolution = nn.Conv2d(inputs, width, 1, stride=2, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=convolution, norm=nn.BatchNorm2d(width)))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class Network(Chain):
    def __init__(self, specification):
        super().__init__()
        widths = iter(specification.widths)
        stream = next(widths)
        convolution = nn.Conv2d(3, stream, 3, padding=1, bias=False)
        self.stem = nn.Sequential(OrderedDict(conv=convolution, norm=nn.BatchNorm2d(stream), relu=nn.ReLU()))
        self.blocks = nn.Sequential()
        for stage, block in stages(specification.blocks):
            inner, inputs, halves = next(widths), stream, stage > 0 and block == 0
            stream = next(widths) if halves else stream
            self.blocks.add_module(f"stage{stage + 1}_block{block + 1}", Block(inputs, inner, stream, halves))
        self.pool = GlobalPool()
        self.classifier = nn.Linear(stream, specification.classes)
