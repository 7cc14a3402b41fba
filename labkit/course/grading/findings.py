"""Whether a submission's records agree with themselves and with the course, cell by cell.

Nothing is trained again. What can be recomputed is recomputed with labkit's own functions: learning
rates, budgets, λ, the exact count, parameters, MACs. What was measured must be possible: an
accuracy is a count over a number of images, and no second run repeats a measured time.

The checks rely on the schemas that ``labkit.course.grading.untrusted`` has verified. A check yields sentences
on what is wrong; a cell without any gets one sentence on what is there. Which cells a lab has, and what is
checked for them, is in the module that its entry in the table of labs names.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import combinations, islice
from pathlib import Path

import numpy as np

from labkit import data, foreign, models, records, settings, training
from labkit.course.edition import Edition
from labkit.course.grading.untrusted import read, shown
from labkit.course.labs import Lab
from labkit.models import Specification
from labkit.pruning import channel_groups
from labkit.records import Record
from labkit.settings import Recipe

MOST_RUNS, MOST_SENTENCES, MOST_NAMES = 100, 8, 5
SHAPES = "shapes"
AS_MANY = ("open-task-", "policy-", "explore-", "my-search-")  # as a student likes: looked at last
NEAR = 0.005  # another device judges a few images differently
FAR = 0.1  # between validation and test images, or between an accuracy and its estimate


@dataclass(frozen=True)
class Own:
    """In a class with variants: the ``seed`` that a student's runs have to have, which is the split's as well, and whose
    the seeds are that were found instead, by seed: ``others`` of the class. No ``seed``: whose the hand-in is, is not
    known."""

    seed: int | None
    others: dict[int, str]

    def said(self, run: Record, courses: set[int]) -> str:
        """What is wrong with a run's seed or split; empty where nothing is, or nothing is known. ``courses``: the seeds of
        the course's runs."""
        if self.seed is None:
            return ""
        found = {"seed": run.config["seed"]} if "seed" in run.config else {}
        found |= {"split": run.config["data"].get("split")} if "data" in run.config else {}
        for what, number in found.items():
            if number != self.seed:
                whose = f": it is {self.others[number]}'s" if number in self.others else ""
                whose = ": it is one of the course's" if what == "seed" and number in courses else whose
                named = "the split that all have" if number is None else f"{what} {number}"
                return f"{named} is not this student's ({self.seed}){whose}"
        return ""


@dataclass(frozen=True)
class Case:
    """One submission: its ``runs``, the shipped ``reference`` runs, by file name what was ``unreadable``, and the
    student's ``own`` variant, where the class has some."""

    runs: list[Record]
    reference: list[Record]
    unreadable: dict[str, str]
    own: Own | None = None

    def of(self, *kinds: str, ratio: float | None = None) -> list[Record]:
        return [run for run in self.runs if run.kind in kinds and ratio in (None, run.config.get("ratio"))]

    def parent(self, run: Record, *kinds: str) -> Record | None:
        return next((other for other in self.of(*kinds) if other.name == run.config["parent"]), None)


Check = Callable[[Case, list[Record]], Iterator[str]]
"""The case, and the runs that a cell is about -> sentences on what is wrong."""


def each(*checks: Callable[[Case, Record], Iterator[str]]) -> Check:
    """A check of every run by itself; two sentences of one kind are enough."""
    return lambda case, runs: (
        f"{run.name}: {text}" for run in runs for check in checks for text in islice(check(case, run), 2)
    )


def only(kind: str, *checks: Check) -> Check:
    """Checks of the runs of one kind."""

    def of_kind(case: Case, runs: list[Record]) -> Iterator[str]:
        some = [run for run in runs if run.kind == kind]
        return (text for check in checks for text in check(case, some))

    return of_kind


@cache
def channels_of(network: Specification) -> dict[str, int]:
    """Channels of every group of a network."""
    return {name: group.width for name, group in channel_groups(models.build(network)).items()}


def rates_of(run: Record) -> list[float]:
    return training.learning_rates(Recipe(**run.config["recipe"]), run.config["data"]["train"])


def follows_its_recipe(case: Case, run: Record) -> Iterator[str]:
    epochs = run.config["recipe"]["epochs"]
    if [entry["epoch"] for entry in run.history] != list(range(1, epochs + 1)):
        yield f"the history has {len(run.history)} entries, or odd epochs; the recipe has {epochs} epochs."
        return
    rates = rates_of(run)
    for entry in run.history:
        rate = rates[entry["epoch"] * len(rates) // epochs - 1]
        if not math.isclose(entry["learning_rate"], rate, rel_tol=1e-9):
            yield f"learning rate {entry['learning_rate']:.6g} in epoch {entry['epoch']}; the recipe gives {rate:.6g}."
    if (run.network, run.network["classes"]) != (run.config["network"], run.config["data"]["classes"]):
        yield "network or classes differ from the configuration's."


def has_possible_accuracies(case: Case, run: Record) -> Iterator[str]:
    images = run.config["data"]
    for entry in run.history:
        yield from impossible(entry["train_accuracy"], images["train"], f"training accuracy in epoch {entry['epoch']}")
        yield from impossible(entry["validation_accuracy"], images["validation"], f"validation, epoch {entry['epoch']}")
        # An image that is judged wrongly has at most half of the probability; one image may be left out of an epoch.
        wrong = 1 - entry["train_accuracy"] - 1 / images["train"]
        if entry["loss"] < 0.999 * math.log(2) * wrong:
            yield (
                f"loss {entry['loss']:.4g} in epoch {entry['epoch']} is too low for a training accuracy of "
                f"{entry['train_accuracy']:.2%}."
            )
    if run.history and run.results["validation_accuracy"] != run.history[-1]["validation_accuracy"]:
        yield f"final validation accuracy {run.results['validation_accuracy']:.2%} is not that of the last epoch."


def impossible(accuracy: float, images: int, what: str) -> Iterator[str]:
    if abs(accuracy * images - round(accuracy * images)) > 1e-4 + 2e-7 * images:  # a training divides in float32
        yield f"{what}: {accuracy!r} is no count of {images} images."


def keeps_its_budget(case: Case, run: Record) -> Iterator[str]:
    lam, claimed = run.config["lambda"], run.results["shrinkage_budget"]
    budget = training.shrinkage_budget(lam, rates_of(run), run.config["recipe"]["momentum"])
    if not math.isclose(claimed, budget, rel_tol=1e-6):
        yield f"shrinkage budget {claimed:.6g}; λ = {lam:g} and the recipe give {budget:.6g}."


def keeps_snapshots(case: Case, run: Record) -> Iterator[str]:
    epochs = run.config["recipe"]["epochs"]
    expected = sorted({round(e) for e in np.linspace(0, epochs, min(training.SNAPSHOTS, epochs) + 1)})
    if run.snapshots != expected:
        yield f"scaling factors were kept at epochs {shown(run.snapshots)}; {epochs} epochs keep {shown(expected)}."


def share_seed_and_data(case: Case, runs: list[Record]) -> Iterator[str]:
    if len(seeds := {run.config["seed"] for run in case.runs if "seed" in run.config}) > 1:
        yield f"The records have different seeds: {sorted(seeds)}."
    sets = {json.dumps(run.config["data"]): run.config["data"] for run in case.runs if "data" in run.config}
    if len(sets) > 1:
        yield f"The records are on different data: {', '.join(sorted(map(_called, sets.values())))}."
    for images in sets.values():
        split, own = images.get("split"), case.own and case.own.seed
        if split is not None and case.own is None:
            yield f"The data are a split of a student's own ({split}), which this class does not have."
        elif images["name"] == SHAPES and split in (None, own) and images != _described(split):
            yield "The data are called shapes, but have other sizes or another sha256 than the data set shapes."
    if case.own and case.own.seed is None:
        yield "The hand-in carries no student id of this class: whose its seed and split are was not checked."
    yield from are_the_students_own(case, case.runs)


def _called(images: dict) -> str:
    return shown(images["name"]) + (f" of split {images['split']}" if "split" in images else "")


def are_the_students_own(case: Case, runs: list[Record]) -> Iterator[str]:
    """In a class with variants: every run has the seed and the split of its student."""
    wrong, courses = defaultdict(list), {run.config.get("seed") for run in case.reference}
    for run in runs if case.own else ():
        wrong[case.own.said(run, courses)].append(run.name)
    for text, names in wrong.items():
        if text:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            yield f"{', '.join(names[:MOST_NAMES])}{more}: {text}."


def is_the_students_own(case: Case, run: Record) -> Iterator[str]:
    return are_the_students_own(case, [run])


@cache
def _shapes() -> data.Dataset:
    return data.load(SHAPES, Path())


@cache
def _described(split: int | None) -> dict:
    """What a record says of the data set shapes, in the split that all have or in one of a student's own."""
    return (_shapes() if split is None else data.own_shapes(_shapes(), split)).describe()


def wrong_plan(run: Record, parent: dict, total: dict[str, int]) -> Iterator[str]:
    """What does not fit between a run's plan and network, the ``parent``'s network, and its groups' channels."""
    if run.plan["total"] != total or list(run.plan["kept"]) != list(total):
        yield "the plan's layers are not those of its parent's network."
        return
    for layer, kept in run.plan["kept"].items():
        if not kept or kept != sorted(set(kept)) or kept[-1] >= total[layer]:
            yield f"the kept channels of {layer} are not ascending indices below {total[layer]}."
    if run.network != parent | {"widths": (widths := [len(kept) for kept in run.plan["kept"].values()])}:
        yield f"the network {named(run.network)} is not the one that the plan keeps, with {shown(widths)}."


def named(network: dict) -> str:
    return f"{network['family']} {shown(network['blocks'])} with {shown(network['widths'])} channels"


def differ(case: Case, runs: list[Record]) -> Iterator[str]:
    for a, b in combinations(runs, 2):
        if a.history and a.history == b.history:
            yield f"{a.name} and {b.name} have the same history to the last digit, but are different runs."


def copies(case: Case, runs: list[Record]) -> Iterator[str]:
    """Measured times repeat only in a copy; a history may, on the same kind of machine."""
    times = {time for run in case.reference for time in _times(run)}
    histories = [run.history for run in case.reference if run.history]
    copied = [run.name for run in runs if times & set(_times(run))]
    alike = [run.name for run in runs if run.name not in copied and run.history in histories]
    if copied:
        yield (
            f"{', '.join(copied)}: these are the course's reference runs, not the student's own; the measured times are "
            "the same to the last digit, and no second run repeats them."
        )
    if alike:
        yield (
            f"{', '.join(alike)}: these have the numbers of the course's reference runs to the last digit; the same "
            "kind of machine with the same seed can do that, otherwise they are not the student's own."
        )


def _times(run: Record) -> list[float]:
    rows = run.results.get("rows", [run.results])
    found = [time for row in rows for time in _medians(row.get("latency_ms"))]
    seconds = run.results.get("seconds", 0)
    return [time for time in [*found, *(seconds.values() if isinstance(seconds, dict) else [seconds])] if time]


def _medians(latencies) -> list[float]:
    """Of one latency, or of several by name at any depth."""
    if not isinstance(latencies, dict):
        return []
    if "median" in latencies:
        return [latencies["median"]]
    return [time for inner in latencies.values() for time in _medians(inner)]


@dataclass(frozen=True)
class Cell:
    """The kinds of run (and their ratio) that a manual cell is about, and what is checked; if nothing is
    wrong, ``good`` is written, and ``fact`` of every run; the ``conclusion`` from all in any case. The cell that ``owns`` the runs
    also lists copies, and records that cannot be read, those whose folders are ``called`` so (as their kinds are).
    Of an ``optional`` one nothing is said where there are no runs."""

    kinds: tuple[str, ...]
    checks: tuple[Check, ...]
    good: str
    fact: str
    ratio: float | None = None
    owns: bool = False
    called: tuple[str, ...] = ()
    conclusion: Callable[[Case], str] | None = None
    optional: bool = False

    def summary(self, case: Case, runs: list[Record]) -> str:
        facts = (self.fact.format(run=run, last=run.history[-1] if run.history else None) for run in runs)
        return f"{self.good}: {', '.join(f'{run.name} {fact}' for run, fact in zip(runs, facts))}."

    @property
    def ending(self) -> str:
        """How the names of its runs end."""
        return f"-{100 * self.ratio:.0f}" if self.ratio else ""


def cells_of(lab: Lab) -> dict[str, Cell]:
    """What is checked for each manual cell of a lab that is about records."""
    return import_module(f"labkit.course.grading.{lab.findings}").CELLS if lab.findings else {}


def findings(folder: Path, lab: Lab, reference: Path = settings.REFERENCE, own: Own | None = None) -> list[dict]:
    """What the records in ``folder`` (``<run>/record.json``) say, as ``{"cell", "well", "text"}`` by
    manual cell; never raises for what a record holds."""
    cells, found = cells_of(lab), []
    case = case_of(folder, lab, reference, own)
    unreadable: dict[str, list[str]] = {name: [] for name in cells}
    for run, text in case.unreadable.items() if cells else ():
        unreadable[_owner(run, cells)].append(text)
    for name, cell in cells.items():
        lines = _lines(case, cell, unreadable[name])
        found += [{"cell": name, "well": well, "text": text} for well, text in lines]
    return found


def _lines(case: Case, cell: Cell, wrong: list[str]) -> Iterator[tuple[bool, str]]:
    runs, copied, concluded = case.of(*cell.kinds, ratio=cell.ratio), [], ""
    if cell.optional and not runs and not wrong:
        return
    try:
        wrong += [text for check in cell.checks for text in check(case, runs)] if runs else []
        good = cell.summary(case, runs)
        concluded = cell.conclusion(case) if cell.conclusion and runs else ""
        copied = list(copies(case, runs)) if cell.owns else []
    except Exception as error:  # one submission must never stop a class from being graded
        wrong.append(f"Not everything could be checked ({type(error).__name__}): look at these records yourself.")
    if not runs:
        of_ratio = f" at {cell.ratio:.0%}" if cell.ratio else ""
        wrong.append(f"There is no record of {' or '.join(cell.kinds)}{of_ratio}.")
    yield from ((False, text) for text in wrong[:MOST_SENTENCES])
    if len(wrong) > MOST_SENTENCES:
        yield False, f"And {len(wrong) - MOST_SENTENCES} more of this kind."
    if not wrong:
        yield True, good
    if concluded:
        yield True, concluded
    yield from ((False, text) for text in copied)


def _owner(run: str, cells: dict[str, Cell]) -> str:
    """The cell that lists a record which cannot be read, by its folder's name: the last where none fits."""
    owners = {name: cell for name, cell in cells.items() if cell.owns}
    fitting = (n for n, c in owners.items() if run.startswith(c.called or c.kinds) and run.endswith(c.ending))
    return next(fitting, list(owners)[-1])


def own_variants(folders: list[Path], course: Edition) -> dict[Path, Own | None]:
    """By collected submission, a folder with the student's name, the variant that its student has; None where all have
    the same. A folder that has another name, since no id was found, has no seed. Others of the class are named only where
    a record has their seed."""
    if not course.variants:
        return dict.fromkeys(folders)
    seeds = {
        folder: course.seed_of(folder.name) if re.fullmatch(course.student, folder.name) else None for folder in folders
    }
    owners, found = {seed: folder for folder, seed in seeds.items()}, {}
    for folder, seed in seeds.items():
        others = {other: owners[other].name for other in _seeds_in(folder) if other in owners and other != seed}
        found[folder] = Own(seed, others)
    return found


def _seeds_in(folder: Path) -> Iterator[int]:
    """The seeds and splits that a submission's records name, whatever else they hold."""
    for path in sorted(folder.glob("records/*/record.json"))[:MOST_RUNS]:
        try:
            config = foreign.content(path)["config"]
            found = config.get("seed"), config.get("data", {}).get("split")
        except (ValueError, LookupError, TypeError, AttributeError):  # no record: said elsewhere
            continue
        yield from (seed for seed in found if type(seed) is int)


def case_of(folder: Path, lab: Lab, reference: Path = settings.REFERENCE, own: Own | None = None) -> Case:
    """The records in ``folder`` (``<run>/record.json``) that can be read, beside the course's own."""
    found, unreadable = [], {}
    paths = sorted(Path(folder).glob("*/record.json"), key=lambda path: (path.parent.name.startswith(AS_MANY), path))
    for path in paths[:MOST_RUNS]:
        name = path.parent.name
        try:
            if not name.isprintable() or len(name) > 80:
                raise ValueError("its name is not one of a run")
            found.append(read(path))
        except ValueError as error:
            unreadable[name] = f"The record {shown(name)} is not one that labkit wrote: {error}."
    if len(paths) > MOST_RUNS:
        unreadable[""] = f"Of {len(paths)} records, the first {MOST_RUNS} were looked at."
    runs = sorted(found, key=lambda run: (run.config.get("lambda", 0), run.name))
    return Case(runs, _reference(reference, lab), unreadable, own)


@cache
def _reference(folder: Path, lab: Lab) -> list[Record]:
    return list(map(records.load, lab.reference_runs(folder)))
