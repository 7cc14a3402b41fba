"""The search for a shorter recipe, at a scale that takes seconds."""

import sys
from dataclasses import replace

from labkit import records
from labkit.settings import REPOSITORY, Recipe

sys.path.insert(0, str(REPOSITORY / "benchmarks"))  # scripts, no package
import recipes  # noqa: E402


def test_the_taught_recipe_and_what_it_is_compared_with():
    taught = recipes.RECIPES["taught"]
    assert (taught.train.epochs, taught.train.schedule, taught.fine_tune.epochs) == (60, "step", 20)
    assert {(recipe.network, recipe.width, recipe.budgets) for recipe in recipes.RECIPES.values()} == {
        ("vgg19", 0.5, (0.0, 1.6))
    }, "one network and one budget"


def test_a_recipe_is_run_from_training_to_summary_once(tiny_data, tmp_path, monkeypatch):
    short = Recipe(epochs=1, batch=50, schedule="linear")
    tiny = replace(recipes.HALF, name="tiny", network="vgg11", width=0.05, train=short, fine_tune=short, guard=1)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": tiny})
    lab = tmp_path / "tiny-seed3" / "lab1"
    recipes.make(tiny, tiny_data, 3, lab)
    (summary,) = records.load_all(lab, "summary")
    assert len(summary.results["rows"]) == 2 + 3 * len(tiny.ratios)
    assert {run.config["seed"] for run in records.load_all(lab, "fine-tuning")} == {3}
    made = {path: path.stat().st_mtime_ns for path in lab.rglob("weights.safetensors")}
    recipes.make(tiny, tiny_data, 3, lab)
    assert made == {path: path.stat().st_mtime_ns for path in lab.rglob("weights.safetensors")}
    header, _, line = recipes.table(tmp_path).splitlines()
    assert line.startswith("| tiny | 1 + 1, linear | 50 | 0.1 | 0.0001 | ") and line.count("|") == header.count("|")
