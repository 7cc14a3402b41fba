"""The criteria's figures and tables, drawn from records."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit import models, pruning
from labkit.methods.criteria.study import STAGES, STUDY
from labkit.methods.outcomes import CHANNELS, Outcome, thinner
from labkit.models import Specification
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.settings import LabError
from labkit.view.plots import COLOURS, MARKERS, panels
from labkit.view.tables import band, markdown

Guess = tuple[str, float]
SUMMED = {"lasso": ("LASSO", ("reconstructed", "tuned")), "thinet": ("ThiNet", ("tuned",))}
SUMMED |= {"random": ("Random channels", ("tuned",))}
"""What stands on the course's page, by criterion: its name in print, and some of ``STAGES``; one criterion at two of
them, since otherwise a criterion and a stage could not be told from each other."""


def _seeds(study: Record) -> list[dict]:
    """Accuracies by criterion and stage, of every reference seed; of the run alone where none ship."""
    return [run.results["validation"] for run in over_seeds(study) or [study]]


def _order(study: Record) -> list[str]:
    """Criteria, the best after fine-tuning at the highest ratio first: the mean over the seeds."""
    seeds = _seeds(study)
    return sorted(study.config["criteria"], key=lambda name: -mean(seed[name]["tuned"][-1] for seed in seeds))


def comparison(study: Record, guess: Guess | None = None) -> Figure:
    """Validation accuracy of every criterion at every ratio, one panel a ratio, one marker a stage; bars from the
    lowest to the highest reference seed, where some ship. ``guess``: a criterion and its accuracy 0..1 after
    fine-tuning at the highest ratio. Raises ``LabError`` for another guess."""
    ratios, order, seeds = study.config["ratios"], _order(study), _seeds(study)
    alt = f"Validation accuracy of {len(order)} criteria at {len(ratios)} prune ratios, before and after fine-tuning"
    figure, axes = panels(len(ratios), f"{alt}, with the range over seeds.", 4.2, 9.4, sharex=True, sharey=True)
    for column, (axis, ratio) in enumerate(zip(axes, ratios)):
        for i, (stage, label) in enumerate(STAGES.items()):
            rows = np.arange(len(order)) + 0.18 * (i - (len(STAGES) - 1) / 2)
            found = np.array([[seed[name][stage][column] for name in order] for seed in seeds])
            axis.hlines(rows, found.min(0), found.max(0), color=COLOURS[i], lw=3, alpha=0.6)
            values = [study.results["validation"][name][stage][column] for name in order]
            axis.plot(values, rows, color=COLOURS[i], marker=MARKERS[i], ms=5, ls="", label=label, clip_on=False)
        axis.axvline(study.results["parent"], color="black", lw=1, ls=":")
        axis.set(title=f"{ratio:.0%} of each layer cut", xlabel="validation accuracy", xlim=(0, 1))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.hlines(np.arange(0.5, len(order) - 1), 0, 1, color="0.85", lw=0.8)
        axis.grid(False, axis="y")
    if guess is not None:
        if guess[0] not in order or not 0 <= guess[1] <= 1:
            raise LabError(f"The guess {guess!r} is none: give one of {', '.join(order)} and a number from 0 to 1.")
        axes[-1].plot(
            guess[1], order.index(guess[0]), color="black", marker="x", ms=10, mew=2.5, ls="", label="your guess"
        )
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set(ylabel="criterion", ylim=(len(order) - 0.5, -0.5))
    title = "bars: reference seeds; dotted: before pruning" if over_seeds(study) else "dotted: before pruning"
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=3)
    return figure


def agreement(study: Record) -> Figure:
    """Spearman's rank correlation between each two criteria, the mean over the layers, as a heat map."""
    names = study.config["criteria"]
    seeds = [run.results["correlations"] for run in over_seeds(study) or [study]]
    figure, (axis,) = panels(1, "Heat map: rank correlation between each two criteria.", height=4.2, width=6.6)
    seaborn.heatmap(
        np.mean(seeds, axis=0), ax=axis, vmin=-1, vmax=1, cmap="PuOr", annot=True, fmt=".2f", square=True,
        xticklabels=names, yticklabels=names, annot_kws={"fontsize": 8}, 
    )  # fmt: skip
    figure.axes[-1].set_xlabel("rank\ncorrelation")
    axis.set(xlabel="criterion", ylabel="criterion")
    axis.tick_params(axis="x", rotation=40)
    for label in axis.get_xticklabels():
        label.set_ha("right")
    axis.tick_params(axis="y", rotation=0)
    over = f"mean over the layers and {len(seeds)} seeds" if len(seeds) > 1 else "mean over the layers"
    axis.set_title(over, fontsize=10)
    return figure


def costs(study: Record) -> Figure:
    """The seconds that each criterion's scores took, as a share of one epoch of training, on a logarithmic axis."""
    names, epoch = study.config["criteria"], study.results["epoch_seconds"]
    shares = {name: study.results["seconds"][name] / epoch for name in names}
    order = sorted(names, key=shares.get)
    said = ", ".join(f"{name} {shares[name]:.2g}" for name in order)
    figure, (axis,) = panels(1, f"Time of each criterion as a share of one epoch of training: {said}.", 2.6, 7)
    bars = axis.barh(order, [max(shares[name], 1e-4) for name in order], color=COLOURS[0])
    axis.bar_label(bars, [f"{study.results['seconds'][name]:.2g} s" for name in order], padding=3, fontsize=9)
    axis.axvline(1, color="black", ls="--", lw=1)
    axis.set(
        ylabel="criterion",
        xscale="log",
        xlim=(1e-4, 10),
        xlabel="time of its scores, in epochs of training (log scale)",
    )
    axis.grid(False, axis="y")
    return figure


def before_and_after(study: Record, ratio: float) -> Figure:
    """Accuracy after fine-tuning over the accuracy as it stands (left) and over the re-estimated one (right), one
    marker a criterion, at one ratio; bars from the lowest to the highest reference seed."""
    column, seeds = study.config["ratios"].index(ratio), _seeds(study)
    alt = f"Accuracy after fine-tuning over the accuracy before it, one marker per criterion, {ratio:.0%} cut."
    figure, axes = panels(2, alt, height=3.6, width=9.4, sharey=True)
    for axis, stage in zip(axes, ("as_it_stands", "recalibrated")):
        for i, name in enumerate(study.config["criteria"]):
            before, after = ([seed[name][s][column] for seed in seeds] for s in (stage, "tuned"))
            x, y = mean(before), mean(after)
            axis.errorbar(
                x, y,
                xerr=[[x - min(before)], [max(before) - x]], yerr=[[y - min(after)], [max(after) - y]],
                color=COLOURS[i % 10], marker=MARKERS[i % len(MARKERS)], ms=7, lw=1.2, ls="", label=name,
                mfc="white" if i >= len(MARKERS) else None,
            )  # fmt: skip
        axis.set_xlabel(f"accuracy, {STAGES[stage]}")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_ylabel("after fine-tuning")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    title = f"mean and range, {len(seeds)} seeds" if len(seeds) > 1 else None
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title)
    return figure


def table(study: Record) -> str:
    """Validation accuracies over the seeds: a row for each criterion and ratio, a column for each stage."""
    seeds = _seeds(study)
    rows = [
        [f"{ratio:.0%}", name, *(band([seed[name][stage][column] for seed in seeds]) for stage in STAGES)]
        for column, ratio in enumerate(study.config["ratios"])
        for name in _order(study)
    ]
    return markdown(["ratio", "criterion", *STAGES.values()], rows)


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in ``folder`` allow, by file name."""
    drawn = {}
    for study in load_all(folder, STUDY):
        drawn |= {"criteria": comparison(study), "criteria-agreement": agreement(study)}
        drawn |= {"criteria-costs": costs(study)}
    return drawn


def results(folder: Path) -> str:
    """The table of every experiment in ``folder``."""
    studies = {experiment_name(lab): load_all(lab, STUDY) for lab in folders_with_runs(folder)}
    return "\n\n".join(f"## {name}: criteria\n\n{table(study)}" for name, found in studies.items() for study in found)


def summary(folder: Path) -> list[Outcome]:
    """Two criteria that look at the next layer, and chance, as the study in one lab's folder has them."""
    found = []
    for study in load_all(folder, STUDY):
        dense, before = study.specification, study.results["parent"]
        for column, ratio in enumerate(study.config["ratios"]):
            left = thinner(dense, _uniform(dense, ratio))
            for name, method, stage in _summed():
                setting = f"{ratio:.0%} of every layer's channels, {STAGES[stage]}"
                after = study.results["validation"][name][stage][column], before
                more = left | {"trained": stage == "tuned"}
                found.append(Outcome(method, setting, CHANNELS, "07_criteria", study, dense, *after, **more))
    return found


def _summed() -> Iterator[tuple[str, str, str]]:
    return ((name, method, stage) for name, (method, stages) in SUMMED.items() for stage in stages)


def _uniform(network: Specification, ratio: float) -> Specification:
    """What a network is when every layer gives this share of its channels."""
    scores = pruning.scaling_factors(models.build(network))
    return network.with_widths(pruning.uniform_plan(scores, ratio).widths)
