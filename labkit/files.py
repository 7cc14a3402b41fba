"""Files that are whole or not there: written beside their place and put into it in one step, so that a
full disk or a kill leaves the last good save. Nothing is ever unpickled: text and safetensors only."""

import math
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from labkit.settings import LabError


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
        return file.metadata() or {}
