"""Profiles, seed, device and folders: the one place that reads the environment.

| variable           | meaning                                    | default                       |
|--------------------|--------------------------------------------|-------------------------------|
| LABKIT_PROFILE     | ``quick``, ``half``, ``full`` or ``paper`` | ``quick``                     |
| LABKIT_DATA        | a data set's name, see ``labkit.data``     | the profile's                 |
| LABKIT_SEED        | seed of weights, batches and splits        | 0                             |
| LABKIT_RUNS        | where the runs are kept                    | ``runs/`` beside notebooks/   |
| LABKIT_DOWNLOADS   | archives and decoded folders               | ``~/.cache/labkit``           |
| LABKIT_THREADS     | threads of a training, see ``hardware``    | what the machine grants       |

Where the folder of runs holds a ``variant.json``, the runs are one student's: seed and split are those that stand there.
"""

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY / "data" / "reference"
VARIANT = "variant.json"  # in the folder of runs
SEEDS = range(10**9)


class LabError(Exception):
    """Something the user can mend: the message says what, with which value, and what to do next."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. ``schedule`` is ``"step"`` (x 0.1 at 50 % and 75 % of all
    steps, the Network Slimming paper, section 4.3) or ``"linear"`` (warm-up, then decay to 0)."""

    epochs: int
    batch: int
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "step"


@dataclass(frozen=True)
class Profile:
    """A scale at which the whole course runs. ``budgets`` are the three shrinkage budgets
    λ·Ση/(1−μ): how far the L1 penalty can move a scaling factor over the whole training.
    Factors start at 0.5, so the second cannot bring one to zero (that of ``paper`` just can) and the third
    can. ``guard`` is the number of channels that pruning leaves at least in every layer."""

    name: str
    data: str
    network: str  # a name that ``models.named`` knows
    width: float
    train: Recipe
    fine_tune: Recipe
    budgets: tuple[float, ...] = (0.0, 0.4, 1.6)
    ratios: tuple[float, ...] = (0.5, 0.9)
    guard: int = 1


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            data="shapes",
            network="vgg11",
            width=0.5,
            train=Recipe(epochs=8, batch=50, schedule="linear"),
            fine_tune=Recipe(epochs=6, batch=50, schedule="linear"),
        ),
        Profile(
            name="half",
            data="cifar10",
            network="vgg19",
            width=0.5,
            train=Recipe(epochs=10, batch=100, schedule="linear"),
            fine_tune=Recipe(epochs=5, batch=100, schedule="linear"),
            ratios=(0.5, 0.7, 0.9),
            guard=8,
        ),
        Profile(
            name="full",
            data="cifar10",
            network="vgg19",
            width=1.0,
            train=Recipe(epochs=15, batch=100, weight_decay=5e-4, schedule="linear"),
            fine_tune=Recipe(epochs=5, batch=100, weight_decay=5e-4, schedule="linear"),
            ratios=(0.5, 0.7, 0.9),
            guard=8,
        ),
        Profile(  # Liu et al. 2017, section 4.3, but for Nesterov's momentum; with 45,000 images λ is 1e-5 and 1e-4
            name="paper",
            data="cifar10",
            network="vgg19",
            width=1.0,
            train=Recipe(epochs=160, batch=64),
            fine_tune=Recipe(epochs=160, batch=64),
            budgets=(0.0, 0.594, 5.94),
            ratios=(0.5, 0.7, 0.9),
            guard=8,
        ),
    )
}


@dataclass(frozen=True)
class Variant:
    """Whose the runs in a folder are, and the seed that this ``student`` has: of weights, batches and split."""

    student: str
    seed: int


@dataclass(frozen=True)
class Settings:
    profile: Profile
    data: str
    seed: int
    device: torch.device
    runs: Path
    downloads: Path
    lab: int = 1

    @property
    def experiment(self) -> str:
        """Name of the folder that holds all runs of this profile, data set and seed; a split is told by the seed, or where
        it has another number named."""
        data = with_split(self.data, None) if split_of(self.data) == self.seed else self.data
        return f"{self.profile.name}-{slug(data)}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where this lab keeps its runs of the experiment."""
        return self.runs / self.experiment / f"lab{self.lab}"

    @property
    def reference(self) -> Path:
        """The same experiment as it was run for the course and shipped with it. For a split of one's own of ``shapes``
        that of seed 0, which was trained on none of the split's validation images; of photographs it might have been."""
        usual = replace(self, seed=0, data=with_split(self.data, None)) if self._has_new_images else self
        return REFERENCE / usual.experiment / f"lab{self.lab}"

    @property
    def shipped(self) -> str:
        """Where the ``reference`` lies, in words, and what to know of it."""
        where = f"data/reference/{self.reference.parent.name}"
        return f"{where} (seed 0 and its own images, not yours)" if self._has_new_images else where

    @property
    def _has_new_images(self) -> bool:
        return split_of(self.data) is not None and with_split(self.data, None) == "shapes"

    def environment(self) -> dict[str, str]:
        """The variables that give another process, in any folder, these settings."""
        kind, _, path = self.data.partition(":")
        return {
            "LABKIT_PROFILE": self.profile.name,
            "LABKIT_DATA": f"{kind}:{Path(path).expanduser().resolve()}" if path else self.data,
            "LABKIT_SEED": str(self.seed),
            "LABKIT_RUNS": str(self.runs.resolve()),
            "LABKIT_DOWNLOADS": str(self.downloads.resolve()),
        }


def threads_asked(environment=os.environ) -> int | None:
    """``LABKIT_THREADS``, or None where it is not set. Raises ``LabError`` where it is no number of threads."""
    asked = environment.get("LABKIT_THREADS") or ""
    if asked and not (asked.isdecimal() and 0 < int(asked) <= 1024):
        raise LabError(f"LABKIT_THREADS is {asked!r}: give a whole number from 1 to 1024, or leave it out.")
    return int(asked) if asked else None


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) in SEEDS


def split_of(data: str) -> int | None:
    """``folder@7:photos`` -> 7, ``shapes`` -> None, the split that all have. Raises ``LabError`` for one that is no seed."""
    _, at, split = data.partition(":")[0].partition("@")
    if at and not _is_seed(split):
        raise LabError(f"The data set {data!r} has the split {split!r}: give a whole number from 0 to {SEEDS[-1]}.")
    return int(split) if at else None


def with_split(data: str, split: int | None) -> str:
    """``folder:photos``, 7 -> ``folder@7:photos``; with None the split that all have. One that was there is replaced."""
    kind, colon, path = data.partition(":")
    return kind.partition("@")[0] + ("" if split is None else f"@{split}") + colon + path


def slug(data: str) -> str:
    """``folder:/some/where/photos`` -> ``folder-photos``, ``shapes@7`` -> ``shapes-7``"""
    kind, _, path = data.partition(":")
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{kind}-{Path(path).resolve().name}" if path else kind)


def profile_named(name: str) -> Profile:
    if name not in PROFILES:
        raise LabError(f"There is no profile {name!r}: choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def variant_in(runs: Path) -> Variant | None:
    """Whose the folder ``runs`` is; None where it is nobody's. Raises ``LabError`` for a file that says no such thing."""
    path = Path(runs) / VARIANT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = Variant(str(content["student"]), content["seed"])
        if type(found.seed) is not int or found.seed not in SEEDS:
            raise ValueError("its seed is none")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LabError(f"{path} is damaged ({error}): delete it, and write your id into a notebook again.") from None
    return found


def runs_folder(environment=os.environ) -> Path:
    """Where the runs of all experiments are kept."""
    here = Path.cwd()
    beside_notebooks = here.parent if here.name == "notebooks" else here
    return Path(environment.get("LABKIT_RUNS") or beside_notebooks / "runs").expanduser()


def current(environment=os.environ, lab: int = 1) -> Settings:
    """The settings of this process for one lab. Raises ``LabError`` for an unknown profile or seed, and for a seed or
    a split that is not the one of the student whose runs these are."""
    profile = profile_named(environment.get("LABKIT_PROFILE") or "quick")
    runs, data = runs_folder(environment), environment.get("LABKIT_DATA") or profile.data
    variant = variant_in(runs)
    seed = environment.get("LABKIT_SEED") or (str(variant.seed) if variant else "0")
    if not _is_seed(seed):
        raise LabError(f"LABKIT_SEED is {seed!r}: give a whole number from 0 to {SEEDS[-1]}.")
    if variant and int(seed) != variant.seed:
        raise LabError(
            f"LABKIT_SEED is {seed}, but the runs in {runs} are {variant.student}'s, whose seed is {variant.seed}: leave "
            "LABKIT_SEED out, or choose another folder with LABKIT_RUNS."
        )
    if variant and split_of(data) not in (None, variant.seed):
        raise LabError(
            f"LABKIT_DATA is {data!r}, but the runs in {runs} are {variant.student}'s, whose split is {variant.seed}: leave "
            "the split out, or choose another folder with LABKIT_RUNS."
        )
    return Settings(
        profile=profile,
        data=with_split(data, variant.seed) if variant else data,
        seed=int(seed),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        runs=runs,
        downloads=Path(environment.get("LABKIT_DOWNLOADS") or "~/.cache/labkit").expanduser(),
        lab=lab,
    )
