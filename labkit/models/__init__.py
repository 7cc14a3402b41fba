"""Networks for small images, each built from and described by a specification.

A family's module has ``CATALOGUE`` (its networks by name: blocks per stage and full widths), ``groups`` (channels
that can only go together) and ``Network``, a module built from a ``Specification``. A pruned network is the same specification with
smaller widths. To add a family: one module here, one entry in ``FAMILIES``.
"""

import math

import torch
from torch import nn

from labkit.models import mobilenet, resnet, vgg
from labkit.models.specification import Specification
from labkit.settings import LabError

__all__ = ["FAMILIES", "Specification", "build", "convolutions", "image_size", "named", "names", "norms"]

FAMILIES = {"vgg": vgg, "resnet": resnet, "mobilenet": mobilenet}
INITIAL_SCALING_FACTOR = 0.5  # Network Slimming, section 4.3: higher baseline accuracy than 1


def names() -> list[str]:
    return [name for family in FAMILIES.values() for name in family.CATALOGUE]


def named(name: str, width: float = 1.0, classes: int = 10, size: int = 32) -> Specification:
    """The specification of the network ``name``, such as ``"vgg19"`` or ``"resnet18"``, every layer's
    width multiplied by ``width``, for ``classes`` classes and images of ``size`` x ``size`` pixels."""
    for family, module in FAMILIES.items():
        if name in module.CATALOGUE:
            blocks, widths = module.CATALOGUE[name]
            widths = tuple(max(1, round(channels * width)) for channels in widths)
            return Specification(family, blocks, widths, classes, size)
    raise LabError(f"There is no network {name!r}: choose one of {', '.join(names())}.")


def build(specification: Specification, seed: int | None = None) -> nn.Module:
    """The network of a specification: float images (N, 3, size, size) -> logits (N, classes).

    With a ``seed`` its weights are drawn from that seed alone; without one they are zero, to be
    loaded. The global random state stays as it is. Raises ``LabError`` for an unknown family or
    widths that do not fit it.
    """
    specification.check(FAMILIES)
    with torch.device("meta"):  # no memory, no random numbers
        network = FAMILIES[specification.family].Network(specification)
    network = network.to_empty(device="cpu")
    network.specification = specification
    _initialise(network, None if seed is None else torch.Generator().manual_seed(seed))
    return network


@torch.no_grad()
def _initialise(network: nn.Module, generator: torch.Generator | None) -> None:
    """Convolutions by He et al. (2015), fan-out; the classifier as PyTorch does; biases and shifts 0."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.weight.fill_(INITIAL_SCALING_FACTOR)
            module.bias.zero_()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
            if generator is None:
                continue
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size) / module.groups
                module.weight.normal_(0, math.sqrt(2 / fan_out), generator=generator)
            else:
                bound = 1 / math.sqrt(module.in_features)
                for parameter in (module.weight, module.bias):
                    parameter.uniform_(-bound, bound, generator=generator)
        elif any(True for _ in module.parameters(recurse=False)):
            raise LabError(f"How a {type(module).__name__} begins is not said: say it in models._initialise.")


def image_size(network: nn.Module) -> int:
    """Pixels along each side of the images that ``network`` takes: its specification's, else its own
    attribute ``size``, else 32."""
    return getattr(getattr(network, "specification", network), "size", 32)


def norms(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Every batch normalization by name: its weights are the scaling factors γ."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


def convolutions(network: nn.Module) -> dict[str, tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions by name, each with the batch normalization registered right behind it.

    Raises ``LabError`` where the two are not of one width: then the order does not say which belongs to which.
    """
    modules = list(network.named_modules())
    found = {}
    for (name, convolution), (follower, norm) in zip(modules, modules[1:]):
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            if convolution.out_channels != norm.num_features:
                raise LabError(
                    f"{follower} ({norm.num_features} channels) stands behind {name} ({convolution.out_channels}) "
                    "and does not fit it: use pruning.channel_groups, which follows the data."
                )
            found[name] = convolution, norm
    return found
