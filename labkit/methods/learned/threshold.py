"""Soft Threshold Reparameterization: every layer learns the threshold below which its weights are 0.

Kusupati et al. (*Soft Threshold Weight Reparameterization for Learnable Sparsity*, ICML 2020, section 3): the layer
computes with S(w, g(s)) = sign(w) · max(|w| - g(s), 0), g the sigmoid, and s, one number a layer, is trained with the
weights. s begins far below 0, so that the threshold is about 0, and the weight decay on s pulls it up towards g(0) = ½.

How sparse that ends depends on where s begins, on the decay and on the number of steps together: from s = -12 to s = -2
the threshold grows by nearly 20,000 times, and every size of weight lies on a small part of that way. So constants that
are right for ImageNet leave a short training dense (the authors' repository, RAIVNLab/STR, issue 2).

**The recipe for a wanted sparsity** keeps the learned thresholds and computes the pull. While all s are far below 0,
weight decay moves all of them up by nearly the same amount, η · decay · |s|: that amount is what nobody knows
beforehand. With a ``target`` it is not guessed: after every step all s are moved by the one amount that makes the
network as sparse as the ramp says at this step. The gradient moves the layers' thresholds against each other, the
common shift holds their level. The ramp (Zhu and Gupta, 2017, section 3) rises fast, then slowly, and ends at the target
after the share ``ramp`` of the steps; from there the weights that stay are tuned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labkit.methods.granularity.masks import prunable
from labkit.methods.learned.base import Learned, answers, checked_share
from labkit.settings import LabError

SoftThreshold = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Weights of any shape and a threshold, a scalar -> (S(w, t), its derivative by w, by t), each of the weights' shape."""
PROBE = (-2.0, -0.1, 0.0, 0.3, 2.0), 0.25
SMALLEST = 1e-12  # a weight nearer to 0 counts as this one where its logarithm is needed


class _Thresholded(torch.autograd.Function):
    """S(w, t) with the derivatives that the function itself gives."""

    @staticmethod
    def forward(ctx, weights: Tensor, threshold: Tensor, function: SoftThreshold) -> Tensor:
        value, slope_weights, slope_threshold = function(weights.detach(), threshold.detach())
        ctx.save_for_backward(slope_weights, slope_threshold)
        return value

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        slope_weights, slope_threshold = ctx.saved_tensors
        return upstream * slope_weights, (upstream * slope_threshold).sum(), None


class Threshold(nn.Module):
    """Stands in front of a layer's weight; ``s`` is the parameter of its threshold."""

    def __init__(self, start: float, function: SoftThreshold):
        super().__init__()
        self.s, self.function = nn.Parameter(torch.tensor(float(start))), function

    def forward(self, weights: Tensor) -> Tensor:
        return _Thresholded.apply(weights, self.s.sigmoid(), self.function)


@dataclass(frozen=True)
class STR(Learned):
    """``start``: every layer's first s. ``decay``: the weight decay on s, where no ``target`` is given. ``ramp``: the
    share of the steps after which the target is reached."""

    function: SoftThreshold
    start: float
    decay: float = 0.0
    target: float | None = None
    ramp: float = 0.6
    name: ClassVar[str] = "str"

    def __post_init__(self):
        checked_share(self.target)
        if not 0 < self.ramp <= 1:
            raise LabError(f"The ramp is {self.ramp!r}: give the share of the steps that it takes, above 0, at most 1.")

    @property
    def folder(self) -> str:
        return super().folder if self.target else f"str-start{self.start:g}-decay{self.decay:g}"

    def probe(self) -> list[float]:
        weights, threshold = torch.tensor(PROBE[0]), torch.tensor(PROBE[1])
        return answers(self.function, weights, threshold, like=[weights] * 3)

    def attach(self, model: nn.Module, seed: int) -> None:
        for layer in prunable(model).values():
            parametrize.register_parametrization(layer, "weight", Threshold(self.start, self.function))

    def groups(self, model: nn.Module) -> list[dict]:
        return [{"params": [threshold.s for threshold, _ in parts(model)], "weight_decay": self.decay}]

    @torch.no_grad()
    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        if self.target is not None and (count := round(self.wanted(done) * weights_of(model))):
            shift = shift_to(parts(model), count)
            for threshold, _ in parts(model):
                threshold.s.add_(shift)

    def wanted(self, done: float) -> float:
        """The sparsity that the ramp has at the share ``done`` of all steps."""
        return self.target * (1 - (1 - min(1.0, done / self.ramp)) ** 3)


def parts(model: nn.Module) -> list[tuple[Threshold, Tensor]]:
    """Every layer's threshold and the weights that it is put in front of."""
    found = (layer.parametrizations.weight for layer in prunable(model).values())
    return [(part[0], part.original) for part in found]


def weights_of(model: nn.Module) -> int:
    return sum(weights.numel() for _, weights in parts(model))


def shift_to(layers: list[tuple[Threshold, Tensor]], count: int) -> Tensor:
    """The amount by which all s have to move for ``count`` weights to be 0, scalar: a weight is 0 from the shift at
    which g(s + shift) reaches |w|."""
    reached = [weights.abs().clamp(SMALLEST, 1 - 1e-6).logit() - threshold.s for threshold, weights in layers]
    return torch.cat([shift.flatten() for shift in reached]).kthvalue(count).values
