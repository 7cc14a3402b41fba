"""What the methods of this package share: the network that they leave, and what a record says of it."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from labkit import models
from labkit.methods.granularity.masks import prunable
from labkit.models import Specification
from labkit.pruning import ChannelPlan, scaling_factors, thin
from labkit.settings import LabError
from labkit.training.method import Finished, Method

FLOAT = 32  # bits of a weight that nobody quantized
RANGE_BYTES = 8  # the smallest and the largest weight of a quantized tensor, from which its levels follow


class Learned(Method):
    """A method that prunes while a network trains. Its fields are constants and at most one function; a field
    ``target`` is the share that it is asked to prune."""

    name: ClassVar[str]

    @property
    def folder(self) -> str:
        """The name of its run's folder."""
        target = getattr(self, "target", None)
        return self.name if target is None else f"{self.name}-{100 * target:g}"

    def describe(self) -> dict:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"name": self.name} | {k: v for k, v in given.items() if not callable(v)} | {"probe": self.probe()}

    def probe(self) -> list[float] | None:
        """What the function answers to a few numbers: it tells runs of different functions apart. Raises
        ``LabError`` for an answer that nothing can be trained with."""
        return None

    def numbers(self, model: nn.Module) -> dict[str, float]:
        return {"sparsity": zero_share(layer.weight for layer in prunable(model).values()), "bits": float(FLOAT)}

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        network = plain(model)
        return Finished(network, results=summary(model.specification, network) | {"shrinkage_budget": 0.0})


class Channelwise(Learned):
    """A method that leaves whole channels silent, γ = 0 and β = 0; they are cut when the training is over."""

    def numbers(self, model: nn.Module) -> dict[str, float]:
        return {"sparsity": zero_share(norm.weight for norm in models.norms(model).values()), "bits": float(FLOAT)}

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        silent = plain(model)
        plan = plan_of_silent(silent)
        network = thin(silent, plan)
        results = summary(model.specification, network) | {"shrinkage_budget": self.shrinkage(rates)}
        return Finished(network, plan.to_dict(), results)

    def shrinkage(self, rates: list[float]) -> float:
        """How far the method alone moves a scaling factor in a training with these learning rates."""
        return 0.0


@torch.no_grad()
def plain(model: nn.Module) -> nn.Module:
    """The network of ``labkit.models`` that a training network computes as: its weights are those that the layers
    use, after all that was put in front of them. On the CPU, in evaluation mode."""
    network = models.build(model.specification)
    for name, value in network.state_dict().items():
        module, _, attribute = name.rpartition(".")
        value.copy_(getattr(model.get_submodule(module), attribute))
    return network.to(memory_format=torch.channels_last).eval()


def plan_of_silent(network: nn.Module) -> ChannelPlan:
    """The plan that cuts every channel whose scaling factors are all 0; a group that has no other keeps its first
    channel."""
    factors = scaling_factors(network, join="max")
    kept = {name: tuple(values.nonzero().flatten().tolist()) for name, values in factors.items()}
    share = zero_share(factors.values())
    return ChannelPlan(
        kept={name: channels or (0,) for name, channels in kept.items()},
        total={name: len(values) for name, values in factors.items()},
        requested=share,
        threshold=0.0 if share else None,
        guarded=tuple(name for name, channels in kept.items() if not channels),
    )


def summary(before: Specification, network: nn.Module, bits: dict[str, int] | None = None) -> dict:
    """What a record's results say of a ``network`` that was made from one of the specification ``before``; ``bits``
    by layer, where they are not 32.

    ``layers``: by name the ``elements`` of the weight before, its ``zeros`` (weights that are 0, or went with their
    channel) and the ``bits`` of each that stays. ``sparsity``: the share of all these weights that are zeros.
    ``bits``: the mean over all of them. ``bytes``: what the network takes in a file. Weights that are not 0 count
    their bits. A layer that holds zeros has a map besides, one bit for each of its weights; a layer of fewer than 32
    bits stores all its weights and its range. Biases and batch normalization count 32 bits a number.
    """
    bits, elements = bits or {}, {name: w.weight.numel() for name, w in prunable(models.build(before)).items()}
    layers = {}
    for name, layer in prunable(network).items():
        zeros = elements[name] - int(layer.weight.count_nonzero())
        layers[name] = {"elements": elements[name], "zeros": zeros, "bits": bits.get(name, FLOAT)}
    return totals(layers, network) | {"layers": layers}


def totals(layers: dict[str, dict], network: nn.Module) -> dict[str, float]:
    """``sparsity``, ``bits`` and ``bytes`` of ``summary``, from its ``layers`` and the network that is left."""
    weights, size = prunable(network), 0.0
    for name, layer in layers.items():
        stay, here, each = layer["elements"] - layer["zeros"], weights[name].weight.numel(), layer["bits"]
        size += stay * each / 8 + (here / 8 if stay < here else 0) if each == FLOAT else here * each / 8 + RANGE_BYTES
    names = {f"{name}.weight" for name in layers}
    others = (value for name, value in network.state_dict().items() if name not in names)
    size += sum(value.numel() * FLOAT / 8 for value in others if value.is_floating_point())
    count = sum(layer["elements"] for layer in layers.values())
    return {
        "sparsity": sum(layer["zeros"] for layer in layers.values()) / count,
        "bits": sum(layer["elements"] * layer["bits"] for layer in layers.values()) / count,
        "bytes": size,
    }


def zero_share(tensors: Iterable[Tensor]) -> float:
    """The share of the tensors' elements that are 0."""
    counts = [(int(tensor.count_nonzero()), tensor.numel()) for tensor in tensors]
    return 1 - sum(stay for stay, _ in counts) / sum(size for _, size in counts)


def tail(share: float, epochs: int) -> int:
    """The number (from 1) of the epoch with which the last ``share`` of ``epochs`` begins; one epoch at least is
    before it, and one in it. Raises ``LabError`` for fewer than two epochs."""
    if epochs < 2:
        raise LabError(f"{epochs} epoch cannot be divided into training and tuning: train for two or more.")
    return epochs + 1 - min(max(1, round(share * epochs)), epochs - 1)


def answers(function: Callable, *given, like: list[Tensor]) -> list[float]:
    """The numbers in what a student's function returns for ``given``: one tensor, or as many as ``like`` has, each of
    the same shape. Raises ``LabError`` for anything else, or a number that is not finite."""
    answer = function(*given)
    found = list(answer) if isinstance(answer, (tuple, list)) else [answer]
    shapes = [tuple(tensor.shape) for tensor in like]
    if [tuple(t.shape) if isinstance(t, Tensor) else None for t in found] != shapes:
        raise LabError(
            f"{_name(function)} gave {_short(answer)}: return {len(like)} tensor{'s' * (len(like) > 1)} of shape "
            f"{', '.join(map(str, shapes))}."
        )
    values = torch.cat([tensor.detach().double().flatten() for tensor in found])
    if not values.isfinite().all():
        raise LabError(
            f"{_name(function)} gave {_short(answer)}: every number has to be finite, also where a weight is 0."
        )
    return [round(value, 6) + 0.0 for value in values.tolist()]  # -0.0 is 0.0


def _name(function: Callable) -> str:
    return getattr(function, "__name__", "the function")


def _short(answer: object) -> str:
    text = " ".join(str(answer).split())
    return text if len(text) < 100 else f"{text[:100]} …"


def checked_share(target: float | None) -> None:
    """Raises ``LabError`` for a share that nothing can be pruned to."""
    if target is not None and not 0 < target < 1:
        raise LabError(f"The target is {target!r}: give a share above 0 and below 1, such as 0.8.")
