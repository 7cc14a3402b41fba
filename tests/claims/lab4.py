"""Lab 4, Explore: notebook 11, pruning while training."""

import math

from claims import claim, spread
from labkit import learned, records
from labkit.records import Record
from labkit.settings import REFERENCE

SHAPES = sorted(REFERENCE.glob("quick-shapes-seed*/lab4"))

CHANNELS = ("proximal", "pcas", "train-prune-tune-channels-50")

EXACT = {  # targets and shares that the text names
    "11-25": ("90 %", "50 and 80 %"),
    "11-59": ("80 %", "0.0001"),
    "11-21": ("80 %",),
    "11-49": ("2 points", "90 %"),
    "11-51": ("2 points",),
}


def runs(name: str) -> list[Record]:
    """The run of this name, of every seed."""
    return [records.load(lab / name) for lab in SHAPES]


def accuracies(name: str) -> list[float]:
    return [run.results["validation_accuracy"] for run in runs(name)]


def shares(run: Record) -> list[float]:
    """What is gone of each layer."""
    return [layer["zeros"] / layer["elements"] for layer in run.results["layers"].values()]


def apart(values) -> str:
    """``0.5 to 1.2 points``"""
    low, high = (f"{100 * end(values):.1f}" for end in (min, max))
    return f"{low} to {high} points"


@claim("11-23")
def proximal_factors_arrive_later_and_stay():
    for run in runs("proximal"):
        gone = [row["sparsity"] for row in run.history]
        assert gone[0] < 0.01 and all(after > before - 0.01 for before, after in zip(gone, gone[1:])) and gone[-1] > 0.2
    return ["nothing goes in the first epoch", "arrives at 0 and stays there"]


@claim("11-59")
def unsteered_thresholds_end_anywhere():
    few, some = (records.load(SHAPES[0] / f"str-start-8-decay{decay}") for decay in ("0.0001", "0.002"))
    slow, fast = few.config["method"]["decay"], some.config["method"]["decay"]
    assert few.config["method"]["start"] == some.config["method"]["start"] == -8
    assert slow == few.config["recipe"]["weight_decay"]
    return [
        f"{100 * few.results['sparsity']:.1f} % of the weights end at zero",
        f"{fast / slow:.0f} times as strong it is {100 * some.results['sparsity']:.1f} %",
    ]


@claim("11-25")
def the_recipe_hits_its_target_and_wins_where_little_is_left():
    off, ahead = [], {}
    for target in (50, 80, 90):
        off += [abs(run.results["sparsity"] - target / 100) for run in runs(f"str-{target}")]
        pairs = zip(accuracies(f"str-{target}"), accuracies(f"train-prune-tune-{target}"))
        ahead[target] = [mine - theirs for mine, theirs in pairs]
    assert min(ahead[90]) > 0 and all(min(ahead[target]) < 0 < max(ahead[target]) for target in (50, 80))
    return [
        f"within {math.ceil(1000 * max(off)) / 10:.1f} points of the wanted sparsity",
        f"ahead of train–prune–tune in every reference run, by {apart(ahead[90])}",
        "it is ahead with one seed and behind with another",
    ]


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
        bits = [layer["bits"] for layer in run.results["layers"].values()]
        assert {*bits[:3], bits[-1]} == {run.config["method"]["start"]}
    return [
        "In every reference run each of the three smallest layers ends with more bits than each of the three largest",
        f"they end with the {bits[-1]:g} with which they began",
    ]


@claim("11-49")
def what_the_comparison_says():
    dense, wide, ahead, below = accuracies("dense"), [], [], []
    for lab, top in zip(SHAPES, dense):
        found = {run.name: run.results for run in learned.compared(records.load_all(lab, learned.KIND))}
        assert min(found, key=lambda name: found[name]["bytes"]) == "bitpruning"
        assert found["bitpruning"]["sparsity"] < 0.0001
        auto, soft = found["autoprune"], found["str-90"]
        assert 0.88 < auto["sparsity"] < 0.91 and auto["validation_accuracy"] >= top
        ahead.append(auto["validation_accuracy"] - soft["validation_accuracy"])
        below.append(top - soft["validation_accuracy"])
        wide += [found[name]["validation_accuracy"] - top for name in CHANNELS]
    for name in ("proximal", "pcas"):
        assert all(0.3 <= run.history[-1]["sparsity"] <= 0.36 for run in runs(name))
    assert min(wide) >= -0.02 and 0 < min(below) < max(below) < spread(dense)
    return [
        f"differs by {100 * spread(dense):.1f} points between the seeds",
        "nine of ten weights gone, and is at least as accurate as the dense network in every reference run",
        f"by less than that difference, and {apart(ahead)} below AutoPrune",
        "They stay within 2 points of the dense network in every reference run. But so does the control",
    ]


@claim("11-51")
def who_takes_what_of_which_layer():
    for lab in SHAPES:
        found = {name: shares(records.load(lab / name)) for name in ("autoprune", "proximal", "pcas", "str-80")}
        assert all(layers[-1] == min(layers) for name, layers in found.items() if name != "proximal")
        assert found["str-80"][0] > found["str-80"][1] + 0.05
        assert all(found[name][0] < found[name][1] for name in ("proximal", "pcas"))
    return [
        "With AutoPrune, STR and PCAS the classifier keeps most in every reference run",
        "STR takes more of it than of the layer behind it",
    ]
