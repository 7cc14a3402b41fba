"""Every plan of the shipped grid of fronts, on its network with random weights: thin equals masked."""

from functools import cache

import pytest
import torch
from networks import shaken

from labkit import models, records
from labkit.methods import front
from labkit.pruning import ChannelPlan, masked, thin
from labkit.settings import REFERENCE

FOLDERS = sorted(REFERENCE.glob("fronts-*/lab2"))
CUTS = [run for folder in FOLDERS for run in records.load_all(folder, front.CUT)]


def test_the_grid_ships_whole():
    assert FOLDERS, "data/reference/fronts-*/lab2 is missing"
    found = {
        (cut.config["parent"].partition("x")[0], cut.config["policy"], cut.config["ratio"], cut.config["seed"])
        for cut in CUTS
    }
    networks, policies, ratios, seeds = (set(column) for column in zip(*found))
    assert networks == {"resnet18", "mobilenetv2", "vgg19"} and policies == {"global", "uniform"}
    assert len(ratios) >= 6 and len(seeds) >= 2
    assert len(found) == len(CUTS) == len(networks) * len(policies) * len(ratios) * len(seeds)


@cache
def parent(folder, name):
    return shaken(models.build(records.load(folder / name).specification, seed=0))


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.name)
def test_thin_equals_masked_at_3_and_at_64_images(cut):
    whole, plan = parent(cut.folder.parent, cut.config["parent"]), ChannelPlan.from_dict(cut.plan)
    small, silent = thin(whole, plan), masked(whole, plan).eval()
    assert small.specification == cut.specification and list(cut.specification.widths) == plan.widths
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for few in (x[:3], x):
            expected = silent(few)
            assert (small(few) - expected).abs().max() <= 1e-4 * expected.abs().max()
