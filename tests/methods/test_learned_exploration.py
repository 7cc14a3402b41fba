"""What students try: any criterion and policy of the course while it trains, under a name of one's own."""

from dataclasses import replace

import pytest
import torch
from workers import vgg

from labkit import learned, pruning, settings, training
from labkit.methods.learned import exploration as module
from labkit.methods.learned.channels import add_masks
from labkit.settings import Recipe

RECIPE = Recipe(3, batch=50, schedule="linear")


def method(criterion="filter-l1", policy="uniform", target=0.5):
    return learned.TrainCutTune(criterion, policy, target, tune=0.34)


@pytest.mark.parametrize("criterion", ["filter-l1", "taylor", "apoz"])
def test_the_channels_that_go_are_those_of_the_criterion_and_policy(criterion, tiny_data):
    net = vgg([8], [16])
    add_masks(net)
    for number in (1, 2):
        method(criterion).begin_epoch(net, number, 3, tiny_data)
        assert all(norm.stays.all() for norm in net.modules() if hasattr(norm, "stays"))
    scores = pruning.CRITERIA[criterion](vgg([8], [16]), tiny_data.train[: module.LOOKED_AT], 0)
    method(criterion).begin_epoch(net, 3, 3, tiny_data)
    kept = [norm.stays.nonzero().flatten().tolist() for norm in net.modules() if hasattr(norm, "stays")]
    assert kept == [list(channels) for channels in pruning.uniform_plan(scores, 0.5).kept.values()]


def test_explorations_are_trained_once_under_their_names(tiny_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "network", lambda profile, classes: vgg([8], [16]).specification)
    here = settings.current({"LABKIT_RUNS": str(tmp_path)}, lab=4)
    here = replace(here, profile=replace(here.profile, train=RECIPE))
    tried = {"half": method(), "most": method(policy="global", target=0.75)}
    runs = learned.explore(tried, here, tiny_data)
    assert [run.folder for run in runs] == [here.folder / "explore-half", here.folder / "explore-most"]
    assert [run.history[-1]["sparsity"] for run in runs] == [0.5, 0.75]
    assert sum(runs[0].network["widths"]) == 12 and runs[0].config["method"]["criterion"] == "filter-l1"
    x = torch.rand(4, 3, 32, 32)
    assert runs[0].model()(x).shape == (4, 10) and training.evaluate(runs[0].model(), tiny_data.validation) == (
        pytest.approx(runs[0].results["validation_accuracy"])
    )
    capsys.readouterr()
    assert [run.history for run in learned.explore(tried, here, tiny_data)] == [run.history for run in runs]
    assert capsys.readouterr().out.count("already there") == 2
    assert learned.known(here) == {} or not any(name.startswith("explore-") for name in learned.known(here))
