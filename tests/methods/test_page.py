"""The course on one page: outcomes are what the records say, every method is there, and nothing points nowhere."""

import io
import json
import re
import shutil
from dataclasses import replace
from itertools import combinations
from statistics import mean

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from labkit import methods, models, records
from labkit.methods import page
from labkit.methods.outcomes import CHANNELS, SEVERAL, Outcome, computed, stored
from labkit.records import Record, experiment_name
from labkit.settings import REFERENCE, REPOSITORY, LabError
from labkit.view import plots


@pytest.fixture(scope="module")
def rows():
    return page.rows(page.collected())


@pytest.fixture(scope="module")
def figures(rows):
    return {"course": page.picture(rows), "course-macs": page.picture(rows, "macs")}


def content(path: str) -> dict:
    return json.loads((REFERENCE / path / "record.json").read_text(encoding="utf-8"))


def row(rows, method: str, setting: str = "", shapes: bool = False, network: str = "") -> page.Row:
    (found,) = [r for r in rows if r.is_of(method, network) and setting in ("", r.first.setting) and r.shapes == shapes]
    return found


def size(path: str) -> int:
    """Bytes of a record's network in float32, counted anew."""
    state = models.build(models.Specification.from_dict(content(path)["network"])).state_dict().values()
    return 4 * sum(value.numel() for value in state if value.is_floating_point())


def test_slimming_is_judged_against_the_unpruned_network_of_its_seed(rows):
    found = row(rows, "Network Slimming", "50% of the channels, fine-tuned")
    for seed, outcome in enumerate(found.outcomes):
        lab = f"quick-folder-cifar10-seed{seed}/lab1"
        before = content(f"{lab}/sparsity-lambda0")["results"]["validation_accuracy"]
        tuned = f"{lab}/fine-tuning-50-rate0.01"
        assert outcome.run.folder == REFERENCE / tuned
        assert outcome.lost == pytest.approx(100 * (before - content(tuned)["results"]["validation_accuracy"]))
        assert outcome.bytes == size(tuned) / size(f"{lab}/sparsity-lambda0")
        cut, stages = (
            content(f"{lab}/pruning-lambda0.00044-50")["results"],
            content(f"{lab}/summary")["results"]["rows"],
        )
        milliseconds = {(r["stage"], r["ratio"]): r["latency_ms"]["median"] for r in stages}
        assert outcome.macs == pytest.approx(cut["macs"] / stages[0]["macs"]) and stages[0]["stage"] == "baseline"
        assert outcome.time == milliseconds["fine-tuned", 0.5] / milliseconds["baseline", 0.0]
    assert len(found.outcomes) == 2 and mean(found.lost) == mean(outcome.lost for outcome in found.outcomes)


def test_the_best_learning_rate_is_taken_by_validation(rows):
    found = row(rows, "Network Slimming", "90% of the channels, fine-tuned", shapes=True)
    for seed, outcome in enumerate(found.outcomes):
        tried = [
            content(f"quick-shapes-seed{seed}/lab1/fine-tuning-90-rate{rate}") for rate in ("0.1", "0.01", "0.001")
        ]
        assert outcome.accuracy == max(run["results"]["validation_accuracy"] for run in tried)


def test_a_front_a_study_and_a_training_with_zeros_are_their_records(rows):
    (cut,) = (REFERENCE / "fronts-folder-cifar10/lab2").glob("resnet18*-seed1-filter-l1-per-weight-uniform-30-????????")
    results = json.loads((cut / "record.json").read_text(encoding="utf-8"))["results"]
    outcome = row(rows, "Every group alike", network="ResNet18").outcomes[1]
    assert outcome.macs == pytest.approx(results["macs"] / results["parent_macs"])
    assert outcome.before == results["validation"]["parent"]

    outcome = row(rows, "AMC", network="VGG").first
    assert outcome.macs == pytest.approx(computed(outcome.run.specification) / computed(outcome.dense))

    study = content("quick-folder-cifar10-seed0/lab2/study")["results"]
    outcome = row(rows, "ThiNet", "70% of every layer's channels, fine-tuned, one epoch").first
    assert (outcome.accuracy, outcome.before) == (study["validation"]["thinet"]["tuned"][1], study["parent"])

    lab = "quick-minicifar-cifar10-seed1/lab4"
    outcome = row(rows, "STR").outcomes[1]
    assert outcome.bytes == content(f"{lab}/str-90")["results"]["bytes"] / content(f"{lab}/dense")["results"]["bytes"]
    assert outcome.macs is None and outcome.run.folder == REFERENCE / lab / "str-90"


def test_deployed_files_and_coded_weights_are_their_records(rows):
    lab = "quick-shapes-seed0/lab3"
    files = {(r["network"], r["format"]): r for r in content(f"{lab}/deployed")["results"]["rows"]}
    outcome = row(rows, "Integers", shapes=True).first
    assert outcome.bytes == files["dense", "int8"]["bytes"] / files["dense", "float32"]["bytes"]
    assert outcome.accuracy == files["dense", "int8"]["validation_accuracy"] and not outcome.trained
    steps = content(f"{lab}/compressed-thin")["results"]["steps"]
    outcome = row(rows, "Deep Compression", shapes=True).first
    assert outcome.bytes == sum(steps[-1]["bytes"].values()) / size(f"{lab}/trained")
    assert (outcome.accuracy, outcome.before) == (steps[-1]["accuracy"], steps[0]["accuracy"])


def test_a_mask_stores_what_is_left_and_a_bit_for_every_weight(rows):
    outcome = row(rows, "Masks", "50% of the weights, not retrained").first
    weights, whole = outcome.run.results["weights"], size("quick-folder-cifar10-seed0/lab3/sparsity-rate0.1")
    assert outcome.bytes == pytest.approx((whole - 4 * weights / 2 + weights / 8) / whole)
    assert outcome.macs is None and not outcome.trained


LEFT_OUT = {
    "unpruned networks": {"sparsity", "l2", "criteria-trained", "granularity-trained", "front-trained", "amc-trained"}
    | {"ratios-penalised", "quantization-trained"},
    "another of their kinds stands for them": {"front-cut", "amc-compared", "amc-search", "ratios-tuned"}
    | {"quantization-thin", "quantization-pruned", "quantization-low-bits", "quantization-integer"},
    "curves and tables, not one network": {"sweep", "summary", "granularity-timing", "ratios-sensitivity"}
    | {"ratios-latencies", "ratios-latency-table", "ratios-regularizations", "ratios-schedules"}
    | {"quantization-rounded", "quantization-calibration"},
    "students' own": {"open-task"},
}


def test_every_kind_of_record_is_shown_or_left_out_for_a_reason(rows):
    kinds = {run.kind for lab in records.folders_with_runs(REFERENCE) for run in records.load_all(lab)}
    shown = {outcome.run.kind for found in rows for outcome in found.outcomes}
    left_out = set().union(*LEFT_OUT.values())
    assert kinds - shown == left_out & kinds and not shown & left_out


def test_every_method_with_shipped_records_is_on_the_page(rows):
    kinds = {run.kind for lab in records.folders_with_runs(REFERENCE) for run in records.load_all(lab)}
    shown = {outcome.run.kind for found in rows for outcome in found.outcomes}
    for declared in methods.declared("KINDS"):
        if kinds & declared.keys():
            assert shown & declared.keys(), f"no summary speaks of {sorted(kinds & declared.keys())}"
    assert {found.first.notebook[:2] for found in rows} >= {"03", "04", "06", "07", "08", "09", "10", "11", "12"}


def test_outcomes_name_notebooks_that_exist_and_shares_that_can_be(rows):
    assert len({found.number for found in rows}) == max(found.number for found in rows) >= 30
    for outcome in (outcome for found in rows for outcome in found.outcomes):
        assert (REPOSITORY / "notebooks" / f"{outcome.notebook}.ipynb").exists()
        assert (outcome.run.folder / "record.json").exists() and outcome.removed in page.LOOKS
        assert all(share is None or 0 < share < 1 for share in (outcome.bytes, outcome.macs, outcome.time))


def test_a_folder_without_runs_gives_nothing(tmp_path):
    assert page.collected(tmp_path) == [] and page.overview(tmp_path) == {}
    for summary in methods.declared("summary"):
        assert summary(tmp_path) == []


def test_make_figures_draws_the_page():
    assert page.overview in methods.declared("overview")


def test_larger_profiles_stay_where_their_own_tables_are(rows):
    shown = {experiment_name(outcome.run.folder.parent) for found in rows for outcome in found.outcomes}
    assert "half-folder-cifar10-seed0" not in shown and {"quick-shapes-seed2", "fronts-folder-cifar10"} <= shown


def made(seed: int, before: float, accuracy: float, **other) -> Outcome:
    network = models.named("vgg11", 0.125)
    folder = REFERENCE / f"quick-shapes-seed{seed}" / "lab9" / "thrown-away"
    data = {"name": "shapes", "classes": 10, "train": 4000}
    run = Record("thrown-away", {"seed": seed, "data": data}, network.to_dict()).with_folder(folder)
    return replace(Outcome("New", "half", SEVERAL, "99_new", run, network, accuracy, before, 0.5, 0.5), **other)


@pytest.mark.parametrize(
    ("accuracies", "inside"), [((0.89, 0.92), True), ((0.85, 0.9), False), ((0.91, 0.93), True), ((0.93, 0.96), False)]
)
def test_a_loss_or_a_gain_is_inside_the_band_of_the_unpruned_networks_or_outside(accuracies, inside):
    (found,) = page.rows([made(0, 0.9, accuracies[0]), made(1, 0.92, accuracies[1])])
    assert found.band == pytest.approx(2) and found.inside == inside
    assert ("inside the seed band" in page.said(found)) == inside
    assert found.kept == (mean(accuracies) >= 0.89)


def test_a_ring_is_around_rows_inside_their_own_band(rows, figures):
    for axis, shapes in zip(figures["course"].axes, (False, True)):
        rings = [line for line in axis.lines if line.get_markersize() == page.RING["ms"]]
        drawn = sorted(tuple(line.get_xydata()[0]) for line in rings)
        inside = [(r.left("bytes"), mean(r.lost)) for r in rows if r.shapes == shapes and r.inside]
        assert drawn == sorted(inside) and len(drawn) >= 5


def test_that_every_seed_lost_is_said_although_it_is_inside_the_band():
    (all_lost,) = page.rows([made(0, 0.9, 0.89), made(1, 0.92, 0.91)])
    (one_gained,) = page.rows([made(0, 0.9, 0.91), made(1, 0.92, 0.9)])
    assert page.said(all_lost).endswith("inside the seed band, every seed lost")
    assert page.said(one_gained).endswith("inside the seed band")


def photograph(seed: int, family: str, data: str, **other) -> Outcome:
    outcome = made(seed, 0.9, 0.8, **other)
    config = outcome.run.config | {"data": {"name": data, "classes": 4, "train": 4000}}
    run = replace(outcome.run, config=config).with_folder(REFERENCE / f"{family}-seed{seed}" / "lab9" / "thrown-away")
    return replace(outcome, run=run)


def test_a_seed_that_occurs_twice_is_named():
    other, twin = made(0, 0.9, 0.8), made(0, 0.9, 0.8)
    twin.run.with_folder(other.run.folder.with_name("twin"))
    with pytest.raises(LabError, match="lab9/thrown-away and .*lab9/twin are both 'New', 'half'"):
        page.rows([other, twin])


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            "quick-shapes-seed0/lab1/sparsity-lambda0.005",
            "lambda0.005 has a penalty and no training beside it has none",
        ),
        ("quick-shapes-seed0/lab2/global-30", "global-30 was made of trained, which is not beside it"),
    ],
)
def test_a_run_without_its_unpruned_network_is_named(run, said, tmp_path):
    shutil.copytree(REFERENCE / run, tmp_path / run)
    with pytest.raises(LabError, match=said):
        page.collected(tmp_path)


def test_a_method_and_a_policy_without_a_name_in_print_are_shown(tmp_path):
    def copied(path: str, to: str, change) -> None:
        shutil.copytree(REFERENCE / path, tmp_path / to)
        record = json.loads((tmp_path / to / "record.json").read_text(encoding="utf-8"))
        change(record["config"])
        (tmp_path / to / "record.json").write_text(json.dumps(record), encoding="utf-8")

    lab = "quick-shapes-seed0/lab4"
    copied(f"{lab}/dense", f"{lab}/dense", lambda config: None)
    copied(f"{lab}/autoprune", f"{lab}/unheard-of", lambda config: config["method"].update(name="unheard-of"))
    fronts = "fronts-folder-cifar10/lab2"
    (tuned,) = (REFERENCE / fronts).glob("vgg19*-seed1-*-uniform-30-tuned*")
    cut = content(f"{fronts}/{tuned.name}")["config"]["parent"]
    for name in (tuned.name, cut, content(f"{fronts}/{cut}")["config"]["parent"]):
        policy = {"policy": "unknown"} if name == cut else {}
        copied(f"{fronts}/{name}", f"{fronts}/{name}", lambda config, policy=policy: config.update(policy))
    assert {outcome.method for outcome in page.collected(tmp_path)} == {"unheard-of", "unknown"}


def test_two_sets_of_photographs_under_one_number_are_named():
    with pytest.raises(LabError, match="quick-a-seed0/.* and .*quick-b-seed0/"):
        page.rows([photograph(0, "quick-a", "folder:a"), photograph(0, "quick-b", "folder:b")])
    assert len(page.rows([photograph(0, "quick-a", "folder:a"), made(0, 0.9, 0.8)])) == 2


def test_minicifar_has_a_star_and_its_classes():
    mini, shapes = page.rows([photograph(0, "quick-mini", "minicifar:cifar10"), made(0, 0.9, 0.8)])
    assert (mini.label, shapes.label) == ("1*", "1") and mini.images == "MiniCIFAR, 4 classes, 4,000"
    assert ", on MiniCIFAR" in page.told(mini) and ", on shapes" in page.told(shapes)


def test_one_seed_has_no_band():
    (found,) = page.rows([made(0, 0.9, 0.95)])
    assert found.band is None and not found.inside and page.said(found) == "-5.0, one seed"


def test_rows_differ_by_setting_and_network_and_seeds_stand_together():
    wider = models.named("vgg11", 0.25)
    outcomes = [
        made(1, 0.9, 0.8),
        made(0, 0.9, 0.8),
        made(0, 0.9, 0.8, setting="third"),
        made(0, 0.9, 0.8, dense=wider),
    ]
    found = page.rows(outcomes)
    assert sorted(len(row.outcomes) for row in found) == [1, 1, 2] and {row.number for row in found} == {1, 2, 3}
    (pair,) = [row for row in found if len(row.outcomes) == 2]
    assert [outcome.run.config["seed"] for outcome in pair.outcomes] == [0, 1]


def test_a_new_method_joins_by_one_function(tmp_path, monkeypatch):
    (tmp_path / "new_method.py").write_text(
        "def summary(folder):\n    return OUTCOMES if folder.name == 'lab1' else []\n"
    )
    monkeypatch.setattr(methods, "__path__", [str(tmp_path)])
    (module,) = [found.__globals__ for found in methods.declared("summary")]
    module["OUTCOMES"] = [made(0, 0.9, 0.89)]
    found = page.rows(page.collected(REFERENCE / "quick-shapes-seed0"))
    assert [row.first.method for row in found] == ["New"]
    assert "| New | half |" in page.table(found, shapes=True) and page.picture(found).axes


@pytest.mark.parametrize("name", ["course", "course-macs"])
def test_pictures_have_alt_text_named_axes_and_every_number_of_the_table(name, figures, rows):
    figure = figures[name]
    assert len(figure.get_label()) > 100 and all(axis.get_xlabel() for axis in figure.axes)
    assert figure.axes[0].get_ylabel()
    cost = "bytes" if name == "course" else "macs"
    for axis, shapes in zip(figure.axes, (False, True)):
        drawn = sorted(int(text.get_text().strip("*")) for text in axis.texts if text.get_text().strip("*").isdigit())
        assert drawn == [row.number for row in rows if row.shapes == shapes and row.left(cost) is not None]
        assert {str(number) for number in drawn} <= set(re.findall(r"^\| (\d+) \|", page.table(rows, shapes), re.M))


def test_words_and_numbers_do_not_cover_each_other(rows):
    figure = page.picture(rows)
    figure.canvas.draw()
    for axis in figure.axes:
        whole = [text.get_window_extent() for text in axis.texts]  # settles where each text stands
        assert all(0 < box.x0 < box.x1 < 1100 for box in whole)
        boxes = [Text.get_window_extent(text).shrunk(0.75, 0.6) for text in axis.texts]  # a line may pass, no word
        covered = [(a, b) for a, b in combinations(range(len(boxes)), 2) if boxes[a].overlaps(boxes[b])]
        assert not covered, [(axis.texts[a].get_text(), axis.texts[b].get_text()) for a, b in covered]


def test_words_stand_beside_rows_that_there_are(figures, rows):
    words = [text.get_text() for axis in figures["course"].axes for text in axis.texts if text.get_style() == "italic"]
    assert sorted(words) == sorted(said for *_, said, _ in page.IN_WORDS)
    assert mean(o.run.results["bits"] for o in row(rows, "BitPruning").outcomes) == pytest.approx(2.3, abs=0.05)
    assert all(o.run.results["sparsity"] > 0.9 for o in row(rows, "AutoPrune").outcomes)
    tuned = row(rows, "Network Slimming", "90% of the channels, fine-tuned").outcomes
    assert {outcome.run.config["recipe"]["epochs"] for outcome in tuned} == {6}


@pytest.mark.parametrize("name", ["course", "course-macs"])
def test_the_shipped_pictures_are_those_of_the_records(name, figures):
    now, shipped = imread(io.BytesIO(plots.png(figures[name]))), imread(REFERENCE / f"{name}.png")
    assert now.shape == shipped.shape and np.abs(now - shipped).mean() < 0.0015, "run make figures"


def test_numbers_keep_their_distance():
    marks = [(100.0, 100.0), (103.0, 104.0), (300.0, 300.0)]
    places = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(marks, page.beside(marks))]
    assert page.beside(marks)[2] == page.AROUND[0]
    for one, other in combinations([*marks, *places], 2):
        assert (one in marks and other in marks) or np.hypot(*np.subtract(one, other)) >= page.APART


def test_a_wish_without_records_is_named():
    with pytest.raises(LabError, match="No record speaks of the wish 'a smaller file'"):
        page.when_table([])


NUMBERED = {
    1: ("Network Slimming", "50% of the channels, BatchNorm re-estimated"),
    2: ("Network Slimming", "90% of the channels, BatchNorm re-estimated"),
    3: ("Network Slimming", "50% of the channels, fine-tuned"),
    4: ("Network Slimming", "90% of the channels, as thin, from scratch"),
    5: ("Network Slimming", "90% of the channels, fine-tuned"),
    6: ("Masks", "2:4, BatchNorm re-estimated"),
    7: ("Masks", "50% of the weights, not retrained"),
    8: ("LASSO", "30% of every layer's channels, fine-tuned, one epoch"),
    9: ("LASSO", "30% of every layer's channels, next layer reconstructed"),
    12: ("LASSO", "70% of every layer's channels, fine-tuned, one epoch"),
    13: ("LASSO", "70% of every layer's channels, next layer reconstructed"),
    16: ("Ranked globally", "30% of the channels"),
    20: ("Every group alike", "30% of the channels"),
    21: ("Ranked globally", "30% of the channels"),
    22: ("Ranked globally", "30% of the channels"),
    37: ("AutoPrune", "as many weights as it takes"),
    39: ("Train, prune, tune", "90% of the weights"),
    40: ("BitPruning", "bit lengths learned"),
    41: ("Integers", "8 bits, calibrated"),
    42: ("Thin and integers", "40% of the channels cut and fine-tuned, then 8 bits"),
    43: ("Thin and integers", "40% of the channels cut, trained with 8 bits"),
    44: ("Shared weights", "40% of the channels cut, 16 values a layer"),
    45: ("Deep Compression", "channels cut, weights cut, shared and coded"),
}
"""The rows that docs/course.md speaks of by number."""


def test_numbers_in_the_text_are_those_of_their_rows(rows):
    now = {found.number: (found.first.method, found.first.setting) for found in rows}
    assert {number: now[number] for number in NUMBERED} == NUMBERED
    text = (REPOSITORY / "docs" / "course.md").read_text(encoding="utf-8")
    prose = text.partition("In one minute")[2].partition("How to read it")[0]
    said = re.findall(r"\((\d+(?:, \d+)*)\)", prose) + re.findall(r"(\d+) (?:with|and) (\d+)", prose)
    numbers = {
        int(number)
        for group in said
        for number in re.findall(r"\d+", " ".join([*group] if type(group) is tuple else [group]))
    }
    assert len(numbers) > 12 and numbers <= NUMBERED.keys()


def test_what_the_page_says_in_words_holds_in_the_rows(rows):
    hard = [r for r in rows if not r.first.trained and re.match("[79]0%", r.first.setting)]
    assert len(hard) >= 4 and all(min(r.lost) > 10 for r in hard), "no repair of a hard cut"
    mild = [r for r in rows if not r.first.trained and r.first.removed == CHANNELS and r not in hard]
    assert all(mean(r.lost) < 10 for r in mild)
    assert min(row(rows, "Ranked globally", network="MobileNet").lost) > 20
    assert row(rows, "Ranked globally", network="VGG-19").kept
    by_number = {found.number: found for found in rows if not found.shapes}
    for untrained, trained in ((1, 3), (2, 5), (9, 8), (13, 12)):
        assert mean(by_number[untrained].lost) > mean(by_number[trained].lost)
        assert by_number[untrained].left("bytes") == by_number[trained].left("bytes")
    assert all(by_number[number].inside for number in (3, 37, 39, 40))
    assert all(min(by_number[number].lost) > 0 for number in (3, 39))
    channels = [mean(r.lost) for r in by_number.values() if r.first.trained and r.first.removed == CHANNELS]
    assert sum(mean(by_number[7].lost) < lost for lost in channels) > len(channels) / 2
    (last,) = {
        json.loads((REFERENCE / "fronts-folder-cifar10/lab2" / o.run.config["parent"] / "record.json").read_text())[
            "network"
        ]["widths"][-1]
        for o in by_number[16].outcomes
    }
    assert last == 1
    for lab in ("quick-folder-cifar10-seed0", "quick-folder-cifar10-seed1", "quick-shapes-seed0"):
        assert content(f"{lab}/lab2/amc-tuned-vgg-global")["results"]["validation_accuracy"] < 0.25
    assert mean(row(rows, "Ranked globally", network="ResNet18").lost) > 0
    assert row(rows, "Ranked globally", network="ResNet18").left("macs") > 0.7
    for found in (row(rows, "BitPruning"), row(rows, "Network Slimming", "50% of the channels, fine-tuned")):
        assert found.inside and found.left("bytes") <= 0.2
    agent, chance = (row(rows, name, network="VGG") for name in ("AMC", "Chance, as many tries"))
    assert abs(mean(agent.lost) - mean(chance.lost)) <= agent.band
    for searched in (found for found in rows if found.first.method in ("AMC", "Chance, as many tries")):
        same = searched.first.setting, searched.shapes
        (alike,) = [r for r in rows if r.is_of("Every layer alike") and (r.first.setting, r.shapes) == same]
        assert mean(searched.lost) > mean(alike.lost) - searched.band
    inherited, scratch = (
        {shapes: mean(row(rows, "Network Slimming", f"90% of the channels, {words}", shapes).lost) for shapes in (0, 1)}
        for words in ("fine-tuned", "as thin, from scratch")
    )
    assert scratch[1] - inherited[1] > 3 and inherited[0] > scratch[0] - 1
    both = {r.number for r in rows if r.shapes} & {r.number for r in rows if not r.shapes}
    easier = [
        number for number in both
        if mean(next(r.lost for r in rows if r.number == number and r.shapes))
        < mean(next(r.lost for r in rows if r.number == number and not r.shapes))
    ]  # fmt: skip
    assert len(easier) >= 0.75 * len(both)


def test_bytes_are_those_of_pruning_while_training():
    dense = content("quick-shapes-seed0/lab4/dense")
    assert stored(models.Specification.from_dict(dense["network"])) == dense["results"]["bytes"]
