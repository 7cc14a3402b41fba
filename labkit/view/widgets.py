"""What students drag and watch. Core ipywidgets only: 7.7 and 8 both serve."""

import sys

import torch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from tqdm.std import tqdm

from labkit import measure
from labkit.view import plots
from labkit.models import Specification, build
from labkit.pruning import ChannelPlan, global_plan
from labkit.records import Record


def live_curve(title: str):
    """A ``watch`` for ``training.fit``: in a notebook a curve that grows with every epoch, in a
    terminal a progress bar."""
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    return _NotebookCurve(title) if hasattr(shell, "kernel") else _progress_bar(title)


class _NotebookCurve:
    def __init__(self, title: str):
        self.title, self.handle = title, None

    def __call__(self, history: list[dict], epochs: int) -> None:
        from IPython.display import display

        figure, (axis,) = plots.panels(1, f"Live accuracy over epochs, {self.title}.", height=1.8, width=4.6)
        x = [row["epoch"] for row in history]
        for i, part in enumerate(("train", "validation")):
            values = [row[f"{part}_accuracy"] for row in history]
            axis.plot(x, values, ms=3, label=part, **plots.style(i))
        last = history[-1]
        axis.set(
            xlim=(0.5, epochs + 0.5), title=f"{self.title}: epoch {last['epoch']} of {epochs}, loss {last['loss']:.2f}"
        )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.legend(fontsize=8)
        picture = {"image/png": plots.png(figure), "text/plain": figure.get_label()}
        alt = {"image/png": {"alt": figure.get_label()}}
        if self.handle is None:
            self.handle = display(picture, raw=True, metadata=alt, display_id=True)
        else:
            self.handle.update(picture, raw=True, metadata=alt)


def _progress_bar(title: str):
    bar = tqdm(desc=title, unit="epoch")

    def watch(history: list[dict], epochs: int) -> None:
        bar.total, bar.n = epochs, len(history)
        bar.set_postfix(loss=history[-1]["loss"], validation=history[-1]["validation_accuracy"])
        if len(history) == epochs:
            bar.close()

    return watch


def describe_plan(plan: ChannelPlan, specification: Specification) -> str:
    """One line: ratio, threshold, parameters and MACs of the network that a plan would make of another."""
    slim = build(specification.with_widths(plan.widths))
    threshold = "none" if plan.threshold is None else f"{plan.threshold:.2g}"
    guarded = f", guard active in {len(plan.guarded)} layers" if plan.guarded else ""
    return (
        f"requested {plan.requested:.0%}, achieved {plan.achieved:.2%}, threshold on |γ| {threshold}{guarded}; "
        f"{measure.parameters(slim):,} parameters, {measure.macs(slim):,} MACs"
    )


def plan_figure(run: Record, plan: ChannelPlan):
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
