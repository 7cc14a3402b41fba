"""Files that are whole or not there: written beside their place and put into it in one step, so that a
full disk or a kill leaves the last good save. Nothing is ever unpickled: text and safetensors only."""

import math
import os
import re
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from labkit.settings import LabError

NAME = re.compile(r"[\w-]([\w.-]{0,38}[\w-])?", re.ASCII)
PAUSES = (0.01, 0.04, 0.15, 0.3, 0.5)  # seconds between tries to replace a file
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows, with any ending


def checked_name(name: str) -> str:
    """``name``, if it is one that a file or folder can have everywhere. Raises ``LabError`` otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name or DEVICES.fullmatch(name):
        raise LabError(
            f"The name {str(name)[:60]!r} does not do: give 1 to 40 letters, digits, hyphens, and dots inside, but none "
            "of the names that Windows keeps for itself, such as con and nul."
        )
    return name


def write_text(path: Path, text: str) -> None:
    """Save ``text`` atomically: UTF-8, and the same bytes on every system."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


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
        _replace(temporary, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise LabError(
            f"{path} could not be saved ({error}): free some space, close what has it open, and run again; the last "
            "good save is untouched."
        ) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """``os.replace``, tried for a second: on Windows a file cannot be replaced while somebody reads it."""
    for pause in PAUSES:
        try:
            return os.replace(temporary, path)
        except PermissionError:
            time.sleep(pause)
    os.replace(temporary, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in ``path``, which is closed then. Raises ``LabError`` where the file is missing, damaged or
    holds NaN."""
    try:
        # Not load_file: it maps the file into memory, and what is mapped can neither be replaced nor moved on Windows.
        tensors = safetensors.torch.load(path.read_bytes())
    except FileNotFoundError:
        raise LabError(f"{path} is missing: run the notebook that makes {path.parent.name} again.") from None
    except (OSError, KeyError, safetensors.SafetensorError) as error:  # KeyError: a type that torch does not have
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
