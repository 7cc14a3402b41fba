"""Lab 3, What speeds up."""

from itertools import pairwise

import torch

from claims import claim, reach
from labkit import granularity, models, records
from labkit.methods.granularity import work
from labkit.records import Record, experiment_name
from labkit.settings import PROFILES, REFERENCE

LABS = [lab for lab in records.folders_with_runs(REFERENCE) if lab.name == "lab3"]
SHAPES = [lab for lab in LABS if experiment_name(lab).startswith("quick-shapes-")]
PHOTOGRAPHS = [lab for lab in LABS if lab not in SHAPES]

EXACT = {
    "06-06": ("50 %",),
    "06-10": ("12 bits",),
    "06-20": ("0 to 80 %",),
    "06-23": ("5 %", "5 points"),
    "06-26": ("5 points", "65 to 75 %"),
    "06-29": ("90 %",),
    "06-31": ("5 points",),
    "06-34": ("80 %", "100 times", "20 times"),
    "06-51": ("60 %",),
    "06-52": ("60 %", "2.5 times", "90 %", "4 and 50 %", "90 to 99 %"),
}


def sweeps(lab) -> list[Record]:
    """By learning rate."""
    return sorted(records.load_all(lab, work.SPARSITY), key=lambda run: run.results["learning_rate"])


def at(sweep: Record, ratio: float, method: str = "global") -> float:
    return dict(zip(sweep.config["ratios"][method], sweep.results["validation"][method]))[ratio]


def timings() -> list[Record]:
    return [timing for lab in LABS for timing in records.load_all(lab, work.TIMING)]


@claim("06-02")
def a_whole_training_on_shapes():
    recipe, images = PROFILES["quick"].train, sweeps(SHAPES[0])[0].config["data"]["train"]
    assert granularity.learning_rates("shapes") == (0.1, 0.3) and granularity.learning_rates("cifar10") == (
        0.001,
        0.01,
        0.1,
    )
    return [f"only {recipe.epochs * images // recipe.batch} steps"]


@claim("06-23")
def flat_then_a_fall_and_random_weights_at_once():
    for lab in SHAPES:
        for sweep in sweeps(lab):
            start, ratios = at(sweep, 0.0), sweep.config["ratios"]["global"]
            assert all(at(sweep, ratio) > start - 0.05 for ratio in ratios if ratio <= 0.25)
            assert at(sweep, 0.8) < 0.3
            assert max(at(sweep, a) - at(sweep, b) for a, b in pairwise(ratios)) > 0.09
            assert at(sweep, 0.1, "random") < start - 0.4
            assert sum(sweep.results["validation"]["global"][::2]) > sum(sweep.results["validation"]["layer-wise"])
    return ["a tenth of them already ruins the network", "Global is better than layer-wise"]


@claim("06-26")
def the_larger_rate_survives_longer():
    breaks = [[granularity.breaking_point(sweep) for sweep in sweeps(lab)] for lab in SHAPES]
    assert len(SHAPES) == 3 and sorted(large > small for small, large in breaks) == [False, True, True]
    assert all(small <= large for small, large in breaks)
    for lab in SHAPES:
        small, large = sweeps(lab)
        assert all(at(large, ratio) > at(small, ratio) for ratio in (0.65, 0.7, 0.75))
    return [
        "in two of three reference seeds; in the third both have lost 5 points at the same ratio",
        "From 65 to 75 % it is ahead in all three",
    ]


@claim("06-28")
def the_weights_are_a_part_of_the_answer():
    for lab in SHAPES:
        small, large = (sweep.results["removed"] for sweep in sweeps(lab))
        assert all(a > b for a, b in zip(small[8:], large[8:])) and all(
            a < 1.25 * b for a, b in zip(small[8:], large[8:])
        )
    return ["a smaller share of $\\sum w^2$ goes"]


@claim("06-29")
def the_photographs_are_trained_as_said():
    profile = PROFILES["quick"]
    assert work.network(profile, 10) == models.named("resnet18", 1 / 8) and profile.train.epochs == 8
    assert [round(points[0.0], 2) for points in granularity.TERM_PROJECT.values()] == [0.91, 0.9]
    return ["Ours is an eighth as wide, and was trained for 8 epochs"]


@claim("06-31")
def where_the_photographs_and_the_published_networks_fall():
    runs = [sweep for lab in PHOTOGRAPHS for sweep in sweeps(lab)]
    breaks, starts = ({rate: [] for rate in granularity.learning_rates("cifar10")} for _ in range(2))
    for sweep in runs:
        breaks[sweep.results["learning_rate"]].append(granularity.breaking_point(sweep))
        starts[sweep.results["learning_rate"]].append(at(sweep, 0.0))
    assert min(breaks[0.1]) > max(breaks[0.01]) and min(breaks[0.001]) > max(breaks[0.01])
    recipe, images = PROFILES["quick"].train, runs[0].config["data"]["train"]
    return [
        "at rate 0.001 the network falls from a ratio of 30 % on, at rate 0.01 from 55 % on",
        f"at rate 0.01 from {reach(breaks[0.01])} on, at rate 0.1 from {reach(breaks[0.1])} on",
        f"It has lost 5 points only from {reach(breaks[0.001])} on",
        f"{reach(starts[0.001])} of the images right to begin with",
        f"in {recipe.epochs * images // recipe.batch:,} steps",
    ]


@claim("06-38")
def masks_save_nothing_a_thin_network_does_and_csr_is_slower():
    published = granularity.TERM_PROJECT_MILLISECONDS
    for timing in timings():
        masked, thin, sparse = (timing.results[way] for way in ("masked", "thin", "sparse"))
        dense = masked[0]["latency_ms"]
        for row in masked:
            assert row["latency_ms"]["quartile1"] <= dense["quartile3"]
            assert dense["quartile1"] <= row["latency_ms"]["quartile3"], "their quartiles overlap"
        assert 2 <= dense["median"] / thin[-1]["latency_ms"]["median"] < 5
        assert all(row["latency_ms"]["median"] > dense["median"] for row in sparse)
    return [
        f"about {published['mean']:.0f} ms at every ratio, the mean of 100 runs, with a standard deviation of "
        f"{published['deviation']:g} ms",
        "at least twice at 80 %. Not five times",
        "slower than dense,** even at 80 %",
    ]


@claim("06-41")
def two_of_four_is_ruined_and_comes_back():
    for lab in LABS:
        for sweep in sweeps(lab):
            assert sweep.results["two_four"] < 0.2
            lost = at(sweep, 0.0) - sweep.results["two_four"]
            assert sweep.results["two_four_recalibrated"] - sweep.results["two_four"] > 0.5 * lost
    return ["more than half of what was lost comes back without any training"]


@claim("06-46")
def the_lectures_table_does_not_add_up_everywhere():
    rows = {row.name: row for row in granularity.counted()}
    assert sum(not row.doubtful for row in rows.values()) == 2
    assert rows["VGG-16"].recomputed[0] > 13 and rows["VGG-16"].published["parameters"] == 12
    less = [name for name, row in rows.items() if row.published["macs"] < row.published["parameters"]]
    assert less == ["AlexNet", "VGG-16"]
    return [
        "Two rows add up. VGG-16 would be more than 13 times smaller",
        f"“1 M” is {rows['SqueezeNet'].parameters / 1e6:.2f} M",
    ]


@claim("06-10")
def indices_of_the_layer_that_is_shown():
    shape = tuple(
        models.build(work.network(PROFILES["quick"], 10)).get_submodule("blocks.stage2_block1.conv2").weight.shape
    )
    wide, narrow = (granularity.storage(shape, "fine-grained", 0.5, bits) for bits in (32, 8))
    assert wide["indices"] * 8 / torch.tensor(shape).prod() * 2 == 12
    assert narrow["indices"] > narrow["values"] and sum(narrow.values()) > torch.tensor(shape).prod()
    for bits in (32, 8):
        sizes = [
            sum(granularity.storage(shape, name, 0.5, bits).values())
            for name in ("fine-grained", "vector", "kernel", "channel")
        ]
        assert sizes == sorted(sizes, reverse=True)
    return ["every value carries an index of 12 bits here"]
