"""Pictures of rounding and of shared weights, drawn from numbers and from no record."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from labkit.methods.quantization.affine import Grid, ScaleAndZeroPoint, channel_errors, grid
from labkit.methods.quantization.compression import relative
from labkit.methods.quantization.huffman import code_lengths, codes, entropy
from labkit.methods.quantization.sharing import index_bits, pack
from labkit.view.plots import COLOURS, bar_style, panels, style

PLACES = 1201  # at which a curve is drawn
BARS = 80  # of a histogram
TINT = ("#dbe7f3", "#f6e3cf", "#dcefe3", "#ecdff0")  # of the entries of a small codebook; the numbers say the same
WEIGHTS = (-1.2, -0.8, -0.65, -0.55, -0.2, 0.1, 0.25, 1.8)  # of the picture of k-means
CENTRES = ((-1.2, -0.2, 0.8, 1.8), (-1.0, -0.21, 0.8, 1.8), (-0.883, -0.1, 0.8, 1.8), (-0.8, 0.05, 0.8, 1.8))
OWNERS = ((0, 0, 1, 1, 1, 1, 1, 3), (0, 0, 0, 1, 1, 1, 1, 3), (0, 0, 0, 0, 1, 1, 1, 3), (0, 0, 0, 0, 1, 1, 1, 3))
SMALL = (  # Deep Compression, figure 3: 4 by 4 weights, the group and the gradient of each; the number that a group shares
    ((2.09, -0.98, 1.48, 0.09), (0.05, -0.14, -1.08, 2.12), (-0.91, 1.92, 0.0, -1.03), (1.87, 0.0, 1.53, 1.49)),
    ((3, 0, 2, 1), (1, 1, 0, 3), (0, 3, 1, 0), (3, 1, 2, 2)),
    ((-0.03, -0.01, 0.03, 0.02), (-0.01, 0.01, -0.02, 0.12), (-0.01, 0.02, 0.04, 0.01), (-0.07, -0.02, 0.01, -0.02)),
    (-1.0, 0.0, 1.5, 2.0),
)


def _lines(scale: float, zero_point: int, bits: int) -> Grid:
    return Grid(torch.tensor(scale), torch.tensor(zero_point), bits)


def _outside(axis, low: float, high: float, label: str | None = None) -> None:
    """Shade what lies beyond the grid."""
    start, end = axis.get_xlim()
    for i, (left, right) in enumerate(((start, low), (high, end))):
        axis.axvspan(left, right, color="0.88", zorder=0, label=None if i else label)
    axis.set_xlim(start, end)


def _around(lines: Grid) -> tuple[Tensor, float, float]:
    """Places from a third of a grid's length before it to as much behind, and its ends."""
    low, high = lines.values(torch.tensor([0, 2**lines.bits - 1])).tolist()
    margin = (high - low) / 3
    return torch.linspace(low - margin, high + margin, PLACES), low, high


def staircase(scale: float = 0.25, zero_point: int = 3, bits: int = 3) -> Figure:
    """What comes out of rounding to a grid (left), and the error (right), for every value that comes in; grey is what
    lies outside and becomes the grid's end."""
    lines = _lines(scale, zero_point, bits)
    x, low, high = _around(lines)
    y, half = lines.nearest(x), scale / 2
    alt = (
        f"Left: {2**bits} stairs from {low:g} to {high:g}, {scale:g} apart; values outside become an end. Right: the error is "
        f"at most {half:g} inside, and grows with every step outside."
    )
    figure, (left, right) = panels(2, alt, height=3.3, width=9.2)
    plain = style(0) | {"marker": ""}
    left.plot(x, x, color="0.5", ls=":", lw=1.2, label="not rounded")
    left.plot(x, y, **plain, lw=2, label="rounded")
    right.plot(x, y - x, **plain, lw=1.5)
    for side in (-half, half):
        right.axhline(side, color="black", ls="--", lw=1, label="± scale / 2" if side > 0 else None)
    for axis in (left, right):
        axis.set(xlabel="value that comes in", xlim=(float(x[0]), float(x[-1])))
        _outside(axis, low, high, "outside: saturated")
    left.set(ylabel="value that comes out")
    whole = left.secondary_yaxis(
        "right", functions=(lambda r: r / scale + zero_point, lambda q: (q - zero_point) * scale)
    )
    whole.set_yticks(range(2**bits) if bits < 4 else range(0, 2**bits, 2 ** (bits - 3)))
    whole.set_ylabel("integer that is stored")
    right.set(ylabel="error")
    left.legend(loc="upper left", fontsize=8)
    right.legend(loc="upper right", fontsize=8)
    return figure


def straight_through(scale: float = 0.25, zero_point: int = 3, bits: int = 3) -> Figure:
    """Three slopes of rounding: what a small step measures (left), the true one (middle), and the one that is put in its
    place (right): 1 inside, 0 outside."""
    lines = _lines(scale, zero_point, bits)
    x, low, high = _around(lines)
    edges = (lines.values(torch.arange(2**bits - 1)) + scale / 2).tolist()
    alt = (
        f"A staircase from {low:g} to {high:g}. Its true slope is 0, and not defined at {len(edges)} jumps. The straight-through "
        "slope is 1 inside, as of the dotted line, and 0 outside, where the output does not move."
    )
    figure, axes = panels(3, alt, height=2.9, width=10, sharex=True)
    plain = style(0) | {"marker": "", "lw": 2}
    axes[0].plot(x, x, color="0.5", ls=":", lw=1.5, label="not rounded")
    axes[0].plot(x, lines.nearest(x), **plain, label="rounded")
    axes[0].legend(loc="upper left", fontsize=8)
    axes[1].plot(x, torch.zeros_like(x), **plain)
    axes[1].vlines(edges, 0, 1.3, color=COLOURS[3], lw=1, ls=":", label="jumps")
    axes[1].legend(loc="upper left", fontsize=8)
    inside = [math.nan if value in (low, high) else float(low < value < high) for value in x.tolist()]
    axes[2].plot(x, inside, **plain)
    titles = ("forward", "the true slope", "the slope that is used")
    for axis, title in zip(axes, titles):
        axis.set(xlabel="value that comes in", title=title, xlim=(float(x[0]), float(x[-1])))
        _outside(axis, low, high)
    axes[0].set_ylabel("value that comes out")
    for axis in axes[1:]:
        axis.set(ylabel="slope", ylim=(-0.1, 1.45))
    return figure


def error_by_channel(weight: Tensor, bits: int, scale_and_zero_point: ScaleAndZeroPoint) -> Figure:
    """The range of each channel of a weight (channels, …), sorted by length, and how far rounding moves its weights, in
    shares of their own size: with one grid for all, and with one for each. Raises ``LabError`` as ``grid`` does."""
    rows = weight.detach().flatten(1).cpu()
    low, high = rows.amin(1), rows.amax(1)
    order = (high - low).argsort()
    errors = {name: values[order] for name, values in channel_errors(rows, bits, scale_and_zero_point).items()}
    step = float(grid(rows, bits, scale_and_zero_point).scale)
    means = ", ".join(f"{name} {float(values.mean()):.0%}" for name, values in errors.items())
    alt = (
        f"Left: the ranges of {len(rows)} channels, from {float((high - low).min()):.2g} to {float((high - low).max()):.2g} "
        f"long; dotted: the one grid of {2**bits} numbers, {step:.2g} apart. Right: the error by channel, on average {means}."
    )
    figure, (left, right) = panels(2, alt, height=3.3, width=9.6)
    place = range(1, len(rows) + 1)
    if bits <= 5:
        lines = grid(rows, bits, scale_and_zero_point)
        left.hlines(lines.values(torch.arange(2**bits)), 0, len(rows) + 1, color="0.55", ls=":", lw=0.8)
    left.vlines(place, low[order], high[order], color=COLOURS[0], lw=max(1.5, 150 / len(rows)))
    left.set(ylabel="weights, from smallest to largest", xlim=(0, len(rows) + 1))
    for i, (name, values) in enumerate(errors.items()):
        right.plot(place, values, **style(i), ms=4, lw=1, label=f"one grid {name}")
    right.set(ylabel="error / size of the weights", ylim=(0, None), xlim=(0, len(rows) + 1))
    for axis in (left, right):
        axis.set_xlabel("channel, sorted by the length of its range")
    left.set_title(f"dotted: one grid of {bits} bits" if bits <= 5 else "ranges")
    right.set_title(f"rounded to {bits} bits")
    right.legend(fontsize=9)
    return figure


def levels_used(values: Tensor, bits: int, scale_and_zero_point: ScaleAndZeroPoint) -> Figure:
    """A histogram of activations, and the grids that a symmetric and an affine quantization lay over them."""
    flat = values.detach().flatten().cpu()
    grids = {
        name: grid(flat, bits, scale_and_zero_point, symmetric=name == "symmetric") for name in ("symmetric", "affine")
    }
    used = {name: len(lines.integers(flat).unique()) for name, lines in grids.items()}
    errors = {name: float((lines.nearest(flat) - flat).square().mean().sqrt()) for name, lines in grids.items()}
    said = "; ".join(f"{name}: {used[name]} of {2**bits} numbers used, error {errors[name]:.2g}" for name in grids)
    figure, axes = panels(
        2, f"A histogram of activations, and two grids of {bits} bits. {said}.", 3.1, 9.6, sharex=True, sharey=True
    )
    for i, (axis, (name, lines)) in enumerate(zip(axes, grids.items())):
        levels = lines.values(torch.arange(2**bits))
        axis.hist(flat.numpy(), BARS, color="0.7", log=True)
        heights = axis.get_ylim()
        axis.vlines(levels, *heights, color=COLOURS[i], lw=1.2, ls=style(i)["ls"])
        axis.set(xlabel="activation", ylim=heights)
        axis.set_title(f"{name}: {used[name]} of {2**bits} numbers used\nroot mean square error {errors[name]:.2g}")
    axes[0].set_ylabel("activations (log scale)")
    return figure


def _cells(axis, numbers: Sequence[Sequence], groups, title: str, text: str = "{}") -> None:
    """A matrix of numbers, tinted by group."""
    for row, (line, tints) in enumerate(zip(numbers, groups)):
        for column, (number, group) in enumerate(zip(line, tints)):
            axis.add_patch(Rectangle((column, row), 1, 1, fc=TINT[group % len(TINT)], ec="0.4", lw=0.8))
            axis.text(column + 0.5, row + 0.5, text.format(number), ha="center", va="center", fontsize=9)
    axis.set(
        xlim=(-0.05, len(numbers[0]) + 0.05), ylim=(len(numbers) + 0.05, -0.05), xticks=[], yticks=[], aspect="equal"
    )
    axis.set_title(title, fontsize=10)
    axis.grid(False)
    axis.spines[:].set_visible(False)


def sharing_picture() -> Figure:
    """The weights of a small layer, what is stored of them, and how the codebook learns: Deep Compression, figure 3, with
    its numbers and a learning rate of 1."""
    weights, groups, gradient, codebook = (torch.tensor(part) for part in SMALL)
    sums = torch.zeros(len(codebook)).index_add_(0, groups.flatten(), gradient.flatten())
    entries = torch.arange(len(codebook))[:, None].flip(0)
    alt = (
        "A matrix of 16 weights; a matrix of 16 indices from 0 to 3, and a codebook of 4 numbers; the gradient of the 16 "
        "weights, its sum for each index, and the codebook after a step against these sums."
    )
    figure, axes = panels(6, alt, height=2.6, width=11, width_ratios=[4, 4, 1.5, 4, 1.5, 1.5])
    tints = groups.tolist()
    column = entries.tolist()
    _cells(axes[0], weights.tolist(), tints, "weights\n(32 bits each)", "{:.2f}")
    _cells(axes[1], tints, tints, "indices\n(2 bits each)")
    _cells(axes[2], codebook[entries].tolist(), column, "code-\nbook", "{:.2f}")
    _cells(axes[3], gradient.tolist(), tints, "gradient of the\nweights", "{:.2f}")
    _cells(axes[4], sums[entries].tolist(), column, "summed\nby index", "{:.2f}")
    _cells(axes[5], (codebook - sums)[entries].tolist(), column, "code-\nbook after", "{:.2f}")
    said = ("what was trained", "stored", "stored", "backward", "backward", "one step")
    for axis, label in zip(axes, said):
        axis.set_xlabel(label)
    axes[0].set_ylabel("a layer of 4 × 4")
    return figure


def kmeans_picture() -> Figure:
    """Eight weights on a line, and where four centres stand after each step of k-means from the linear start; a line goes
    from each weight to its centre. A hollow centre is nobody's nearest and stays."""
    said = "; ".join(", ".join(f"{centre:.2f}" for centre in row) for row in CENTRES)
    figure, (axis,) = panels(1, f"{len(WEIGHTS)} weights on a line; the centres after each step: {said}.", 3.0, 8.6)
    for row, (centres, owners) in enumerate(zip(CENTRES, OWNERS)):
        axis.plot(
            WEIGHTS,
            [row + 0.3] * len(WEIGHTS),
            ls="",
            marker="|",
            ms=10,
            mew=2,
            color="0.35",
            label=None if row else "weight",
        )
        for weight, owner in zip(WEIGHTS, owners):
            axis.plot((weight, centres[owner]), (row + 0.3, row), color=COLOURS[owner], lw=1)
        for k, centre in enumerate(centres):
            look = style(k) | {"ls": "", "mfc": COLOURS[k] if k in owners else "white"}
            axis.plot(centre, row, **look, ms=9, mew=1.5, label=None if row else f"centre {k}")
    axis.set(xlabel="weight", ylabel="k-means", ylim=(len(CENTRES) - 0.4, -0.4))
    axis.set_yticks(range(len(CENTRES)), ["linear start", *(f"after step {i}" for i in range(1, len(CENTRES)))])
    axis.grid(False, axis="y")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def codebook_over_weights(weights: Tensor, start: Tensor, end: Tensor) -> Figure:
    """A layer's weights as a histogram, with the codebook at its start, above, and at the end, below. ``start`` and
    ``end`` are (clusters,)."""
    flat = weights.detach().flatten().cpu()
    alt = f"A histogram of {len(flat):,} weights. Codebook at first: equally spaced from {float(start.min()):.2g} to "
    alt += f"{float(start.max()):.2g}; then from {float(end.min()):.2g} to {float(end.max()):.2g}, denser where weights are."
    figure, axes = panels(1, alt, height=2.2, width=8.8, rows=2, sharex=True)
    figure.set_size_inches(8.8, 3.8)
    for i, (axis, name, codebook) in enumerate(zip(axes, ("linear start", "at the end"), (start, end))):
        axis.hist(flat.numpy(), BARS, color="0.75")
        heights = axis.get_ylim()
        axis.vlines(codebook.detach().cpu(), *heights, color=COLOURS[i], ls=style(i)["ls"], lw=1.4)
        axis.set(ylabel="weights", ylim=heights, title=f"codebook: {name}")
    axes[1].set_xlabel("weight")
    return figure


def packed_picture(indices: Sequence[int] = (5, 0, 3, 7, 1, 2), clusters: int = 8) -> Figure:
    """How the bits of indices lie in bytes, one after the other across the bytes' ends. White: filled up."""
    bits, numbers = index_bits(clusters), torch.tensor(indices)
    packed = pack(numbers, bits)
    flags = np.unpackbits(np.frombuffer(packed, np.uint8))
    said = ", ".join(str(byte) for byte in packed)
    figure, (axis,) = panels(
        1, f"The indices {', '.join(map(str, indices))} in {bits} bits each: the bytes {said}.", 1.9, 9
    )
    for place, flag in enumerate(flags):
        owner = place // bits
        tint = TINT[owner % len(TINT)] if owner < len(numbers) else "white"
        axis.add_patch(Rectangle((place, 0), 1, 1, fc=tint, ec="0.4", lw=0.8))
        axis.text(place + 0.5, 0.5, str(flag), ha="center", va="center")
    for owner, number in enumerate(indices):
        axis.text((owner + 0.5) * bits, 1.12, f"index {number}", ha="center", va="bottom", fontsize=9)
    for byte, number in enumerate(packed):
        axis.text(8 * byte + 4, -0.12, f"byte {byte}: {number}", ha="center", va="top", fontsize=9)
        axis.plot((8 * byte, 8 * byte), (-0.3, 1.0), color="black", lw=2)
    axis.plot((len(flags), len(flags)), (-0.3, 1.0), color="black", lw=2)
    axis.set(xlim=(-0.1, len(flags) + 0.1), ylim=(-0.45, 1.5), xticks=[], yticks=[], ylabel="bits")
    axis.set_xlabel(f"{len(indices)} indices of {bits} bits: {len(indices) * bits} bits in {len(packed)} bytes")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure


def gaps_picture(bits: int = 2) -> Figure:
    """A pruned layer in a row, and what is stored of it: for each weight that stays, how many zeros stand before it; a gap
    that does not fit into ``bits`` bits has a filler."""
    row = torch.tensor([0, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 1, 0])
    gaps, values = relative(row, bits)
    places = ((gaps + 1).cumsum(0) - 1).tolist()
    said = ", ".join(f"({gap}, {value})" for gap, value in zip(gaps.tolist(), values.tolist()))
    alt = f"The row {row.tolist()} is stored as pairs of a gap and an index: {said}."
    figure, (axis,) = panels(1, alt, height=1.7, width=9)
    for place, number in enumerate(row.tolist()):
        stored = place in places
        tint = TINT[0] if number else (TINT[1] if stored else "white")
        axis.add_patch(
            Rectangle((place, 0), 1, 1, fc=tint, ec="0.4", lw=0.8, hatch="//" if stored and not number else "")
        )
        axis.text(place + 0.5, 0.5, str(number), ha="center", va="center", weight="bold" if number else "normal")
    for place, gap, value in zip(places, gaps.tolist(), values.tolist()):
        what = f"gap {gap}\nindex {value}" + ("" if value else "\n(filler)")
        axis.text(place + 0.5, -0.12, what, ha="center", va="top", fontsize=8)
    axis.set(xlim=(-0.1, len(row) + 0.1), ylim=(-0.8, 1.1), xticks=[], yticks=[], ylabel="a layer")
    axis.set_xlabel(f"weights in a row, 0 is pruned; a gap of {bits} bits says at most {2**bits - 1} zeros")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure


def code_picture(counts: Sequence[int]) -> Figure:
    """How often each entry of a codebook is used, with the word that Huffman's code gives it. Raises ``LabError`` where
    none is."""
    lengths = code_lengths(counts)
    words, total = codes(lengths), sum(counts)
    mean = sum(count * length for count, length in zip(counts, lengths)) / total
    fixed = index_bits(len(counts))
    said = ", ".join(f"{count}: {word or 'none'}" for count, word in zip(counts, words))
    alt = f"Uses and words of {len(counts)} entries: {said}. {mean:.2f} bits on average, {entropy(counts):.2f} at least, {fixed} packed."
    figure, (axis,) = panels(1, alt, height=3.2, width=9.2)
    bars = axis.bar(range(len(counts)), counts, **bar_style(0))
    axis.bar_label(bars, words, fontsize=8, rotation=90 if max(map(len, words)) > 5 else 0, padding=2)
    axis.set(xlabel="index", ylabel="weights that use it", xticks=range(len(counts)))
    axis.set_ylim(0, 1.25 * max(counts))
    axis.set_title(f"packed {fixed} bits, Huffman {mean:.2f} bits, entropy {entropy(counts):.2f} bits a weight")
    axis.grid(False, axis="x")
    return figure
