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
from labkit.records import Record
from labkit.settings import Profile

ASKED_FOR = "minicifar"  # the data set of the task, out of a folder or not
SAME = 1e-4  # share of zeros, bits: of one network, counted twice


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
        yield from findings.wrong_plan(run, before, findings.channels_of(Specification.from_dict(before)))
    elif run.network != before:
        yield f"there is no plan, but the network {findings.named(run.network)} is not the one that was trained."


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


def agrees_with_its_history(case: Case, run: Record) -> Iterator[str]:
    """What the layers and the plan say is what the last epoch counted."""
    if not run.history:
        return
    last, results = run.history[-1], run.results
    if run.plan is None:
        counted, source = results["sparsity"], "its layers"
    else:
        counted, source = _silent(run.plan), "its plan"
        if odd := [name for name in run.plan["guarded"] if run.plan["kept"].get(name) != [0]]:
            yield f"the plan guards {findings.shown(odd[0])}, but does not keep its first channel alone."
    if abs(last["sparsity"] - counted) > SAME:
        yield f"sparsity {last['sparsity']:.2%} at the end of the training, but {source} give{'s' * bool(run.plan)} {counted:.2%}."
    if abs(last["bits"] - results["bits"]) > SAME:
        yield f"{last['bits']:.4g} bits at the end of the training, but its layers give {results['bits']:.4g}."


def _silent(plan: dict) -> float:
    """The share of channels that are silent: those that the plan removes, and the one that it keeps of a layer without
    any other."""
    total = sum(plan["total"].values())
    return (total - sum(map(len, plan["kept"].values())) + len(set(plan["guarded"]))) / total


def does_what_its_method_can(case: Case, run: Record) -> Iterator[str]:
    """Bits are whole, and fewer only by BitPruning; ``dense`` prunes nothing; nothing goes far beyond its target."""
    method, layers = run.config["method"], run.results["layers"]
    name, target = findings.shown(method["name"]), method.get("target")
    for layer, bits in ((layer, row["bits"]) for layer, row in layers.items()):
        if bits != int(bits):
            yield f"{layer} has {bits:g} bits, which is no whole number."
        elif bits < learned.FLOAT and method["name"] != learned.BitPruning.name:
            yield f"{layer} has {bits:g} bits, but the method {name} leaves {learned.FLOAT}."
    if method["name"] == learned.Dense.name and (run.plan is not None or any(row["zeros"] for row in layers.values())):
        yield f"the method {name} prunes nothing, but the record has zeros or a plan."
    if run.history and isinstance(target, int | float) and run.history[-1]["sparsity"] > target + learned.NEAR:
        yield f"sparsity {run.history[-1]['sparsity']:.1%}, but the method {name} was asked for {target:.1%}."


def _weights(network: dict) -> dict[str, int]:
    """The number of weights of every layer that can be pruned."""
    return _counted(Specification.from_dict(network))


@cache
def _counted(network: Specification) -> dict[str, int]:
    return {name: layer.weight.numel() for name, layer in learned.prunable(models.build(network)).items()}


OF_A_RUN = (
    is_the_courses,
    follows_its_recipe,
    has_possible_accuracies,
    has_a_valid_plan,
    adds_up,
    agrees_with_its_history,
    does_what_its_method_can,
)


def counts(case: Case, run: Record) -> bool:
    """Whether a run contradicts neither itself nor the course, and is the student's own."""
    return not any(text for check in (*OF_A_RUN, findings.is_the_students_own) for text in check(case, run))


def explored(case: Case) -> list[Record]:
    return [run for run in case.of(learned.KIND) if run.name.startswith(learned.EXPLORED)]


def is_what_was_asked_for(case: Case, runs: list[Record]) -> Iterator[str]:
    mine = explored(case)
    if not mine:
        yield f"There is no exploration: no record's folder begins with {learned.EXPLORED}."
    others = sorted({run.config["data"]["name"] for run in mine if data_set(run) != ASKED_FOR})
    if others:
        yield f"The exploration is on {', '.join(others)}; the task asks for MiniCIFAR."


def data_set(run: Record) -> str:
    """The name of its data; MiniCIFAR's is the same out of any folder."""
    name = run.config["data"]["name"]
    kind, _, _ = name.partition(":")
    return ASKED_FOR if kind == ASKED_FOR else name


def alike(a: Record, b: Record) -> bool:
    """Whether two trainings can be compared: the same data, network and recipe."""
    return data_set(a) == data_set(b) and all(a.config[key] == b.config[key] for key in ("network", "recipe"))


def is_baseline(run: Record) -> bool:
    return (run.kind, run.name, run.config["method"]["name"]) == (learned.KIND, learned.BASELINE, learned.Dense.name)


def baseline(case: Case, run: Record) -> Record | None:
    """The dense training that an exploration is compared with, as notebook 11 does: the student's own of the same data,
    network and recipe, if it counts; else the course's, of the same seed where there is one. Photographs in a split of
    the student's own are compared with the student's own alone: others are harder or easier."""
    own = [other for other in case.of(learned.KIND) if is_baseline(other) and alike(other, run) and counts(case, other)]
    courses = [other for other in case.reference if other.kind == learned.KIND and is_baseline(other)]
    photographs = "split" in run.config["data"] and data_set(run) != findings.SHAPES
    courses = [other for other in courses if alike(other, run) and not photographs]
    courses.sort(key=lambda other: other.config["seed"] != run.config["seed"])
    return next(iter(own + courses), None)


def proposed(case: Case) -> str:
    mine, (_, most) = [run for run in explored(case) if counts(case, run)], learned.SCALE[-1]
    if not mine:
        return "No exploration counts, so no points are proposed."
    dense = baseline(case, mine[0])
    if dense is None:
        return "There is no dense training of the same data, network and recipe that counts: no points are proposed."
    compared = [run for run in mine if alike(run, dense)]
    said = (
        f"{run.name} saves {learned.saved(run, dense):.1%} at {run.results['validation_accuracy']:.1%}"
        for run in compared
    )
    whose = "the student's own" if dense in case.runs else "the course's"
    return (
        f"Of the dense network's bytes {', '.join(said)}; dense ({whose}, seed {dense.config['seed']}) has "
        f"{dense.results['validation_accuracy']:.1%}: {learned.points_for(compared, dense)} of {most} points on the scale."
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
