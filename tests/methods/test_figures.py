"""Network Slimming's figures: what they draw is what the records say."""

import shutil
from itertools import combinations

import numpy as np
import pytest
import torch

from labkit import records, slimming
from labkit.methods import slimming_tasks
from labkit.methods.slimming.figures import FLOOR, STAGES
from labkit.methods.slimming.published import UNTUNED, is_beside
from labkit.pruning import global_plan, random_scores
from labkit.settings import REFERENCE
from labkit.view import plots

LAB = REFERENCE / "quick-shapes-seed0" / "lab1"
LABS = sorted(REFERENCE.glob("*/lab1"))
SPARSITY, SWEEPS, PRUNINGS = (records.load_all(LAB, kind) for kind in ("sparsity", "sweep", "pruning"))
TUNED = records.load_all(LAB, "fine-tuning") + records.load_all(LAB, "from-scratch")


@pytest.fixture
def unknown(tmp_path):
    """The runs of ``LAB`` as those of a data set that no reference runs have; ``unknown(kind)``."""
    lab = tmp_path / "quick-mine-seed0" / "lab1"
    shutil.copytree(LAB, lab, ignore=shutil.ignore_patterns("*.png", "weights.safetensors"))
    return lambda kind: records.load_all(lab, kind)


def lines(axis, label):
    return [line for line in axis.get_lines() if line.get_label() == label]


def test_seeds_of_a_run_are_found_in_their_order():
    found = records.over_seeds(SWEEPS[0])
    assert [run.config["seed"] for run in found] == [0, 1, 2]
    assert {run.name for run in found} == {SWEEPS[0].name}
    assert len(records.over_seeds(TUNED[0])) == 3, "the pruned networks differ from seed to seed"


def test_seeds_of_another_recipe_ratio_or_data_do_not_count(unknown):
    for kind in ("sparsity", "sweep", "fine-tuning"):
        assert records.over_seeds(unknown(kind)[0]) == []
    run = records.load(TUNED[0].folder)
    run.config["recipe"]["epochs"] += 1
    assert records.over_seeds(run) == []
    sweep = records.load(SWEEPS[0].folder)
    sweep.config["at_least"] = 8
    assert records.over_seeds(sweep) == []


def test_a_run_of_a_split_of_ones_own_has_the_seeds_that_all_see_beside_it():
    run = records.load(SPARSITY[0].folder)
    run.config["data"] |= {"split": 7, "sha256": "another"}
    assert len(records.over_seeds(run)) == 3
    run.config["data"]["validation"] += 1
    assert records.over_seeds(run) == [], "another size is another data set"
    run = records.load(SPARSITY[0].folder)
    run.config["data"]["sha256"] = "another"
    assert records.over_seeds(run) == [], "without a split of its own it has to be the same images"


def test_a_rate_that_differs_in_the_last_bit_is_the_same_recipe():
    run = next(records.load(r.folder) for r in TUNED if r.config["recipe"]["learning_rate"] != 0.01)
    run.config["recipe"]["learning_rate"] *= 1 + 1e-15
    assert len(records.over_seeds(run)) == 3


def test_final_accuracies_show_runs_seeds_and_guesses():
    figure = slimming.final_accuracies(SPARSITY, [0.9, None, 0.75])
    (axis,) = figure.axes
    guesses = lines(axis, "your guess")
    assert [float(line.get_ydata()[0]) for line in guesses] == [0.9, 0.75]
    assert [round(float(line.get_xdata()[0])) for line in guesses] == [0, 2]
    for run, dots in zip(SPARSITY, lines(axis, "reference seeds"), strict=True):
        assert dots.get_ydata().tolist() == [r.results["validation_accuracy"] for r in records.over_seeds(run)]
    low, high = axis.get_ylim()
    assert (round(low, 6), high) == (0.7, 1)
    assert "your guess 90%" in figure.get_label() and "λ = 0.005 (budget 1.6)" in figure.get_label()
    assert "no reference" not in axis.get_legend().get_title().get_text()


def test_final_accuracies_say_where_there_are_no_seeds(unknown):
    (axis,) = slimming.final_accuracies(unknown("sparsity")).axes
    assert "no reference seeds" in axis.get_legend().get_title().get_text()
    assert not lines(axis, "reference seeds") and not lines(axis, "your guess")


@pytest.mark.parametrize("guesses", [[0.9], [90, None, None], [None, -0.1, None]])
def test_a_guess_that_cannot_be_drawn_is_refused(refused, guesses):
    with refused("guess", "give"):
        slimming.final_accuracies(SPARSITY, guesses)
    with refused("80", "give"):
        slimming.ratio_sweep(SWEEPS, (0.5, 80))


def test_one_run_has_one_colour_in_whatever_order_the_runs_are_given():
    def colours(figure):
        return {line.get_label(): (line.get_color(), line.get_marker()) for line in figure.axes[0].get_lines()}

    assert colours(slimming.fine_tuning_curves(TUNED)) == colours(slimming.fine_tuning_curves(TUNED[::-1]))
    one, other = slimming.final_accuracies(TUNED), slimming.final_accuracies(TUNED[::-1])
    assert np.array_equal(plots.png(one), plots.png(other))


def test_bands_of_the_sweep_reach_from_the_lowest_to_the_highest_seed():
    figure = slimming.ratio_sweep(SWEEPS, guess=(0.5, 0.7))
    for axis, sweep in zip(figure.axes, SWEEPS):
        for band, stage in zip(axis.collections, STAGES, strict=True):
            seeds = np.array([run.results["validation"][stage] for run in records.over_seeds(sweep)])
            points = band.get_paths()[0].vertices
            for ratio, low, high in zip(sweep.results["ratios"], seeds.min(0), seeds.max(0)):
                there = points[np.isclose(points[:, 0], ratio), 1]
                assert (there.min(), there.max()) == pytest.approx((low, high))
    assert "bands" in figure.axes[-1].get_legend().get_title().get_text()
    (guess,) = lines(figure.axes[0], "your guess")
    assert (guess.get_xdata()[0], guess.get_ydata()[0]) == (0.5, 0.7) and not lines(figure.axes[1], "your guess")
    assert "your guess: 70% at 50%" in figure.get_label()


def test_a_published_curve_stands_under_sweeps_of_its_network_only():
    half = records.load_all(REFERENCE / "half-folder-cifar10-seed0" / "lab1", "sweep")
    figure = slimming.ratio_sweep(half)
    assert not figure.axes[-1].get_legend().get_title().get_text(), "one seed has no band"
    for axis in figure.axes:
        (curve,) = [line for line in axis.get_lines() if str(line.get_label()).startswith("published")]
        assert dict(zip(curve.get_xdata().tolist(), curve.get_ydata().tolist())) == UNTUNED
    assert "published curve" in figure.get_label()
    assert "published" not in slimming.ratio_sweep(SWEEPS).get_label(), "another network, other images"
    assert not is_beside(SWEEPS[0]) and is_beside(half[0])
    for name in ("cifar100", "minicifar:cifar10"):
        half[0].config["data"]["name"] = name
        assert not is_beside(half[0])


def test_without_seeds_there_is_no_band_and_no_line(unknown):
    figure = slimming.ratio_sweep(unknown("sweep"))
    assert not any(axis.collections for axis in figure.axes)
    assert "reference" not in slimming.recovery(unknown("pruning")).axes[0].get_legend().get_title().get_text()


def test_thin_lines_of_the_recovery_are_the_seeds_range():
    (axis,) = slimming.recovery(PRUNINGS).axes
    drawn = [line.get_segments()[0][:, 1].tolist() for line in axis.collections][: len(STAGES) * len(PRUNINGS)]
    expected = [
        [min(values), max(values)]
        for stage in STAGES
        for run in PRUNINGS
        for values in [[r.results["validation"][stage] for r in records.over_seeds(run)]]
    ]
    assert drawn == expected


@pytest.mark.parametrize("lab", LABS, ids=records.experiment_name)
def test_no_marker_of_the_trade_off_hides_another(lab):
    figure = slimming.trade_off(records.load(lab / "summary"))
    plots.png(figure)  # places the axes
    (axis,) = figure.axes
    points = [tuple(p) for line in axis.get_lines() for p in axis.transData.transform(line.get_xydata())]
    assert len(points) == len(records.load(lab / "summary").results["rows"])
    apart = min(np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in combinations(points, 2))
    assert apart > 0.9 * 8 / 72 * figure.dpi, "markers of 8 points"


def test_the_map_holds_every_channel_from_light_to_dark():
    figure = slimming.gamma_map(SPARSITY)
    for axis, run in zip(figure.axes, SPARSITY):
        for layer, mesh in zip(run.gammas()[-1].values(), axis.collections):
            last = mesh.get_array().reshape(len(layer), -1)[:, -1]
            expected = layer.sort(descending=True).values.clamp(min=1e-4).log10()
            assert np.allclose(last, expected.numpy())
    light, dark = (sum(plots.matplotlib.colormaps["viridis_r"](x)[:3]) for x in (0.0, 1.0))
    assert light > dark


def test_every_threshold_can_be_read_from_the_distribution():
    (axis,) = slimming.gamma_distribution(SPARSITY, ["none", "weak", "strong"]).axes
    for run, line in zip(SPARSITY, axis.get_lines()):
        x, y = line.get_data()
        for threshold in (1e-6, 1e-3, 0.01, 0.3):
            assert (y[np.searchsorted(x, threshold) - 1] if x[0] < threshold else 0) == pytest.approx(
                slimming.under_threshold(run, threshold=threshold), abs=1e-6
            )
    shares = [f"{name}: {slimming.under_threshold(run):.0%}" for name, run in zip(("none", "weak", "strong"), SPARSITY)]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == shares


def test_guessed_shares_stand_at_the_threshold_they_are_for(refused):
    (axis,) = slimming.gamma_distribution(SPARSITY, guesses=[0.25, None, 1.0]).axes
    hollow = [line.get_data() for line in axis.get_lines() if line.get_markerfacecolor() == "none"]
    assert [(float(x[0]), float(y[0])) for x, y in hollow] == [(0.01, 0.25), (0.01, 1.0)]
    assert "your guess" in axis.get_legend().get_title().get_text()
    (axis,) = slimming.gamma_distribution(SPARSITY).axes
    assert "your guess" not in axis.get_legend().get_title().get_text()
    with refused("80"):
        slimming.gamma_distribution(SPARSITY, guesses=[80, None, None])


def test_the_bottleneck_names_the_channels_left():
    run = records.load(REFERENCE / "quick-folder-cifar10-seed0" / "lab1" / "sparsity-lambda0.00011")
    scores = run.gammas()[-1]
    (axis,) = slimming.bottleneck(run, 0.6).axes
    written = [int(text.get_text()) for text in axis.texts]
    assert written == global_plan(scores, 0.6).widths + global_plan(random_scores(scores, 0), 0.6).widths
    assert min(written[:8]) <= 2 < 10 < min(written[8:]), "why random channels can win"


def test_budget_and_force_come_from_all_shipped_runs_of_three_penalties(monkeypatch, tmp_path, refused):
    left, right = slimming.budget_and_force().axes
    dots = [line for line in left.get_lines() if line.get_linestyle() == "None"]
    lambdas = [len(records.load_all(lab, "sparsity")) for lab in LABS]
    assert sum(len(line.get_ydata()) for line in dots) == sum(count for count in lambdas if count >= 3)
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "photographs, full",
        "photographs, half",
        "photographs, quick",
        "shapes, quick",
    ]
    monkeypatch.setattr("labkit.settings.REFERENCE", tmp_path)
    with refused("No reference runs"):
        slimming.budget_and_force()


def test_scaling_factors_of_zero_stay_in_every_figure(unknown):
    runs = unknown("sparsity")
    for run in runs:
        rows = torch.stack([torch.cat(list(row.values())) for row in run.gammas()])
        rows[-1, : rows.shape[1] // 2] = 0
        records.save(run, gammas=rows)
    for axis in slimming_tasks.scaling_factor_histograms(runs).axes:
        assert sum(bar.get_height() for bar in axis.patches) == rows.shape[1]
    for draw in (slimming.scaling_factors_per_layer, slimming.scaling_factors_over_epochs, slimming.gamma_map):
        assert plots.png(draw(runs))
    (axis,) = slimming.gamma_distribution(runs).axes
    assert axis.get_lines()[0].get_xdata()[0] == pytest.approx(FLOOR)
