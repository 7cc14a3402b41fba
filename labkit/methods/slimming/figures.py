"""Network Slimming's figures, drawn from records."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit import settings
from labkit.methods.slimming import published
from labkit.pruning import ChannelPlan, global_plan, random_scores
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.settings import LabError
from labkit.view.plots import (
    COLOURS,
    GUESS,
    accuracy_curves,
    bar_style,
    channels_left,
    panels,
    scaling_factor_map,
    style,
)

THRESHOLD = 0.01  # a channel below it says hardly anything about the image
FLOOR = 1e-9  # what is smaller is drawn here: a logarithmic axis has no zero
CLIPPED = "|γ| below 1e-9:\ndrawn at 1e-9"
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


def fine_tuning_label(run: Record) -> str:
    """Prune ratio and highest learning rate from the record, and whether it began with inherited weights."""
    start = "from scratch, " if run.kind == "from-scratch" else ""
    return f"{start}{run.config['ratio']:.0%}, rate {run.config['recipe']['learning_rate']:g}"


def by_recipe(run: Record) -> tuple:
    """Sorts trainings, whatever order they come in."""
    return run.kind, run.config["ratio"], run.config["lambda"], run.config["recipe"]["learning_rate"]


def fine_tuning_curves(runs: list[Record]) -> Figure:
    """Training and validation accuracy over the epochs of fine-tuning and of training from scratch; the runs in
    any order."""
    return accuracy_curves({fine_tuning_label(run): run for run in sorted(runs, key=by_recipe)})


def _checked(guess: float) -> float:
    if not isinstance(guess, int | float) or not 0 <= guess <= 1:
        raise LabError(f"The guess {guess!r} is no share: give a number from 0 to 1, such as 0.85 for 85 %.")
    return guess


def _for_each(guesses: list[float | None] | None, runs: list[Record]) -> list[float | None]:
    guesses = [None] * len(runs) if guesses is None else guesses
    if len(guesses) != len(runs):
        raise LabError(f"There are {len(guesses)} guesses for {len(runs)} runs: give one, or None, for each run.")
    return guesses


def final_accuracies(runs: list[Record], guesses: list[float | None] | None = None) -> Figure:
    """The final validation accuracy of trainings, one column per run, among the reference seeds that ship; sorted
    ``by_recipe``. ``guesses``: a number 0..1 or None for each of ``runs``. Raises ``LabError`` for others."""
    guesses = _for_each(guesses, runs)
    figure, (axis,) = panels(1, "", height=3.2)
    names, told, shown = [], [], []
    for i, (run, guess) in enumerate(sorted(zip(runs, guesses), key=lambda pair: by_recipe(pair[0]))):
        seeds = [seed.results["validation_accuracy"] for seed in over_seeds(run)]
        final = run.results["validation_accuracy"]
        names.append(lambda_label(run) if run.kind == "sparsity" else fine_tuning_label(run))
        if seeds:
            axis.vlines(i, min(seeds), max(seeds), color="0.75", lw=11, label="lowest to highest")
            axis.plot([i] * len(seeds), seeds, "o", color="0.35", ms=5, clip_on=False, label="reference seeds")
        axis.plot(i - 0.15, final, **style(i) | {"ls": ""}, ms=10, clip_on=False)
        told.append(f"{names[-1]}: {final:.1%}" + (f" (seeds {min(seeds):.1%} to {max(seeds):.1%})" if seeds else ""))
        if guess is not None:
            axis.plot(i + 0.15, _checked(guess), **GUESS, clip_on=False, label="your guess")
            told[-1] += f", your guess {guess:.0%}"
        shown += [final, *seeds, *([] if guess is None else [guess])]
    figure.set_label(f"Final validation accuracy, one column per run: {'; '.join(told)}.")
    names = [name.replace(" (", "\n(").replace(", rate", "\nrate") for name in names]
    axis.set_xticks(range(len(runs)), names, fontsize=10 if len(runs) <= 4 else 8)
    bottom = max(0, np.floor(20 * min(shown) - 0.2) / 20)
    axis.set(xlim=(-0.5, len(runs) - 0.5), ylim=(bottom, 1), xlabel="training", ylabel="final validation accuracy")
    axis.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.grid(False, axis="x")
    handles = dict(zip(*reversed(axis.get_legend_handles_labels())))  # each label once
    note = "large: this run" + ("" if "reference seeds" in handles else "\n(no reference seeds\nfor this data)")
    axis.legend(handles.values(), handles, title=note, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def under_threshold(run: Record, snapshot: int = -1, threshold: float = THRESHOLD) -> float:
    """The fraction of scaling factors with |γ| < ``threshold``, all layers together."""
    return float((torch.cat(list(run.gammas()[snapshot].values())) < threshold).float().mean())


def scaling_factors_per_layer(runs: list[Record]) -> Figure:
    """Median and middle half of |γ| in every layer on a logarithmic axis, one line per λ."""
    alt = "Median and quartiles of the absolute scaling factors in each layer, one line per λ, logarithmic axis."
    figure, axes = panels(1, alt, height=3.3)
    lowest = min(float(gamma.quantile(0.25)) for run in runs for gamma in run.gammas()[-1].values())
    for i, run in enumerate(runs):
        layers = [gamma.clamp(min=FLOOR) for gamma in run.gammas()[-1].values()]
        low, middle, high = (np.array([float(g.quantile(q)) for g in layers]) for q in (0.25, 0.5, 0.75))
        x = np.arange(1, len(layers) + 1) + 0.16 * (i - (len(runs) - 1) / 2)
        axes[0].errorbar(
            x, middle, [middle - low, high - middle], **style(i),
            lw=1, elinewidth=3, label=lambda_label(run),
        )  # fmt: skip
    axes[0].set(xlabel="convolution", ylabel="|γ|: median, quartiles (log scale)", xticks=range(1, len(layers) + 1))
    _logarithmic(axes[0], "y", lowest)
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5), title=CLIPPED)
    return figure


def scaling_factors_over_epochs(runs: list[Record]) -> Figure:
    """How the mass of |γ| moves during training: bands between quantiles, one panel per λ, logarithmic axis."""
    alt = "Quantiles of the absolute scaling factors over epochs, one panel per λ, logarithmic axis."
    figure, axes = panels(len(runs), alt, height=3.3, width=9.4, sharex=True, sharey=True)
    lowest = min(float(_rows(run).quantile(0.05, dim=1).min()) for run in runs)
    for i, (axis, run) in enumerate(zip(axes, runs)):
        rows = _rows(run).clamp(min=FLOOR)
        q = rows.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1).numpy()
        axis.fill_between(run.snapshots, q[0], q[4], color=COLOURS[i % 10], alpha=0.2, label="5 to 95 %")
        axis.fill_between(run.snapshots, q[1], q[3], color=COLOURS[i % 10], alpha=0.45, label="25 to 75 %")
        axis.plot(run.snapshots, q[2], color="black", lw=1.5, label="median")
        axis.set(title=_two_lines(run), xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _logarithmic(axis, "y", lowest)
    axes[0].set_ylabel("scaling factor |γ| (log scale)")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), title=CLIPPED)
    return figure


def _rows(run: Record) -> torch.Tensor:
    """|γ| of all layers together, (snapshots, channels)."""
    return torch.stack([torch.cat(list(row.values())) for row in run.gammas()])


def _two_lines(run: Record) -> str:
    return lambda_label(run).replace(" (", "\n(")


def _logarithmic(axis, direction: str, lowest: float = 0.0) -> None:
    """A logarithmic axis for |γ|, ``direction`` ``"x"`` or ``"y"``, from the ``lowest`` value or ``FLOOR`` on; the
    threshold is dashed."""
    ticks, limits = [1e-9, 1e-8, 1e-6, 1e-4, THRESHOLD, 1], (max(FLOOR, min(lowest, THRESHOLD)) / 3, 4)
    axis.set(**{f"{direction}scale": "log", f"{direction}ticks": ticks, f"{direction}lim": limits})
    line = axis.axvline if direction == "x" else axis.axhline
    line(THRESHOLD, color="black", ls="--", lw=1)


def gamma_map(runs: list[Record]) -> Figure:
    """log10 |γ| of every channel over the training, one panel per run (Network Slimming, figure 6)."""
    alt = "Maps of log10 |γ|: channels, layer by layer, over epochs; dark is large. " + "; ".join(
        map(lambda_label, runs)
    )
    figure, axes = panels(len(runs), f"{alt}.", height=3.8, width=9.4, sharey=True)
    for axis, run in zip(axes, runs):
        widths = [len(gamma) for gamma in run.gammas()[-1].values()]
        picture = scaling_factor_map(axis, run.snapshots, widths, _rows(run))
        axis.set(title=_two_lines(run))
    axes[0].set_ylabel("convolution; its channels,\nlargest |γ| on top")
    figure.colorbar(picture, ax=list(axes), extend="min").ax.set_xlabel("log10 |γ|", labelpad=16)
    return figure


def gamma_distribution(
    runs: list[Record], labels: list[str] | None = None, guesses: list[float | None] | None = None
) -> Figure:
    """The share of channels whose |γ| is below a threshold, for every threshold (log scale), one line per run.
    ``guesses``: for each of ``runs`` the share below 0.01 that was expected, 0..1, or None."""
    labels, guesses = labels or [lambda_label(run) for run in runs], _for_each(guesses, runs)
    figure, (axis,) = panels(
        1, f"Share of channels below every |γ|, one line per run: {'; '.join(labels)}.", height=3.3
    )
    for i, (run, label, guess) in enumerate(zip(runs, labels, guesses, strict=True)):
        values = _rows(run)[-1].clamp(min=FLOOR).sort().values
        share = np.arange(1, len(values) + 1) / len(values)
        axis.plot(values, share, **style(i), ms=5, markevery=0.08, label=f"{label}: {under_threshold(run):.0%}")
        if guess is not None:
            hollow = {"ls": "", "ms": 11, "mew": 2, "mfc": "none", "clip_on": False}
            axis.plot(THRESHOLD, _checked(guess), **style(i) | hollow)
    guessed = "\nhollow: your guess" if any(guess is not None for guess in guesses) else ""
    _logarithmic(axis, "x")
    axis.set(xlabel="threshold on |γ| (log scale)", ylabel="share of channels below it", ylim=(0, 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=f"vertical line: {THRESHOLD:g}{guessed}")
    return figure


def bottleneck(run: Record, ratio: float, at_least: int = 1) -> Figure:
    """The share of each layer that a global threshold on |γ| leaves, beside a random choice of as many channels;
    the numbers are channels. Where the threshold leaves a layer a few, little can pass through it."""
    scores = run.gammas()[-1]
    choices = {"global threshold on |γ|": scores, "random channels": random_scores(scores, run.config["seed"])}
    figure, (axis,) = panels(1, "", height=3.2, width=9.4)
    for i, (label, chosen) in enumerate(choices.items()):
        plan = global_plan(chosen, ratio, at_least)
        layers = np.arange(1, len(plan.total) + 1)
        shares = [width / total for width, total in zip(plan.widths, plan.total.values())]
        bars = axis.bar(layers + 0.42 * (i - 0.5), shares, 0.42, **bar_style(i), label=label)
        axis.bar_label(bars, plan.widths, fontsize=8 if len(layers) <= 10 else 6.5)
        figure.set_label(f"{figure.get_label()} {label}: {', '.join(map(str, plan.widths))}.")
    totals = [f"{layer}\nof {total}" for layer, total in zip(layers, plan.total.values())]
    axis.set_xticks(layers, totals, fontsize=10 if len(layers) <= 10 else 8)
    axis.set(xlabel="convolution, of how many channels", ylabel="share of the layer left", ylim=(0, 1.1))
    axis.set_title(f"{lambda_label(run)}, {ratio:.0%} pruned: channels left")
    figure.set_label(f"Channels left in each layer at a prune ratio of {ratio:.0%}.{figure.get_label()}")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(False, axis="x")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.12), ncols=2)
    return figure


def budget_and_force() -> Figure:
    """The share of channels below the threshold in every shipped experiment of three λ, over the shrinkage budget
    (left) and over λ (right). Raises ``LabError`` where no reference runs are."""
    families = defaultdict(list)
    for lab in folders_with_runs(settings.REFERENCE):
        if len(runs := load_all(lab, "sparsity")) >= 3:  # fewer than three λ make no line
            families[re.sub(r"-seed\d+$", "", experiment_name(lab))] += runs
    if not families:
        raise LabError(f"No reference runs are in {settings.REFERENCE}: get the course's folder again.")
    alt = "Share of channels with |γ| below the threshold over the shrinkage budget and over λ, by experiment."
    figure, (left, right) = panels(2, alt, height=3.3, width=9.4, sharey=True)
    for i, (family, runs) in enumerate(families.items()):
        profile, _, data = family.partition("-")
        label = f"{'shapes' if data == 'shapes' else 'photographs'}, {profile}"
        by_lambda = defaultdict(list)
        for run in runs:
            by_lambda[run.config["lambda"]].append(run)
        budgets = [mean(run.results["shrinkage_budget"] for run in seeds) for seeds in by_lambda.values()]
        shares = [[under_threshold(run) for run in seeds] for seeds in by_lambda.values()]
        for axis, x in ((left, budgets), (right, list(by_lambda))):
            shown = [k for k, value in enumerate(x) if value or axis is left]  # a logarithmic axis has no zero
            axis.plot([x[k] for k in shown], [mean(shares[k]) for k in shown], **style(i) | {"marker": ""}, label=label)
            for k in shown:
                axis.plot([x[k]] * len(shares[k]), shares[k], **style(i) | {"ls": ""}, ms=5)
    left.set(
        xlabel="shrinkage budget", ylabel=f"channels with |γ| below {THRESHOLD:g}", title="by the shrinkage budget"
    )
    right.set(xscale="log", xlabel="λ (log scale; λ = 0 left out)", title="by the force")
    left.yaxis.set_major_formatter(PercentFormatter(1))
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="lines: mean, dots: seeds")
    return figure


def ratio_sweep(sweeps: list[Record], guess: tuple[float, float] | None = None) -> Figure:
    """Validation accuracy over the prune ratio, not fine-tuned, one panel per λ; behind each line the band from the
    lowest to the highest reference seed, where some ship; under sweeps of VGG-19 on CIFAR-10 a published curve.
    ``guess``: (ratio, accuracy), both 0..1, for the first panel. Raises ``LabError`` for another guess."""
    seeds_differ = any(len(over_seeds(sweep)) > 1 for sweep in sweeps)
    alt = "Validation accuracy over the prune ratio, one panel per λ, four variants"
    alt += ", with the range over reference seeds" if seeds_differ else ""
    alt += "." if guess is None else f"; your guess: {_checked(guess[1]):.0%} at {_checked(guess[0]):.0%}."
    alt += f" A published curve ({published.SOURCE}) beside them." if any(map(published.is_beside, sweeps)) else ""
    figure, axes = panels(len(sweeps), alt, sharex=True, sharey=True, width=9.4)
    if guess is not None:
        axes[0].plot(*guess, **GUESS, clip_on=False, label="your guess")
    for axis, sweep in zip(axes, sweeps):
        ratios, seeds = sweep.results["ratios"], [seed.results["validation"] for seed in over_seeds(sweep)]
        for i, (stage, label) in enumerate(STAGES.items()):
            if seeds:
                every = np.array([seed[stage] for seed in seeds])
                axis.fill_between(ratios, every.min(0), every.max(0), color=COLOURS[i], alpha=0.2, lw=0)
            axis.plot(ratios, sweep.results["validation"][stage], **style(i), ms=4, label=label)
        if published.is_beside(sweep):
            label = f"published: full width,\n{published.SOURCE},\nas it stands, test images"
            axis.plot(*zip(*published.UNTUNED.items()), color="0.4", ls=(0, (1, 1)), lw=2, label=label, zorder=1)
        axis.set(title=lambda_label(sweep), xlabel="prune ratio")
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("validation accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = axes[0].get_legend_handles_labels()
    bands = "bands: reference seeds" if seeds_differ else None
    axes[-1].legend(handles, labels, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), title=bands)
    return figure


def recovery(prunings: list[Record]) -> Figure:
    """What is left of the accuracy right after pruning, and what needs no training to come back; thin lines from
    the lowest to the highest reference seed, where some ship."""
    figure, axes = panels(
        1, "Bars: validation accuracy after pruning, as it stands, folded, re-estimated and random.", height=3.2
    )
    reference = [[seed.results["validation"] for seed in over_seeds(run)] for run in prunings]
    width = 0.8 / len(STAGES)
    for i, (stage, label) in enumerate(STAGES.items()):
        x = np.arange(len(prunings)) + width * (i - (len(STAGES) - 1) / 2)
        heights = [run.results["validation"][stage] for run in prunings]
        axes[0].bar(x, heights, width, **bar_style(i), label=label)
        for place, height, seeds in zip(x, heights, reference):
            every = [seed[stage] for seed in seeds] or [height]
            axes[0].vlines(place, min(every), max(every), color="black", lw=1)
            top = max(height, *every) + 0.01
            number = axes[0].text(place, top, f"{100 * height:.0f}", fontsize=8, ha="center", va="bottom")
            number.set_bbox({"fc": "white", "ec": "none", "pad": 0.8})
    for k, run in enumerate(prunings):
        axes[0].hlines(run.results["validation"]["parent"], k - 0.45, k + 0.45, color="black", ls="--", lw=1)
    axes[0].set_xticks(
        range(len(prunings)),
        [f"λ = {r.config['lambda']:g}\n{r.config['ratio']:.0%} pruned" for r in prunings],
        fontsize=10 if len(prunings) <= 4 else 8,
    )
    note = "dashed: before pruning" + ("\nthin lines: reference seeds" if any(reference) else "")
    axes[0].set(xlabel="penalty and prune ratio", ylabel="validation accuracy", ylim=(0, 1.12))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5), title=note)
    return figure


def trade_off(summary: Record) -> Figure:
    """Test accuracy over multiply-accumulates, one point per row of the summary table; stages of the same network
    stand side by side."""
    figure, axes = panels(1, "Test accuracy over MACs of every network in the summary table.", height=3.4)
    rows = summary.results["rows"]
    stages, macs = list(dict.fromkeys(row["stage"] for row in rows)), [row["macs"] for row in rows]
    step = (max(macs) / min(macs)) ** 0.03
    beside = {(row["stage"], row["ratio"]): _place(row, rows) for row in rows}
    for i, stage in enumerate(stages):
        mine = [row for row in rows if row["stage"] == stage]
        x = [row["macs"] / 1e6 * step ** beside[stage, row["ratio"]] for row in mine]
        fill = {"mfc": "white", "mew": 1.8} if i % 2 else {}
        axes[0].plot(x, [row["accuracy"] for row in mine], ms=8, label=stage, **style(i) | {"ls": ""} | fill)
    for ratio, millions in {row["ratio"]: row["macs"] / 1e6 for row in rows}.items():
        axes[0].text(millions, 1.02, f"{ratio:.0%}", ha="center", transform=axes[0].get_xaxis_transform())
    axes[0].set_title("prune ratio", pad=18, fontsize=10)
    axes[0].set(xscale="log", xlabel="million MACs per image (log scale)", ylabel="test accuracy")
    axes[0].set_xticks([m / 1e6 for m in sorted(set(macs))], [f"{m / 1e6:.3g}" for m in sorted(set(macs))])
    axes[0].minorticks_off()
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _place(row: dict, rows: list[dict]) -> float:
    """How many places to the right a row stands of the middle of those of the same network."""
    same = [other["stage"] for other in rows if other["network"] == row["network"]]
    return same.index(row["stage"]) - (len(same) - 1) / 2


def seed_bands(families: dict[str, dict]) -> Figure:
    """Test accuracy after each step, one panel per experiment: the mean over its seeds, and bars from the
    lowest to the highest. ``families``: ``tables.measurements`` by name."""
    figure, axes = panels(
        len(families),
        "Test accuracy as pruned, re-estimated and fine-tuned over the prune ratio, one panel per experiment, "
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
            "gamma-map": gamma_map(runs["sparsity"]),
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
