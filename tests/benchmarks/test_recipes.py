"""The search for a shorter recipe, at a scale that takes seconds."""

import sys
from dataclasses import replace

import torch

from labkit import measure, records, training
from labkit.methods.slimming import tables
from labkit.settings import REPOSITORY, Recipe

sys.path.insert(0, str(REPOSITORY / "benchmarks"))  # scripts, no package
import recipes  # noqa: E402


def test_a_recipe_is_run_from_training_to_summary_and_trained_once(tiny_data, tmp_path):
    short = Recipe(epochs=1, batch=50, schedule="linear")
    small = replace(recipes.HALF, network="vgg11", width=0.05, guard=1)
    tiny = recipes.variant("tiny", short, 2, small)
    lab = tmp_path / "tiny-seed3" / "lab1"
    recipes.make(tiny, tiny_data, 3, lab)
    (summary,) = records.load_all(lab, "summary")
    found = {(row["stage"], row["ratio"]): row["accuracy"] for row in summary.results["rows"]}
    assert len(found) == 2 + 3 * len(tiny.ratios)
    dense, sparse = records.load_all(lab, "sparsity")
    for stage, run in (("baseline", dense), ("sparse", sparse)):
        assert found[stage, 0.0] == training.evaluate(run.model(), tiny_data.test)
    for tuned in records.load_all(lab, "fine-tuning"):
        assert tuned.config["seed"] == 3 and tuned.config["recipe"]["learning_rate"] == 0.1 * short.learning_rate
        assert found["fine-tuned", tuned.config["ratio"]] == training.evaluate(tuned.model(), tiny_data.test)
    made = {path: path.stat().st_mtime_ns for path in lab.rglob("weights.safetensors")}
    assert len(made) == 8
    recipes.make(tiny, tiny_data, 3, lab)
    assert made == {path: path.stat().st_mtime_ns for path in lab.rglob("weights.safetensors")}
    families = tables.families(tmp_path)
    header, _, line = ([cell.strip() for cell in row.split("|")] for row in tables.recipes_table(families).splitlines())
    told = dict(zip(header, line))
    assert told["epochs"] == "1 + 2" and told["λ (budget)"].endswith("(1.6)") and told["seeds"] == "1"
    assert told["dense"] == f"{found['baseline', 0.0]:.1%}" and told["sparse"] == f"{found['sparse', 0.0]:.1%}"
    assert all(told[f"{100 * ratio:.0f} %"] == f"{found['fine-tuned', ratio]:.1%}" for ratio in tiny.ratios)
    gammas = torch.cat(list(sparse.gammas()[-1].values()))
    assert told["γ < 0.01"] == f"{float((gammas < 0.01).float().mean()):.1%}"
    trained = [("sparse", 0.0), *(("fine-tuned", ratio) for ratio in tiny.ratios)]
    *_, largest, half, most, least = (
        [cell.strip() for cell in row.split("|")[1:-1]] for row in tables.costs_table(families).splitlines()
    )
    for row, stage in zip((largest, half, most, least), trained):
        assert row[2:] == [next(iter(families)), f"{stage[1]:.0%}", f"{found[stage]:.1%}"]
    assert largest[0] == f"{measure.macs(sparse.model()) / 1e6:.3g} M"


def test_a_recipe_that_changed_has_another_summary(tiny_data, tmp_path):
    small = replace(recipes.HALF, network="vgg11", width=0.05, guard=1)
    accuracies = []
    for epochs in (1, 3):
        short = Recipe(epochs=epochs, batch=50, schedule="linear")
        recipes.make(recipes.variant("tiny", short, 1, small), tiny_data, 0, tmp_path)
        rows = records.load(tmp_path / "summary").results["rows"]
        accuracies.append([row["accuracy"] for row in rows])
    assert accuracies[0] != accuracies[1]
