"""What is checked in the records of lab 3, What speeds up, and for which cells of its notebooks.

The sizes of files follow from the networks that are in them: what a file is said to take has to have room for its
weights, and little more.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache

from labkit import measure, models
from labkit.course import answers
from labkit.course.grading import findings
from labkit.course.grading.findings import FAR, NEAR, Case, Cell, each, impossible, only
from labkit.course.grading.lab2 import is_the_courses, profile_of
from labkit.course.grading.untrusted import shown
from labkit.course.practice import probe
from labkit.methods import quantization
from labkit.methods.granularity import prunable
from labkit.methods.quantization import networks
from labkit.methods.quantization.sharing import other_bytes
from labkit.models import Specification
from labkit.records import Record

TOLD = 0.05, 60_000  # what a file holds beside its weights: a share of them, and bytes for its operators
COMPRESSED_FROM = {  # the steps of Deep Compression, backwards: the kind of the network of each
    "shared": quantization.SHARED,
    "pruned": quantization.PRUNED,
    "thin": quantization.THIN,
    "dense": quantization.TRAINED,
}


def comes_from_the_dense_one(case: Case, run: Record) -> Iterator[str]:
    """The thin network: cut from the student's own dense one, and fine-tuned by the same profile."""
    parent = case.parent(run, quantization.TRAINED)
    profile = profile_of(parent) if parent else None
    if profile is None:
        what = "not the course's network" if parent else "not among the records as the dense network"
        yield f"it was made from {shown(run.config['parent'])}, which is {what}."
        return
    if run.config["recipe"] != asdict(profile.fine_tune):
        yield f"another recipe than the profile {profile.name}'s for fine-tuning."
    groups = findings.channels_of(parent.specification)
    if wrong := list(findings.wrong_plan(run, parent.network, groups)):
        yield from wrong
        return
    for name, channels in groups.items():
        gone, exact = channels - len(run.plan["kept"][name]), round(networks.RATIO * channels)
        if gone != exact:
            yield f"{gone} of {channels} channels of {name} are cut; {networks.RATIO:.0%} are {exact}."


@dataclass(frozen=True)
class Sizes:
    """Of a network: parameters, multiply-accumulates, the weights of each layer that is quantized, and the bytes of all
    that is not."""

    parameters: int
    macs: int
    layers: list[int]
    others: int


@cache
def _sizes(network: Specification) -> Sizes:
    built = models.build(network)
    layers = [layer.weight.numel() for layer in prunable(built).values()]
    return Sizes(measure.parameters(built), measure.macs(built), layers, other_bytes(built))


@cache
def right_functions() -> dict[str, Callable]:
    names = {
        "scale-and-zero-point": "scale_and_zero_point",
        "fake-quantize": "fake_quantize",
        "kmeans-step": "kmeans_step",
        "packed-bytes": "packed_bytes",
    }
    return probe.functions_in([answers.solution(name) for name in names], list(names.values()))


def comes_from_a_training(case: Case, run: Record) -> Iterator[str]:
    """A training that starts where the dense, the thin or the pruned network ended."""
    if case.parent(run, quantization.THIN, quantization.TRAINED, quantization.PRUNED) is None:
        yield f"it was made from {shown(run.config['parent'])}, which is not among the records."


def was_rounded_rightly(case: Case, run: Record) -> Iterator[str]:
    """The first blank's function, as the record says it answered, and accuracies that are counts of images."""
    right = [right_functions()["scale_and_zero_point"](*span, 4) for span in ((-1.0, 3.0), (0.0, 0.0))]
    right = [float(number) for pair in right for number in pair]
    got = run.config["probe"]
    if len(got) != len(right) or any(not math.isclose(a, b, rel_tol=1e-4) for a, b in zip(got, right)):
        yield f"scale and zero point were {got} where {[round(number, 4) for number in right]} are right."
    for way, accuracies in run.results.items():
        for accuracy in accuracies if isinstance(accuracies, list) else [accuracies]:
            yield from impossible(accuracy, run.config["data"]["validation"], f"validation accuracy {way}")


def has_the_bytes_of_its_network(case: Case, run: Record) -> Iterator[str]:
    """Shared weights: packed indices and codebooks are what the fourth blank says of each layer."""
    claimed, clusters = run.results["bytes"], 2 ** run.results["bits"]
    layers = _sizes(run.specification).layers
    right = sum(right_functions()["packed_bytes"](weights, clusters) for weights in layers)
    if claimed["indices"] + claimed["codebooks"] != right:
        yield (
            f"indices and codebooks take {claimed['indices'] + claimed['codebooks']:,} bytes; with {clusters} clusters a "
            f"layer its network has {right:,}."
        )
    if run.results["coded"] > claimed["indices"] + len(layers) * clusters:
        yield f"Huffman's code takes {run.results['coded']:,} bytes, more than the packed indices and its table."


def has_steps_of_its_networks(case: Case, run: Record) -> Iterator[str]:
    """Deep Compression: the steps' accuracies are those of the trainings that they are about, and what nobody shortened
    has the size that follows from the network."""
    trained, last = {}, run
    for step, kind in COMPRESSED_FROM.items():
        if (found := case.parent(last, kind)) is None:
            yield f"step {step}: it was made from {shown(last.config['parent'])}, which is not among the records."
            return
        trained[step] = last = found
    trained["coded"] = trained["shared"]
    if {row["step"] for row in run.results["steps"]} != set(trained):
        yield f"its steps are {shown([row['step'] for row in run.results['steps']])}, not {', '.join(trained)}."
        return
    for row in run.results["steps"]:
        of, claimed = trained[row["step"]], row["bytes"]
        yield from (f"step {row['step']}: {text}" for text in _wrong_accuracy(row["accuracy"], of, NEAR))
        sizes = _sizes(of.specification)
        right = {"others": sizes.others}
        if row["step"] in ("dense", "thin"):
            right |= {"values": 4 * sum(sizes.layers), "positions": 0, "codebooks": 0, "tables": 0}
        if row["step"] in ("shared", "coded"):
            right |= {"codebooks": 4 * 2 ** of.results["bits"] * len(sizes.layers)}
        for part, size in right.items():
            if claimed[part] != size:
                yield f"step {row['step']}: {claimed[part]:,} bytes of {part}; its network has {size:,}."


def has_accuracies_of_its_network(case: Case, run: Record) -> Iterator[str]:
    """What was quantized without the file: accuracies are counts of images, and that in float32 is the training's."""
    if (trained := case.parent(run, quantization.THIN, quantization.TRAINED)) is None:
        yield f"it was made from {shown(run.config['parent'])}, which is not among the records."
        return
    yield from (f"float32: {text}" for text in _wrong_accuracy(run.results["float_accuracy"], trained, NEAR))
    for row in run.results.get("rows", [run.results]):
        yield from impossible(row["validation_accuracy"], run.config["data"]["validation"], "validation accuracy")


def _wrong_accuracy(accuracy: float, trained: Record, near: float) -> Iterator[str]:
    yield from impossible(accuracy, trained.config["data"]["validation"], "validation accuracy")
    ended = trained.results["validation_accuracy"]
    if abs(accuracy - ended) > near:
        yield f"validation accuracy {accuracy:.2%}, but {trained.name} ended with {ended:.2%}."


def has_files_of_its_networks(case: Case, run: Record) -> Iterator[str]:
    """Every row of the deployed files: bytes, accuracy and times against the training that it is about."""
    trained = {"dense": case.of(quantization.TRAINED), "thin": case.of(quantization.THIN)}
    for row in run.results["rows"]:
        where = f"{row['network']}, {row['format']}"
        if not (about := trained.get(row["network"])):
            yield f"{where}: there is no training of this network among the records."
            continue
        yield from (f"{where}: {text}" for text in _wrong_row(row, about[0]))


def _wrong_row(row: dict, trained: Record) -> Iterator[str]:
    sizes = _sizes(trained.specification)
    for what, right in (("parameters", sizes.parameters), ("macs", sizes.macs)):
        if row[what] != right:
            yield f"{row[what]:,} {what}; its network has {right:,}."
    weights, share, rest = sum(sizes.layers), *TOLD
    least = weights * (1 if row["format"] != "float32" else 4)
    most = least * (1 + share) + 4 * (sizes.parameters - weights) + rest
    if not least <= row["bytes"] <= most:
        yield f"{row['bytes']:,} bytes for {weights:,} weights: such a file takes {least:,} to {most:,.0f}."
    yield from _wrong_accuracy(row["validation_accuracy"], trained, NEAR if row["format"] == "float32" else FAR)
    times = [time for ways in row["latency_ms"].values() for time in ways.values() if time]
    if not all(0 < time["quartile1"] <= time["median"] <= time["quartile3"] for time in times):
        yield "a latency is not between its quartiles."


def shipped(case: Case) -> str:
    """What the files' own rows say, for whoever reads the student's choices."""
    rows = [row for run in case.of(quantization.DEPLOYED) for row in run.results["rows"]]
    said = (
        f"{row['network']} {row['format']} {row['bytes'] / 1000:,.0f} kB at {row['validation_accuracy']:.1%}"
        for row in rows
    )
    return f"The files: {', '.join(said) or 'none'}."


OF_TRAINING = findings.follows_its_recipe, findings.has_possible_accuracies
TRAINED_HERE = (quantization.LOW_BITS, quantization.SHARED, quantization.PRUNED)
CELLS = {
    "manual-deployment": Cell(
        (quantization.TRAINED, quantization.THIN, quantization.DEPLOYED),
        (
            only(quantization.TRAINED, each(*OF_TRAINING, is_the_courses)),
            only(quantization.THIN, each(*OF_TRAINING, comes_from_the_dense_one)),
            only(quantization.DEPLOYED, each(has_files_of_its_networks)),
            findings.share_seed_and_data,
        ),
        "Trainings and files are consistent",
        "",
        owns=True,
        called=("trained", "thin", "deployed"),
        conclusion=shipped,
    ),
    "manual-report": Cell(
        TRAINED_HERE + (quantization.ROUNDED, quantization.COMPRESSED, quantization.INTEGER, quantization.CALIBRATION),
        (
            *(only(kind, each(*OF_TRAINING, comes_from_a_training)) for kind in TRAINED_HERE),
            only(quantization.SHARED, each(has_the_bytes_of_its_network)),
            only(quantization.ROUNDED, each(was_rounded_rightly)),
            only(quantization.COMPRESSED, each(has_steps_of_its_networks)),
            only(quantization.INTEGER, each(has_accuracies_of_its_network)),
            only(quantization.CALIBRATION, each(has_accuracies_of_its_network)),
            findings.differ,
        ),
        "Trainings, accuracies and sizes are consistent",
        "",
        owns=True,
    ),
}
