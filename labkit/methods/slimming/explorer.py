"""A plan to drag: ratio, threshold, channels left, costs. Core ipywidgets only: 7.7 and 8 both serve."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit import measure
from labkit.methods.slimming.figures import FLOOR, STAGES
from labkit.models import Specification, build
from labkit.pruning import ChannelPlan, global_plan
from labkit.records import Record
from labkit.settings import LabError
from labkit.view import plots

RATIOS = [k / 20 for k in range(20)]


def describe_plan(plan: ChannelPlan, specification: Specification) -> str:
    """One line: ratio, threshold, parameters and MACs of the network that a plan would make of another."""
    slim = build(specification.with_widths(plan.widths))
    threshold = "none" if plan.threshold is None else f"{plan.threshold:.2g}"
    guarded = f", guard active in {len(plan.guarded)} layers" if plan.guarded else ""
    return (
        f"requested {plan.requested:.0%}, achieved {plan.achieved:.2%}, threshold on |γ| {threshold}{guarded}; "
        f"{measure.parameters(slim):,} parameters, {measure.macs(slim):,} MACs"
    )


def plan_figure(run: Record, plan: ChannelPlan, sweep: Record | None = None) -> Figure:
    """|γ| of all channels with the plan's threshold; channels left per layer; and, with the run's ``sweep``,
    validation accuracies at the plan's ratio. Raises ``LabError`` for a ratio that the sweep does not have."""
    alt = f"Prune ratio {plan.requested:.0%}: histogram of |γ| with the threshold, channels left in each layer"
    figure, axes = plots.panels(3 if sweep else 2, alt, height=3.2, width=10.4 if sweep else 8.4)
    _histogram(axes[0], torch.cat(list(run.gammas()[-1].values())), plan.threshold)
    x, total = range(1, len(plan.total) + 1), list(plan.total.values())
    axes[1].bar(x, total, color="0.88", edgecolor="0.6", label="before")
    axes[1].bar(x, plan.widths, color=plots.COLOURS[1], hatch="//", edgecolor="white", label="left")
    axes[1].set(xlabel="convolution", ylabel="channels", title=f"prune ratio {plan.requested:.0%}")
    axes[1].set_xticks(x, x, fontsize=10 if len(total) <= 10 else 7)
    axes[1].legend(loc="upper left")
    if sweep:
        accuracies = _at(sweep, plan.requested)
        _accuracies(axes[2], accuracies)
        alt += ", validation accuracies: " + ", ".join(f"{name} {value:.0%}" for name, value in accuracies.items())
    figure.set_label(alt.replace("\n", " ") + ".")
    return figure


def _histogram(axis, values: torch.Tensor, threshold: float | None) -> None:
    values = values.double().clamp(min=FLOOR)  # in float32 the floor lies below the first edge
    edges = np.geomspace(FLOOR, max(1.0, float(values.max())), 46)
    axis.hist(values.numpy(), edges, color=plots.COLOURS[0], edgecolor="white", lw=0.3)
    if threshold is not None:
        axis.axvline(max(threshold, FLOOR), color="black", ls="--")
    axis.set(xscale="log", yscale="log", ylabel="channels (log scale)", title="dashed: the threshold")
    axis.set_ylim(bottom=0.5)
    axis.set_xlabel("scaling factor |γ|\n(below 1e-9: drawn at 1e-9)")


def _at(sweep: Record, ratio: float) -> dict[str, float]:
    """The sweep's validation accuracies at one ratio, by the label of the variant."""
    ratios = sweep.results["ratios"]
    if ratio not in ratios:
        known = ", ".join(f"{r:g}" for r in ratios)
        raise LabError(f"The sweep {sweep.name} has no prune ratio {ratio:g}: choose one of {known}.")
    return {label: sweep.results["validation"][stage][ratios.index(ratio)] for stage, label in STAGES.items()}


def _accuracies(axis, accuracies: dict[str, float]) -> None:
    for i, value in enumerate(accuracies.values()):
        bar = axis.barh(i, value, **plots.bar_style(i))
        axis.bar_label(bar, [f"{value:.0%}"], padding=2, fontsize=9)
    axis.set_yticks(range(len(accuracies)), list(accuracies), fontsize=9)
    axis.set(xlim=(0, 1.2), xticks=(0, 0.5, 1), xlabel="validation accuracy", title="not trained again")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.invert_yaxis()
    axis.grid(False, axis="y")


def prune_explorer(run: Record, sweep: Record | None = None, at_least: int = 1):
    """Drag the prune ratio; see the threshold, the channels left per layer, parameters and MACs and, with the
    run's ``sweep``, the accuracies at its ratios. ``at_least``: the guard of ``pruning.global_plan``."""
    import ipywidgets

    scores = run.gammas()[-1]
    widths = [len(score) for score in scores.values()]
    free = sum(max(0, width - at_least) for width in widths)  # more than these the guard does not let go
    ratios = [ratio for ratio in (sweep.results["ratios"] if sweep else RATIOS) if round(ratio * sum(widths)) <= free]
    slider = ipywidgets.SelectionSlider(
        options=[(f"{ratio:.0%}", ratio) for ratio in ratios],
        value=min(ratios, key=lambda ratio: abs(ratio - 0.5)),
        description="prune ratio",
        continuous_update=False,
    )
    text, picture = ipywidgets.Label(), ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="60em"))

    def redraw(_=None):
        plan = global_plan(scores, slider.value, at_least)
        text.value = describe_plan(plan, run.specification)
        picture.value = plots.png(plan_figure(run, plan, sweep))

    slider.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([slider, text, picture])
