"""Pictures of Network Slimming's ideas, drawn from no record: for a reader who sees them for the first time."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor, nn

from labkit.pruning import ChannelPlan, Scores
from labkit.settings import LabError
from labkit.view.plots import COLOURS, bar_style, panels, style

FEW = 20  # channels up to which each has a name on the axis
MOST = 10  # channels up to which a matrix's numbers can be read
ENTRY = 1.9  # the width of a column of numbers, in cells


def families() -> Figure:
    """Five ways to make a layer's 8x8 weight matrix cheaper, as pictures of |weight|: dark is large, white is gone."""
    figure, axes = panels(
        5,
        "Five pictures of a weight matrix, one square per weight, one row per filter, dark where the weight is large: dense, "
        "8 by 8; unstructured pruning, half of the squares white, the shape as before; structured pruning, the four "
        "strongest rows as a smaller matrix, 4 by 8; quantization, 8 by 8 in four shades of grey; distillation, "
        "another matrix, 4 by 4.",
        height=3.1,
        width=9.4,
    )
    weights = abs(np.random.RandomState(1).randn(8, 8))
    strongest = np.sort(np.argsort(weights.sum(1))[4:])
    pictures = {
        "dense": (weights, "64 weights × 32 bit"),
        "unstructured\npruning": (np.where(weights < np.median(weights), np.nan, weights), "32 weights,\nsame shape"),
        "structured\npruning": (weights[strongest], "4 filters left:\na smaller layer"),
        "quantization": (np.clip(np.floor(weights / 0.6), 0, 3) * 0.6 + 0.3, "64 weights × 3 bit:\n4 sizes, + or −"),
        "distillation": (abs(np.random.RandomState(2).randn(4, 4)), "a small network,\ntaught by the large"),
    }
    for axis, (title, (picture, note)) in zip(axes, pictures.items()):
        _cells(axis, picture)
        axis.set(title=title, xlim=(-0.1, 8.1), ylim=(8.1, -0.1), xticks=[], yticks=[])
        axis.set_xlabel(note, fontsize=9)
        axis.spines[:].set_visible(False)
    axes[0].set_ylabel("filters")
    figure.supxlabel("one square = one weight; dark = large |w|, white = gone", fontsize=10)
    return figure


def _cells(axis: Axes, sizes) -> None:
    """A matrix of sizes (rows, columns) as squares of one unit, row 0 at the top; NaN is white."""
    axis.pcolormesh(
        np.ma.masked_invalid(sizes), cmap="Greys", vmin=-0.3 * np.nanmax(sizes), vmax=np.nanmax(sizes),
        edgecolors="0.6", linewidth=0.6,
    )  # fmt: skip
    axis.set_aspect("equal")
    axis.grid(False)


def pipeline(channels: int = 1376) -> Figure:
    """The way through the course: what each step does, in which notebook, and what it hands on.
    ``channels``: of the network at the start; the quick profile's, if not given."""
    figure, axes = panels(
        1,
        f"Four boxes in a row, joined by arrows. A network with {channels} channels goes into: train with L1 on γ, "
        "notebook 01; many γ near 0 go into: rank all |γ|, notebooks 02 and 03; a plan goes into: prune, notebook 03; "
        "a thin network goes into: fine-tune, notebook 04; the accuracy is back. A dashed arrow leads from fine-tune "
        "back to train: the paper says that this may be repeated.",
        height=2.0,
        width=9.4,
    )
    steps = {
        "train with\nL1 on γ": "notebook 01",
        "rank\nall |γ|": "notebooks 02, 03",
        "prune": "notebook 03",
        "fine-tune": "notebook 04",
    }
    handed_on = (
        f"a network,\n{channels}\nchannels",
        f"{channels}\nchannels,\nmany γ\nnear 0",
        "a plan:\nwhich\nchannels\nstay",
        "a thin\nnetwork",
        "accuracy\nback",
    )
    axis, box, gap = axes[0], 1.12, 0.92  # in inches, as the axes' units
    axis.set(xlim=(0, 9.2), ylim=(0, 1.9), aspect="equal")
    axis.axis("off")
    arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 0, "color": "black"}
    starts = [gap + i * (box + gap) for i in range(len(steps))]
    for start, (step, notebook) in zip(starts, steps.items()):
        axis.add_patch(FancyBboxPatch((start, 0.75), box, 0.7, boxstyle="round,pad=0,rounding_size=0.08", fc="0.93"))
        axis.text(start + box / 2, 1.1, step, ha="center", va="center", weight="bold")
        axis.text(start + box / 2, 0.7, notebook, ha="center", va="top", fontsize=9)
    for end, thing in zip([*starts, starts[-1] + box + gap], handed_on):
        axis.add_patch(FancyArrowPatch((end - gap, 1.1), (end, 1.1), **arrow))
        axis.text(end - gap / 2, 1.2, thing, ha="center", va="bottom", fontsize=9)
    first, last = starts[0] + box / 2, starts[-1] + box / 2
    axis.plot((last, last, first, first), (0.45, 0.15, 0.15, 0.4), color="black", ls="--", lw=1.2)
    axis.add_patch(FancyArrowPatch((first, 0.35), (first, 0.5), **arrow))
    axis.text((first + last) / 2, 0.2, "the paper: may be repeated", ha="center", va="bottom", fontsize=9)
    return figure


def penalty_slopes() -> Figure:
    """Why L1 brings a γ to zero and L2 does not: the slopes of |γ| and of γ², at the same five γ."""
    figure, axes = panels(
        2,
        "Left: |γ| over γ, a V. The tangents have slope −1 at γ = −1 and at γ = −0.5, +1 at γ = 0.5 and at γ = 1: as "
        "steep near 0 as far from it. At 0 there is a fan of lines: any slope from −1 to +1 is possible, and the lab "
        "takes 0. Right: γ² over γ, a parabola. Its tangents have slope −2 at γ = −1, −1 at γ = −0.5, 0 at 0, +1 at "
        "γ = 0.5 and +2 at γ = 1: the nearer to 0, the weaker.",
        height=3.2,
        width=9.4,
    )
    pictures = (
        (
            "L1: the same slope until γ is 0",
            "|γ|",
            1,
            (-1, -1, 0, 1, 1),
            "at 0: any slope from −1 to +1;\nthe lab takes 0",
        ),
        ("L2: a slope that vanishes with γ", "γ²", 2, (-2, -1, 0, 1, 2), "at 0: slope 0"),
    )
    gamma = np.linspace(-1.7, 1.7, 201)
    for slope in np.linspace(-1, 1, 11):
        _line(axes[0], 0, 0, slope, 0.45, color="0.45", lw=0.8)
    for axis, (title, name, power, slopes, at_zero) in zip(axes, pictures):
        axis.plot(gamma, abs(gamma) ** power, color=COLOURS[9], lw=5)
        for at, slope in zip((-1, -0.5, 0, 0.5, 1), slopes):
            height = abs(at) ** power
            _line(axis, at, height, slope, 0.3, color="black", lw=1.6, ls="--")
            axis.plot(at, height, "o", color="black", ms=5)
            if at:
                text, left = f"slope {slope:+d}".replace("-", "−"), at < 0
                x = at - 0.12 if left else at + 0.12
                axis.text(x, height - 0.1, text, ha="right" if left else "left", va="center", fontsize=9)
        axis.text(0, -0.4, at_zero, ha="center", va="top", fontsize=9)
        axis.set(title=title, xlabel="scaling factor γ", ylabel=name, ylim=(-0.85, 1.7))
        axis.set(xticks=(-1, -0.5, 0, 0.5, 1), yticks=(0, 1))
        axis.grid(False, axis="x")
    return figure


def _line(axis: Axes, x: float, y: float, slope: float, reach: float, **look) -> None:
    """A straight line of ``slope`` through (x, y) that goes ``reach`` to either side."""
    run = reach / np.hypot(1, slope)
    axis.plot((x - run, x + run), (y - run * slope, y + run * slope), **look)


def batchnorm_channels() -> Figure:
    """Three channels' values before BatchNorm, normalised, and times γ plus β, as histograms; made up, seed 0."""
    gammas, betas = (1.0, 0.3, 0.0), (0.0, -1.0, 1.0)
    figure, axes = panels(
        3,
        "Histograms of three channels, one below the other. As the convolution gives them, one is narrow, one wide, one "
        "far from zero and skewed. Normalised, all three have mean 0 and standard deviation 1. After γ and β, the first, "
        "γ = 1, is as wide as before; the second, γ = 0.3, is narrow around its β = −1; the third, γ = 0, is a single "
        "line at its β = 1.",
        height=3.6,
        width=9.4,
    )
    random = np.random.RandomState(0)
    before = (
        0.4 * random.randn(4000) + 1,
        4 * random.randn(4000) - 3,
        random.gamma(3, 1.3, 4000) + 4,
    )
    normalised = [(x - x.mean()) / x.std() for x in before]
    after = [gamma * x + beta for x, gamma, beta in zip(normalised, gammas, betas)]
    for axis, channels, reach in zip(axes, (before, normalised, after), ((-19, 19), (-4.5, 4.5), (-4.5, 4.5))):
        for i, values in enumerate(channels):
            counts, edges = np.histogram(values, np.linspace(*reach, 82))
            axis.stairs(0.8 * counts / counts.max() - i, edges, baseline=-i, fill=True, color=COLOURS[i])
            axis.axhline(-i, color="black", lw=0.8)
        axis.set(xlim=reach, ylim=(-2.05, 1.05), yticks=[])
        axis.grid(False, axis="y")
    axes[0].set_yticks([0.35, -0.65, -1.65], ["channel 0", "channel 1", "channel 2"])
    axes[0].set(title="as the convolution gives it", xlabel="x", ylabel="how often (each to its own peak)")
    axes[1].set(title="normalised: all alike", xlabel="x̂ = (x − mean) / standard deviation")
    axes[2].set(title="times γ, plus β", xlabel="y = γ x̂ + β")
    for i, (gamma, beta) in enumerate(zip(gammas, betas)):
        axes[2].text(-4.3, 0.6 - i, f"γ = {gamma:g}\nβ = {beta:g}".replace("-", "−"), va="center", fontsize=9)
    axes[2].text(1.25, -1.6, "always β", va="center", fontsize=9)
    return figure


def ranking(scores: Scores, plan: ChannelPlan, names: dict[str, str] | None = None) -> Figure:
    """What a plan of ``pruning.global_plan`` does: left all channels in one row by their score, right the same by layer.

    ``scores``: |γ| by layer, (channels,) each, those of the plan. ``names``: the layers' names in the picture; the
    last part of their own, if not given. Filled: stays; hollow: cut; ringed: saved by the guard, that is kept
    although a higher channel is cut. Up to 20 channels have their names on the axis.

    Raises ``LabError`` for scores of other layers or widths than the plan's, and if no score is above 0.
    """
    counts = {layer: len(score) for layer, score in scores.items()}
    if counts != plan.total:
        raise LabError(f"The plan is for layers of {plan.total} channels, the scores for {counts}: make it from these.")
    names = names or {layer: layer.rpartition(".")[2] for layer in scores}
    everything, kept = torch.cat(list(scores.values())), torch.cat([plan.mask(layer) for layer in scores])
    if not (everything > 0).any():
        raise LabError("No score is above 0, and a logarithmic axis shows no other: give |γ| of a trained network.")
    place = everything.argsort(stable=True).argsort()  # 0 for the lowest; ties as in ``global_plan``
    saved = kept & (place < place[~kept].max()) if not kept.all() else torch.zeros_like(kept)
    few, lengths = len(everything) <= FEW, list(counts.values())
    figure, (row, layers) = panels(
        2,
        f"Left: {len(everything)} channels of {len(scores)} layers in a row, sorted by |γ|. {int((~kept).sum())} are "
        f"hollow: cut; {int(kept.sum())} are filled: they stay; of these {int(saved.sum())} are ringed: saved by the "
        "guard, although a higher channel is cut. The threshold is a dashed line. Right: the same channels by layer; "
        f"left are {', '.join(f'{len(plan.kept[layer])} of {counts[layer]} in {names[layer]}' for layer in scores)}.",
        height=3.6,
        width=9.4,
        sharey=True,
        width_ratios=(3, 2),
    )
    floor = float(everything[everything > 0].min()) / 2
    heights = everything.clamp(min=floor)  # a logarithm has no 0
    lane = torch.cat([i + 0.7 * ((torch.arange(count) + 0.5) / count - 0.5) for i, count in enumerate(lengths)])
    for axis, x in ((row, place), (layers, lane)):
        for i, (xs, ys, stays) in enumerate(zip(x.split(lengths), heights.split(lengths), kept.split(lengths))):
            points = style(i) | {"ls": "", "ms": 7 if few else 3, "mew": 1 if few else 0.6, "rasterized": not few}
            axis.plot(xs[stays], ys[stays], **points)
            axis.plot(xs[~stays], ys[~stays], mfc="white", **points)
        ring = {"ls": "", "marker": "o", "ms": 14 if few else 9, "mfc": "none", "mec": "black"}
        axis.plot(x[saved], heights[saved], label="saved by the guard" if saved.any() else None, **ring)
        if plan.threshold is not None:
            axis.axhline(max(plan.threshold, floor), color="black", ls="--", lw=1.2, label="threshold: the highest cut")
    lowest = "; 0 at the lower edge" if (everything == 0).any() else ""
    row.set(xlabel="channel, sorted by |γ|", ylabel=f"scaling factor |γ|\n(log scale{lowest})", yscale="log")
    slanted = {"rotation": 60, "ha": "right", "rotation_mode": "anchor", "fontsize": 9}
    if few:
        labels = [f"{names[layer]}[{channel}]" for layer in scores for channel in range(counts[layer])]
        row.set_xticks(place, labels, **slanted)
    layers.set_xticks(range(len(scores)), [names[layer] for layer in scores], **slanted)
    layers.set(xlabel="layer")
    layers.grid(False, axis="x")
    row.legend(
        *row.get_legend_handles_labels(), loc="lower right", fontsize=8, title_fontsize=8,
        title="filled: stays; hollow: cut",
    )  # fmt: skip
    return figure


def surgery(conv: nn.Conv2d, norm: nn.BatchNorm2d, reader: nn.Module, inputs: Tensor, kept: Tensor) -> Figure:
    """What pruning takes away from a convolution, its BatchNorm and the layer that reads them, with real indices.

    ``reader``: the next ``Conv2d`` or ``Linear``. ``inputs``, ``kept``: int64, ascending, the convolution's input and
    output channels that stay. A cell is the mean |w| of a kernel; what goes is crossed; "3→1" is
    channel 3, which becomes channel 1. For 10 channels per axis at most.

    Raises ``LabError`` for layers that do not fit together, indices that the convolution lacks, or more channels.
    """
    rows, columns, outputs, reads = *conv.weight.shape[:2], *reader.weight.shape[:2]
    if not rows == norm.num_features == reads:
        raise LabError(
            f"The convolution has {rows} channels, the BatchNorm {norm.num_features} and the next layer reads {reads}: "
            "give three layers that follow each other."
        )
    tallest, inputs, kept = max(rows, outputs), inputs.tolist(), kept.tolist()
    if max(tallest, columns) > MOST:
        raise LabError(f"The widest layer has {max(tallest, columns)} channels: give layers of {MOST} at most.")
    for left, count in ((inputs, columns), (kept, rows)):
        if left != sorted(set(left) & set(range(count))):
            raise LabError(f"The channels {left} that stay are not ascending numbers below {count}: sort or mend them.")
    unread, gone = sorted(set(range(columns)) - set(inputs)), sorted(set(range(rows)) - set(kept))
    widths = columns, 4 * ENTRY, rows
    cell = min(0.36, 7.5 / sum(widths))  # inches
    figure, (left, middle, right) = panels(
        3,
        f"Three panels. The convolution's weight, {rows} filters by {columns} input channels; crossed out are filters "
        f"{gone} and inputs {unread}. The BatchNorm's γ, β, running mean and running variance, one row per channel; crossed "
        f"out are rows {gone}. The next layer's weight, {outputs} outputs by {rows} inputs; crossed out are inputs "
        f"{gone}. Inputs {inputs} and channels {kept} stay and are numbered anew, from 0.",
        height=1.5 + cell * tallest,
        width=1.9 + cell * sum(widths),
        width_ratios=widths,
    )
    _matrix(left, conv.weight, gone, unread)
    _numbers(left.yaxis, rows, kept)
    _numbers(left.xaxis, columns, inputs)
    left.set(title=f"convolution\n{rows}×{columns} → {len(kept)}×{len(inputs)}", xlabel="input", ylabel="filter")
    _entries(middle, norm, gone)
    _numbers(middle.yaxis, rows, kept)
    middle.set(title=f"BatchNorm\n{rows} → {len(kept)} channels", ylabel="channel")
    _matrix(right, reader.weight, (), gone)
    _numbers(right.xaxis, rows, kept)
    right.set_yticks([i + 0.5 for i in range(outputs)], range(outputs), fontsize=8)
    right.set(title=f"next layer\n{outputs}×{rows} → {outputs}×{len(kept)}", xlabel="input", ylabel="output")
    for axis in (left, middle, right):
        axis.set(ylim=(tallest + 0.05, -0.05), aspect="equal")
        axis.spines[:].set_visible(False)
    example = f"; {kept[-1]}→{len(kept) - 1}: {kept[-1]} becomes {len(kept) - 1}" if kept else ""
    figure.supxlabel(f"dark = large mean |w| of a kernel; crossed = removed{example}", fontsize=9)
    return figure


def _matrix(axis: Axes, weight: Tensor, rows, columns) -> None:
    """A layer's weight, (out, in) or (out, in, height, width), as cells of mean |w|; ``rows``, ``columns``: crossed."""
    height, width = weight.shape[:2]
    _cells(axis, weight.detach().abs().float().cpu().reshape(height, width, -1).mean(2).numpy())
    for row in rows:
        _cross(axis, 0, row, width, 1)
    for column in columns:
        _cross(axis, column, 0, 1, height)


def _cross(axis: Axes, x: float, y: float, width: float, height: float) -> None:
    axis.add_patch(Rectangle((x, y), width, height, fc=(1, 1, 1, 0.75), ec="black", hatch="xx", lw=1))


def _entries(axis: Axes, norm: nn.BatchNorm2d, gone: list[int]) -> None:
    """γ, β, running mean and running variance as numbers, one row per channel; ``gone``: crossed."""
    columns = {"γ": norm.weight, "β": norm.bias, "running\nmean": norm.running_mean, "running\nvar.": norm.running_var}
    for column, values in enumerate(columns.values()):
        for row, value in enumerate(values.tolist()):
            text, colour = f"{value:.2f}".replace("-", "−"), "0.45" if row in gone else "black"
            axis.text((column + 0.5) * ENTRY, row + 0.5, text, ha="center", va="center", color=colour, fontsize=9)
    for row in gone:
        axis.plot((0.1, len(columns) * ENTRY - 0.1), (row + 0.5, row + 0.5), color="black", lw=1.2)
    axis.set_xlim(0, len(columns) * ENTRY)
    axis.set_xticks([(column + 0.5) * ENTRY for column in range(len(columns))], list(columns), fontsize=9)
    axis.xaxis.tick_top()
    axis.grid(False)


def _numbers(axis: Axis, count: int, left: list[int]) -> None:
    """An axis's channel numbers: "3→1" in bold for one that stays, with its new number."""
    if axis.axis_name == "x":
        axis.tick_top()
        axis.set_label_position("top")
    new = {channel: f"{channel}→{i}" for i, channel in enumerate(left)}
    axis.set_ticks([i + 0.5 for i in range(count)], [new.get(i, f"{i}") for i in range(count)], fontsize=8)
    for i, label in enumerate(axis.get_ticklabels()):
        label.set(**({"weight": "bold"} if i in new else {"color": "0.45"}))


def guard(before: ChannelPlan, after: ChannelPlan) -> Figure:
    """Channels left in every layer by one ratio, without (``before``) and with (``after``) the guard.
    Raises ``LabError`` for plans of two networks."""
    if before.total != after.total:
        raise LabError("The two plans are for other layers or widths: make both from the same scores.")
    emptied = [layer for layer, kept in before.kept.items() if not kept]
    figure, axes = panels(
        2,
        "Bars: channels left in every layer, without and with the guard. "
        f"Without: {before.widths}, no channel left in {', '.join(emptied) or 'no layer'}. "
        f"With: {after.widths}, saved in {', '.join(after.guarded) or 'no layer'}.",
        height=3.6,
        width=9.4,
        sharey=True,
    )
    total = list(before.total.values())
    x = np.arange(1, len(total) + 1)
    marks = {layer: "no channel: nothing passes" for layer in emptied}, dict.fromkeys(after.guarded, "guard")
    for axis, title, plan, notes in zip(axes, ("without guard", "with guard"), (before, after), marks):
        axis.bar(x, total, color="white", edgecolor="0.6", label="before pruning")
        bars = axis.bar(x, plan.widths, **bar_style(1), label="left")
        axis.bar_label(bars, fontsize=8)
        for at, (layer, width) in zip(x, zip(plan.total, plan.widths)):
            if layer in notes:
                axis.annotate(
                    notes[layer], (at, width), (0, 12), textcoords="offset points",
                    rotation=90, ha="center", va="bottom", fontsize=9, weight="bold",
                )  # fmt: skip
        axis.set(xlabel="convolution", xticks=x, title=title)
        axis.tick_params("x", labelsize=8)
    axes[0].set_ylabel("channels")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
