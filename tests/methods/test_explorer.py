"""The prune explorer, without a browser."""

from pathlib import Path

import ipywidgets
import torch
from workers import vgg_of

from labkit import measure, models, slimming
from labkit.methods.slimming.figures import STAGES
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


SWEEP = Record(
    "sweep",
    {},
    RUN.network,
    results={
        "ratios": [0.2, 0.5, 0.75],
        "validation": {stage: [0.9, 0.5 + i / 10, 0.2] for i, stage in enumerate(STAGES)},
    },
    folder=Path("sweep-lambda0.1"),
)


def test_with_a_sweep_the_slider_has_its_ratios_and_the_picture_its_accuracies():
    slider, text, picture = slimming.prune_explorer(RUN, SWEEP).children
    assert [ratio for _, ratio in slider.options] == [0.2, 0.5, 0.75] and slider.value == 0.5
    assert not slider.continuous_update and slider.description == "prune ratio"
    slider.value = 0.75
    assert "requested 75%" in text.value
    figure = slimming.plan_figure(RUN, global_plan(RUN.gammas()[-1], 0.5), SWEEP)
    bars = [bar.get_width() for bar in figure.axes[2].patches]
    assert bars == [SWEEP.results["validation"][stage][1] for stage in STAGES]
    assert [text.get_text() for text in figure.axes[2].texts] == ["50%", "60%", "70%", "80%"]


def test_a_ratio_that_the_sweep_does_not_have_is_refused(refused):
    with refused("sweep-lambda0.1", "0.3", "choose one of 0.2, 0.5, 0.75"):
        slimming.plan_figure(RUN, global_plan(RUN.gammas()[-1], 0.3), SWEEP)


def test_the_guard_of_the_explorer_is_the_plans():
    slider, text, _ = slimming.prune_explorer(RUN, at_least=12).children
    assert [ratio for _, ratio in slider.options] == [k / 20 for k in range(11)], "at most 24 of 48 channels can go"
    slider.value = 0.45
    plan = global_plan(RUN.gammas()[-1], 0.45, 12)
    assert plan.widths != global_plan(RUN.gammas()[-1], 0.45).widths
    assert slimming.describe_plan(plan, RUN.specification) == text.value


def test_every_channel_is_in_the_histogram_and_the_threshold_too():
    class Zeros(Run):
        def gammas(self):
            return [{name: score * (score > 0.5) for name, score in super().gammas()[-1].items()}]

    run = Zeros(RUN.kind, RUN.config, RUN.network)
    figure = slimming.plan_figure(run, global_plan(run.gammas()[-1], 0.5))
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 48
    assert figure.axes[0].get_xscale() == "log" and len(figure.axes[0].get_lines()) == 1


def test_the_explorer_uses_core_widgets_only():
    box = slimming.prune_explorer(RUN)
    assert all(type(child).__module__.startswith("ipywidgets.") for child in (box, *box.children))
    assert int(ipywidgets.__version__.split(".")[0]) >= 7
