"""AutoPrune: a second parameter for every weight decides whether the weight is there.

Xiao, Wang and Rajasekaran (*AutoPrune: Automatic Network Pruning by Regularizing Auxiliary Parameters*, NeurIPS 2019):
the layer computes with w · h(m), h(m) = 1 where the auxiliary parameter m is above 0, else 0. h has no
useful derivative, so m learns from a *coarse* gradient, that of a smooth stand-in (softplus) with the weight's sign in
place of the weight: a connection whose |w| the loss wants larger gets a larger m, and the size of w says nothing. The
penalty μ · Σ softplus(m) pulls every m down. A weight that is switched off keeps its value and its m goes on learning,
so it can come back (*recoverable pruning*).

The paper states two problems, one for the weights and one for the auxiliary parameters; here both learn from the same
batch, in one step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from labkit.methods.granularity.masks import prunable
from labkit.methods.learned.base import Learned, answers

CoarseGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The loss's gradient by w · h(m), the weights and the auxiliary parameters -> what stands for the gradient by m; all
four of one shape."""
PROBE = (1.0, 1.0, -1.0, 2.0, 0.5), (-2.0, 0.5, 0.5, 0.0, 3.0), (-1.0, 0.0, 1.0, 2.0, -3.0)


class _Switched(torch.autograd.Function):
    """w · h(m): the gradient by w is that of the product, the one by m is coarse."""

    @staticmethod
    def forward(ctx, weights: Tensor, auxiliary: Tensor, function: CoarseGradient) -> Tensor:
        ctx.save_for_backward(weights, auxiliary)
        ctx.function = function
        return weights * (auxiliary > 0)

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, auxiliary = ctx.saved_tensors
        return upstream * (auxiliary > 0), ctx.function(upstream, weights, auxiliary), None


class Switches(nn.Module):
    """Stands in front of a layer's weight; ``auxiliary`` has its shape."""

    def __init__(self, auxiliary: Tensor, function: CoarseGradient):
        super().__init__()
        self.auxiliary, self.function = nn.Parameter(auxiliary), function

    def forward(self, weights: Tensor) -> Tensor:
        return _Switched.apply(weights, self.auxiliary, self.function)


@dataclass(frozen=True)
class AutoPrune(Learned):
    """``mu`` weighs the penalty. m begins as ``start`` · |w| / mean |w| of its layer, and learns at ``rate`` times the
    learning rate."""

    function: CoarseGradient
    mu: float
    start: float
    rate: float
    name: ClassVar[str] = "autoprune"

    def probe(self) -> list[float]:
        given = [torch.tensor(values) for values in PROBE]
        return answers(self.function, *given, like=given[:1])

    def attach(self, model: nn.Module, seed: int) -> None:
        for layer in prunable(model).values():
            size = layer.weight.detach().abs()
            switches = Switches(self.start * size / size.mean(), self.function)
            parametrize.register_parametrization(layer, "weight", switches)

    def groups(self, model: nn.Module) -> list[dict]:
        return [{"params": switches(model), "weight_decay": 0.0, "factor": self.rate}]

    def loss(self, model: nn.Module) -> Tensor:
        return self.mu * sum(F.softplus(auxiliary).sum() for auxiliary in switches(model))


def switches(model: nn.Module) -> list[nn.Parameter]:
    """Every layer's auxiliary parameters."""
    return [layer.parametrizations.weight[0].auxiliary for layer in prunable(model).values()]
