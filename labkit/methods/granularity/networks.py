"""The lecture's five networks, counted: torchvision's definitions, images of 224 x 224, no weights downloaded."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from labkit import measure
from labkit.methods.granularity.published import LECTURE

SIZE = 224
# torchvision's name, and what keeps it from building parts that take no part in inference or drawing weights.
DEFINITIONS = {
    "AlexNet": ("alexnet", {}),
    "VGG-16": ("vgg16", {}),
    "GoogLeNet": ("googlenet", {"aux_logits": False, "init_weights": False}),
    "ResNet50": ("resnet50", {}),
    "SqueezeNet": ("squeezenet1_0", {}),
}


@dataclass(frozen=True)
class Counted:
    """``parameters`` and ``macs`` (one image) of torchvision's network; ``published``: the row of the lecture's table;
    ``recomputed``: how many times fewer parameters its own two numbers make, and ours divided by its number after."""

    name: str
    parameters: int
    macs: int
    published: dict

    @property
    def recomputed(self) -> tuple[float, float]:
        after = self.published["after"]
        return self.published["before"] / after, self.parameters / 1e6 / after

    @property
    def doubtful(self) -> str:
        """What does not add up: the printed factor is further than a twentieth from both recomputed ones, or from
        one of them; empty where it agrees with both."""
        printed = self.published["parameters"]
        own, ours = (abs(factor / printed - 1) <= 0.05 for factor in self.recomputed)
        if own and ours:
            return ""
        if ours:
            return "the table's own “before” is rounded too far"
        if own:
            return "holds for another definition than torchvision's"
        return "printed too small" if min(self.recomputed) > printed else "printed too large"


def network(name: str) -> nn.Module:
    """One of ``DEFINITIONS`` on the meta device: shapes without memory, so that nothing is drawn or downloaded."""
    from torchvision import models

    definition, options = DEFINITIONS[name]
    with torch.device("meta"):
        built = getattr(models, definition)(weights=None, **options)
    built.size = SIZE
    return built


@cache
def counted() -> tuple[Counted, ...]:
    """The lecture's table with our counts beside it."""
    built = {name: network(name) for name in DEFINITIONS}
    return tuple(Counted(name, measure.parameters(n), measure.macs(n), LECTURE[name]) for name, n in built.items())
