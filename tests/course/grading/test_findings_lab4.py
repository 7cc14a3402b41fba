"""What is said of lab 4's records: the points that explorations earn, and nothing for one that claims too much."""

import json

import explorations as made
import pytest

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


def test_a_weak_dense_training_of_ones_own_does_not_help_where_the_courses_ships(tmp_path):
    weak = made.honest() | {"dense": made.record(right=560)}
    reference = written({"dense": made.record()}, tmp_path / "reference" / "quick-shapes-seed0" / "lab4").parents[1]
    case = findings.case_of(written(weak, tmp_path / "records"), LAB, reference)
    assert lab4.baseline(case).results["validation_accuracy"] == 594 / 600
    assert "explore-too-far" in lab4.proposed(case) and learned.points_for(case.runs, lab4.baseline(case)) < 40


def test_no_exploration_is_said(tmp_path):
    assert "There is no exploration" in said({"dense": made.record()}, tmp_path, False)
