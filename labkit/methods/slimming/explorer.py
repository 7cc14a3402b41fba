"""A plan to drag: ratio, threshold, channels left, costs. Core ipywidgets only: 7.7 and 8 both serve."""

import torch
from matplotlib.figure import Figure

from labkit import measure
from labkit.models import Specification, build
from labkit.pruning import ChannelPlan, global_plan
from labkit.records import Record
from labkit.view import plots


def describe_plan(plan: ChannelPlan, specification: Specification) -> str:
    """One line: ratio, threshold, parameters and MACs of the network that a plan would make of another."""
    slim = build(specification.with_widths(plan.widths))
    threshold = "none" if plan.threshold is None else f"{plan.threshold:.2g}"
    guarded = f", guard active in {len(plan.guarded)} layers" if plan.guarded else ""
    return (
        f"requested {plan.requested:.0%}, achieved {plan.achieved:.2%}, threshold on |γ| {threshold}{guarded}; "
        f"{measure.parameters(slim):,} parameters, {measure.macs(slim):,} MACs"
    )


def plan_figure(run: Record, plan: ChannelPlan) -> Figure:
    """Left: |γ| of all channels with the plan's threshold. Right: channels left per layer."""
    figure, (left, right) = plots.panels(2, "Histogram of |γ| with the threshold, and channels left in each layer.")
    values = torch.cat(list(run.gammas()[-1].values())).numpy()
    left.hist(values, 50, color=plots.COLOURS[0], edgecolor="white", lw=0.3)
    if plan.threshold is not None:
        left.axvline(plan.threshold, color="black", ls="--")
    left.set(xlabel="scaling factor |γ|", ylabel="channels (log scale)", yscale="log", title="dashed: the threshold")
    x, total = range(1, len(plan.total) + 1), list(plan.total.values())
    right.bar(x, total, color="0.88", edgecolor="0.6", label="before")
    right.bar(x, plan.widths, color=plots.COLOURS[1], hatch="//", edgecolor="white", label="left")
    right.set(xlabel="convolution", ylabel="channels", xticks=x, title=f"prune ratio {plan.requested:.0%}")
    right.legend()
    return figure


def prune_explorer(run: Record):
    """Drag the prune ratio; see the threshold, the channels left per layer, parameters and MACs."""
    import ipywidgets

    scores = run.gammas()[-1]
    slider = ipywidgets.FloatSlider(
        value=0.5, min=0.0, max=0.95, step=0.05, description="prune ratio", continuous_update=False
    )
    text, picture = ipywidgets.Label(), ipywidgets.Image(format="png")

    def redraw(_=None):
        plan = global_plan(scores, slider.value)
        text.value, picture.value = describe_plan(plan, run.specification), plots.png(plan_figure(run, plan))

    slider.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([slider, text, picture])
