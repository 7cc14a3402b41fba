"""What a student tries: any criterion and policy of the course as a method, explorations with names of their own, and
the runs that there are."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from labkit import models, training
from labkit.data import Dataset
from labkit.files import checked_name
from labkit.methods.criteria import network
from labkit.methods.learned.base import Channelwise, Learned, checked_share, plain, tail
from labkit.methods.learned.channels import add_masks, drop, silence
from labkit.methods.learned.score import EXPLORED
from labkit.methods.learned.study import KIND, missed
from labkit.pruning import CRITERIA, POLICIES
from labkit.records import Record, load_all
from labkit.settings import LabError, Settings

LOOKED_AT = 500  # training images that a criterion sees


@dataclass(frozen=True)
class TrainCutTune(Channelwise):
    """The share ``target`` of the channels goes by a criterion and a policy of the course, names in
    ``pruning.CRITERIA`` and ``pruning.POLICIES``, and stays away for the last share ``tune`` of the epochs. Raises
    ``LabError`` for other names, and for a share that is none."""

    criterion: str
    policy: str
    target: float
    tune: float
    name: ClassVar[str] = "train-cut-tune"

    def __post_init__(self):
        checked_share(self.target)
        for chosen, known in ((self.criterion, CRITERIA), (self.policy, POLICIES)):
            if chosen not in known:
                raise LabError(f"There is no {chosen!r}: choose one of {', '.join(known)}.")

    def attach(self, model: nn.Module, seed: int) -> None:
        add_masks(model)

    def begin_epoch(self, model: nn.Module, number: int, epochs: int, data: Dataset) -> None:
        if number == tail(self.tune, epochs):
            scores = CRITERIA[self.criterion](plain(model), data.train[:LOOKED_AT], 0)
            drop(model, POLICIES[self.policy](scores, self.target))

    def after_step(self, model: nn.Module, rate: float, done: float) -> None:
        silence(model)


def explore(methods: dict[str, Learned], here: Settings, data: Dataset) -> list[Record]:
    """Train the network of lab 2 with each of the methods, by name, as all others are trained; the runs lie in folders
    ``explore-NAME``. Made once. Raises ``LabError`` for a name that is no folder's."""
    named = {checked_name(name): method for name, method in methods.items()}
    start = models.build(network(here.profile, len(data.classes)), seed=here.seed)
    shared = {"model": start, "data": data, "recipe": here.profile.train, "kind": KIND, "seed": here.seed}
    runs = training.fit_all(
        shared | {"method": method, "folder": here.folder / f"{EXPLORED}{name}"} for name, method in named.items()
    )
    for said in filter(None, map(missed, runs)):
        print(said)
    return runs


def known(here: Settings) -> dict[str, Record]:
    """By name, this experiment's runs but for the explorations; where one is missing the shipped one, saying so."""
    own, shipped = (by_name(load_all(folder, KIND)) for folder in (here.folder, here.reference))
    if others := shipped.keys() - own.keys():
        print(f"Of the runs here {len(others)} are the course's own, from {here.shipped}.")
    return {name: run for name, run in (shipped | own).items() if not name.startswith(EXPLORED)}


def by_name(runs: Iterable[Record]) -> dict[str, Record]:
    return {run.name: run for run in runs}


def chosen(runs: dict[str, Record], *names: str) -> list[Record]:
    """Those of the runs that are there, in the order of the names."""
    return [runs[name] for name in names if name in runs]
