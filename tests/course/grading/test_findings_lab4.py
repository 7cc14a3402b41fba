"""What is said of lab 4's records: the points that explorations earn, and nothing for one that claims too much."""

import copy
import json
from dataclasses import replace

import explorations as made
import pytest

from labkit import records
from labkit.course import labs
from labkit.course.grading import findings, lab4
from labkit.methods import learned

LAB = labs.named(4)
CELL = "manual-exploration"


def written(contents, folder):
    for name, content in contents.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def case_of(contents, folder):
    """The case of these records; no reference run is known."""
    return findings.case_of(written(contents, folder / "records"), LAB, folder / "no reference")


def said(contents, folder, well):
    case_of(contents, folder)
    found = findings.findings(folder / "records", LAB, folder / "no reference")
    return "\n".join(row["text"] for row in found if row["cell"] == CELL and row["well"] == well)


def changed(name, part, **values):
    """The honest records, with other values in one part of the record ``name``."""
    found = made.honest()
    return found | {name: found[name] | {part: found[name][part] | values}}


def test_honest_records_are_consistent_but_for_the_data_that_was_asked_for(tmp_path):
    assert said(made.honest(), tmp_path, False) == "The exploration is on shapes; the task asks for MiniCIFAR."


def test_the_best_exploration_that_counts_is_what_points_are_for(tmp_path):
    case = case_of(made.honest(), tmp_path)
    runs = {run.name: run for run in case.runs}
    share = learned.saved(runs["explore-bits"], runs["dense"])
    assert 0.85 < share < 0.875 < learned.saved(runs["explore-too-far"], runs["dense"])
    assert learned.points_for([runs["explore-bits"]], runs["dense"]) == round(20 + 10 * (share - 0.75) / 0.15)
    assert learned.points_for([runs["explore-too-far"]], runs["dense"]) == 0
    assert f"saves {share:.1%} at 98.5%" in lab4.proposed(case)
    assert f": {learned.points_for(runs.values(), runs['dense'])} of 40 points" in lab4.proposed(case)


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (changed("explore-bits", "results", bytes=1000.0), "bytes 1000; its layers give"),
        (changed("explore-channels", "results", sparsity=0.99), "sparsity 0.99; its layers give"),
        (changed("explore-bits", "results", validation_accuracy=0.99991), "is no count of 600 images"),
        (changed("explore-bits", "results", validation_accuracy=1.0), "100.00%, but 98.50% at the end"),
        (changed("explore-channels", "network", widths=[8] * 8), "is not the one that the plan keeps"),
        (changed("explore-bits", "network", widths=[8] * 8), "there is no plan, but the network"),
        (changed("explore-bits", "config", recipe=made.TRAINED["config"]["recipe"] | {"epochs": 80}), "no profile"),
        (made.honest() | {"explore-again": made.record(made.BITS, 591, bits=4, number=1)}, "the same history"),
        (made.honest() | {"explore-odd": made.record() | {"kind": "sparse"}}, "explore-odd"),
    ],
    ids=range(9),
)
def test_what_contradicts_itself_is_said_and_does_not_count(contents, sentence, tmp_path):
    assert sentence in said(contents, tmp_path, False)


def test_a_record_that_claims_too_much_earns_nothing(tmp_path):
    case = case_of(changed("explore-bits", "results", bytes=1000.0), tmp_path)
    assert "explore-bits" not in lab4.proposed(case)


def test_layers_of_another_network_and_impossible_zeros_are_found(tmp_path):
    layers = made.honest()["explore-bits"]["results"]["layers"]
    first, *others = layers
    wrong = {
        "fewer": {name: layers[name] for name in others},
        "more zeros": layers | {first: layers[first] | {"zeros": layers[first]["elements"] + 1}},
    }
    for name, found in wrong.items():
        text = said(changed("explore-bits", "results", layers=found), tmp_path / name, False)
        assert "its layers" in text or "zeros, more or fewer" in text


def test_without_a_dense_training_there_are_no_points(tmp_path):
    contents = made.honest()
    del contents["dense"]
    assert "no dense training" in lab4.proposed(case_of(contents, tmp_path))


def forged(method, plan=None, **layer):
    """A record of another method that is consistent in itself, but for its history: ``layer`` in every layer."""
    content = copy.deepcopy(made.record(method, 591, plan=plan, number=5))
    rows = content["results"]["layers"]
    for name, row in rows.items():
        rows[name] = row | {key: value(row) if callable(value) else value for key, value in layer.items()}
    network = made.models.build(made.Specification.from_dict(content["network"]))
    content["results"] |= learned.totals(rows, network)
    return content


def ending(content, **values):
    """The record, with these values in the last row of its history."""
    return content | {"history": [*content["history"][:-1], content["history"][-1] | values]}


NEARLY_ALL = {"zeros": lambda row: int(0.99 * row["elements"])}
GUARDING = {"guarded": (next(iter(made.HALF.kept)),)}
HOSTILE = {
    "dense with one bit": (forged(made.NOTHING, bits=1), "32 bits at the end of the training, but its layers give 1"),
    "dense with one bit to its end": (
        ending(forged(made.NOTHING, bits=1), bits=1.0),
        "but the method 'dense' leaves 32",
    ),
    "dense with zeros": (
        forged(made.NOTHING, **NEARLY_ALL),
        "sparsity 0.00% at the end of the training, but its layers",
    ),
    "dense with zeros to its end": (made.record(zeros=0.99, number=5), "the method 'dense' prunes nothing"),
    "dense with a plan": (made.record(plan=made.HALF, number=5), "the method 'dense' prunes nothing"),
    "bits of another": (made.record(made.STR | {"target": None}, bits=2, number=5), "but the method 'str' leaves 32"),
    "parts of bits": (made.record(made.BITS, bits=1.5, number=5), "which is no whole number"),
    "bits of the last epoch": (ending(made.record(made.BITS, bits=2, number=5), bits=4.0), "4 bits at the end"),
    "plan of fewer channels": (
        ending(made.record(made.PCAS, plan=made.HALF, number=5), sparsity=0.35),
        "its plan gives 50",
    ),
    "a guard that guards nothing": (
        made.record(made.PCAS, plan=replace(made.HALF, **GUARDING), number=5),
        "does not keep its first channel alone",
    ),
    "far beyond its target": (made.record(made.STR | {"target": 0.5}, zeros=0.99, number=5), "was asked for 50.0%"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_forged_records_are_found_and_earn_nothing(name, tmp_path):
    content, sentence = HOSTILE[name]
    contents = {"dense": made.record(), "explore-forged": content}
    assert sentence in said(contents, tmp_path, False)
    assert lab4.proposed(case_of(contents, tmp_path / "again")) == "No exploration counts, so no points are proposed."


def test_a_layer_that_is_silent_but_for_its_guard_is_honest(tmp_path):
    first, *others = made.HALF.total
    kept = {first: (0,)} | {name: made.HALF.kept[name] for name in others}
    plan = replace(made.HALF, kept=kept, guarded=(first,))
    silent = plan.achieved + 1 / sum(plan.total.values())
    content = ending(made.record(made.BITS | {"name": "proximal"}, plan=plan, number=5), sparsity=silent)
    case = case_of({"dense": made.record(), "explore-guarded": content}, tmp_path)
    assert all(lab4.counts(case, run) for run in case.runs)


def test_every_record_that_ships_counts():
    shipped = [records.load(folder) for folder in LAB.reference_runs()]
    case = findings.Case(shipped, shipped, {})
    assert len(shipped) > 20
    assert {run.name: text for run in shipped for check in lab4.OF_A_RUN for text in check(case, run)} == {}


def with_data(content, name, seed=0):
    config = content["config"]
    return content | {"config": config | {"seed": seed, "data": config["data"] | {"name": name}}}


def reference_of(dense, folder):
    """Dense reference runs by their experiment."""
    for experiment, content in dense.items():
        written({"dense": content}, folder / experiment / "lab4")
    return folder


def compared_with(contents, dense, folder):
    case = findings.case_of(written(contents, folder / "records"), LAB, reference_of(dense, folder / "reference"))
    return lab4.baseline(case, lab4.explored(case)[0]), lab4.proposed(case)


def test_ones_own_dense_training_is_what_counts(tmp_path):
    found, text = compared_with(made.honest(), {"quick-shapes-seed0": made.record(right=560)}, tmp_path)
    assert found.results["validation_accuracy"] == 594 / 600 and "dense (the student's own, seed 0)" in text


def test_without_ones_own_that_counts_the_courses_of_the_same_seed_is_taken(tmp_path):
    courses = {
        "quick-shapes-seed1": with_data(made.record(right=598), "shapes", 1),
        "quick-shapes-seed2": made.record(),
    }
    contents = made.honest() | {"dense": forged(made.NOTHING, bits=1)}
    found, text = compared_with(contents, courses, tmp_path)
    assert found.results["validation_accuracy"] == 594 / 600 and "dense (the course's, seed 0)" in text


def test_a_dense_training_of_other_data_network_or_recipe_is_none_to_compare_with(tmp_path):
    contents = made.honest()
    del contents["dense"]
    dense = made.record()
    others = {
        "data": with_data(dense, "cifar10"),
        "recipe": dense | {"config": dense["config"] | {"recipe": dense["config"]["recipe"] | {"epochs": 80}}},
        "network": dense | {"config": dense["config"] | {"network": dense["network"] | {"widths": [8] * 8}}},
    }
    for name, other in others.items():
        found, text = compared_with(contents, {"other": other}, tmp_path / name)
        assert found is None and "no dense training of the same data, network and recipe" in text


def test_minicifar_is_the_same_out_of_any_folder(tmp_path):
    explored = with_data(made.honest()["explore-bits"], "minicifar")
    found, text = compared_with(
        {"explore-bits": explored}, {"x": with_data(made.record(), "minicifar:cifar10")}, tmp_path
    )
    assert found is not None and "explore-bits saves" in text


def test_no_exploration_is_said(tmp_path):
    assert "There is no exploration" in said({"dense": made.record()}, tmp_path, False)
