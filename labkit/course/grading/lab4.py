"""What is checked in the records of lab 4, Explore, and for which cells of its notebook.

No one is trusted for their own score: an exploration counts only if its record contradicts nothing, and its size is
computed from its layers and its network.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache

from labkit import models, settings
from labkit.course.grading import findings
from labkit.course.grading.findings import NEAR, Case, Cell, each, impossible
from labkit.methods import criteria, learned
from labkit.models import Specification
from labkit.pruning import channel_groups
from labkit.records import Record
from labkit.settings import Profile

ASKED_FOR = "minicifar"  # the data set of the task


def profile_of(run: Record) -> Profile | None:
    """The profile whose network and recipe the training has."""

    def fits(profile: Profile) -> bool:
        network = criteria.network(profile, run.config["data"]["classes"]).to_dict()
        return (run.config["recipe"], run.config["network"]) == (asdict(profile.train), network)

    return next(filter(fits, settings.PROFILES.values()), None)


def is_the_courses(case: Case, run: Record) -> Iterator[str]:
    if profile_of(run) is None:
        yield f"no profile of the course has this recipe and the network {findings.named(run.config['network'])}."


def follows_its_recipe(case: Case, run: Record) -> Iterator[str]:
    """As every training; but the network that comes out may be a thinner one than was trained."""
    yield from findings.follows_its_recipe(case, replace(run, network=run.config["network"]))


def has_possible_accuracies(case: Case, run: Record) -> Iterator[str]:
    claimed, last = run.results["validation_accuracy"], run.history[-1]["validation_accuracy"] if run.history else 0.0
    as_trained = replace(run, results=run.results | {"validation_accuracy": last})
    yield from findings.has_possible_accuracies(case, as_trained)
    yield from impossible(claimed, run.config["data"]["validation"], "validation accuracy of what is left")
    if abs(claimed - last) > NEAR:
        yield f"validation accuracy {claimed:.2%}, but {last:.2%} at the end of the training."


def has_a_valid_plan(case: Case, run: Record) -> Iterator[str]:
    before = run.config["network"]
    if run.plan is not None:
        yield from findings.wrong_plan(run, before, _groups(Specification.from_dict(before)))
    elif run.network != before:
        yield f"there is no plan, but the network {findings.named(run.network)} is not the one that was trained."


@cache
def _groups(network: Specification) -> dict[str, int]:
    return {name: group.width for name, group in channel_groups(models.build(network)).items()}


def adds_up(case: Case, run: Record) -> Iterator[str]:
    """Zeros, bits and bytes are those of its layers."""
    layers, results = run.results["layers"], run.results
    if {name: layer["elements"] for name, layer in layers.items()} != _weights(run.config["network"]):
        yield "its layers, or their numbers of weights, are not those of its network."
        return
    after = _weights(run.network)
    if odd := [name for name, layer in layers.items() if not 0 <= layer["elements"] - layer["zeros"] <= after[name]]:
        yield f"{odd[0]} has {layers[odd[0]]['zeros']} zeros, more or fewer than its network can have."
        return
    network = models.build(Specification.from_dict(run.network))
    for name, right in learned.totals(layers, network).items():
        if not math.isclose(results[name], right, rel_tol=1e-6, abs_tol=1e-9):
            yield f"{name} {results[name]:.6g}; its layers give {right:.6g}."


def _weights(network: dict) -> dict[str, int]:
    """The number of weights of every layer that can be pruned."""
    return _counted(Specification.from_dict(network))


@cache
def _counted(network: Specification) -> dict[str, int]:
    return {name: layer.weight.numel() for name, layer in learned.prunable(models.build(network)).items()}


OF_A_RUN = (is_the_courses, follows_its_recipe, has_possible_accuracies, has_a_valid_plan, adds_up)


def counts(case: Case, run: Record) -> bool:
    """Whether a run contradicts neither itself nor the course."""
    return not any(text for check in OF_A_RUN for text in check(case, run))


def explored(case: Case) -> list[Record]:
    return [run for run in case.of(learned.KIND) if run.name.startswith(learned.EXPLORED)]


def is_what_was_asked_for(case: Case, runs: list[Record]) -> Iterator[str]:
    mine = explored(case)
    if not mine:
        yield f"There is no exploration: no record's folder begins with {learned.EXPLORED}."
    others = sorted(
        {run.config["data"]["name"] for run in mine if not run.config["data"]["name"].startswith(ASKED_FOR)}
    )
    if others:
        yield f"The exploration is on {', '.join(others)}; the task asks for MiniCIFAR."


def baseline(case: Case) -> Record | None:
    """The dense training to compare with: the course's own of the same data, the best of its seeds, or the student's."""
    mine = [run for run in case.of(learned.KIND) if run.name == learned.BASELINE and counts(case, run)]
    names = {run.config["data"]["name"] for run in explored(case)}
    courses = [
        run
        for run in case.reference
        if (run.kind, run.name) == (learned.KIND, learned.BASELINE) and run.config["data"]["name"] in names
    ]
    return max(courses or mine, key=lambda run: run.results["validation_accuracy"], default=None)


def proposed(case: Case) -> str:
    dense, (_, most) = baseline(case), learned.SCALE[-1]
    if dense is None:
        return "There is no dense training of the same data that counts, so no points are proposed."
    mine = {run.name: run for run in explored(case) if counts(case, run)}
    said = (
        f"{name} saves {learned.saved(run, dense):.1%} at {run.results['validation_accuracy']:.1%}"
        for name, run in mine.items()
    )
    return (
        f"Of the dense network's bytes {', '.join(said) or 'nothing is saved by a record that counts'}; dense has "
        f"{dense.results['validation_accuracy']:.1%}: {learned.points_for(mine.values(), dense)} of {most} points on the scale."
    )


ENDS = "{run.results[validation_accuracy]:.1%} with {run.results[sparsity]:.1%} zeros"
CELLS = {
    "manual-exploration": Cell(
        (learned.KIND,),
        (each(*OF_A_RUN), findings.share_seed_and_data, findings.differ, is_what_was_asked_for),
        "Histories, layers and sizes are consistent; validation accuracy",
        ENDS,
        owns=True,
        called=(learned.EXPLORED,),
        conclusion=proposed,
    ),
    "manual-slides": Cell((learned.KIND,), (), "What there is to present; validation accuracy", ENDS),
}
