"""Figures and tables of rounded and of shared weights, drawn from records."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit.methods.quantization.affine import LOW_BITS, ROUNDED, SLOPES, WAYS
from labkit.methods.quantization.compression import COMPRESSED, PARTS
from labkit.methods.quantization.sharing import SHARED
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.settings import LabError
from labkit.view.plots import COLOURS, bar_style, panels, style
from labkit.view.tables import band, markdown

STEPS = {
    "dense": "dense,\nfloat32",
    "thin": "thin: whole\nchannels cut",
    "pruned": "pruned:\nsingle weights",
    "shared": "shared\nweights",
    "coded": "Huffman\ncode",
}
LEGEND = {"values": "weights or indices", "positions": "positions of weights", "codebooks": "codebooks"}
LEGEND |= {"tables": "lengths of the code", "others": "biases, BatchNorm"}

CLOSE = 2  # steps that are drawn larger once more


def _some(runs: Sequence[Record], made_by: str) -> Sequence[Record]:
    if not runs:
        raise LabError(f"There are no runs to draw: {made_by} makes them, or look for the shipped ones.")
    return runs


def _seeds(run: Record) -> list[Record]:
    """The shipped runs of every seed; the run alone where none ship."""
    return over_seeds(run) or [run]


def _percent(axis) -> None:
    axis.yaxis.set_major_formatter(PercentFormatter(1))


def network_of(run: Record) -> str:
    """The network that a record is made from, as folders call it."""
    return {"trained": "dense"}.get(run.config["parent"], run.config["parent"])


def accuracy_over_bits(runs: Sequence[Record]) -> Figure:
    """Validation accuracy over the bits of a weight, rounded and not trained, a panel for each network and a line for each
    way to lay the grids; bands from the lowest to the highest reference seed, where some ship; dotted: float32. Raises
    ``LabError`` where there are no runs."""
    told = "; ".join(
        f"{network_of(run)}: " + ", ".join(f"{name} {run.results[name][-1]:.0%}" for name in WAYS)
        for run in _some(runs, "round_weights")
    )
    alt = f"Validation accuracy from {max(runs[0].config['bits'])} to {min(runs[0].config['bits'])} bits. At the fewest: {told}."
    figure, axes = panels(len(runs), alt, height=3.3, width=5.2 + 3.2 * (len(runs) - 1) + 2, sharey=True)
    for axis, run in zip(axes, runs):
        seeds, bits = _seeds(run), run.config["bits"]
        for i, name in enumerate(WAYS):
            every = np.array([seed.results[name] for seed in seeds])
            if len(seeds) > 1:
                axis.fill_between(bits, every.min(0), every.max(0), color=COLOURS[i], alpha=0.2, lw=0)
            axis.plot(bits, run.results[name], ms=6, label=name, **style(i))
        axis.axhline(run.results["float"], color="black", ls=":", lw=1.2, label="float32")
        axis.set(xlabel="bits of a weight", title=f"{network_of(run)} network", ylim=(0, 1.03), xticks=bits)
        axis.invert_xaxis()
    axes[0].set_ylabel("validation accuracy,\nnot trained")
    _percent(axes[0])
    title = "bands: reference seeds" if any(len(_seeds(run)) > 1 for run in runs) else None
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title)
    return figure


def _before_and_after(axis, runs: Sequence[Record]) -> None:
    """Bars of the accuracy before and after a training, with the seeds as points."""
    for i, (label, of) in enumerate(
        {
            "as it stands": lambda run: run.results["before"],
            "trained": lambda run: run.results["validation_accuracy"],
        }.items()
    ):
        places = [place + 0.38 * (i - 0.5) for place in range(len(runs))]
        bars = axis.bar(places, [of(run) for run in runs], 0.36, **bar_style(i), label=label)
        axis.bar_label(bars, [f"{of(run):.1%}" for run in runs], fontsize=8, padding=2)
        for place, run in zip(places, runs):
            values = [of(seed) for seed in over_seeds(run)]
            axis.plot([place] * len(values), values, ls="", marker="_", ms=9, mew=1.5, color="black")
    _percent(axis)
    axis.grid(False, axis="x")


def _ticks(axis, runs: Sequence[Record]) -> None:
    axis.set_xticks(range(len(runs)), [_weights(run).replace(", ", "\n").replace(" slope", "\nslope") for run in runs])


def _bits(run: Record) -> str:
    bits = run.results["bits"]
    return f"{bits} bit{'s' * (bits > 1)}"


def _weights(run: Record) -> str:
    """The bits, and by which slope they were trained, of weights that are not shared."""
    slope = run.config["method"].get("slope")
    return _bits(run) + (f", {slope} slope" if slope else "")


def low_bits(runs: Sequence[Record]) -> Figure:
    """Validation accuracy with weights of few bits: rounded as they stand, and trained through the rounding; short lines:
    the reference seeds. Raises ``LabError`` where there are no runs."""
    runs = sorted(
        _some(runs, "train_in_bits"),
        key=lambda run: (-run.results["bits"], SLOPES.index(run.config["method"]["slope"])),
    )
    told = "; ".join(
        f"{_weights(run)} {run.results['before']:.1%}, trained {run.results['validation_accuracy']:.1%}" for run in runs
    )
    figure, (axis,) = panels(1, f"Validation accuracy before and after training at low bits: {told}.", 3.3, 8.2)
    _before_and_after(axis, runs)
    _ticks(axis, runs)
    axis.set(xlabel=f"bits of a weight ({network_of(runs[0])} network)", ylabel="validation accuracy", ylim=(0, 1.12))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def sharing_accuracy(runs: Sequence[Record]) -> Figure:
    """Left: validation accuracy with shared weights by the bits of an index, before and after the codebooks were trained;
    short lines: the reference seeds. Right: the bytes of the network, packed and in Huffman's code. Raises ``LabError``
    where there are no runs."""
    runs = sorted(_some(runs, "train_shared"), key=lambda run: -run.results["bits"])
    told = "; ".join(
        f"{_bits(run)} {run.results['before']:.1%}, trained {run.results['validation_accuracy']:.1%}, "
        f"{_packed(run) / 1000:.0f} kB, coded {_coded(run) / 1000:.0f} kB"
        for run in runs
    )
    figure, (left, right) = panels(2, f"Shared weights by the bits of an index: {told}.", 3.4, 10.2)
    _before_and_after(left, runs)
    left.set(ylabel="validation accuracy", ylim=(0, 1.12))
    for i, (label, size) in enumerate({"packed": _packed, "Huffman": _coded}.items()):
        places = [place + 0.38 * (i - 0.5) for place in range(len(runs))]
        bars = right.bar(places, [size(run) / 1000 for run in runs], 0.36, **bar_style(2 + i), label=label)
        right.bar_label(bars, [f"{size(run) / 1000:.0f}" for run in runs], fontsize=8, padding=2)
    right.set(ylabel="network, kB")
    right.margins(y=0.12)
    right.grid(False, axis="x")
    for axis in (left, right):
        _ticks(axis, runs)
        axis.set_xlabel(f"bits of an index ({network_of(runs[0])} network)")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    return figure


def _packed(run: Record) -> int:
    return sum(run.results["bytes"].values())


def _coded(run: Record) -> int:
    size = run.results["bytes"]
    return run.results["coded"] + size["codebooks"] + size["others"]


def compression_steps(run: Record) -> Figure:
    """Bytes of the whole network after each step of Deep Compression, by part, with the validation accuracy; how many times
    smaller than the dense network."""
    steps = run.results["steps"]
    totals = [sum(step["bytes"].values()) for step in steps]
    told = "; ".join(
        f"{step['step']} {total / 1000:.0f} kB at {step['accuracy']:.1%}" for step, total in zip(steps, totals)
    )
    alt = f"Size and accuracy after each step: {told}. Right: the last steps, by part."
    figure, axes = panels(2, alt, height=4.1, width=11, width_ratios=[len(steps), CLOSE])
    for axis, first in zip(axes, (0, len(steps) - CLOSE)):
        _stacked(axis, steps[first:])
        axis.set(xlabel="step", ylim=(0, 1.25 * totals[first] / 1000))
    at = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 9}
    for place, (step, total) in enumerate(zip(steps, totals)):
        times = f"{totals[0] / total:.1f}× smaller\n" if place else ""
        text = f"{total / 1000:,.0f} kB\n{times}accuracy {step['accuracy']:.1%}"
        axes[0].annotate(text, (place, total / 1000), (0, 4), **at)
    for place, total in enumerate(totals[-CLOSE:]):
        axes[1].annotate(f"{total / 1000:,.0f} kB", (place, total / 1000), (0, 4), **at)
    axes[0].set_ylabel("network, kB")
    axes[1].set_title("the last steps, larger", fontsize=10)
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _stacked(axis, steps: list[dict]) -> None:
    """A bar for each step, its kB by part."""
    bottom = np.zeros(len(steps))
    for i, part in enumerate(PARTS):
        heights = np.array([step["bytes"][part] / 1000 for step in steps])
        axis.bar(range(len(steps)), heights, 0.62, bottom, label=LEGEND[part], **bar_style(i))
        bottom += heights
    axis.set_xticks(range(len(steps)), [STEPS[step["step"]] for step in steps])
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.grid(False, axis="x")


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure of rounded and shared weights that the runs in ``folder`` allow, by file name."""
    drawn = {}
    if rounded := load_all(folder, ROUNDED):
        drawn["quantization-bits"] = accuracy_over_bits(rounded)
    if trained := load_all(folder, LOW_BITS):
        drawn["quantization-low-bits"] = low_bits(trained)
    if shared := [run for run in load_all(folder, SHARED) if run.config["parent"] == "thin"]:
        drawn["quantization-sharing"] = sharing_accuracy(shared)
    for run in load_all(folder, COMPRESSED):
        drawn["quantization-compression"] = compression_steps(run)
    return drawn


def _rounded_table(runs: Sequence[Record]) -> str:
    """A row for each network and way, a column for each number of bits; over the seeds."""
    rows = [
        [f"{network_of(run)}, {name}", *(band([seed.results[name][i] for seed in seeds]) for i in range(len(bits)))]
        for run, seeds, bits in ((run, _seeds(run), run.config["bits"]) for run in runs)
        for name in WAYS
    ]
    return markdown(["rounded, not trained", *(f"{bits} bits" for bits in runs[0].config["bits"])], rows)


def _trained_table(runs: Sequence[Record]) -> str:
    """A row for each network with few bits or shared weights: as it stands, trained, and its size in kB; over the seeds."""
    rows = []
    for run in sorted(runs, key=lambda run: (run.kind, network_of(run), -run.results["bits"])):
        seeds, shared = _seeds(run), run.kind == SHARED
        what = _weights(run) + ", shared" * shared
        before, after = ([seed.results[key] for seed in seeds] for key in ("before", "validation_accuracy"))
        sizes = [f"{mean(map(size, seeds)) / 1000:.0f}" if shared else "–" for size in (_packed, _coded)]
        rows.append([f"{network_of(run)}, {what}", band(before), band(after), *sizes])
    return markdown(["weights", "as they stand", "trained", "kB, packed", "kB, Huffman"], rows)


def _steps_table(run: Record) -> str:
    """A row for each step of Deep Compression: accuracy and kB; over the seeds."""
    rows, seeds = [], _seeds(run)
    for i, step in enumerate(run.results["steps"]):
        found = [seed.results["steps"][i] for seed in seeds]
        size = mean(sum(row["bytes"].values()) for row in found)
        rows.append([step["step"], band([row["accuracy"] for row in found]), f"{size / 1000:,.0f}"])
    return markdown(["Deep Compression", "validation accuracy", "kB"], rows)


def results(folder: Path) -> str:
    """The tables of every experiment in ``folder``."""
    pages = []
    for lab in folders_with_runs(folder):
        rounded, trained = load_all(lab, ROUNDED), [*load_all(lab, LOW_BITS), *load_all(lab, SHARED)]
        tables = ([_rounded_table(rounded)] if rounded else []) + ([_trained_table(trained)] if trained else [])
        tables += [_steps_table(run) for run in load_all(lab, COMPRESSED)]
        if tables:
            pages.append("\n\n".join([f"## {experiment_name(lab)}: fewer bits, shared weights", *tables]))
    return "\n\n".join(pages)
