"""A training in the middle, on the disk: weights, momenta, scaling factors so far, history."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit.files import read_metadata, read_tensors, write_tensors


def momenta(model: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """By parameter name, the momentum that the optimizer keeps for it."""
    return {name: optimizer.state[parameter]["momentum_buffer"] for name, parameter in model.named_parameters()}


def write(path: Path, model: nn.Module, optimizer, scaler, snapshots: dict[int, Tensor], **progress) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"momentum.{name}": momentum for name, momentum in momenta(model, optimizer).items()}
    tensors |= {f"gammas.{epoch}": row for epoch, row in snapshots.items()}
    progress["scaler"] = scaler.state_dict()
    write_tensors(path, tensors, {key: json.dumps(value) for key, value in progress.items()})


def restore(
    path: Path, model: nn.Module, optimizer, scaler
) -> tuple[list[dict], list[float], dict[int, Tensor], int | None]:
    """Put model, momenta and loss scale back where they were; history, seconds per epoch, snapshots, and the
    number of threads (None in a checkpoint of an older labkit)."""
    tensors, metadata = read_tensors(path), read_metadata(path)
    named = {"model": {}, "momentum": {}, "gammas": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        named[group][rest] = value
    model.load_state_dict(named["model"])
    for name, momentum in momenta(model, optimizer).items():
        momentum.copy_(named["momentum"][name])
    scaler.load_state_dict(json.loads(metadata["scaler"]))
    snapshots = {int(epoch): row for epoch, row in named["gammas"].items()}
    history, seconds, threads = (json.loads(metadata.get(key, "null")) for key in ("history", "seconds", "threads"))
    return history, seconds, snapshots, threads
