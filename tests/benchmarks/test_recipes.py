"""The search for a shorter recipe, at a scale that takes seconds."""

import sys
from dataclasses import replace

from labkit import records, training
from labkit.methods.slimming import tables
from labkit.settings import REPOSITORY, Recipe

sys.path.insert(0, str(REPOSITORY / "benchmarks"))  # scripts, no package
import recipes  # noqa: E402


def test_a_recipe_is_run_from_training_to_summary_once(tiny_data, tmp_path):
    short = Recipe(epochs=1, batch=50, schedule="linear")
    tiny = replace(recipes.HALF, name="tiny", network="vgg11", width=0.05, train=short, fine_tune=short, guard=1)
    lab = tmp_path / "tiny-seed3" / "lab1"
    recipes.make(tiny, tiny_data, 3, lab)
    (summary,) = records.load_all(lab, "summary")
    found = {(row["stage"], row["ratio"]): row["accuracy"] for row in summary.results["rows"]}
    assert len(found) == 2 + 3 * len(tiny.ratios)
    dense, sparse = records.load_all(lab, "sparsity")
    for stage, run in (("baseline", dense), ("sparse", sparse)):
        assert found[stage, 0.0] == training.evaluate(run.model(), tiny_data.test)
    assert {run.config["seed"] for run in records.load_all(lab, "fine-tuning")} == {3}
    made = {path: path.stat().st_mtime_ns for path in lab.rglob("*") if path.is_file()}
    recipes.make(tiny, tiny_data, 3, lab)
    assert made == {path: path.stat().st_mtime_ns for path in lab.rglob("*") if path.is_file()}
    header, _, line = (
        [cell.strip() for cell in row.split("|")]
        for row in tables.recipes_table(tables.families(tmp_path)).splitlines()
    )
    told = dict(zip(header, line))
    assert told["epochs"] == "1 + 1" and told["λ (budget)"].endswith("(1.6)") and told["seeds"] == "1"
    assert told["dense"] == f"{found['baseline', 0.0]:.1%}" and told["90 %"] == f"{found['fine-tuned', 0.9]:.1%}"
