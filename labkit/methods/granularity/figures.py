"""Notebook 06's figures and tables, drawn from records."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit import settings
from labkit.methods.granularity.experiments import LEVELS
from labkit.methods.granularity.masks import METHODS
from labkit.methods.granularity.networks import counted
from labkit.methods.granularity.published import TERM_PROJECT, TERM_PROJECT_MILLISECONDS
from labkit.methods.granularity.work import RATIOS, SPARSITY, TIMING, TRAINED
from labkit.methods.outcomes import WEIGHTS, Outcome, masked
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.settings import LabError
from labkit.view.plots import COLOURS, GUESS, accuracy_curves, panels, style
from labkit.view.tables import band, markdown

RATE, HALF = 0.1, 0.5  # what stands on the course's page: the rate that every data set was trained at, and one ratio


def rate_label(run: Record) -> str:
    """``rate 0.1``, from a training or from what was measured on it."""
    return f"rate {run.config['recipe']['learning_rate'] if 'recipe' in run.config else run.results['learning_rate']:g}"


def by_rate(runs: list[Record]) -> list[Record]:
    return sorted(runs, key=lambda run: run.results["learning_rate"])


def training_curves(runs: list[Record]) -> Figure:
    """Training and validation accuracy over the epochs, by learning rate."""
    return accuracy_curves({rate_label(run): run for run in runs})


def breaking_point(sweep: Record, lost: float = 0.05, method: str = "global") -> float | None:
    """The lowest ratio at which a sweep is more than ``lost`` (0..1) below what it has at ratio 0; None: at none."""
    ratios, accuracies = sweep.config["ratios"][method], sweep.results["validation"][method]
    return next((ratio for ratio, value in zip(ratios, accuracies) if value < accuracies[0] - lost), None)


def methods_compared(sweeps: list[Record], guess: tuple[float, float] | None = None) -> Figure:
    """Validation accuracy over the ratio, not retrained, one panel per learning rate: global and layer-wise magnitude,
    and random weights; bands from the lowest to the highest reference seed, where some ship. ``guess``: (ratio,
    accuracy), both 0..1, for the first panel. Raises ``LabError`` for another guess."""
    sweeps = by_rate(sweeps)
    alt = "Validation accuracy over the prune ratio, not retrained, one panel per learning rate, three ways to choose"
    if guess is not None:
        if not all(isinstance(part, int | float) and 0 <= part <= 1 for part in guess):
            raise LabError(f"The guess {guess!r} is no ratio with an accuracy: give two numbers from 0 to 1.")
        alt += f"; your guess: {guess[1]:.0%} at {guess[0]:.0%}"
    figure, axes = panels(len(sweeps), f"{alt}.", sharex=True, sharey=True, width=9.4, height=3.1)
    for axis, sweep in zip(axes, sweeps):
        seeds = over_seeds(sweep)
        for i, name in enumerate(METHODS):
            ratios = sweep.config["ratios"][name]
            if seeds:
                every = np.array([seed.results["validation"][name] for seed in seeds])
                axis.fill_between(ratios, every.min(0), every.max(0), color=COLOURS[i], alpha=0.2, lw=0)
            axis.plot(ratios, sweep.results["validation"][name], **style(i), ms=4, label=name)
        axis.set(title=rate_label(sweep), xlabel="prune ratio", ylim=(0, 1))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    if guess is not None:
        axes[0].plot(*guess, **GUESS, clip_on=False, label="your guess")
    axes[0].set_ylabel("validation accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    bands = "bands: reference seeds" if any(len(over_seeds(sweep)) > 1 for sweep in sweeps) else None
    handles, labels = axes[0].get_legend_handles_labels()
    axes[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5), title=bands)
    return figure


def weight_distributions(sweeps: list[Record]) -> Figure:
    """Left: the share of weights below every |w| (in root mean squares of its layer). Right: the share of Σw² that the
    global ranking takes away at every ratio, the mean over the layers. One line per learning rate."""
    sweeps = by_rate(sweeps)
    alt = "Left: the share of weights below every relative |w|. Right: the share of Σw² removed at every prune ratio. "
    figure, (left, right) = panels(2, alt + "; ".join(map(rate_label, sweeps)) + ".", height=3.1, width=9.4)
    for i, sweep in enumerate(sweeps):
        thin = style(i) | {"ms": 4}
        left.plot(sweep.results["magnitudes"], LEVELS, **thin, markevery=6, label=rate_label(sweep))
        right.plot(sweep.config["ratios"]["global"], sweep.results["removed"], **thin, markevery=2)
    left.set(
        xlabel="|w| / root mean square of its layer", ylabel="share of weights below it", ylim=(0, 1), xlim=(0, None)
    )
    right.set(xlabel="prune ratio", ylabel="share of Σw² removed", ylim=(0, None))
    for axis in (left.yaxis, right.yaxis, right.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.legend(loc="lower right")
    return figure


def _on_photographs(folder: Path) -> dict[float, list[Record]]:
    """The shipped sweeps on photographs by learning rate, one a seed. Raises ``LabError`` where no such runs are."""
    found = defaultdict(list)
    for lab in folders_with_runs(folder):
        if re.match("quick-(?!shapes)", experiment_name(lab)):
            for sweep in load_all(lab, SPARSITY):
                found[sweep.results["learning_rate"]].append(sweep)
    if not found:
        raise LabError(f"No runs on photographs are in {folder}: get the course's folder again.")
    return dict(sorted(found.items()))


def term_project_table(folder: Path = settings.REFERENCE) -> str:
    """Accuracy by ratio: ours on photographs (mean and range over seeds), a column a learning rate, and the term
    project's where its report gives it. Raises ``LabError`` where no such runs are."""
    found = _on_photographs(folder)
    header = ["prune ratio", *(f"ours, rate {rate:g}" for rate in found)]
    header += [f"term project, rate {rate:g}" for rate in TERM_PROJECT]
    rows = [
        [
            f"{ratio:.0%}",
            *(band([run.results["validation"]["global"][i] for run in seeds]) for seeds in found.values()),
            *(band(points.get(ratio)) for points in TERM_PROJECT.values()),
        ]
        for i, ratio in enumerate(RATIOS)
    ]
    return markdown(header, rows)


def beside_term_project(folder: Path = settings.REFERENCE) -> Figure:
    """Accuracy over the ratio in the shipped photograph runs (lines; bands over their seeds) and as the term project
    reports it (hollow). Raises ``LabError`` where no such runs are."""
    found = _on_photographs(folder)
    figure, (axis,) = panels(1, "", height=3.4)
    told = []
    for i, (rate, seeds) in enumerate(found.items()):
        ratios = seeds[0].config["ratios"]["global"]
        every = np.array([sweep.results["validation"]["global"] for sweep in seeds])
        axis.fill_between(ratios, every.min(0), every.max(0), color=COLOURS[i], alpha=0.2, lw=0)
        axis.plot(ratios, every.mean(0), **style(i), ms=4, label=f"ours, rate {rate:g} ({len(seeds)} seeds)")
        told.append(f"ours at rate {rate:g}: {every.mean(0)[0]:.0%} unpruned, {every.mean(0)[-1]:.0%} at 80%")
    for i, (rate, points) in enumerate(TERM_PROJECT.items()):
        hollow = style(i) | {"mfc": "white", "mew": 1.5, "lw": 1}
        axis.plot(list(points), list(points.values()), **hollow, ms=8, label=f"term project, rate {rate:g}")
        told.append(f"term project at rate {rate:g}: {points[0.0]:.0%} unpruned, {points[0.8]:.0%} at 80%")
    figure.set_label(f"Accuracy over the prune ratio, not retrained, on photographs. {'; '.join(told)}.")
    axis.set(xlabel="prune ratio", ylabel="accuracy", ylim=(0, 1))
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


WAYS = {
    "masked": "masked: zeros in dense weights",
    "thin": "thin: as many weights in fewer channels",
    "sparse": "masked, in torch's CSR format",
}


def output_errors(errors: dict[str, dict[float, float]]) -> Figure:
    """The relative error of a layer's output over the ratio, by granularity: ``errors[granularity][ratio]``."""
    alt = "; ".join(
        f"{name}: " + ", ".join(f"{value:.2f} at {ratio:.0%}" for ratio, value in points.items())
        for name, points in errors.items()
    )
    figure, (axis,) = panels(1, f"Relative error of the layer's output over the prune ratio. {alt}.", height=3.1)
    for i, (name, points) in enumerate(errors.items()):
        axis.plot(list(points), list(points.values()), **style(i), ms=6, label=name)
    axis.set(xlabel="prune ratio of this layer", ylabel="error of the output\n‖y′ − y‖ / ‖y‖", ylim=(0, None))
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def sparsity_table(sweeps: list[Record]) -> str:
    """Validation accuracy by ratio, a column for each learning rate."""
    sweeps = by_rate(sweeps)
    rows = [
        [f"{ratio:.0%}", *(f"{sweep.results['validation']['global'][i]:.1%}" for sweep in sweeps)]
        for i, ratio in enumerate(sweeps[0].config["ratios"]["global"])
    ]
    return markdown(["prune ratio", *map(rate_label, sweeps)], rows)


def timing_table(timing: Record) -> str:
    """Median and quartiles in ms by ratio, a column for each way."""
    cells = {
        (name, row["ratio"]): "{median:.1f} ({quartile1:.1f}–{quartile3:.1f})".format(**row["latency_ms"])
        for name in WAYS
        for row in timing.results[name]
    }
    ratios = [row["ratio"] for row in timing.results["masked"]]
    rows = [[f"{ratio:.0%}", *(cells.get((name, ratio), "–") for name in WAYS)] for ratio in ratios]
    return markdown(["prune ratio", *(f"{label}, ms" for label in WAYS.values())], rows)


def inference_table(folder: Path = settings.REFERENCE) -> str:
    """Milliseconds for one image by prune ratio in the shipped runs, the median of each seed, and the term project's,
    which are the same at every ratio. Raises ``LabError`` where no such runs are."""
    found = [timing for lab in folders_with_runs(folder) for timing in load_all(lab, TIMING)]
    if not found:
        raise LabError(f"No measured inference times are in {folder}: get the course's folder again.")
    times = defaultdict(list)
    for timing in found:
        for name in WAYS:
            for row in timing.results[name]:
                times[name, row["ratio"]].append(row["latency_ms"]["median"])
    theirs = "{mean:.1f} ± {deviation:.1f}".format(**TERM_PROJECT_MILLISECONDS)
    rows = [
        [f"{ratio:.0%}", *(", ".join(f"{ms:.1f}" for ms in times[name, ratio]) or "–" for name in WAYS), theirs]
        for ratio in sorted({ratio for _, ratio in times})
    ]
    return markdown(["prune ratio", *(f"ours, {label}" for label in WAYS.values()), "term project, masked"], rows)


def lecture_table() -> str:
    """The lecture's table beside our counts, and what does not add up."""
    header = [
        "network",
        "parameters",
        "GMACs",
        "published: before → after, printed factor",
        "recomputed: its own, ours",
    ]
    rows = []
    for row in counted():
        said, (own, ours) = row.published, row.recomputed
        rows.append(
            [
                row.name,
                f"{row.parameters:,}",
                f"{row.macs / 1e9:.3f}",
                f"{said['before']:g} → {said['after']:g} M, {said['parameters']:g}× (MACs {said['macs']:g}×)",
                f"{own:.2f}×, {ours:.2f}×",
                row.doubtful or "adds up",
            ]
        )
    return markdown([*header, "verdict"], rows)


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in one experiment's folder allow, by file name."""
    drawn, sweeps = {}, load_all(folder, SPARSITY)
    if trained := load_all(folder, TRAINED):
        drawn["granularity-training"] = training_curves(trained)
    if sweeps:
        drawn["granularity-methods"] = methods_compared(sweeps)
        drawn["granularity-weights"] = weight_distributions(sweeps)
    return drawn


def results(folder: Path) -> str:
    """The tables of all experiments in ``folder`` as one Markdown page."""
    pages = []
    for lab in folders_with_runs(folder):
        if sweeps := load_all(lab, SPARSITY):
            pages.append(f"## {experiment_name(lab)}: global magnitude, not retrained\n\n{sparsity_table(sweeps)}")
        pages += [f"### Inference time\n\n{timing_table(timing)}" for timing in load_all(lab, TIMING)]
    return "\n\n".join(pages) + "\n" if pages else ""


def summary(folder: Path) -> list[Outcome]:
    """Half of the weights of the network that was trained at ``RATE``, as one lab's folder has it: the smallest of all,
    and 2:4."""
    found = []
    for sweep in load_all(folder, SPARSITY):
        if sweep.results["learning_rate"] != RATE:
            continue
        accuracies = dict(zip(sweep.config["ratios"]["global"], sweep.results["validation"]["global"]))
        settings = {
            "50% of the weights, not retrained": accuracies[HALF],
            "2:4, BatchNorm re-estimated": sweep.results["two_four_recalibrated"],
        }
        left = masked(sweep.specification, sweep.results["weights"], HALF)
        found += [
            Outcome(
                "Masks", setting, WEIGHTS, "06_granularity", sweep, sweep.specification, accuracy, accuracies[0.0],
                **left, trained=False,
            )
            for setting, accuracy in settings.items()
        ]  # fmt: skip
    return found
