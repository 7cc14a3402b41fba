"""One training step: forward, backward, the penalty's gradient, the update."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.hardware import fast_dtype, mixed_precision
from labkit.settings import Recipe
from labkit.training.method import Method

PenaltyGradient = Callable[[Tensor, float], Tensor]
"""γ of all layers, float32 (channels,), and λ -> what is added to γ's gradient, same shape."""


def train_step(
    model,
    x,
    y,
    optimizer,
    scaler,
    gammas: list[Tensor] = (),
    penalty: tuple[PenaltyGradient, float] | None = None,
    method: Method | None = None,
) -> tuple[Tensor, Tensor]:
    """One step on a batch: forward and backward in the device's fast precision, with what the ``method`` adds to
    the loss; the ``penalty``'s gradient, a function and its λ, added to that of ``gammas`` in float32; the update.
    Returns the cross-entropy, detached, and the logits (N, classes)."""
    with mixed_precision(x.device):
        logits = model(x)
        loss = F.cross_entropy(logits, y)
    optimizer.zero_grad()
    added = method.loss(model) if method else None
    scaler.scale(loss if added is None else loss + added).backward()
    if penalty:
        scaler.unscale_(optimizer)
        add_penalty_gradient(gammas, *penalty)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach(), logits


def optimizer_of(
    model: nn.Module, recipe: Recipe, own: Sequence[dict] = ()
) -> tuple[torch.optim.SGD, torch.amp.GradScaler]:
    """SGD by the recipe, except for the groups of a method's ``own`` parameters (``Method.groups``), and the loss
    scaling that float16 needs (off for other precisions). Learning rates and momenta are tensors from the start,
    so that a recorded step reads and changes them in place."""
    device = next(model.parameters()).device
    taken = {id(parameter) for group in own for parameter in group["params"]}
    groups = [{"params": [p for p in model.parameters() if id(p) not in taken]}, *own]
    groups = [{"factor": 1.0, **group, "lr": torch.tensor(recipe.learning_rate, device=device)} for group in groups]
    rate, decay = groups[0]["lr"], recipe.weight_decay
    optimizer = torch.optim.SGD(groups, rate, recipe.momentum, weight_decay=decay, fused=True)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer, torch.amp.GradScaler(device.type, enabled=fast_dtype(device) == torch.float16)


def add_penalty_gradient(gammas: list[nn.Parameter], penalty_gradient: PenaltyGradient, lam: float) -> None:
    """Add the penalty's gradient to ``γ.grad`` of all layers, in one call of the student's function."""
    extra = penalty_gradient(torch.cat([gamma.detach() for gamma in gammas]), lam)
    torch._foreach_add_([gamma.grad for gamma in gammas], list(extra.split([len(g) for g in gammas])))
