"""Fit, evaluate and recalibrate a network. One loop serves every notebook, on a GPU or a CPU."""

import copy
import ctypes
import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import records
from labkit.data import Dataset, Images, augmented_batches, batches
from labkit.models import prunable
from labkit.records import Record
from labkit.settings import LabError, Recipe

SNAPSHOTS = 10  # how often a run keeps its scaling factors, besides at its start
PROBE = (-2.0, -0.5, 0.0, 0.5, 2.0)  # a penalty's gradient here tells runs of different penalties apart

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and values of malloc.h

PenaltyGradient = Callable[[Tensor, float], Tensor]
"""γ of all layers, float32 (channels,), and λ -> what is added to γ's gradient, same shape."""


def fast_dtype(device: torch.device) -> torch.dtype:
    """The half precision this device has in hardware, or float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if native else torch.float32


def mixed_precision(device: torch.device):
    dtype = fast_dtype(device)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


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


def fit(
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
) -> Record:
    """Train a copy of ``model`` on ``data`` and keep the run in ``folder``.

    With λ > 0, ``penalty_gradient(γ, λ)`` is added to the gradient of all scaling factors after
    each backward pass (Network Slimming, equation 1). A finished run of the same configuration is
    returned as it is; a broken-off one continues after its last whole epoch and, on one CPU, ends
    bit-equal to an uninterrupted one; a run of another configuration is set aside. ``watch(history, epochs)``
    is called after every epoch.

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
    steps = steps_per_epoch(len(data.train), recipe.batch)
    kept_epochs = {round(e) for e in np.linspace(0, recipe.epochs, min(SNAPSHOTS, recipe.epochs) + 1)}
    optimizer, scaler = optimizer_of(model, recipe)
    history, seconds, snapshots = [], [], {0: _flat(gammas)}
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        history, seconds, snapshots = _restore(checkpoint, model, optimizer, scaler)

    for epoch in range(len(history) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        model.train()
        loss_sum, correct = torch.zeros(2, device=device)
        shuffled = augmented_batches(data.train, recipe.batch, seed=1_000_003 * seed + epoch)
        for step, (x, y) in enumerate(shuffled, start=(epoch - 1) * steps):
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            loss, logits = train_step(model, x, y, optimizer, scaler, penalty_gradient, lam)
            loss_sum += loss * len(y)
            correct += (logits.argmax(1) == y).sum()

        loss = float(loss_sum) / len(data.train)
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
                "train_accuracy": float(correct) / len(data.train),
                "validation_accuracy": evaluate(model, data.validation),
                "learning_rate": rates[epoch * steps - 1],
                "gamma_l1": float(_flat(gammas).abs().sum()),
            }
        )
        seconds.append(time.perf_counter() - started)
        if epoch in kept_epochs:
            snapshots[epoch] = _flat(gammas)
        _checkpoint(checkpoint, model, optimizer, scaler, config, history, seconds, snapshots)
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
    checkpoint.unlink()
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
    """SGD by the recipe, and the loss scaling that float16 needs (off for other precisions)."""
    device = next(model.parameters()).device
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    return optimizer, torch.amp.GradScaler(device.type, enabled=fast_dtype(device) == torch.float16)


def _probe(penalty_gradient: PenaltyGradient, lam: float) -> list[float]:
    """The penalty's gradient at ``PROBE``. Raises ``LabError`` if it is no finite number per channel."""
    gradient = penalty_gradient(torch.tensor(PROBE), lam)
    if not isinstance(gradient, Tensor) or gradient.shape != (len(PROBE),) or not gradient.isfinite().all():
        raise LabError(
            f"penalty_gradient gave {gradient} for γ = {list(PROBE)} and λ = {lam:g}: "
            "return a tensor with one finite number for each γ, also where γ is 0."
        )
    return gradient.tolist()


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system and faulting it in
    again in every step: 5 to 10 % of a small network's training on a CPU. glibc only; elsewhere nothing."""
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


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
    for name, parameter in model.named_parameters():
        tensors[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"]
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
    for name, parameter in model.named_parameters():
        buffer = torch.empty_like(parameter).copy_(named["momentum"][name])
        optimizer.state[parameter]["momentum_buffer"] = buffer
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
