"""A policy to drag: a slider a group or stage. Core ipywidgets only: 7.7 and 8 both serve."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from labkit import training
from labkit.data import Dataset
from labkit.methods.front.policy import Latency, described, knobs, policy, save_plan
from labkit.pruning import ChannelPlan, Prepared, Scores, thin
from labkit.settings import LabError

LOOKED_AT = 300  # validation images, so that an answer comes at once
RE_ESTIMATED_ON = 500  # training images
STEP = 0.05


def preview(model: nn.Module, data: Dataset) -> Callable[[ChannelPlan], dict[str, float]]:
    """What a plan would reach without training, as a function of plans: the accuracy 0..1 ``as it stands`` and
    ``re-estimated`` (BatchNorm's statistics taken anew), on the first ``LOOKED_AT`` validation images. ``model``, of
    ``labkit.models``, stays as it is."""
    device = data.train.labels.device
    prepared, some, again = Prepared(model, device), data.validation[:LOOKED_AT], data.train[:RE_ESTIMATED_ON]

    def accuracies(plan: ChannelPlan) -> dict[str, float]:
        (as_it_stands,) = prepared.accuracies([plan], some)
        slim = training.recalibrate(thin(model, plan), again)
        return {"as it stands": as_it_stands, "re-estimated": training.evaluate(slim, some)}

    return accuracies


def editor(model: nn.Module, scores: Scores, data: Dataset, folder: Path, latency: Latency | None = None):
    """A slider for each of ``front.knobs``: the share of its channels to remove. Parameters, MACs and, with a model
    of it, latency follow at once; accuracies without training when the button is pressed; the other button saves the
    plan as JSON in ``folder``, for ``front.load_plan``."""
    import ipywidgets

    network, groups = model.specification, knobs(model.specification)
    look = preview(model, data)
    sliders = {
        name: ipywidgets.FloatSlider(
            value=0, min=0, max=_most(scores, members), step=STEP, description=name.rpartition(".")[2],
            readout_format=".0%", continuous_update=False, layout=ipywidgets.Layout(width="26em"),
        )
        for name, members in groups.items()
    }  # fmt: skip
    costs, seen, said = ipywidgets.Label(), ipywidgets.Label(), ipywidgets.Label()
    try_it = ipywidgets.Button(description="accuracy")
    name = ipywidgets.Text(value="my-plan", description="name")
    keep = ipywidgets.Button(description="save plan")

    def plan() -> ChannelPlan:
        return policy(scores, {knob: slider.value for knob, slider in sliders.items()}, groups)

    def redraw(_=None):
        costs.value = described(network, plan(), latency)
        seen.value = "accuracy: press the button"

    def evaluate(_=None):
        found = look(plan())
        seen.value = "without training: " + ", ".join(f"{value:.1%} {stage}" for stage, value in found.items())

    def save(_=None):
        try:
            said.value = f"saved as {save_plan(plan(), folder, name.value).name}"
        except LabError as error:
            said.value = str(error)

    for slider in sliders.values():
        slider.observe(redraw, names="value")
    try_it.on_click(evaluate)
    keep.on_click(save)
    redraw()
    rows = ipywidgets.VBox(list(sliders.values()))
    return ipywidgets.VBox([rows, costs, ipywidgets.HBox([try_it, seen]), ipywidgets.HBox([name, keep, said])])


def _most(scores: Scores, members: tuple[str, ...]) -> float:
    """The largest step of a slider that leaves each of its groups a channel."""
    steps = range(round(1 / STEP))
    return max(
        STEP * step
        for step in steps
        if all(round(STEP * step * len(scores[group])) < len(scores[group]) for group in members)
    )
