"""The runs that ship: every number in them can be recomputed, and they tell the paper's story."""

import importlib.util
import io
import json
from dataclasses import replace
from functools import cache
from statistics import mean

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from labkit import amc, measure, methods, models, records
from labkit.methods.slimming import tables
from labkit.methods.slimming.published import UNTUNED
from labkit.models import Specification
from labkit.pruning import ChannelPlan
from labkit.records import experiment_name
from labkit.settings import PROFILES, REFERENCE, REPOSITORY, Recipe
from labkit.tools.figures import write_results
from labkit.view import plots


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_reference = script(REPOSITORY / "data" / "make_reference.py")
recipes = script(REPOSITORY / "benchmarks" / "recipes.py")

FOLDERS = records.folders_with_runs(REFERENCE)
EXPERIMENTS = [lab for lab in FOLDERS if lab.name == "lab1"]
RECIPES = records.folders_with_runs(make_reference.RECIPES)
RECORDS = [record for lab in FOLDERS + RECIPES for record in records.load_all(lab)]
QUICK = [experiment for experiment in EXPERIMENTS if experiment_name(experiment).startswith("quick-shapes-seed")]


def test_every_shipped_record_has_the_current_format():
    paths = [path for folder in (REFERENCE, make_reference.RECIPES) for path in sorted(folder.rglob("record.json"))]
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    assert len(contents) == len(RECORDS) > 80
    assert {content["format"] for content in contents} == {records.FORMAT}
    assert not any({"channels", "classes"} & content.keys() for content in contents)


def profile_name(lab):
    return experiment_name(lab).partition("-")[0]


def recipe_name(lab):
    return experiment_name(lab).partition("-seed")[0]


@pytest.mark.parametrize("lab", RECIPES, ids=experiment_name)
def test_a_shipped_recipe_is_the_one_of_its_name(lab):
    recipe = recipes.RECIPES[recipe_name(lab)]
    trained, tuned = records.load_all(lab, "sparsity"), records.load_all(lab, "fine-tuning")
    assert len(trained) == len(recipe.budgets) and len(tuned) == len(recipe.ratios)
    assert {Recipe(**run.config["recipe"]) for run in trained} == {recipe.train}
    at_a_tenth = replace(recipe.fine_tune, learning_rate=recipes.TUNED_AT * recipe.fine_tune.learning_rate)
    assert {Recipe(**run.config["recipe"]) for run in tuned} == {at_a_tenth}
    assert trained[0].specification == models.named(recipe.network, recipe.width)


def lab_id(lab):
    return f"{experiment_name(lab)}/{lab.name}"


def record_id(record):
    return f"{experiment_name(record.folder.parent)}/{record.name}"


@pytest.mark.parametrize("record", [r for r in RECORDS if r.kind == amc.SEARCH], ids=record_id)
def test_a_search_is_of_the_whole_network_and_its_plan_of_its_best_policy(record):
    plan = ChannelPlan.from_dict(record.plan)
    assert list(record.specification.widths) == list(plan.total.values())
    assert plan.widths == record.results["widths"][record.results["best"]]


@pytest.mark.parametrize("record", [r for r in RECORDS if r.plan and r.kind != amc.SEARCH], ids=record_id)
def test_plan_and_specification_agree(record):
    plan = ChannelPlan.from_dict(record.plan)
    assert list(record.specification.widths) == plan.widths
    channels = sum(plan.total.values())
    by_group = sum(min(total - 1, round(plan.requested * total)) for total in plan.total.values())  # a uniform plan
    assert channels - sum(plan.widths) in (round(plan.requested * channels), by_group)
    assert min(plan.widths) >= 1


@pytest.mark.parametrize("record", [r for r in RECORDS if r.kind == "pruning"], ids=record_id)
def test_costs_and_ratio_of_a_pruning_are_those_of_its_specification(record):
    network = models.build(record.specification)
    assert record.results["parameters"] == measure.parameters(network)
    assert record.results["macs"] == measure.macs(network)
    assert record.results["achieved_ratio"] == ChannelPlan.from_dict(record.plan).achieved
    parent = records.load(record.folder.parent / record.config["parent"])
    assert record.config["parent_network"] == parent.network
    if "parent_config" in record.config:  # the oldest runs do not have it
        assert record.config["parent_config"] == records.identity(parent)
    scores = parent.gammas()[-1]
    plan = ChannelPlan.from_dict(record.plan)
    assert all(len(score) == plan.total[layer] for layer, score in scores.items())


@pytest.mark.parametrize("record", [r for r in RECORDS if r.kind == "summary"], ids=record_id)
def test_every_row_of_a_summary_is_recomputed(record):
    stages = [(row["stage"], row["ratio"]) for row in record.results["rows"]]
    lab = record.folder.parent
    ratios = (recipes.RECIPES[recipe_name(lab)] if lab in RECIPES else PROFILES[profile_name(lab)]).ratios
    every = [("baseline", 0.0), ("sparse", 0.0)]
    every += [(stage, ratio) for ratio in ratios for stage in ("pruned", "re-estimated", "fine-tuned")]
    assert stages == every + [("from scratch", ratios[-1])] * (lab in EXPERIMENTS)
    for row in record.results["rows"]:
        network = models.build(Specification.from_dict(row["network"]))
        assert (row["parameters"], row["macs"]) == (measure.parameters(network), measure.macs(network))
        assert 0 <= row["accuracy"] <= 1


@pytest.mark.parametrize("record", [r for r in RECORDS if r.kind == "sparsity"], ids=record_id)
def test_saved_scaling_factors_fit_their_network_and_plans_follow_from_them(record):
    assert len(record.gammas()) == len(record.snapshots)
    assert all((gamma == 0.5).all() for gamma in record.gammas()[0].values()), "all start at 0.5"
    assert record.snapshots[-1] == len(record.history) == record.config["recipe"]["epochs"]


@pytest.mark.parametrize("record", [r for r in RECORDS if (r.folder / "weights.safetensors").exists()], ids=record_id)
def test_shipped_weights_load_and_match_the_saved_scaling_factors(record):
    model = record.model()
    if record.kind == "sparsity":
        final = record.gammas()[-1]
        for name, (_, norm) in models.convolutions(model).items():
            assert torch.allclose(norm.weight.detach().abs(), final[name], atol=1e-3)


def test_the_default_profile_tells_the_papers_story_over_three_seeds():
    assert len(QUICK) == 3
    stories = [tables.story(experiment) for experiment in QUICK]
    for s in stories:
        assert s["sparse (λ2)"] >= 0.90
        assert s["λ2, 50 % pruned, fine-tuned"] >= s["sparse (λ2)"] - 0.01
        lost = s["sparse (λ2)"] - s["λ2, 90 % pruned"]
        assert lost >= 0.20
        assert s["λ2, 90 % pruned, fine-tuned"] - s["λ2, 90 % pruned"] >= 0.80 * lost
        fallen = s["λ1, before pruning (validation)"] - s["λ1, 50 % pruned (validation)"]
        back = s["λ1, 50 % pruned, re-estimated (validation)"] - s["λ1, 50 % pruned (validation)"]
        assert fallen > 0.05 and back > 0.5 * fallen
        sparsity = [s[f"channels with γ below 0.01, {name}"] for name in ("λ = 0", "λ1", "λ2")]
        assert sparsity[0] < sparsity[1] < sparsity[2]
    assert mean(s["λ2, 90 % pruned, fine-tuned"] for s in stories) > 0.9


def test_photographs_used_all_test_images_and_enough_training_images():
    photographs = [r for r in RECORDS if r.kind == "sparsity" and r.config["data"]["name"].startswith("folder:")]
    assert photographs
    for record in photographs:
        assert record.config["data"]["test"] == 10_000
        assert record.config["data"]["train"] >= 10_000


@cache
def drawn(experiment):
    """Every figure that a method draws of an experiment, by file name."""
    return {name: figure for figures in methods.declared("figures") for name, figure in figures(experiment).items()}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=experiment_name)
def test_network_slimming_has_ten_figures(experiment):
    assert len(drawn(experiment)) == 10


@pytest.mark.parametrize("experiment", FOLDERS, ids=lab_id)
def test_figures_are_redrawn_from_the_records(experiment):
    figures = drawn(experiment)
    assert figures
    for figure in figures.values():
        assert figure.get_label(), "alt text"
        for axis in figure.axes:
            assert axis.get_xlabel(), "axes are named"
        assert any(axis.get_ylabel() for axis in figure.axes)


def same_picture(figure, path):
    """By pixels, since another matplotlib draws the same picture in other bytes. What is allowed is half of
    the smallest difference between two seeds' figures."""
    now, shipped = imread(io.BytesIO(plots.png(figure))), imread(path)
    assert now.shape == shipped.shape
    assert np.abs(now - shipped).mean() < 0.0015, f"{path}: run make figures"


@pytest.mark.parametrize("experiment", FOLDERS, ids=lab_id)
def test_shipped_figures_are_those_of_the_records(experiment):
    for name, figure in drawn(experiment).items():
        same_picture(figure, experiment / "figures" / f"{name}.png")


@pytest.mark.parametrize("page", make_reference.PAGES, ids=lambda path: path.name)
def test_pages_show_the_tables_of_the_reference_runs(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- end -->" in text
    assert make_reference.filled(text) == text, f"{page.name}: run make figures"
    assert text.count("<!-- end -->") == text.count("<!-- ") / 2, "every mark has its end"


def test_every_experiment_stands_beside_the_published_ones():
    table = make_reference.blocks()["comparison"]
    for experiment in EXPERIMENTS:
        assert f"**ours**: {experiment_name(experiment).rpartition('-seed')[0]} " in table
    assert "| Liu et al. 2017, tables 1 and 4 | 1e-4 (6.6) | 160 | 70% | 93.7% | 93.6% |" in table


def test_points_lost_are_counted_seed_by_seed():
    table = make_reference.blocks()["promises"]
    lost = [tables.story(e)["baseline (λ = 0)"] - tables.story(e)["sparse (λ2)"] for e in QUICK]
    kept = sum(round(points, 6) <= 0.01 for points in lost)
    assert f"{', '.join(f'{100 * points:+.2f}' for points in lost)} (in {kept} of 3)" in table


def test_what_the_hardest_ratio_leaves_is_counted_for_ours_and_for_the_published():
    published = {"source": "a lab", "budget": 16, "epochs": 60, "tuned for": 20, "sparse": 0.9, "fine-tuned": 0.915}
    rows = [published | {"ratio": ratio} for ratio in (0.5, 0.9)]
    *_, ours, theirs = tables.hardest_table({"quick": QUICK}, rows).splitlines()
    assert theirs == "| a lab | 90% | 5,504 | 550 | – | 16 | 60 + 20 | -1.5 |"
    stories = [tables.story(experiment) for experiment in QUICK]
    lost = [100 * (s["sparse (λ2)"] - s["λ2, 90 % pruned, fine-tuned"]) for s in stories]
    assert ours.endswith(f"| 1.6 | 8 + 6 | {', '.join(f'{points:+.1f}' for points in lost)} |")
    widths = records.load(QUICK[0] / "pruning-lambda0.005-90").specification.widths
    assert f"| {sum(widths)} | {min(widths)} |" in ours


def test_a_ratio_that_a_profile_does_not_have_is_promised_nothing():
    lines = tables.promises_table({"quick": QUICK}).splitlines()
    assert [line.endswith("| – |") for line in lines[2:]] == [False, False, True, False]


def test_the_published_curve_agrees_with_the_published_rows():
    rows = [row for row in make_reference.published("published.json") if row["source"].startswith("pytorch-slimming")]
    assert {row["ratio"]: row["pruned"] for row in rows} == {ratio: UNTUNED[ratio] for ratio in (0.5, 0.7)}


def test_the_page_of_tables_and_the_pictures_of_all_experiments_are_those_of_the_records(tmp_path):
    page = write_results(REFERENCE, tmp_path)
    assert page.read_text(encoding="utf-8") == (REFERENCE / "results.md").read_text(encoding="utf-8")
    for overview in methods.declared("overview"):
        for name, figure in overview(REFERENCE).items():
            same_picture(figure, REFERENCE / f"{name}.png")
