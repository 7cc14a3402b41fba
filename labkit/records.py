"""One run = one folder: ``record.json``, ``weights.safetensors``, ``gammas.safetensors``.

Everything is written to a temporary file first and put in place in one step, so a full disk or a
kill leaves the last good save. Nothing is ever unpickled: JSON and safetensors only.
"""

import hashlib
import json
import math
import os
import platform
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
import torchvision
from torch import Tensor

import labkit
from labkit.models import VGGNet, prunable
from labkit.settings import LabError, Settings

FORMAT = 1


@dataclass
class Record:
    """What a run was and what came of it.

    ``kind`` is ``"sparsity"``, ``"pruning"``, ``"fine-tuning"`` or ``"from-scratch"``; ``config``
    is everything that determines the result; ``history`` has one entry per epoch; ``results`` are
    accuracies in 0..1, counts and seconds; ``channels`` rebuilds the network; ``plan`` is the
    ``ChannelPlan`` that shaped it, as a dictionary.
    """

    kind: str
    config: dict
    channels: list
    classes: int
    history: list[dict] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    results: dict = field(default_factory=dict)
    plan: dict | None = None
    versions: dict = field(default_factory=dict)
    format: int = FORMAT
    folder: Path | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    def state(self) -> dict[str, Tensor]:
        """The saved weights. Raises ``LabError`` where they are missing, damaged or not finite."""
        return read_tensors(self.folder / "weights.safetensors")

    def model(self) -> VGGNet:
        """The network of this run, in float32 on the CPU, in evaluation mode."""
        model = VGGNet(self.channels, self.classes)
        try:
            model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in self.state().items()})
        except RuntimeError as error:
            raise LabError(
                f"{self.folder}: the weights do not fit the channel list {self.channels}; "
                f"delete the folder and train again. ({str(error).splitlines()[0]})"
            ) from error
        return model.to(memory_format=torch.channels_last).eval()

    def gammas(self) -> list[dict[str, Tensor]]:
        """|γ| of every layer at each of ``snapshots`` (epochs), by layer name, float32."""
        rows = read_tensors(self.folder / "gammas.safetensors")["gammas"].float().abs()
        with torch.device("meta"):
            widths = {name: conv.out_channels for name, (conv, _) in prunable(VGGNet(self.channels)).items()}
        return [dict(zip(widths, row.split(list(widths.values())))) for row in rows]

    def with_folder(self, folder: Path) -> "Record":
        self.folder = Path(folder)
        return self


def digest(config: dict) -> str:
    """sha256 of a configuration: equal for equal content."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def versions() -> dict:
    import numpy

    packages = {module.__name__: module.__version__ for module in (labkit, torch, torchvision, numpy)}
    return {"python": platform.python_version(), "machine": platform.machine()} | packages


def save(record: Record, weights: dict[str, Tensor] | None = None, gammas: Tensor | None = None) -> Record:
    """Write the run into ``record.folder``; ``record.json`` goes last, so that it marks a whole run."""
    folder = record.folder
    if weights is not None:
        write_tensors(folder / "weights.safetensors", weights)
    if gammas is not None:
        write_tensors(folder / "gammas.safetensors", {"gammas": gammas})
    record.versions = record.versions or versions()
    content = {key: value for key, value in vars(record).items() if key != "folder"}
    write_text(folder / "record.json", json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return record


def load(folder: Path) -> Record:
    """The record in ``folder``. Raises ``LabError`` if it is missing, damaged or of another format."""
    folder = Path(folder)
    path = folder / "record.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise LabError(f"{folder} holds no record.json: the run was never finished; run its notebook again.") from None
    except ValueError as error:
        raise LabError(
            f"{path} is damaged ({error}): delete the folder {folder.name} and run its notebook again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise LabError(f"{path} has format {found}, this labkit reads format {FORMAT}: run its notebook again.")
    try:
        return Record(**content).with_folder(folder)
    except TypeError as error:
        raise LabError(
            f"{path} is damaged ({error}): delete the folder {folder.name} and run its notebook again."
        ) from None


def _refuse_constant(text: str):
    raise ValueError(f"it holds {text}")


def load_all(folder: Path, kind: str | None = None) -> list[Record]:
    """Every finished run directly in ``folder``, of one ``kind`` if given, sorted by λ and name.
    Runs that were set aside (see ``set_aside``) are left out."""
    found = [
        load(path.parent) for path in sorted(Path(folder).glob("*/record.json")) if ".replaced-" not in path.parent.name
    ]
    chosen = [record for record in found if kind in (None, record.kind)]
    return sorted(chosen, key=lambda record: (record.config.get("lambda", 0), record.name))


def runs_of(settings: Settings, kind: str, made_by: str, count: int = 1) -> list[Record]:
    """This experiment's finished runs of one kind or, where fewer than ``count`` are there yet, the
    shipped reference runs, saying so. ``made_by`` is the notebook that makes them."""
    runs = load_all(settings.folder, kind)
    if len(runs) >= count:
        return runs
    missing = f"{len(runs)} of {count} {kind} runs are in {settings.folder}: notebook {made_by} makes them."
    reference = load_all(settings.reference, kind)
    if len(reference) >= count:
        print(f"{missing} Until then, the reference runs shipped in data/reference/{settings.experiment} are used.")
        return reference
    raise LabError(f"{missing} No reference runs are shipped for this experiment: run notebook {made_by} first.")


def set_aside(folder: Path) -> Path:
    """Rename a run's folder to ``<name>.replaced-1`` (2, 3, ...): nothing is lost."""
    number = 1
    while (target := folder.with_name(f"{folder.name}.replaced-{number}")).exists():
        number += 1
    return folder.rename(target)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Save ``tensors`` and string ``metadata`` as safetensors, atomically."""
    with replacing(path) as temporary:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        safetensors.torch.save_file(plain, temporary, metadata)


@contextmanager
def replacing(path: Path):
    """A temporary file beside ``path`` that takes its place once it is safely on the disk."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise LabError(
            f"{path} could not be saved ({error}): free some space and run again; the last good save is untouched."
        ) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in ``path``. Raises ``LabError`` where the file is missing, damaged or holds NaN."""
    try:
        tensors = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise LabError(f"{path} is missing: run the notebook that makes {path.parent.name} again.") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise LabError(
            f"{path} is damaged ({error}): delete the folder {path.parent.name} and run its notebook again."
        ) from None
    for name, tensor in tensors.items():
        if not math.isfinite(tensor.double().abs().sum()):
            raise LabError(f"{path}: {name} holds values that are not finite; delete the folder and train again.")
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()
