"""A training under way, as other processes see it: ``progress.json`` in the folder of its run, written at its
start and after every epoch, gone with its last."""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "progress.json"


@dataclass(frozen=True)
class Progress:
    """``history`` as the record will have it, ``epochs`` in all, ``seconds`` of each epoch done."""

    name: str
    epochs: int
    history: list[dict] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def minutes_left(self) -> float | None:
        """None until an epoch was timed."""
        return (self.epochs - len(self.history)) * sum(self.seconds) / len(self.seconds) / 60 if self.seconds else None

    def __str__(self) -> str:
        if not self.history:
            return f"{self.name}: epoch 1 of {self.epochs} under way"
        last = self.history[-1]
        return (
            f"{self.name}: epoch {last['epoch']} of {self.epochs}, loss {last['loss']:.2f}, validation accuracy "
            f"{last['validation_accuracy']:.1%}, about {self.minutes_left:.1f} minutes left"
        )


def write(folder: Path, progress: Progress) -> None:
    with suppress(OSError):  # worth knowing, not worth failing
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(asdict(progress)), encoding="utf-8")


def remove(folder: Path) -> None:
    with suppress(OSError):  # on Windows somebody may be reading it
        (folder / FILE).unlink(missing_ok=True)


def read(folder: Path) -> Progress | None:
    """None where nothing is under way, or the file is only half written."""
    try:
        return Progress(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class News:
    """What has changed in the trainings below some folders since one last looked; what was left behind by a
    training that ended before ``News`` was made is none."""

    def __init__(self):
        self.seen, self.began = {}, time.time()

    def of(self, folders: Iterable[Path]) -> dict[Path, Progress]:
        fresh = {}
        for folder in folders:
            try:
                changed = (folder / FILE).stat().st_mtime_ns
            except OSError:
                continue
            if changed > max(self.seen.get(folder, 0), 1e9 * (self.began - 1)) and (progress := read(folder)):
                self.seen[folder] = changed
                fresh[folder] = progress
        return fresh
