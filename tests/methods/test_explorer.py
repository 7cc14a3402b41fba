"""The prune explorer, without a browser."""

import ipywidgets
import torch
from workers import vgg_of

from labkit import measure, models, slimming
from labkit.pruning import global_plan
from labkit.records import Record


class Run(Record):
    def gammas(self):
        torch.manual_seed(0)
        layers = models.convolutions(models.build(self.specification))
        return [{name: torch.rand(conv.out_channels) for name, (conv, _) in layers.items()}]


RUN = Run("sparsity", {"lambda": 0.1}, vgg_of([16], [32]).to_dict())


def test_dragging_the_ratio_redraws_plan_parameters_and_picture():
    box = slimming.prune_explorer(RUN)
    slider, text, picture = box.children
    before = picture.value
    slider.value = 0.75
    plan = global_plan(RUN.gammas()[-1], 0.75)
    slim = models.build(RUN.specification.with_widths(plan.widths))
    assert f"{measure.parameters(slim):,} parameters, {measure.macs(slim):,} MACs" in text.value
    assert picture.value != before and bytes(picture.value).startswith(b"\x89PNG")


def test_the_explorer_uses_core_widgets_only():
    box = slimming.prune_explorer(RUN)
    assert all(type(child).__module__.startswith("ipywidgets.") for child in (box, *box.children))
    assert int(ipywidgets.__version__.split(".")[0]) >= 7
