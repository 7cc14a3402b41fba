"""What others measured of slimmed networks that were not fine-tuned, to stand under our own sweeps."""

from labkit.models.vgg import BLOCKS
from labkit.records import Record

# pytorch-slimming (foolwood, an older PyTorch version of the paper): VGG-19 at full width, CIFAR-10, λ = 1e-4, as it
# stands after pruning: test accuracy by prune ratio.
UNTUNED = {0.1: 0.9372, 0.2: 0.9376, 0.3: 0.9375, 0.4: 0.9375, 0.5: 0.9340, 0.6: 0.3783, 0.7: 0.1000}
SOURCE = "pytorch-slimming, λ = 1e-4"


def is_beside(sweep: Record) -> bool:
    """Whether ``UNTUNED`` is of the same network, at whatever width, on the same kind of images: VGG-19, CIFAR-10 as
    it is or as a folder of that name."""
    kind, _, name = sweep.config["data"]["name"].rpartition(":")
    blocks = tuple(sweep.specification.blocks)
    return (
        (kind, name) in (("", "cifar10"), ("folder", "cifar10"))
        and sweep.specification.family == "vgg"
        and blocks == BLOCKS["vgg19"]
    )
