"""Whether a submission's records agree with themselves and with the course, cell by cell.

Nothing is trained again. What can be recomputed is recomputed with labkit's own functions: learning
rates, budgets, λ, the exact count, parameters, MACs. What was measured must be possible: an
accuracy is a count over a number of images, and no second run repeats a measured time.

The checks rely on the shapes that ``labkit.course.untrusted`` has verified. A check yields sentences
on what is wrong; a cell without any gets one sentence on what is there.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import torch

from labkit import data, measure, models, records, settings, training
from labkit.course import answers, probe
from labkit.course.untrusted import read, shown
from labkit.pruning import ChannelPlan
from labkit.records import Record
from labkit.settings import Profile, Recipe

MOST_RUNS, MOST_SENTENCES = 60, 8
NEAR = 0.005  # another device judges a few images differently
FAR = 0.1  # between validation and test images, or between an accuracy and its estimate


@dataclass(frozen=True)
class Case:
    """One submission: its ``runs``, the shipped ``reference`` runs, and by file name what was ``unreadable``."""

    runs: list[Record]
    reference: list[Record]
    unreadable: dict[str, str]

    def of(self, *kinds: str, ratio: float | None = None) -> list[Record]:
        return [run for run in self.runs if run.kind in kinds and ratio in (None, run.config.get("ratio"))]

    def parent(self, run: Record, *kinds: str) -> Record | None:
        return next((other for other in self.of(*kinds) if other.name == run.config["parent"]), None)

    @property
    def profile(self) -> Profile | None:
        """The profile whose recipe the sparsity runs followed."""
        recipes = [run.config["recipe"] for run in self.of("sparsity")]
        return next((profile for profile in settings.PROFILES.values() if asdict(profile.train) in recipes), None)


Check = Callable[[Case, list[Record]], Iterator[str]]
"""The case, and the runs that a cell is about -> sentences on what is wrong."""


def each(*checks: Callable[[Case, Record], Iterator[str]]) -> Check:
    """A check of every run by itself; two sentences of one kind are enough."""
    return lambda case, runs: (
        f"{run.name}: {text}" for run in runs for check in checks for text in islice(check(case, run), 2)
    )


# What holds for one training.


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
    if (run.channels, run.classes) != (run.config["channels"], run.config["data"]["classes"]):
        yield "channels or classes differ from the configuration's."


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
    if abs(accuracy * images - round(accuracy * images)) > 1e-4:
        yield f"{what}: {accuracy!r} is no count of {images} images."


def keeps_its_budget(case: Case, run: Record) -> Iterator[str]:
    lam, claimed = run.config["lambda"], run.results["shrinkage_budget"]
    budget = training.shrinkage_budget(lam, rates_of(run), run.config["recipe"]["momentum"])
    if not math.isclose(claimed, budget, rel_tol=1e-6):
        yield f"shrinkage budget {claimed:.6g}; λ = {lam:g} and the recipe give {budget:.6g}."


@cache
def right_functions() -> dict[str, Callable]:
    sources = [answers.solution("penalty"), answers.solution("subgradient")]
    return probe.functions_in(sources, ["lambda_for", "penalty_gradient"])


def has_the_right_gradient(case: Case, run: Record) -> Iterator[str]:
    lam, got = run.config["lambda"], run.config["penalty_probe"]
    right = right_functions()["penalty_gradient"](torch.tensor(training.PROBE), lam).tolist() if lam else None
    sizes = len(got or []), len(right or [])
    if sizes[0] != sizes[1] or right and not np.allclose(got, right, rtol=1e-5, atol=1e-6 * lam):
        yield f"the penalty's gradient at γ = {list(training.PROBE)} was {got}; right is {right}."


def keeps_snapshots(case: Case, run: Record) -> Iterator[str]:
    epochs = run.config["recipe"]["epochs"]
    expected = sorted({round(e) for e in np.linspace(0, epochs, min(training.SNAPSHOTS, epochs) + 1)})
    if run.snapshots != expected:
        yield f"scaling factors were kept at epochs {shown(run.snapshots)}; {epochs} epochs keep {shown(expected)}."


# What holds for trainings together.


def are_the_courses(case: Case, runs: list[Record]) -> Iterator[str]:
    """The profile's recipe, one network, seed and data set, three λ with 0 among them."""
    if case.profile is None:
        yield f"No profile of the course has the recipe of {runs[0].name}: {_recipe(runs[0])}."
        return
    recipe, channels = asdict(case.profile.train), models.vgg_channels(case.profile.depth, case.profile.width)
    for run in runs:
        if (run.config["recipe"], run.channels) != (recipe, channels):
            yield f"{run.name}: another recipe or network than the profile {case.profile.name}'s."
    if len({run.config["start"] for run in runs}) > 1:
        yield "The sparsity runs start from different weights; in the notebook they share them."


def share_seed_and_data(case: Case, runs: list[Record]) -> Iterator[str]:
    if len(seeds := {run.config["seed"] for run in case.runs}) > 1:
        yield f"The records have different seeds: {sorted(seeds)}."
    sets = {json.dumps(run.config["data"]): run.config["data"] for run in case.runs}
    if len(sets) > 1:
        yield f"The records are on different data: {', '.join(sorted(shown(s['name']) for s in sets.values()))}."
    for described in sets.values():
        if described["name"] == "shapes" and described != _shapes():
            yield "The data are called shapes, but have other sizes or another sha256 than the data set shapes."


@cache
def _shapes() -> dict:
    return data.load("shapes", Path()).describe()


def differ(case: Case, runs: list[Record]) -> Iterator[str]:
    for a, b in combinations(runs, 2):
        if a.history and a.history == b.history:
            yield f"{a.name} and {b.name} have the same history to the last digit, but are different runs."


def follow_from_the_budgets(case: Case, runs: list[Record]) -> Iterator[str]:
    found = [run.config["lambda"] for run in runs]
    if 0 not in found:
        yield "There is no run without a penalty (λ = 0) to compare with."
    if case.profile:
        like = next(run for run in runs if run.config["recipe"] == asdict(case.profile.train))
        rates, momentum = rates_of(like), case.profile.train.momentum
        wanted = [float(f"{right_functions()['lambda_for'](b, rates, momentum):.2g}") for b in case.profile.budgets]
        if missing := [lam for lam in wanted if not any(math.isclose(lam, f, rel_tol=1e-6) for f in found)]:
            yield f"λ are {_list(found)}; the profile's budgets give {_list(wanted)}: {_list(missing)} is missing."


def shrink(case: Case, runs: list[Record]) -> Iterator[str]:
    ends = [(run.config["lambda"], run.history[-1]["gamma_l1"]) for run in runs if run.history]
    for (weak, large), (strong, small) in zip(ends, ends[1:]):
        if weak < strong and small >= large:
            yield f"Σ|γ| ends at {small:.4g} with λ = {strong:g} and at {large:.4g} with λ = {weak:g}: it should fall."


# What holds for one pruning.


def comes_from_a_run(case: Case, run: Record) -> Iterator[str]:
    config, parent = run.config, case.parent(run, "sparsity")
    if parent is None:
        shipped = config["parent_config"] in {records.digest(other.config) for other in case.reference}
        origin = "is the course's reference run" if shipped else "is not among the records"
        yield f"it was made from {shown(config['parent'])}, which {origin}."
        return
    if config["parent_config"] != records.digest(parent.config):
        yield f"it was made from another training of {parent.name}."
    of_parent = (parent.channels, parent.config["lambda"], parent.results["shrinkage_budget"])
    if (config["parent_channels"], config["lambda"], run.results["shrinkage_budget"]) != of_parent:
        yield f"channels, λ or budget are not those of {parent.name}."
    before, after = run.results["validation"]["parent"], parent.results["validation_accuracy"]
    if abs(before - after) > NEAR:
        yield f"validation accuracy before pruning {before:.2%}; {parent.name} ended with {after:.2%}."


def has_a_valid_plan(case: Case, run: Record) -> Iterator[str]:
    plan, parent = ChannelPlan.from_dict(run.plan), run.config["parent_channels"]
    widths = [c for c in parent if c != "M"]
    if plan.total != {f"features.conv{i}": w for i, w in enumerate(widths, 1)} or list(plan.kept) != list(plan.total):
        yield "the plan's layers are not those of its parent's network."
        return
    for layer, kept in plan.kept.items():
        if not kept or list(kept) != sorted(set(kept)) or kept[-1] >= plan.total[layer]:
            yield f"the kept channels of {layer} are not ascending indices below {plan.total[layer]}."
        if layer in plan.guarded and len(kept) != run.config["at_least"]:
            yield f"{layer} is said to be guarded, but keeps {len(kept)} channels."
    gone, exact = sum(widths) - sum(plan.widths), round(run.config["ratio"] * sum(widths))
    if gone != exact or plan.requested != run.config["ratio"]:
        yield f"{gone} of {sum(widths)} channels are pruned; {run.config['ratio']:.0%} are {exact}."
    if run.channels != models.with_widths(parent, plan.widths):
        yield f"the channels {shown(run.channels)} are not those that the plan keeps, {shown(plan.widths)}."
    if not math.isclose(run.results["achieved_ratio"], plan.achieved, abs_tol=1e-9):
        yield f"achieved ratio {run.results['achieved_ratio']:.4%}; the plan removes {plan.achieved:.4%}."


def keeps_what_a_milder_plan_keeps(case: Case, run: Record) -> Iterator[str]:
    """The lowest scores go first: what is left at 90 % was left at 50 %."""

    def milder(other: Record) -> bool:
        same = all(other.config[key] == run.config[key] for key in ("parent_config", "at_least"))
        return same and other.config["ratio"] < run.config["ratio"]

    if other := next(filter(milder, case.of("pruning")), None):
        for layer, kept in run.plan["kept"].items():
            if revived := set(kept) - set(other.plan["kept"].get(layer, [])):
                yield f"{len(revived)} channels of {shown(layer)} are kept, but pruned in {other.name}."


def start_from_the_strongest(case: Case, runs: list[Record]) -> Iterator[str]:
    trained = case.of("sparsity")
    if trained and trained[-1].name not in [run.config["parent"] for run in runs]:
        yield f"{trained[-1].name}, the run of the largest λ, was not pruned at this ratio."


@cache
def _costs(channels: tuple, classes: int) -> tuple[int, int]:
    with torch.device("meta"):
        model = models.VGGNet(list(channels), classes)
    return measure.parameters(model), measure.macs(model)


def has_its_costs(case: Case, run: Record) -> Iterator[str]:
    yield from wrong_costs(run.results, run.channels, run.classes)


def wrong_costs(claimed: dict, channels: list, classes: int) -> Iterator[str]:
    parameters, macs = _costs(tuple(channels), classes)
    if (claimed["parameters"], claimed["macs"]) != (parameters, macs):
        yield (
            f"{claimed['parameters']:,} parameters and {claimed['macs']:,} MACs; its channels give {parameters:,} and "
            f"{macs:,}."
        )
    time = claimed["latency_ms"]
    if not 0 < time["quartile1"] <= time["median"] <= time["quartile3"]:
        yield f"latency {time['median']:.4g} ms is not between its quartiles."


def has_possible_results(case: Case, run: Record) -> Iterator[str]:
    images = run.config["data"]
    for name, accuracy in run.results["validation"].items():
        yield from impossible(accuracy, images["validation"], f"validation accuracy {name}")
    test = run.results["test"]["as_it_stands"]
    yield from impossible(test, images["test"], "test accuracy")
    if abs(test - run.results["validation"]["as_it_stands"]) > FAR:
        yield f"test accuracy {test:.1%}, but {run.results['validation']['as_it_stands']:.1%} on validation images."


# What holds for fine-tuning, training from scratch and the summary.


def trains_the_pruned_network(case: Case, run: Record) -> Iterator[str]:
    pruned = case.parent(run, "pruning")
    if pruned is None:
        yield f"it was made from {shown(run.config['parent'])}, which is not among the records."
    elif (run.plan, run.channels, run.config["ratio"]) != (pruned.plan, pruned.channels, pruned.config["ratio"]):
        yield f"plan, channels or ratio are not those of {pruned.name}."
    if case.profile:
        longer = case.profile.train.epochs + case.profile.fine_tune.epochs
        tuned = replace(case.profile.fine_tune, learning_rate=run.config["recipe"]["learning_rate"])
        wanted = tuned if run.kind == "fine-tuning" else replace(case.profile.train, epochs=longer)
        if run.config["recipe"] != asdict(wanted):
            yield f"another recipe than the profile {case.profile.name}'s."


def are_the_trainings_asked_for(case: Case, runs: list[Record]) -> Iterator[str]:
    full = case.profile.train.learning_rate if case.profile else 0.1
    for ratio, rates in ((0.9, (full, 0.1 * full, 0.01 * full)), (0.5, (0.1 * full,))):
        found = [run.config["recipe"]["learning_rate"] for run in case.of("fine-tuning", ratio=ratio)]
        if missing := [rate for rate in rates if not any(math.isclose(rate, f, rel_tol=1e-6) for f in found)]:
            yield f"Of the {ratio:.0%} network, fine-tuning with learning rate {_list(missing)} is missing."
    if not case.of("from-scratch"):
        yield "The control from scratch is missing."
    starts = {(run.config["parent"], run.config["start"]) for run in case.of("fine-tuning")}
    if len(starts) > len({parent for parent, _ in starts}):
        yield "Fine-tunings of one pruned network start from different weights."


def agree_with_the_summary(case: Case, runs: list[Record]) -> Iterator[str]:
    """Every row of the last table against the run that it is about."""
    summaries, trained = case.of("summary"), case.of("sparsity")
    if len(summaries) != 1 or not trained:
        yield f"There are {len(summaries)} summaries and {len(trained)} sparsity runs to compare the last table with."
        return
    (summary,), dense, strong = summaries, trained[0], trained[-1]
    about = {("baseline", 0): (dense, None), ("sparse", 0): (strong, None)}
    for run in case.of("pruning"):
        if run.config["parent"] == strong.name:
            about["pruned", run.config["ratio"]] = run, run.results["test"]["as_it_stands"]
            about["re-estimated", run.config["ratio"]] = run, run.results["validation"]["recalibrated"]
    for kind, stage in (("fine-tuning", "fine-tuned"), ("from-scratch", "from scratch")):
        for run in sorted(case.of(kind), key=lambda run: run.results["validation_accuracy"]):
            about[stage, run.config["ratio"]] = run, None
    rows = {(row["stage"], row["ratio"]): row for row in summary.results["rows"]}
    missing = {key for key in about if key[1] in (0, 0.5, 0.9)} - rows.keys()
    if missing or len(rows) < len(summary.results["rows"]):
        yield f"summary: rows are there twice, or missing: {', '.join(sorted(map(shown, missing)))}."
    if odd := rows.keys() - about.keys():
        yield f"summary: no run of the student's belongs to the rows {', '.join(sorted(map(shown, odd))[:4])}."
    for key in rows.keys() & about.keys():
        row, (run, expected), where = rows[key], about[key], f"summary, {key[0]} {key[1]:.0%}"
        yield from (f"{where}: {text}" for text in wrong_costs(row, row["channels"], summary.classes))
        yield from impossible(row["accuracy"], summary.config["data"]["test"], where)
        if row["channels"] != run.channels:
            yield f"{where}: the channels are not those of {run.name}."
        near = NEAR if key[0] == "pruned" else FAR
        expected = run.results["validation_accuracy"] if expected is None else expected
        if abs(row["accuracy"] - expected) > near:
            yield f"{where}: test accuracy {row['accuracy']:.1%}, but {run.name} has {expected:.1%}."


def _list(values) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _recipe(run: Record) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run.config["recipe"].items())


# Copies.


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
    found = [row["latency_ms"]["median"] for row in rows if "latency_ms" in row]
    return [time for time in [*found, run.results.get("seconds", 0)] if time]


# The cells.


@dataclass(frozen=True)
class Cell:
    """The kinds of run (and their ratio) that a manual cell is about, and what is checked; if nothing is
    wrong, ``good`` is said, and ``fact`` of every run. Copies are told in the cell that ``owns`` the runs."""

    kinds: tuple[str, ...]
    checks: tuple[Check, ...]
    good: str
    fact: str
    ratio: float | None = None
    owns: bool = False

    def summary(self, runs: list[Record]) -> str:
        facts = (self.fact.format(run=run, last=run.history[-1] if run.history else None) for run in runs)
        return f"{self.good}: {', '.join(f'{run.name} {fact}' for run, fact in zip(runs, facts))}."

    @property
    def ending(self) -> str:
        """How the names of its runs end."""
        return f"-{100 * self.ratio:.0f}" if self.ratio else ""


SPARSITY, PRUNING, TUNING = ("sparsity",), ("pruning",), ("fine-tuning", "from-scratch")
OF_TRAINING = each(follows_its_recipe, has_possible_accuracies), are_the_courses, share_seed_and_data, differ
OF_LAMBDA = each(keeps_its_budget, has_the_right_gradient), follow_from_the_budgets
OF_PLANS = (
    each(comes_from_a_run, has_a_valid_plan, keeps_what_a_milder_plan_keeps, has_its_costs),
    start_from_the_strongest,
)
OF_TUNING = (
    each(follows_its_recipe, has_possible_accuracies, keeps_its_budget, trains_the_pruned_network),
    are_the_trainings_asked_for,
    differ,
    agree_with_the_summary,
)
ENDS, TEST = "{run.results[validation_accuracy]:.1%}", "{run.results[test][as_it_stands]:.1%}"
FACTORS, SIZE_LEFT = "{last[gamma_l1]:.1f}", "{run.results[parameters]:,}"
BUDGETS = "{run.results[shrinkage_budget]:.3g}"
TRAINED = "Histories, learning rates, seed and data are consistent; validation accuracy at the end"
PLANNED = "Plans, exact counts, channels and MACs are consistent; parameters"
TUNED = "The trainings and the last table are consistent with the prunings; validation accuracy at the end"
CELLS = {
    "manual-report-training": Cell(SPARSITY, OF_TRAINING, TRAINED, ENDS, owns=True),
    "manual-scaling-factor-visualization": Cell(
        SPARSITY, (each(keeps_snapshots), shrink), "The larger λ, the smaller Σ|γ| at the end", FACTORS
    ),
    "manual-report-lambda": Cell(SPARSITY, OF_LAMBDA, "λ follow from the budgets, the gradient is right", BUDGETS),
    "manual-report-fine-tuning": Cell(TUNING, OF_TUNING, TUNED, ENDS, owns=True),
}
for ratio in (0.5, 0.9):
    CELLS[f"manual-prune-{100 * ratio:.0f}"] = Cell(PRUNING, OF_PLANS, PLANNED, SIZE_LEFT, ratio)
    CELLS[f"manual-report-prune-{100 * ratio:.0f}"] = Cell(
        PRUNING, (each(has_possible_results),), "The accuracies are possible; on test images", TEST, ratio, owns=True
    )


def findings(folder: Path, reference: Path = settings.REFERENCE) -> list[dict]:
    """What the records in ``folder`` (``<run>/record.json``) say, as ``{"cell", "well", "text"}`` by
    manual cell; never raises for what a record holds."""
    case = _case(Path(folder), reference)
    return [
        {"cell": name, "well": well, "text": text} for name, cell in CELLS.items() for well, text in _said(case, cell)
    ]


def _said(case: Case, cell: Cell) -> Iterator[tuple[bool, str]]:
    runs = case.of(*cell.kinds, ratio=cell.ratio)
    wrong = [text for name, text in case.unreadable.items() if cell is _cell_of(name)]
    try:
        wrong += [text for check in cell.checks for text in check(case, runs)] if runs else []
        good = cell.summary(runs)
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
    if cell.owns:
        yield from ((False, text) for text in copies(case, runs))


def _cell_of(name: str) -> Cell:
    """The cell that is told of a record that cannot be read, by its folder's name."""
    owners = [cell for cell in CELLS.values() if cell.owns]
    fitting = (cell for cell in owners if name.startswith(cell.kinds) and name.endswith(cell.ending))
    return next(fitting, CELLS["manual-report-fine-tuning"])


def _case(folder: Path, reference: Path) -> Case:
    found, unreadable = [], {}
    paths = sorted(folder.glob("*/record.json"))
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
    return Case(sorted(found, key=lambda run: (run.config["lambda"], run.name)), _reference(reference), unreadable)


@cache
def _reference(folder: Path) -> list[Record]:
    return [records.load(path.parent) for path in sorted(folder.glob("*/*/record.json"))]
