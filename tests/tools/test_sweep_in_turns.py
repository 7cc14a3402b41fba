"""A sweep on a GPU, where trainings take turns in one process; tried on a CPU, where one follows the other."""

import torch

from labkit.data import Dataset
from labkit.methods import front
from labkit.methods.front.grid import Grid, described
from labkit.settings import LabError, Recipe
from labkit.tools import sweep
from labkit.workers import Task, take_turns

GPU = torch.device("cuda")


def test_a_grid_is_made_in_this_process_and_a_training_that_diverges_costs_only_its_own(
    tmp_path, tiny_data, capsys, monkeypatch
):
    monkeypatch.setattr(Dataset, "to", lambda self, device: self)  # there is no GPU
    recipes = (Recipe(1, 50, learning_rate=0.01, schedule="linear"), Recipe(1, 50, learning_rate=1e30))
    grid = Grid(("vgg11",), Recipe(1, 50, schedule="linear"), (0.3, 0.5), widths=(0.05,), fine_tune=recipes)
    runs = {run["name"]: run for run in described(grid, [tiny_data], "float32")}
    assert sweep.make_all(runs, runs, [tiny_data], tmp_path, None, 1, GPU) == []
    assert all(sweep.is_done(run, tmp_path) for run in runs.values())
    page = sweep.report(runs, tmp_path)
    assert page.count("diverged: The training diverged") == 2 and "| vgg11x0.05-tiny |" in page
    assert "7 of 7" in capsys.readouterr().out
    assert len([run for run in runs.values() if run["kind"] == front.CUT]) == 2


def test_who_fails_in_turns_lets_the_others_finish(tmp_path):
    def right(value):
        yield
        return value

    def wrong():
        yield
        raise ValueError("no")

    tasks = [Task("a", right, {"value": 1}, tmp_path), Task("b", wrong, {}, tmp_path)]
    tasks += [
        Task("child", right, {"value": 2}, tmp_path, after="b"),
        Task("other", right, {"value": 3}, tmp_path, "a"),
    ]
    ended = []
    outcomes = take_turns(tasks, 2, lambda task, outcome: ended.append(task.name))
    assert (outcomes["a"], outcomes["other"]) == (1, 3) and ended == ["a", "b", "child", "other"]
    assert isinstance(outcomes["b"], ValueError)
    assert isinstance(outcomes["child"], LabError) and "child was not begun, since b failed" in str(outcomes["child"])
