"""Every figure of an experiment by file name: what ``labkit figures`` and ``labkit run`` draw.

Not in the student edition: the scaling-factor histograms are a task of notebook 02.
"""

from pathlib import Path
from statistics import mean

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit.view import plots
from labkit.pruning import ChannelPlan
from labkit.records import Record, load_all


def scaling_factor_histograms(runs: list[Record]) -> Figure:
    """The distribution of |γ| over all channels, one panel a λ, shared axes (Network Slimming, figure 4)."""
    figure, axes = plots.panels(
        len(runs), "Histograms of the absolute scaling factors, one panel a λ, shared axes.", sharex=True, sharey=True
    )
    values = [torch.cat(list(run.gammas()[-1].values())).numpy() for run in runs]
    edges = np.linspace(0, max(np.quantile(v, 0.995) for v in values), 41)
    for i, (axis, run, v) in enumerate(zip(axes, runs, values)):
        axis.hist(np.minimum(v, edges[-1]), edges, color=plots.COLOURS[i % 10], edgecolor="white", lw=0.3)
        axis.axvline(plots.THRESHOLD, color="black", ls="--", lw=1)
        share = f"{plots.under_threshold(run):.0%} of {len(v)}\nbelow {plots.THRESHOLD:g}"
        axis.text(0.96, 0.95, share, transform=axis.transAxes, ha="right", va="top")
        axis.set(title=plots.lambda_label(run), xlabel="scaling factor |γ|", yscale="log")
    axes[0].set_ylabel("channels (log scale)")
    return figure


def seed_bands(families: dict[str, dict]) -> Figure:
    """Test accuracy after each step, one panel an experiment: the mean over its seeds, and bars from the
    lowest to the highest. ``families``: ``tables.measurements`` by name."""
    figure, axes = plots.panels(
        len(families),
        "Test accuracy as pruned, re-estimated and fine-tuned over the prune ratio, one panel an experiment, "
        "with the range over seeds; the dense and the sparse network as lines.",
        height=3.4,
        width=3.2 * len(families) + 1.6,
        sharey=True,
    )
    for axis, (family, rows) in zip(axes, families.items()):
        for i, stage in enumerate(("pruned", "re-estimated", "fine-tuned", "from scratch")):
            ratios = [ratio for name, ratio in rows if name == stage]
            accuracies = [[row["accuracy"] for row in rows[stage, ratio]] for ratio in ratios]
            means = [mean(values) for values in accuracies]
            reach = [[m - min(v) for m, v in zip(means, accuracies)], [max(v) - m for m, v in zip(means, accuracies)]]
            shifted = [ratio + 0.012 * (i - 1.5) for ratio in ratios]
            axis.errorbar(shifted, means, reach, label=stage, capsize=3, lw=1.2, **plots.style(i))
        for stage, line in (("baseline", "-"), ("sparse", ":")):
            level = mean(row["accuracy"] for row in rows[stage, 0.0])
            axis.axhline(level, color="black", ls=line, lw=1, label=stage)
        seeds = len(rows["baseline", 0.0])
        axis.set(title=f"{family}\n{seeds} seed{'s' * (seeds > 1)}", xlabel="prune ratio", xticks=(0.5, 0.7, 0.9))
        axis.set(xlim=(0.42, 0.98), ylim=(0, 1.03))
    axes[0].set_ylabel("test accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def gallery(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in one experiment's folder allow, by file name, in the lab's order."""
    runs = {kind: load_all(folder, kind) for kind in ("sparsity", "pruning", "sweep", "fine-tuning", "from-scratch")}
    figures = {}
    if runs["sparsity"]:
        figures |= {
            "training-curves": plots.training_curves(runs["sparsity"]),
            "scaling-factor-histograms": scaling_factor_histograms(runs["sparsity"]),
            "scaling-factors-per-layer": plots.scaling_factors_per_layer(runs["sparsity"]),
            "scaling-factors-over-epochs": plots.scaling_factors_over_epochs(runs["sparsity"]),
        }
    if runs["pruning"]:
        strongest = [run for run in runs["pruning"] if run.config["lambda"] == runs["pruning"][-1].config["lambda"]]
        figures["channels-left"] = plots.channels_left([ChannelPlan.from_dict(run.plan) for run in strongest])
        figures["recovery"] = plots.recovery(runs["pruning"])
    if runs["sweep"]:
        figures["ratio-sweep"] = plots.ratio_sweep(runs["sweep"])
    if runs["fine-tuning"]:
        figures["fine-tuning-curves"] = plots.fine_tuning_curves(runs["fine-tuning"] + runs["from-scratch"])
    for summary in load_all(folder, "summary"):
        figures["trade-off"] = plots.trade_off(summary)
    return figures
