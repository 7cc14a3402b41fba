"""The open task: a plan of one's own, a run that proves it, a board that is computed."""

import json

import pytest
from torch import tensor
from workers import tiny_dataset, tiny_fit

from labkit import measure, models, pruning, slimming
from labkit.pruning import global_plan, scaling_factors
from labkit.records import Record, save
from labkit.settings import REFERENCE, Recipe

RECIPE = Recipe(1, batch=50)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    return tiny_fit(tmp_path_factory.mktemp("lab1") / "sparsity", epochs=1)


def plan_of(run, ratio):
    return global_plan(scaling_factors(run.model()), ratio)


def test_an_attempt_is_a_run_whose_network_is_the_plans(sparse, tmp_path):
    plan = plan_of(sparse, 0.5)
    run = slimming.attempt("mine", sparse, plan, tiny_dataset(), RECIPE, tmp_path)
    assert (run.kind, run.config["parent"], run.config["lambda"]) == ("open-task", sparse.name, 0)
    assert list(run.specification.widths) == plan.widths
    assert len(run.history) == 1
    (row,) = slimming.standings(tmp_path, 0.0)
    assert row["macs"] == measure.macs(models.build(run.specification)) and row["reached"] and row["epochs"] == 1


@pytest.mark.parametrize("name", ["", "../../elsewhere", "8/40 wide", "a|b", "x" * 41])
def test_a_name_that_is_no_folders_is_refused_before_anything_is_trained(sparse, tmp_path, refused, name):
    with refused(repr(name)):
        slimming.attempt(name, sparse, plan_of(sparse, 0.5), tiny_dataset(), RECIPE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def entrant(folder, name, widths, accuracy, kind="open-task"):
    network = models.build(models.named("vgg11", 0.1)).specification.with_widths(widths)
    results = {"validation_accuracy": accuracy, "macs": 1}  # a claim in a record counts for nothing
    save(Record(kind, {}, network.to_dict(), results=results).with_folder(folder / name))


def test_the_fewest_macs_win_among_those_that_reach_the_goal(tmp_path):
    entrant(tmp_path, "large", [8] * 8, 0.99)
    entrant(tmp_path, "small", [4] * 8, 0.97, kind="fine-tuning")
    entrant(tmp_path, "tiny", [2] * 8, 0.9699)
    entrant(tmp_path, "hopeless", [1] * 8, 0.1)
    entrant(tmp_path, "scratch", [1] * 8, 0.99, kind="from-scratch")
    rows = slimming.standings(tmp_path, 0.97)
    assert [row["name"] for row in rows] == ["small", "large", "tiny", "hopeless"]
    assert [row["reached"] for row in rows] == [True, True, False, False]
    header, *table = slimming.board_cells(tmp_path, 0.97)
    assert [line[0] for line in table] == ["1", "2", "below 97%", "below 97%"]
    assert all(len(line) == len(header) for line in table)
    assert "4 fine-tuned networks" in slimming.board_figure(tmp_path, 0.97).get_label()


def test_an_empty_board_is_a_header(tmp_path):
    assert len(slimming.board_cells(tmp_path, 0.97)) == 1
    assert slimming.board_figure(tmp_path, 0.97).axes


def test_the_goal_is_the_data_sets_or_five_points_below_the_sparse_network():
    def run(data, accuracy):
        return Record("sparsity", {"data": {"name": data}}, {}, results={"validation_accuracy": accuracy})

    assert slimming.target(run("shapes", 0.9)) == 0.97
    assert slimming.target(run("folder:photos", 0.8234)) == 0.77
    assert slimming.target(run("folder:photos", 0.83)) == 0.78, "not 0.77999"


def test_on_the_boards_of_the_shipped_runs_ninety_percent_pruned_is_the_one_to_beat():
    for folder in sorted(REFERENCE.glob("quick-shapes-seed*/lab1")):
        names = [row["name"] for row in slimming.standings(folder, 0.97) if row["name"].startswith("fine-tuning")]
        assert names[0].startswith("fine-tuning-90"), folder


def test_widths_by_hand_keep_the_best_channels_and_all_of_other_layers():
    scores = {"a": tensor([0.1, 0.9, 0.5]), "b": tensor([0.3, 0.2])}
    plan = pruning.width_plan(scores, {"a": 1})
    assert plan.kept == {"a": (1,), "b": (0, 1)} and plan.threshold == 0.5
    assert plan.requested == plan.achieved == 0.4
    json.dumps(plan.to_dict())
    assert pruning.width_plan(scores, {}).achieved == 0


def test_widths_that_do_not_fit_are_refused(refused):
    scores = {"a": tensor([0.1, 0.9])}
    with refused("'z'", "choose one of a"):
        pruning.width_plan(scores, {"z": 1})
    for width in (0, 3):
        with refused("2 channels", width):
            pruning.width_plan(scores, {"a": width})
