"""Proximal gradient on the scaling factors: an L1 penalty that ends at 0, not near it.

A subgradient step, as in Network Slimming, jumps to and fro across 0. The iterative shrinkage-thresholding algorithm
(ISTA: Beck and Teboulle, 2009) takes the gradient step of the loss alone and then the proximal operator of
the penalty, the point that is best between staying near and being small:

    prox(γ) = argmin over z of ½ (z - γ)² + amount · |z|,   amount = λ · η.

Ye et al. (*Rethinking the Smaller-Norm-Less-Informative Assumption in Channel Pruning of Convolution Layers*, ICLR
2018) train the γ of convolutional networks so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from labkit import models
from labkit.methods.learned.base import Channelwise, answers
from labkit.settings import LabError

ProximalStep = Callable[[Tensor, float], Tensor]
"""γ of all layers, float32 (channels,), and the amount λ·η -> γ after the proximal operator, same shape."""
PROBE = (-2.0, -0.1, 0.0, 0.3, 2.0), 0.25


@dataclass(frozen=True)
class Proximal(Channelwise):
    """``step`` is taken on all γ after every update. β of a channel with γ = 0 becomes 0 too: it would be a constant
    that is lost when the channel is cut. The momentum sees the loss only, so the penalty moves a factor by λ·Ση in
    a training, where the subgradient moves it by λ·Ση/(1-μ)."""

    step: ProximalStep
    lam: float
    name: ClassVar[str] = "proximal"

    def __post_init__(self):
        if not 0 < self.lam < float("inf"):
            raise LabError(f"λ is {self.lam!r}: give a positive number such as 0.03.")

    def probe(self) -> list[float]:
        gammas, amount = torch.tensor(PROBE[0]), PROBE[1]
        return answers(self.step, gammas, amount, like=[gammas])

    @torch.no_grad()
    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        norms = list(models.norms(model).values())
        new = self.step(torch.cat([norm.weight for norm in norms]), self.lam * rate)
        for norm, gammas in zip(norms, new.split([norm.num_features for norm in norms])):
            norm.weight.copy_(gammas)
            norm.bias.mul_(gammas != 0)

    def shrinkage(self, rates: list[float]) -> float:
        return self.lam * sum(rates)
