"""Profiles, seed, device and folders: the one place that reads the environment.

| variable           | meaning                                    | default                       |
|--------------------|--------------------------------------------|-------------------------------|
| LABKIT_PROFILE     | ``quick``, ``half`` or ``full``            | ``quick``                     |
| LABKIT_DATA        | a data set's name, see ``labkit.data``     | the profile's                 |
| LABKIT_SEED        | seed of weights, batches and splits        | 0                             |
| LABKIT_RUNS        | where the runs are kept                    | ``runs/`` beside notebooks/   |
| LABKIT_DOWNLOADS   | archives and decoded folders               | ``~/.cache/labkit``           |
| LABKIT_THREADS     | threads of a training, see ``hardware``    | what the machine grants       |
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY / "data" / "reference"


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
    Factors start at 0.5, so the second cannot bring one to zero and the third can. ``guard`` is
    the number of channels that pruning leaves at least in every layer."""

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
            train=Recipe(epochs=60, batch=100),
            fine_tune=Recipe(epochs=20, batch=100),
            budgets=(0.0, 0.4, 4.0),
            ratios=(0.5, 0.7, 0.9),
            guard=8,
        ),
    )
}


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
        """Name of the folder that holds all runs of this profile, data set and seed."""
        return f"{self.profile.name}-{slug(self.data)}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where this lab keeps its runs of the experiment."""
        return self.runs / self.experiment / f"lab{self.lab}"

    @property
    def reference(self) -> Path:
        """The same experiment as it was run for the course and shipped with it."""
        return REFERENCE / self.experiment / f"lab{self.lab}"

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


def slug(data: str) -> str:
    """``folder:/some/where/photos`` -> ``folder-photos``."""
    kind, _, path = data.partition(":")
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{kind}-{Path(path).resolve().name}" if path else kind)


def profile_named(name: str) -> Profile:
    if name not in PROFILES:
        raise LabError(f"There is no profile {name!r}: choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def current(environment=os.environ, lab: int = 1) -> Settings:
    """The settings of this process for one lab. Raises ``LabError`` for an unknown profile or seed."""
    profile = profile_named(environment.get("LABKIT_PROFILE") or "quick")
    seed = environment.get("LABKIT_SEED") or "0"
    if not (seed.isdecimal() and int(seed) < 10**9):
        raise LabError(f"LABKIT_SEED is {seed!r}: give a whole number from 0 to 999999999.")
    here = Path.cwd()
    beside_notebooks = here.parent if here.name == "notebooks" else here
    return Settings(
        profile=profile,
        data=environment.get("LABKIT_DATA") or profile.data,
        seed=int(seed),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        runs=Path(environment.get("LABKIT_RUNS") or beside_notebooks / "runs").expanduser(),
        downloads=Path(environment.get("LABKIT_DOWNLOADS") or "~/.cache/labkit").expanduser(),
        lab=lab,
    )
