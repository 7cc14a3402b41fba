"""MobileNetV2 (Sandler et al., 2018, table 2), with strides for images of 32x32: the stem and the
second stage keep the map's size, so that it ends at 4x4."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models.specification import Chain, GlobalPool, stages
from labkit.settings import LabError

STEM, HEAD, EXPANSION = 32, 1280, 6
STAGES = (16, 24, 32, 64, 96, 160, 320)
STRIDES = (1, 1, 2, 2, 1, 2, 1)  # of each stage's first block


def groups(blocks: tuple[int, ...]) -> int:
    """Stem, head, each stage's stream, and each block's expanded channels, on which its depthwise
    convolution works as well; the first stage does not expand."""
    if len(blocks) > len(STRIDES):
        raise LabError(f"A mobilenet has at most {len(STRIDES)} stages, not {len(blocks)}.")
    return 2 + len(blocks) + sum(blocks[1:])


def _widths(blocks: tuple[int, ...]) -> tuple[int, ...]:
    widths, stream = [STEM], STEM
    for stage, block in stages(blocks):
        if stage > 0:
            widths.append(EXPANSION * stream)
        if block == 0:
            stream = STAGES[stage]
            widths.append(stream)
    return (*widths, HEAD)


CATALOGUE = {name: (blocks, _widths(blocks)) for name, blocks in {"mobilenetv2": (1, 2, 3, 4, 3, 3, 1)}.items()}


def _unit(inputs: int, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False) -> list[nn.Module]:
    groups = inputs if depthwise else 1
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class Block(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution, 1x1 projection without an activation; the input is added
    where a block continues its stage."""

    def __init__(self, inputs: int, inner: int | None, width: int, stride: int, adds: bool):
        super().__init__()
        self.adds, self.expands = adds, inner is not None
        if self.expands:
            self.expand, self.expand_norm = _unit(inputs, inner, 1)
        inner = inner or inputs
        self.depthwise, self.depthwise_norm = _unit(inner, inner, 3, stride, depthwise=True)
        self.project, self.project_norm = _unit(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self.expand_norm(self.expand(x))) if self.expands else x
        inner = F.relu6(self.depthwise_norm(self.depthwise(inner)))
        projected = self.project_norm(self.project(inner))
        return x + projected if self.adds else projected


class Network(Chain):
    def __init__(self, specification):
        super().__init__()
        widths = iter(specification.widths)
        stream = next(widths)
        self.stem = nn.Sequential(OrderedDict(zip(("conv", "norm", "relu"), (*_unit(3, stream, 3), nn.ReLU6()))))
        self.blocks = nn.Sequential()
        for stage, block in stages(specification.blocks):
            inner, inputs, first = next(widths) if stage > 0 else None, stream, block == 0
            stream = next(widths) if first else stream
            stride = STRIDES[stage] if first else 1
            self.blocks.add_module(
                f"stage{stage + 1}_block{block + 1}", Block(inputs, inner, stream, stride, adds=not first)
            )
        width = next(widths)
        self.head = nn.Sequential(OrderedDict(zip(("conv", "norm", "relu"), (*_unit(stream, width, 1), nn.ReLU6()))))
        self.pool = GlobalPool()
        self.classifier = nn.Linear(width, specification.classes)
