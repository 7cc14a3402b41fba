"""Network Slimming's figures, drawn from records."""

from pathlib import Path
from statistics import mean

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit.pruning import ChannelPlan
from labkit.records import Record, load_all
from labkit.view.plots import COLOURS, accuracy_curves, bar_style, channels_left, panels, style

THRESHOLD = 0.01  # a scaling factor below it hardly changes the network's output
STAGES = {
    "as_it_stands": "as it stands",
    "folded": "ReLU(β) folded",
    "recalibrated": "BatchNorm re-estimated",
    "random": "random channels,\nre-estimated",
}


def lambda_label(record: Record) -> str:
    """λ from the record, and how far it can move a scaling factor."""
    budget = record.results["shrinkage_budget"]
    return "λ = 0" if budget == 0 else f"λ = {record.config['lambda']:g} (budget {budget:.2g})"


def training_curves(runs: list[Record]) -> Figure:
    """Training and validation accuracy of each run over its epochs, by λ."""
    return accuracy_curves({lambda_label(run): run for run in runs})


def fine_tuning_curves(runs: list[Record]) -> Figure:
    """Training and validation accuracy over the epochs of fine-tuning and of training from scratch."""

    def label(run: Record) -> str:
        start = "from scratch, " if run.kind == "from-scratch" else ""
        return f"{start}{run.config['ratio']:.0%}, rate {run.config['recipe']['learning_rate']:g}"

    return accuracy_curves({label(run): run for run in runs})


def under_threshold(run: Record, snapshot: int = -1, threshold: float = THRESHOLD) -> float:
    """The fraction of scaling factors with |γ| < ``threshold``, all layers together."""
    return float((torch.cat(list(run.gammas()[snapshot].values())) < threshold).float().mean())


def scaling_factors_per_layer(runs: list[Record]) -> Figure:
    """Median and middle half of |γ| in every layer, one line a λ."""
    figure, axes = panels(1, "Median and quartiles of the absolute scaling factors in each layer, one line a λ.")
    for i, run in enumerate(runs):
        layers = list(run.gammas()[-1].values())
        low, middle, high = (np.array([float(g.quantile(q)) for g in layers]) for q in (0.25, 0.5, 0.75))
        x = np.arange(1, len(layers) + 1) + 0.16 * (i - (len(runs) - 1) / 2)
        axes[0].errorbar(
            x, middle, [middle - low, high - middle], **style(i),
            lw=1, elinewidth=3, label=lambda_label(run),
        )  # fmt: skip
    axes[0].set(xlabel="convolution", ylabel="|γ|: median, quartiles", xticks=range(1, len(layers) + 1), ylim=(0, None))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def scaling_factors_over_epochs(runs: list[Record]) -> Figure:
    """How the mass of |γ| moves during training: bands between quantiles, one panel a λ."""
    figure, axes = panels(
        len(runs), "Quantiles of the absolute scaling factors over epochs, one panel a λ.", sharex=True, sharey=True
    )
    for i, (axis, run) in enumerate(zip(axes, runs)):
        rows = torch.stack([torch.cat(list(row.values())) for row in run.gammas()])
        q = rows.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1).numpy()
        axis.fill_between(run.snapshots, q[0], q[4], color=COLOURS[i % 10], alpha=0.2, label="5 to 95 %")
        axis.fill_between(run.snapshots, q[1], q[3], color=COLOURS[i % 10], alpha=0.45, label="25 to 75 %")
        axis.plot(run.snapshots, q[2], color="black", lw=1.5, label="median")
        axis.set(title=lambda_label(run), xlabel="epoch", ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("scaling factor |γ|")
    axes[-1].legend(loc="upper right")
    return figure


def ratio_sweep(sweeps: list[Record]) -> Figure:
    """Validation accuracy over the prune ratio, not fine-tuned, one panel a λ."""
    alt = "Validation accuracy over the prune ratio, one panel a λ, four variants."
    figure, axes = panels(len(sweeps), alt, sharex=True, sharey=True, width=9.4)
    for axis, sweep in zip(axes, sweeps):
        for i, (stage, label) in enumerate(STAGES.items()):
            values = sweep.results["validation"][stage]
            axis.plot(
                sweep.results["ratios"],
                values,
                **style(i),
                ms=4,
                label=label,
            )
        axis.set(title=lambda_label(sweep), xlabel="prune ratio")
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("validation accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def recovery(prunings: list[Record]) -> Figure:
    """What is left of the accuracy right after pruning, and what needs no training to come back."""
    figure, axes = panels(
        1, "Bars: validation accuracy after pruning, as it stands, folded, re-estimated and random.", height=3.2
    )
    width = 0.8 / len(STAGES)
    for i, (stage, label) in enumerate(STAGES.items()):
        x = np.arange(len(prunings)) + width * (i - (len(STAGES) - 1) / 2)
        heights = [run.results["validation"][stage] for run in prunings]
        bars = axes[0].bar(
            x,
            heights,
            width,
            **bar_style(i),
            label=label,
        )
        axes[0].bar_label(bars, [f"{100 * h:.0f}" for h in heights], fontsize=8)
    for k, run in enumerate(prunings):
        axes[0].hlines(run.results["validation"]["parent"], k - 0.45, k + 0.45, color="black", ls="--", lw=1)
    axes[0].set_xticks(
        range(len(prunings)),
        [f"λ = {r.config['lambda']:g}\n{r.config['ratio']:.0%} pruned" for r in prunings],
        fontsize=10 if len(prunings) <= 4 else 8,
    )
    axes[0].set(xlabel="penalty and prune ratio", ylabel="validation accuracy", ylim=(0, 1.12))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5), title="dashed: before pruning")
    return figure


def trade_off(summary: Record) -> Figure:
    """Test accuracy over multiply-accumulates, one point a row of the summary table."""
    figure, axes = panels(1, "Test accuracy over MACs of every network in the summary table.", height=3.4)
    stages = list(dict.fromkeys(row["stage"] for row in summary.results["rows"]))
    for i, stage in enumerate(stages):
        rows = [row for row in summary.results["rows"] if row["stage"] == stage]
        x, y = [row["macs"] / 1e6 for row in rows], [row["accuracy"] for row in rows]
        axes[0].plot(x, y, ms=8, label=stage, **(style(i) | {"ls": ""}))
    axes[0].set(xscale="log", xlabel="million MACs an image (log scale)", ylabel="test accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def seed_bands(families: dict[str, dict]) -> Figure:
    """Test accuracy after each step, one panel an experiment: the mean over its seeds, and bars from the
    lowest to the highest. ``families``: ``tables.measurements`` by name."""
    figure, axes = panels(
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
            axis.errorbar(shifted, means, reach, label=stage, capsize=3, lw=1.2, **style(i))
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


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in one experiment's folder allow, by file name, in the lab's order."""
    runs = {kind: load_all(folder, kind) for kind in ("sparsity", "pruning", "sweep", "fine-tuning", "from-scratch")}
    drawn = {}
    if runs["sparsity"]:
        drawn |= {
            "training-curves": training_curves(runs["sparsity"]),
            "scaling-factors-per-layer": scaling_factors_per_layer(runs["sparsity"]),
            "scaling-factors-over-epochs": scaling_factors_over_epochs(runs["sparsity"]),
        }
    if runs["pruning"]:
        strongest = [run for run in runs["pruning"] if run.config["lambda"] == runs["pruning"][-1].config["lambda"]]
        drawn["channels-left"] = channels_left([ChannelPlan.from_dict(run.plan) for run in strongest])
        drawn["recovery"] = recovery(runs["pruning"])
    if runs["sweep"]:
        drawn["ratio-sweep"] = ratio_sweep(runs["sweep"])
    if runs["fine-tuning"]:
        drawn["fine-tuning-curves"] = fine_tuning_curves(runs["fine-tuning"] + runs["from-scratch"])
    for summary in load_all(folder, "summary"):
        drawn["trade-off"] = trade_off(summary)
    return drawn
