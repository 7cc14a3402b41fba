"""Pruning while training as pictures and tables: what is drawn is what the records and the formulas say."""

import json
import math

import explorations as made
import numpy as np
import pytest

from labkit import learned, models, records, settings
from labkit.methods.learned.figures import family
from labkit.training import learning_rates


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The honest records, of an experiment of which nothing ships."""
    folder = tmp_path_factory.mktemp("quick-made-seed0") / "lab4"
    for name, content in made.honest().items():
        (folder / name).mkdir(parents=True)
        (folder / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    return records.load_all(folder, learned.KIND)


def lines(axis) -> dict[str, tuple]:
    return {line.get_label(): tuple(map(np.asarray, line.get_data())) for line in axis.get_lines()}


def test_sizes_are_the_records_and_ones_own_runs_are_stars(runs):
    shown, mine = (
        [run for run in runs if run.name != "explore-bits"],
        [run for run in runs if run.name == "explore-bits"],
    )
    left, right = learned.sizes(shown, mine).axes
    for axis, key, unit in ((left, "bytes", 1000), (right, "sparsity", 1)):
        (x,), (y,) = lines(axis)["explore-bits"]
        assert math.isclose(x, mine[0].results[key] / unit) and y == mine[0].results["validation_accuracy"]
    assert {text.get_text() for text in right.get_legend().texts} >= {"dense", "pcas", "str", "explore-bits"}
    assert "explore-bits 98.5%" in left.figure.get_label()


def test_every_layer_and_every_epoch_is_drawn(runs):
    (channels,) = [run for run in runs if run.name == "explore-channels"]
    (axis,) = learned.by_layer([channels]).axes
    _, y = lines(axis)["explore-channels"]
    layers = channels.results["layers"].values()
    assert np.allclose(y, [layer["zeros"] / layer["elements"] for layer in layers])
    epochs, zeros = lines(learned.over_epochs([channels]).axes[0])["explore-channels"]
    assert list(epochs) == [row["epoch"] for row in channels.history]
    assert list(zeros) == [row["sparsity"] for row in channels.history]


def test_bit_lengths_are_bars_with_their_mean(runs):
    (run,) = [run for run in runs if run.name == "explore-bits"]
    (axis,) = learned.bit_lengths(run).axes
    assert [bar.get_height() for bar in axis.patches] == [4] * len(run.results["layers"])
    assert "4.00 bits in the mean" in axis.get_title() and run.results["bits"] == 4


def test_the_table_has_a_row_a_run_the_dense_one_first(runs):
    header, first, *others = learned.cells(runs)
    assert first[0] == "dense" and len(others) == 3 and header[4] == "times smaller" and first[4] == "1.0"
    (bits,) = [row for row in others if row[0] == "explore-bits"]
    assert bits[1:3] == ["0.0%", "4"] and bits[-1] == "98.5%" and 7 < float(bits[4]) < 8


def test_without_a_dense_run_nothing_is_compared_with_it(runs):
    header, *rows = learned.cells([run for run in runs if run.name != "dense"])
    assert "times smaller" not in header and {len(row) for row in rows} == {len(header)}


def test_one_each_takes_the_sparsest_of_a_family_that_makes_zeros(runs):
    assert [family(run) for run in learned.one_each(runs)] == ["pcas", "str"]


def test_trainings_that_nothing_steers_are_drawn_apart(runs, tmp_path):
    free = {"name": "str", "probe": [0.0], "target": None, "decay": 1e-4}
    for name, content in (made.honest() | {"str-start-8-decay0.0001": made.record(free)}).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    drawn = learned.figures(tmp_path)
    assert list(lines(drawn["learned-decay"].axes[0])) == ["str-start-8-decay0.0001"]
    assert "decay0.0001" not in drawn["learned-sizes"].get_label()
    assert len(learned.compared(runs)) == len(runs) == 4


def test_figures_and_results_are_declared_and_made_from_a_folder(runs):
    drawn = learned.figures(runs[0].folder.parent)
    assert {"learned-sizes", "learned-epochs", "learned-layers", "learned-bits-explore-bits"} == set(drawn)
    assert all(figure.get_label() for figure in drawn.values())
    assert learned.results(runs[0].folder.parent).count("\n| ") == 6


def test_nothing_to_draw_is_said(tmp_path, refused):
    assert learned.figures(tmp_path) == {} and learned.results(tmp_path) == ""
    for draw in (learned.sizes, learned.over_epochs, learned.by_layer):
        with refused("no runs to draw", "train a method first"):
            draw([])


def test_own_runs_come_before_shipped_ones_and_explorations_are_left_out(runs, tmp_path, monkeypatch, capsys):
    here = settings.current({"LABKIT_RUNS": str(tmp_path / "mine")}, lab=4)
    monkeypatch.setattr(settings, "REFERENCE", tmp_path / "reference")
    for folder, right in ((here.folder, 590), (here.reference, 594)):
        for name in ("dense", "explore-one"):
            (folder / name).mkdir(parents=True)
            (folder / name / "record.json").write_text(json.dumps(made.record(right=right)), encoding="utf-8")
    assert [run.results["validation_accuracy"] for run in learned.known(here).values()] == [590 / 600]
    (here.folder / "dense" / "record.json").unlink()
    found = learned.known(here)
    assert list(found) == ["dense"] and found["dense"].results["validation_accuracy"] == 594 / 600
    assert "1 are the course's own" in capsys.readouterr().out
    assert learned.chosen(found, "str-80", "dense") == [found["dense"]]


@pytest.mark.parametrize("name", ["", "a/b", "x" * 41, "../dense"])
def test_an_exploration_has_the_name_of_a_folder(name, refused):
    with refused("does not do"):
        learned.explore({name: learned.Dense()}, None, None)


def test_criteria_and_policies_that_nobody_knows_are_refused(refused):
    with refused("no 'beauty'", "filter-l1"):
        learned.TrainCutTune("beauty", "uniform", 0.5, 0.375)
    with refused("no 'fair'", "uniform"):
        learned.TrainCutTune("taylor", "fair", 0.5, 0.375)


# Drawings


def test_a_subgradient_step_jumps_over_zero_and_a_proximal_one_stops(runs):
    left, right = learned.steps_to_zero(amount=0.1, start=0.27, steps=8).axes
    _, jumping = lines(left)["subgradient step"]
    _, stopping = lines(left)["proximal step"]
    assert min(jumping) < 0 and jumping[-1] != 0 and all(y >= 0 for y in stopping) and stopping[-1] == 0
    x, y = lines(right)["proximal step"]
    for gamma, after in zip(x, y):  # the best point of a fine grid, by the definition of the proximal operator
        grid = np.linspace(-1, 1, 20001)
        assert abs(grid[np.argmin((grid - gamma) ** 2 / 2 + 0.1 * abs(grid))] - after) < 2e-4


def test_the_slopes_drawn_are_those_of_the_values_drawn():
    value, by_weight, by_threshold = (lines(axis) for axis in learned.thresholds(0.5).axes)
    higher = lines(learned.thresholds(0.6).axes[0])["soft"][1]
    x, y = value["soft"]
    assert np.allclose(by_weight["soft"][1][[0, 3, 6]] - 0.02, [1, 0, 1])
    assert math.isclose((y[1] - y[0]) / (x[1] - x[0]), 1)
    assert np.allclose(by_threshold["soft"][1][[0, 3, 6]] - 0.02, [1, 0, -1])
    assert len(higher) == len(y) and np.nanmax(abs(by_threshold["hard"][1])) == 0


def test_the_mixture_of_two_bit_lengths_lies_between_them():
    weights = np.random.default_rng(0).normal(size=300)
    curves = lines(learned.between_bits(weights, 2.25).axes[0])
    assert np.allclose(curves["2.25 bits"][1], 0.75 * curves["2 bits"][1] + 0.25 * curves["3 bits"][1])
    assert len(np.unique(np.round(curves["3 bits"][1], 9))) == 8


def test_more_decay_pulls_a_threshold_higher_and_none_leaves_it():
    rates = learning_rates(settings.PROFILES["quick"].train, 4000)
    weights = models.build(made.NETWORK, seed=0).get_submodule("features.conv5").weight.detach().flatten()
    figure = learned.pulled_up(weights, rates, 0.9, [(-12, 0.0), (-12, 3e-3), (-12, 6e-3)])
    none, some, more = (line.get_ydata() for line in figure.axes[0].lines[:3])
    assert np.allclose(none, 1 / (1 + math.exp(12))) and none[-1] < some[-1] < more[-1] < 0.5


def test_the_other_pictures_say_what_they_show():
    for draw, word in (
        (learned.lives, "BitPruning"),
        (learned.coarse_slopes, "sign"),
        (learned.attention_module, "score"),
    ):
        assert word in draw().get_label()
    assert learned.published().count("\n") == 8 and "93.58%" in learned.published()
