"""Fit, evaluate and recalibrate a network. One loop serves every notebook, on a GPU or a CPU."""

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import records
from labkit.data import Dataset, Images, augmented_batches, batches
from labkit.hardware import fast_dtype, keep_freed_memory, mixed_precision, recorded, side_by_side
from labkit.models import prunable
from labkit.records import Record
from labkit.settings import LabError, Recipe

SAVE_EVERY = 5.0  # seconds; on a GPU an epoch can be shorter than it takes to save it
SNAPSHOTS = 10  # how often a run keeps its scaling factors, besides at its start
PROBE = (-2.0, -0.5, 0.0, 0.5, 2.0)  # a penalty's gradient here tells runs of different penalties apart

PenaltyGradient = Callable[[Tensor, float], Tensor]
"""γ of all layers, float32 (channels,), and λ -> what is added to γ's gradient, same shape."""


def steps_per_epoch(images: int, batch: int) -> int:
    whole, rest = divmod(images, batch)
    return max(1, whole + (rest > 1))


def learning_rates(recipe: Recipe, images: int) -> list[float]:
    """The learning rate η of every step of a training on ``images`` images.

    Defined by the fraction of the training done, so that every drop happens at any epoch count.
    """
    steps = recipe.epochs * steps_per_epoch(images, recipe.batch)
    if images < 1 or steps < 1:
        raise LabError(
            f"There is nothing to train: {images} images for {recipe.epochs} epochs; give at least one of each."
        )
    done = [(step + 0.5) / steps for step in range(steps)]
    match recipe.schedule:
        case "step":
            factors = [1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01 for t in done]
        case "linear":
            factors = [min(t / 0.2, (1 - t) / 0.8) for t in done]
        case other:
            raise LabError(f"There is no schedule {other!r}: choose step or linear.")
    return [recipe.learning_rate * factor for factor in factors]


def shrinkage_budget(lam: float, rates: list[float], momentum: float) -> float:
    """λ·Ση/(1−μ): the distance that the L1 penalty alone moves a scaling factor in one training."""
    return lam * sum(rates) / (1 - momentum)


def fit(model: nn.Module, data: Dataset, recipe: Recipe, **options) -> Record:
    """Train a copy of ``model`` on ``data`` to the end; ``steps`` says how, with which options."""
    return side_by_side([steps(model, data, recipe, **options)])[0]


def steps(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    folder: Path,
    kind: str,
    lam: float = 0.0,
    penalty_gradient: PenaltyGradient | None = None,
    seed: int = 0,
    plan: dict | None = None,
    parent: str | None = None,
    watch: Callable[[list[dict], int], None] | None = None,
    save_every: float = SAVE_EVERY,
) -> Generator[None, None, Record]:
    """Train a copy of ``model`` on ``data`` and keep the run in ``folder``: a generator that stops
    after every step and returns the run, so that several trainings can take turns
    (``hardware.side_by_side``); ``fit`` runs one to its end.

    With λ > 0, ``penalty_gradient(γ, λ)`` is added to the gradient of all scaling factors after
    each backward pass (Network Slimming, equation 1); it has to be a function of γ and λ only. A
    finished run of the same configuration is returned as it is; a broken-off one continues after its last saved epoch (a save at an epoch's end,
    ``save_every`` seconds after the last) and, on one CPU, ends bit-equal to an uninterrupted one; a run
    of another configuration is set aside. ``watch(history, epochs)`` is called after every epoch.

    Raises ``LabError`` for λ < 0, a missing or unusable penalty, or a loss or weight that is no longer finite.
    """
    if not 0 <= lam < math.inf:
        raise LabError(f"λ is {lam}: give 0 (no penalty) or a positive number such as 1e-4.")
    if lam and penalty_gradient is None:
        raise LabError(f"λ is {lam:g} but no penalty_gradient was given: pass the function that computes it.")

    device, folder = data.train.labels.device, Path(folder)
    keep_freed_memory()
    config = {
        "kind": kind,
        "parent": parent,
        "recipe": asdict(recipe),
        "ratio": plan["requested"] if plan else 0.0,
        "lambda": lam,
        "penalty_probe": _probe(penalty_gradient, lam) if lam else None,
        "seed": seed,
        "precision": str(fast_dtype(device)).removeprefix("torch."),
        "channels": model.channels,
        "start": fingerprint(model),
        "data": data.describe(),
    }
    if finished := _continue(folder, config):
        return finished

    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last)
    gammas = [norm.weight for _, norm in prunable(model).values()]
    rates = learning_rates(recipe, len(data.train))
    per_epoch = steps_per_epoch(len(data.train), recipe.batch)
    kept_epochs = {round(e) for e in np.linspace(0, recipe.epochs, min(SNAPSHOTS, recipe.epochs) + 1)}
    optimizer, scaler = optimizer_of(model, recipe)
    history, seconds, snapshots = [], [], {0: _flat(gammas)}
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        history, seconds, snapshots = _restore(checkpoint, model, optimizer, scaler)

    totals = torch.zeros(2, device=device)  # loss and right answers of an epoch, added up without waiting for them

    def step(x: Tensor, y: Tensor) -> None:
        loss, logits = train_step(model, x, y, optimizer, scaler, penalty_gradient, lam)
        totals.add_(torch.stack([loss * len(y), (logits.argmax(1) == y).sum()]))

    if not scaler.is_enabled():  # recording with float16's loss scale has not been tried
        step = recorded(step, [totals, *model.state_dict().values(), *momenta(model, optimizer).values()])

    saved = time.perf_counter()
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        model.train()
        totals.zero_()
        shuffled = augmented_batches(data.train, recipe.batch, seed=1_000_003 * seed + epoch)
        for (x, y), rate in zip(shuffled, rates[(epoch - 1) * per_epoch :]):
            optimizer.param_groups[0]["lr"].fill_(rate)
            step(x, y)
            yield

        loss, accuracy = (totals / len(data.train)).tolist()
        if not (math.isfinite(loss) and all(value.isfinite().all() for value in model.state_dict().values())):
            raise LabError(
                f"The training diverged; the loss is {loss} in epoch {epoch} (λ = {lam:g}, learning rate "
                f"{recipe.learning_rate:g}): "
                "lower one of them and run again."
            )
        history.append(
            {
                "epoch": epoch,
                "loss": loss,
                "train_accuracy": accuracy,
                "validation_accuracy": evaluate(model, data.validation),
                "learning_rate": rates[epoch * per_epoch - 1],
                "gamma_l1": float(_flat(gammas).abs().sum()),
            }
        )
        seconds.append(time.perf_counter() - started)
        if epoch in kept_epochs:
            snapshots[epoch] = _flat(gammas)
        if time.perf_counter() - saved >= save_every:
            _checkpoint(checkpoint, model, optimizer, scaler, config, history, seconds, snapshots)
            saved = time.perf_counter()
        if watch:
            watch(history, recipe.epochs)

    record = Record(
        kind=kind,
        config=config,
        channels=model.channels,
        classes=model.classes,
        history=history,
        snapshots=sorted(snapshots),
        results={
            "shrinkage_budget": shrinkage_budget(lam, rates, recipe.momentum),
            "validation_accuracy": history[-1]["validation_accuracy"],
            "seconds": sum(seconds),
        },
        plan=plan,
    ).with_folder(folder)
    records.save(record, model.state_dict(), torch.stack([snapshots[e] for e in sorted(snapshots)]))
    checkpoint.unlink(missing_ok=True)
    return record


def train_step(model, x, y, optimizer, scaler, penalty_gradient=None, lam: float = 0.0) -> tuple[Tensor, Tensor]:
    """One step on a batch: forward and backward in the device's fast precision, the penalty's
    gradient added in float32, the update. Returns the loss, detached, and the logits (N, classes)."""
    with mixed_precision(x.device):
        logits = model(x)
        loss = F.cross_entropy(logits, y)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    if lam:
        scaler.unscale_(optimizer)
        add_penalty_gradient([norm.weight for _, norm in prunable(model).values()], penalty_gradient, lam)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach(), logits


def optimizer_of(model: nn.Module, recipe: Recipe) -> tuple[torch.optim.SGD, torch.amp.GradScaler]:
    """SGD by the recipe, and the loss scaling that float16 needs (off for other precisions). Learning
    rate and momenta are tensors from the start, so that a recorded step reads and changes them in place."""
    device = next(model.parameters()).device
    rate = torch.tensor(recipe.learning_rate, device=device)
    optimizer = torch.optim.SGD(model.parameters(), rate, recipe.momentum, weight_decay=recipe.weight_decay, fused=True)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer, torch.amp.GradScaler(device.type, enabled=fast_dtype(device) == torch.float16)


def momenta(model: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """By parameter name, the momentum that the optimizer keeps for it."""
    return {name: optimizer.state[parameter]["momentum_buffer"] for name, parameter in model.named_parameters()}


def _probe(penalty_gradient: PenaltyGradient, lam: float) -> list[float]:
    """The penalty's gradient at ``PROBE``. Raises ``LabError`` if it is no finite number per channel."""
    gradient = penalty_gradient(torch.tensor(PROBE), lam)
    if not isinstance(gradient, Tensor) or gradient.shape != (len(PROBE),) or not gradient.isfinite().all():
        raise LabError(
            f"penalty_gradient gave {gradient} for γ = {list(PROBE)} and λ = {lam:g}: "
            "return a tensor with one finite number for each γ, also where γ is 0."
        )
    return gradient.tolist()


def add_penalty_gradient(gammas: list[nn.Parameter], penalty_gradient: PenaltyGradient, lam: float) -> None:
    """Add the penalty's gradient to ``γ.grad`` of all layers, in one call of the student's function."""
    extra = penalty_gradient(torch.cat([gamma.detach() for gamma in gammas]), lam)
    torch._foreach_add_([gamma.grad for gamma in gammas], list(extra.split([len(g) for g in gammas])))


def _flat(gammas: list[Tensor]) -> Tensor:
    return torch.cat([gamma.detach() for gamma in gammas]).cpu()


def fingerprint(model: nn.Module) -> str:
    """sha256 over the network's weights and statistics."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _continue(folder: Path, config: dict) -> Record | None:
    """The finished run in ``folder`` if it has this configuration; a run of another one is set aside."""
    checkpoint = folder / "checkpoint.safetensors"
    if (folder / "record.json").exists():
        record = records.load(folder)
        if record.config == config and (folder / "weights.safetensors").exists():
            print(f"{folder.name}: already trained, loaded from {folder}.")
            return record
    elif not checkpoint.exists():
        return None
    elif json.loads(_metadata(checkpoint).get("config", "null")) == config:
        print(f"{folder.name}: continued from {folder}.")
        return None
    print(
        f"{folder.name}: the run there was made with another configuration or lost its weights; kept as {records.set_aside(folder).name}."
    )
    return None


def _metadata(checkpoint: Path) -> dict:
    try:
        return records.read_metadata(checkpoint) or {}
    except Exception:  # damaged: it is set aside and the run starts again
        return {}


def _checkpoint(path, model, optimizer, scaler, config, history, seconds, snapshots) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"momentum.{name}": momentum for name, momentum in momenta(model, optimizer).items()}
    tensors |= {f"gammas.{epoch}": row for epoch, row in snapshots.items()}
    progress = {"config": config, "history": history, "seconds": seconds, "scaler": scaler.state_dict()}
    records.write_tensors(path, tensors, {key: json.dumps(value) for key, value in progress.items()})


def _restore(path, model, optimizer, scaler) -> tuple[list, list, dict]:
    tensors, metadata = records.read_tensors(path), records.read_metadata(path)
    named = {"model": {}, "momentum": {}, "gammas": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        named[group][rest] = value
    model.load_state_dict(named["model"])
    for name, momentum in momenta(model, optimizer).items():
        momentum.copy_(named["momentum"][name])
    scaler.load_state_dict(json.loads(metadata["scaler"]))
    snapshots = {int(epoch): row for epoch, row in named["gammas"].items()}
    return json.loads(metadata["history"]), json.loads(metadata["seconds"]), snapshots


@torch.inference_mode()
def evaluate(model: nn.Module, images: Images, batch: int = 500) -> float:
    """Accuracy in 0..1 on ``images``, in the device's fast precision."""
    device = images.labels.device
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with mixed_precision(device):
        for x, y in batches(images, batch):
            correct += (model(x).argmax(1) == y).sum()
    return int(correct) / len(images)


@torch.no_grad()
def recalibrate(model: nn.Module, images: Images, seed: int = 0, batch: int = 100) -> nn.Module:
    """A copy of ``model`` whose BatchNorm running statistics are the averages over one pass of
    (augmented) training ``images``. No weight changes."""
    device = images.labels.device
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches instead of a running one
    with mixed_precision(device):
        for x, _ in augmented_batches(images, batch, seed):
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return model.eval()
