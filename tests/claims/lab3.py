"""Lab 3, What speeds up."""

from itertools import pairwise

import torch

from claims import claim, reach
from labkit import granularity, models, quantization, records
from labkit.methods.granularity import work
from labkit.methods.quantization import networks
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
    "manual-granularity-report": ("69 %", "55 %", "53 %", "51 %", "50 %", "5 points"),  # of the bytes in 06-09
    "06-52": ("60 %", "2.5 times", "90 %", "4 and 50 %", "90 to 99 %"),
    "12-10": ("5 points",),
    "12-42": ("35 and 49 times",),  # Deep Compression, table 1
    "12-65": ("2 points",),
    "12-68": ("1 %",),
    "manual-report": ("2 points",),
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
    return [
        "a tenth of them already ruins the network",
        "by 9 points or more in the worst step of 5 %",
        "Global is better than layer-wise",
    ]


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
    for lab in PHOTOGRAPHS:
        slow, middle, _ = ((at(sweep, 0.65) - 0.1) / (at(sweep, 0.0) - 0.1) for sweep in sweeps(lab))
        assert slow > middle
    recipe, images = PROFILES["quick"].train, runs[0].config["data"]["train"]
    return [
        "at rate 0.001 the network falls from a ratio of 30 % on, at rate 0.01 from 55 % on",
        f"at rate 0.01 from {reach(breaks[0.01])} on, at rate 0.1 from {reach(breaks[0.1])} on",
        f"It has lost 5 points only from {reach(breaks[0.001])} on",
        f"{reach(starts[0.001])} of the images right to begin with",
        "it keeps more at 65 % than the network of rate 0.01",
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


# 12 · Quantization


def quantized(name: str, labs=None) -> list[Record]:
    """The shipped runs of this name, of ``labs`` or of all."""
    return [records.load(lab / name) for lab in labs or LABS if (lab / name / "record.json").is_file()]


def ended(run: Record) -> float:
    return run.results["validation_accuracy"]


def rounded_to(run: Record, way: str, bits: int) -> float:
    return run.results[way][run.config["bits"].index(bits)]


@claim("12-00")
def the_thin_network_is_cut_by_as_much():
    for thin in quantized("thin"):
        for name, channels in thin.plan["total"].items():
            assert len(thin.plan["kept"][name]) == channels - round(networks.RATIO * channels)
    return [f"{networks.RATIO:.0%} of every layer's channels".replace("%", " %")]


@claim("12-13")
def three_numbers_of_bits_are_free_and_then_it_falls_faster_and_faster():
    for run in quantized("rounded-dense"):
        whole = run.results["float"]
        for way in ("per tensor", "per channel"):
            assert all(abs(rounded_to(run, way, bits) - whole) < 0.01 for bits in (8, 7, 6))
            fourth, third, second = (rounded_to(run, way, bits + 1) - rounded_to(run, way, bits) for bits in (4, 3, 2))
            assert 0 < fourth < third < second
        assert rounded_to(run, "per tensor", 2) < 0.5 * whole
        assert all(rounded_to(run, "per channel", bits) > rounded_to(run, "per tensor", bits) for bits in (2, 3))
    return [
        "Eight bits cost nothing that can be told from noise, and neither do seven or six",
        "each of the last bits costs more than the one before",
    ]


@claim("12-22")
def most_comes_back_and_the_control_stays_behind():
    for lab in LABS:
        for run, control in zip(quantized("low-bits-thin-2", [lab]), quantized("low-bits-thin-2-flat", [lab])):
            whole = ended(records.load(lab / "thin"))
            assert ended(run) - run.results["before"] > 0.8 * (whole - run.results["before"])
            assert control.results["before"] < ended(control) < ended(run) - 0.05
            assert ended(control) - run.results["before"] > 0.5 * (whole - run.results["before"])
    return ["most of what was lost comes back in one epoch", "batch normalization alone repairs a great deal"]


@claim("12-36")
def sixteen_numbers_nearly_do_and_four_have_to_be_trained():
    placed_first = []
    for labs in (SHAPES, PHOTOGRAPHS):
        seeds = [ended(thin) for thin in quantized("thin", labs)]
        for lab in labs:
            runs = (quantized(name, [lab]) for name in ("thin", "shared-thin-4", "shared-thin-2", "low-bits-thin-2"))
            for thin, four, two, equal_steps in zip(*runs):
                whole, before = ended(thin), two.results["before"]
                assert whole - four.results["before"] < 0.03 and whole - ended(four) <= max(seeds) - min(seeds)
                assert whole - before > 0.3 and ended(two) - before > 0.8 * (whole - before)
                assert 0.01 < ended(two) - ended(equal_steps) < 0.03
                placed_first.append(before > equal_steps.results["before"])
    assert sum(placed_first) == 3 and len(placed_first) == 4
    return [
        "no more than the difference between two seeds",
        "Four do not, until they have been trained",
        "end one to three points ahead, once they have been trained; before, they are ahead in three of four reference runs",
    ]


@claim("12-42")
def each_step_makes_it_smaller_and_only_single_weights_have_positions():
    for run in quantized("compressed-thin"):
        steps = {step["step"]: step["bytes"] for step in run.results["steps"]}
        sizes = [sum(size.values()) for size in steps.values()]
        assert sizes == sorted(sizes, reverse=True) and list(steps) == ["dense", "thin", "pruned", "shared", "coded"]
        assert steps["thin"]["positions"] == 0 < steps["pruned"]["positions"]
    return ["the thin network stores no positions"]


@claim("12-40")
def seven_of_ten_weights_go():
    assert quantization.RATIO == 0.7
    return ["seven of ten of its weights"]


@claim("12-63")
def seven_bits_are_a_step_apart_at_most():
    for run in quantized("deployed"):
        seven, eight = (run.results["steps"][bits]["integers"] for bits in ("7", "8"))
        assert max(largest for largest, _ in seven.values()) <= 1
        if run.results["processor"]["vnni"] is False:
            assert max(largest for largest, _ in eight.values()) > 1
    return ["With weights of 7 bits it is one step at most"]


@claim("12-65")
def the_two_factors_multiply():
    for run in quantized("deployed"):
        rows = {(row["network"], row["format"]): row for row in run.results["rows"]}
        first, last = rows["dense", "float32"], rows["thin", "int8"]
        assert 10 * last["bytes"] <= first["bytes"]
        assert last["validation_accuracy"] >= first["validation_accuracy"] - 0.02
        eager, onnx = (rows["thin", "float32"]["latency_ms"]["1"][way]["median"] for way in ("eager", "onnx"))
        assert onnx < 0.7 * eager
        for row in run.results["rows"]:
            if row["format"] != "float32":
                as_it_stands = rows[row["network"], "float32"]["latency_ms"]["64"]["eager"]["median"]
                assert row["latency_ms"]["64"]["eager"]["median"] > as_it_stands
        if run.results["processor"]["vnni"] is False:
            for network in ("dense", "thin"):
                exact, integers = (rows[network, form] for form in ("float32", "int8"))
                times = [row["latency_ms"]["64"]["onnx"]["median"] for row in (exact, integers)]
                assert times[0] / times[1] < 0.5 * exact["bytes"] / integers["bytes"]
    return [
        "less than a tenth of the file, with an accuracy within two points",
        "without VNNI int8 wins far less than its bytes promise",
    ]


@claim("12-51")
def too_wide_is_a_matter_of_bits_and_too_narrow_is_not():
    too_deep, alone = {True: [], False: []}, {True: [], False: []}
    for run in quantized("calibration-thin"):
        whole = run.results["float_accuracy"]
        lost = {
            (row["images"], row["calibration"], row["bits"]): whole - row["validation_accuracy"]
            for row in run.results["rows"]
        }
        assert lost["one outlier", "min-max", 8] < 0.02 and lost["one outlier", "min-max", 4] > 0.1
        assert all(
            lost["one outlier", way, 4] < lost["one outlier", "min-max", 4] / 2
            for way in ("histogram", "percentile 99.9")
        )
        for bits in (8, 4):
            assert lost["not normalised", "min-max", bits] > 0.1
            assert lost["training images", "percentile 99", bits] > lost["training images", "percentile 99.9", bits]
        on_shapes = run.folder.parent in SHAPES
        too_deep[on_shapes].append(lost["training images", "percentile 99", 8])
        alone[on_shapes] += [points for (images, _, bits), points in lost.items() if (images, bits) == ("one image", 8)]
        noise = [points for (images, _, bits), points in lost.items() if images == "noise" and bits == 8]
        assert min(noise) > 0.02 if run.folder.parent in SHAPES else max(noise) < 0.01
        deep, wide = (run.results["ranges"][way] for way in ("percentile 99", "min-max"))
        behind = [layer for layer in wide if layer != "image"]
        assert sum(deep[layer][1] < 0.5 * wide[layer][1] for layer in behind) > len(behind) / 2
    assert all(round(100 * points) == 1 for points in too_deep[False]) and max(alone[False]) < 0.005
    return [
        f"On `shapes` this costs {100 * min(too_deep[True]):.0f} to {100 * max(too_deep[True]):.0f} points, on photographs "
        "about one",
        f"A single image costs {100 * min(alone[True]):.1f} to {100 * max(alone[True]):.1f} points on `shapes` with 8 bits, "
        "on photographs less than half a point",
        "more than half of the range behind most layers",
        "Noise does it on `shapes`, but not on photographs",
    ]


@claim("12-53")
def at_eight_bits_all_ways_are_as_good():
    by_percentile = [ended(run) - run.results["float_accuracy"] for run in quantized("integer-thin-static-percentile")]
    assert sum(change < -0.005 for change in by_percentile) == 1 and len(by_percentile) == 4
    for lab in LABS:
        ways = [run for way in ("static", "static-min-max", "qat") for run in quantized(f"integer-thin-{way}", [lab])]
        assert all(abs(ended(run) - run.results["float_accuracy"]) < 0.02 for run in ways)
        for run in quantized("integer-thin-dynamic", [lab]):
            assert run.results["nodes"]["quantize"] == 1 < min(other.results["nodes"]["quantize"] for other in ways)
        pair = (quantized(f"integer-thin-{way}", [lab]) for way in ("static-low", "qat-low"))
        for static, trained in zip(*pair):
            whole = static.results["float_accuracy"]
            assert ended(static) < whole - 0.2 and ended(trained) - ended(static) > 0.5 * (whole - ended(static))
    return [
        "the differences are those of a few images (only the 99.9th percentile costs "
        f"{-100 * min(by_percentile):.1f} points in one of four reference runs)"
    ]
