"""What is checked in the records of lab 1, Network Slimming, and for which cells of its notebooks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import torch

from labkit import measure, models, records, settings, training
from labkit.course import answers
from labkit.course.grading import findings
from labkit.course.grading.findings import FAR, NEAR, Case, Cell, each, impossible, rates_of
from labkit.course.grading.untrusted import shown
from labkit.course.practice import probe
from labkit.models import Specification
from labkit.pruning import ChannelPlan
from labkit.records import Record
from labkit.settings import Profile


def profile_of(case: Case) -> Profile | None:
    """The profile whose recipe the sparsity runs followed."""
    recipes = [run.config["recipe"] for run in case.of("sparsity")]
    return next((profile for profile in settings.PROFILES.values() if asdict(profile.train) in recipes), None)


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


def are_the_courses(case: Case, runs: list[Record]) -> Iterator[str]:
    """The profile's recipe, one network, seed and data set, three λ with 0 among them."""
    profile = profile_of(case)
    if profile is None:
        yield f"No profile of the course has the recipe of {runs[0].name}: {_recipe(runs[0])}."
        return
    recipe = asdict(profile.train)
    for run in runs:
        network = models.named(profile.network, profile.width, run.config["data"]["classes"])
        if (run.config["recipe"], run.network) != (recipe, network.to_dict()):
            yield f"{run.name}: another recipe or network than the profile {profile.name}'s."
    if len({run.config["start"] for run in runs}) > 1:
        yield "The sparsity runs start from different weights; in the notebook they share them."


def follow_from_the_budgets(case: Case, runs: list[Record]) -> Iterator[str]:
    profile = profile_of(case)
    found = [run.config["lambda"] for run in runs]
    if 0 not in found:
        yield "There is no run without a penalty (λ = 0) to compare with."
    if profile:
        like = next(run for run in runs if run.config["recipe"] == asdict(profile.train))
        rates, momentum = rates_of(like), profile.train.momentum
        wanted = [float(f"{right_functions()['lambda_for'](b, rates, momentum):.2g}") for b in profile.budgets]
        if missing := [lam for lam in wanted if not any(math.isclose(lam, f, rel_tol=1e-6) for f in found)]:
            yield f"λ are {_list(found)}; the profile's budgets give {_list(wanted)}: {_list(missing)} is missing."


def shrink(case: Case, runs: list[Record]) -> Iterator[str]:
    ends = [(run.config["lambda"], run.history[-1]["gamma_l1"]) for run in runs if run.history]
    for (weak, large), (strong, small) in zip(ends, ends[1:]):
        if weak < strong and small >= large:
            yield f"Σ|γ| ends at {small:.4g} with λ = {strong:g} and at {large:.4g} with λ = {weak:g}: it should fall."


def comes_from_a_run(case: Case, run: Record) -> Iterator[str]:
    config, parent = run.config, case.parent(run, "sparsity")
    if parent is None:
        shipped = config["parent_config"] in {records.identity(other) for other in case.reference}
        origin = "is the course's reference run" if shipped else "is not among the records"
        yield f"it was made from {shown(config['parent'])}, which {origin}."
        return
    if config["parent_config"] != records.identity(parent):
        yield f"it was made from another training of {parent.name}."
    of_parent = (parent.network, parent.config["lambda"], parent.results["shrinkage_budget"])
    if (config["parent_network"], config["lambda"], run.results["shrinkage_budget"]) != of_parent:
        yield f"network, λ or budget are not those of {parent.name}."
    before, after = run.results["validation"]["parent"], parent.results["validation_accuracy"]
    if abs(before - after) > NEAR:
        yield f"validation accuracy before pruning {before:.2%}; {parent.name} ended with {after:.2%}."


def has_a_valid_plan(case: Case, run: Record) -> Iterator[str]:
    plan, parent = ChannelPlan.from_dict(run.plan), run.config["parent_network"]
    widths = parent["widths"]
    total = {f"features.conv{i}": w for i, w in enumerate(widths, 1)}
    yield from findings.wrong_plan(run, parent, total)
    if list(plan.kept) != list(total):
        return
    for layer, kept in plan.kept.items():
        if layer in plan.guarded and len(kept) != run.config["at_least"]:
            yield f"{layer} is said to be guarded, but keeps {len(kept)} channels."
    gone, exact = sum(widths) - sum(plan.widths), round(run.config["ratio"] * sum(widths))
    if gone != exact or plan.requested != run.config["ratio"]:
        yield f"{gone} of {sum(widths)} channels are pruned; {run.config['ratio']:.0%} are {exact}."
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
def _costs(specification: Specification) -> tuple[int, int]:
    with torch.device("meta"):  # whatever its size, it takes no memory
        network = models.FAMILIES[specification.family].Network(specification)
    network.specification = specification
    return measure.parameters(network), measure.macs(network)


def has_its_costs(case: Case, run: Record) -> Iterator[str]:
    yield from wrong_costs(run.results, run.network)


def wrong_costs(claimed: dict, network: dict) -> Iterator[str]:
    try:
        parameters, macs = _costs(Specification.from_dict(network))
    except Exception:  # of a family's own making
        yield f"the network {findings.named(network)} cannot be built."
        return
    if (claimed["parameters"], claimed["macs"]) != (parameters, macs):
        yield (
            f"{claimed['parameters']:,} parameters and {claimed['macs']:,} MACs; its network gives {parameters:,} and "
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


def trains_the_pruned_network(case: Case, run: Record) -> Iterator[str]:
    profile = profile_of(case)
    pruned = case.parent(run, "pruning")
    if pruned is None:
        yield f"it was made from {shown(run.config['parent'])}, which is not among the records."
    elif (run.plan, run.network, run.config["ratio"]) != (pruned.plan, pruned.network, pruned.config["ratio"]):
        yield f"plan, network or ratio are not those of {pruned.name}."
    if profile:
        longer = profile.train.epochs + profile.fine_tune.epochs
        tuned = replace(profile.fine_tune, learning_rate=run.config["recipe"]["learning_rate"])
        wanted = tuned if run.kind == "fine-tuning" else replace(profile.train, epochs=longer)
        if run.config["recipe"] != asdict(wanted):
            yield f"another recipe than the profile {profile.name}'s."


def are_the_trainings_asked_for(case: Case, runs: list[Record]) -> Iterator[str]:
    profile = profile_of(case)
    full = profile.train.learning_rate if profile else 0.1
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
        yield from (f"{where}: {text}" for text in wrong_costs(row, row["network"]))
        yield from impossible(row["accuracy"], summary.config["data"]["test"], where)
        if row["network"] != run.network:
            yield f"{where}: the network is not that of {run.name}."
        near = NEAR if key[0] == "pruned" else FAR
        expected = run.results["validation_accuracy"] if expected is None else expected
        if abs(row["accuracy"] - expected) > near:
            yield f"{where}: test accuracy {row['accuracy']:.1%}, but {run.name} has {expected:.1%}."


def _list(values) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _recipe(run: Record) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run.config["recipe"].items())


SPARSITY, PRUNING, TUNING = ("sparsity",), ("pruning",), ("fine-tuning", "from-scratch")
OF_TRAINING = (
    each(findings.follows_its_recipe, findings.has_possible_accuracies),
    are_the_courses,
    findings.share_seed_and_data,
    findings.differ,
)
OF_LAMBDA = each(findings.keeps_its_budget, has_the_right_gradient), follow_from_the_budgets
OF_PLANS = (
    each(comes_from_a_run, has_a_valid_plan, keeps_what_a_milder_plan_keeps, has_its_costs),
    start_from_the_strongest,
)
OF_TUNING = (
    each(
        findings.follows_its_recipe,
        findings.has_possible_accuracies,
        findings.keeps_its_budget,
        trains_the_pruned_network,
    ),
    are_the_trainings_asked_for,
    findings.differ,
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
        SPARSITY, (each(findings.keeps_snapshots), shrink), "The larger λ, the smaller Σ|γ| at the end", FACTORS
    ),
    "manual-report-lambda": Cell(SPARSITY, OF_LAMBDA, "λ follow from the budgets, the gradient is right", BUDGETS),
}
for ratio in (0.5, 0.9):
    CELLS[f"manual-prune-{100 * ratio:.0f}"] = Cell(PRUNING, OF_PLANS, PLANNED, SIZE_LEFT, ratio)
    CELLS[f"manual-report-prune-{100 * ratio:.0f}"] = Cell(
        PRUNING, (each(has_possible_results),), "The accuracies are possible; on test images", TEST, ratio, owns=True
    )
CELLS["manual-report-fine-tuning"] = Cell(TUNING, OF_TUNING, TUNED, ENDS, owns=True)
