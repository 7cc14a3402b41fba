"""Notebook 06's figures that students draw themselves. Not in the student edition."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter

from labkit.methods.granularity.figures import WAYS, breaking_point, by_rate, rate_label
from labkit.methods.granularity.work import SPARSITY, TIMING
from labkit.records import Record, load_all, over_seeds
from labkit.view.plots import COLOURS, panels, style


def accuracy_over_ratio(sweeps: list[Record]) -> Figure:
    """Validation accuracy over the ratio, global and not retrained, one line per learning rate; bands from the lowest
    to the highest reference seed, where some ship; a vertical line where 5 points are lost."""
    figure, (axis,) = panels(1, "", height=3.2)
    told = []
    for i, sweep in enumerate(by_rate(sweeps)):
        ratios, values, broken = (
            sweep.config["ratios"]["global"],
            sweep.results["validation"]["global"],
            breaking_point(sweep),
        )
        if seeds := over_seeds(sweep):
            every = np.array([seed.results["validation"]["global"] for seed in seeds])
            axis.fill_between(ratios, every.min(0), every.max(0), color=COLOURS[i], alpha=0.2, lw=0)
        axis.plot(ratios, values, **style(i), ms=4, label=rate_label(sweep))
        told.append(f"{rate_label(sweep)}: {values[0]:.0%} at 0%, {values[-1]:.0%} at {ratios[-1]:.0%}")
        if broken is not None:
            axis.axvline(broken, color=COLOURS[i], ls=style(i)["ls"], lw=1)
            told[-1] += f", 5 points lost from {broken:.0%} on"
    figure.set_label(f"Validation accuracy over the prune ratio, not retrained. {'; '.join(told)}.")
    axis.set(xlabel="prune ratio (global, not retrained)", ylabel="validation accuracy", ylim=(0, 1))
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="vertical:\n5 points lost")
    return figure


def inference_times(timing: Record) -> Figure:
    """Median inference time over the ratio with bars between the quartiles, one line for each way; logarithmic axis."""
    alt = "; ".join(
        f"{name}: "
        + ", ".join(f"{row['latency_ms']['median']:.1f} ms at {row['ratio']:.0%}" for row in timing.results[name])
        for name in WAYS
    )
    figure, (axis,) = panels(1, f"Inference time over the prune ratio. {alt}.", height=3.2)
    for i, (name, label) in enumerate(WAYS.items()):
        rows = timing.results[name]
        median, low, high = (
            np.array([row["latency_ms"][part] for row in rows]) for part in ("median", "quartile1", "quartile3")
        )
        ratios = [row["ratio"] for row in rows]
        axis.errorbar(ratios, median, [median - low, high - median], **style(i), ms=5, capsize=3, lw=1.2, label=label)
    axis.set(xlabel="prune ratio", ylabel="milliseconds (log scale)", yscale="log")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    first = timing.results["masked"][0]["latency_ms"]
    note = f"batch {first['batch']}, {first['threads']} thread\nbars: quartiles"
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=note)
    return figure


def figures(folder: Path) -> dict[str, Figure]:
    drawn = {}
    if sweeps := load_all(folder, SPARSITY):
        drawn["accuracy-over-ratio"] = accuracy_over_ratio(sweeps)
    for timing in load_all(folder, TIMING):
        drawn["inference-times"] = inference_times(timing)
    return drawn
