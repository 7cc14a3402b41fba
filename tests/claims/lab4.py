"""Lab 4, Explore: notebook 11, pruning while training."""

import math

from claims import claim
from labkit import learned, records
from labkit.records import Record
from labkit.settings import REFERENCE

SHAPES = sorted(REFERENCE.glob("quick-shapes-seed*/lab4"))

EXACT = {  # targets and shares that the text names
    "11-59": ("80 %",),
    "11-21": ("80 %",),
    "11-51": ("2 points", "95 %"),
}


def runs(name: str) -> list[Record]:
    """The run of this name, of every seed."""
    return [records.load(lab / name) for lab in SHAPES]


def accuracies(name: str) -> list[float]:
    return [run.results["validation_accuracy"] for run in runs(name)]


def shares(run: Record) -> list[float]:
    """What is gone of each layer."""
    return [layer["zeros"] / layer["elements"] for layer in run.results["layers"].values()]


@claim("11-23")
def proximal_factors_arrive_later_and_stay():
    for run in runs("proximal"):
        gone = [row["sparsity"] for row in run.history]
        assert gone[0] < 0.01 and all(after > before - 0.01 for before, after in zip(gone, gone[1:])) and gone[-1] > 0.2
    return ["nothing goes in the first epoch", "arrives at 0 and stays there"]


@claim("11-25")
def the_recipe_hits_its_target():
    off = [
        abs(run.results["sparsity"] - run.config["method"]["target"])
        for target in (50, 80, 90)
        for run in runs(f"str-{target}")
    ]
    return [f"within {math.ceil(1000 * max(off)) / 10:.1f} points of the wanted sparsity"]


@claim("11-33")
def autoprune_finds_the_large_layers():
    for run in runs("autoprune"):
        first, *_, last, classifier = shares(run)
        assert last == max(shares(run)) and classifier == min(shares(run)) and last > first + 0.1
    return ["In every reference run it takes most from the last convolution and least from the classifier"]


@claim("11-46")
def the_large_layers_end_with_the_fewest_bits():
    for run in runs("bitpruning"):
        layers = sorted(run.results["layers"].values(), key=lambda layer: layer["elements"])
        small, large = ([layer["bits"] for layer in part] for part in (layers[:3], layers[-3:]))
        assert min(small) > max(large)
    return [
        "In every reference run each of the three smallest layers ends with more bits than each of the three largest"
    ]
