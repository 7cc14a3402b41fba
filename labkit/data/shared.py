"""A data set as one file that several processes map: however many they are, its images are in memory once."""

import json
from functools import lru_cache
from pathlib import Path

import safetensors
import safetensors.torch

from labkit.data import Dataset, Images
from labkit.files import read_metadata, write_tensors
from labkit.settings import LabError

PARTS = ("train", "validation", "test")


def share(dataset: Dataset, folder: Path) -> Path:
    """Write ``dataset`` into ``folder`` where it is not there yet; the file, which ``shared`` reads."""
    path = Path(folder) / f"images-{dataset.fingerprint()[:16]}.safetensors"
    if not path.exists():
        # Copies, since parts may share their memory, which a file of tensors cannot.
        tensors = {f"{part}.pixels": getattr(dataset, part).pixels.clone() for part in PARTS}
        tensors |= {f"{part}.labels": getattr(dataset, part).labels.clone() for part in PARTS}
        facts = {"name": dataset.name, "classes": json.dumps(dataset.classes), "split": json.dumps(dataset.split)}
        write_tensors(path, tensors, facts)
    return path


@lru_cache(maxsize=2)
def shared(path: Path) -> Dataset:
    """The data set in a file of ``share``, mapped: no page of it is read before it is needed, and processes on
    one machine have the same pages. Raises ``LabError`` where it cannot be read."""
    try:
        tensors, facts = safetensors.torch.load_file(path), read_metadata(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise LabError(f"{path}, the images for the workers, cannot be read ({error}): run again.") from None
    parts = {part: Images(tensors[f"{part}.pixels"], tensors[f"{part}.labels"]) for part in PARTS}
    facts = {"split": "null"} | facts  # which a file of an older labkit does not name
    return Dataset(facts["name"], tuple(json.loads(facts["classes"])), **parts, split=json.loads(facts["split"]))
