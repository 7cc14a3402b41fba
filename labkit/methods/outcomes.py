"""What a method says of itself on the page of the whole course: an ``Outcome`` for each network that it left.

A package declares ``summary(folder) -> list[Outcome]``: what the runs in one lab's folder show; nothing where it has no
runs there. ``methods.page`` puts those of all methods together.
"""

from dataclasses import dataclass
from functools import cache

from labkit import measure, models
from labkit.models import Specification
from labkit.records import Record

FLOAT = 4  # bytes of a float32
CHANNELS, WEIGHTS, BITS, SEVERAL = "whole channels", "single weights", "bits of a number", "several of these"
NAMES = {"vgg11": "VGG-11", "vgg19": "VGG-19", "resnet18": "ResNet18", "mobilenetv2": "MobileNetV2"}


@dataclass(frozen=True)
class Outcome:
    """One network that a ``method`` left with one ``setting`` (its words, without the seed), as the record ``run`` has it.

    ``removed``: what was taken away, one of ``CHANNELS``, ``WEIGHTS``, ``BITS``, ``SEVERAL``. ``notebook``: where it is
    taught, the file's name without ending. ``dense``: the network before. ``accuracy`` and ``before``: on validation
    images, of what is left and of the dense network with the same seed, 0..1. ``bytes`` and ``macs``: what is left of
    the dense network's file and multiply-accumulates, as shares; None where the number says nothing. ``trained``: whether
    weights were trained while or after it was made smaller. ``time``: the share of the dense network's latency with one
    image on a CPU, where it was measured or predicted from measurements.
    """

    method: str
    setting: str
    removed: str
    notebook: str
    run: Record
    dense: Specification
    accuracy: float
    before: float
    bytes: float | None
    macs: float | None
    trained: bool = True
    time: float | None = None

    @property
    def lost(self) -> float:
        """Points of accuracy lost against the dense network; below 0 where some were gained."""
        return 100 * (self.before - self.accuracy)


@cache
def stored(network: Specification) -> int:
    """Bytes of a network's parameters and buffers as float32, without the counters of batch normalization."""
    state = models.build(network).state_dict().values()
    return FLOAT * sum(tensor.numel() for tensor in state if tensor.is_floating_point())


@cache
def computed(network: Specification) -> int:
    """Multiply-accumulates of a network, one image."""
    return measure.macs(models.build(network))


def thinner(dense: Specification, thin: Specification, macs: float | None = None) -> dict[str, float]:
    """``bytes`` and ``macs`` of an ``Outcome`` whose network is a thinner one of the same kind; ``macs``: the share of
    multiply-accumulates where the record has it, counted where not."""
    return {"bytes": stored(thin) / stored(dense), "macs": macs or computed(thin) / computed(dense)}


def masked(dense: Specification, weights: int, zeros: float) -> dict[str, float | None]:
    """``bytes`` and ``macs`` of an ``Outcome`` in which the share ``zeros`` of that many ``weights`` is 0: a map says
    which, one bit for each of them. No multiply-accumulate is saved, since a processor multiplies by zeros too."""
    return {"bytes": 1 - (FLOAT * zeros * weights - weights / 8) / stored(dense), "macs": None}


def printed(network: Specification) -> str:
    """A network's name, and what its file takes: ``VGG-11, 2.3 MB``."""
    catalogue = models.FAMILIES[network.family].CATALOGUE.items()
    name = next((NAMES[name] for name, (blocks, _) in catalogue if blocks == network.blocks), network.family)
    return f"{name}, {stored(network) / 1e6:.2g} MB"
