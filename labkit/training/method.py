"""What a pruning method does while a network trains: the places where the loop lets it in."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from labkit.data import Dataset


@dataclass(frozen=True)
class Finished:
    """What a training with a method leaves: a plain network of ``labkit.models``, the ``ChannelPlan`` that cut it
    as a dictionary (None where no channel went), and what the record's ``results`` say besides."""

    network: nn.Module
    plan: dict | None = None
    results: dict = field(default_factory=dict)


class Method:
    """A training with such an object calls it at these places; each does nothing unless a method says otherwise.

    Everything that changes while it trains lives in the network, as parameters and buffers, so that a checkpoint
    has it: the object itself holds constants and functions only. It has to be picklable by cloudpickle.
    """

    def describe(self) -> dict:
        """The name, every constant and a probe of each function given: ``method`` in the record's configuration."""
        raise NotImplementedError

    def attach(self, model: nn.Module, seed: int) -> None:
        """Put what the method needs into the network, in place, before it is brought to its device."""

    def groups(self, model: nn.Module) -> list[dict]:
        """The optimizer's groups for parameters of the method's own: ``params`` and ``weight_decay``, and
        ``factor``, of the learning rate (1 unless given). All other parameters train by the recipe."""
        return []

    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> bool:
        """Before the epoch ``number`` (from 1) of ``epochs``; whether a step computes something else from here on. A
        continued training calls it for the epochs that are left: what it sets and the checkpoint does not have, such
        as ``requires_grad``, it sets every time."""
        return False

    def loss(self, model: nn.Module) -> Tensor | None:
        """A scalar added to the loss of every step."""

    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        """After each update with the learning rate ``rate``; ``done`` is the share of all steps taken, 0..1. It is
        not part of a recorded step, so it may look at numbers and decide."""

    def numbers(self, model: nn.Module) -> dict[str, float]:
        """What the history says of the epoch besides."""
        return {}

    def finish(self, model: nn.Module, rates: list[float]) -> Finished:
        """What is left of the trained network; ``rates`` are the learning rates of all steps."""
        return Finished(model)
