"""Pictures of how networks are pruned while they train, drawn from numbers and from no record."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from labkit.methods.learned.study import RECIPES
from labkit.view.plots import COLOURS, bar_style, panels, style

CUT = 0.02  # of the picture's width


def _cut(first: str, method: str) -> tuple[tuple[str, float], ...]:
    """Trained, cut and tuned as in the method's recipe."""
    tune = RECIPES[method]["tune"]
    return (first, 1 - tune - CUT / 2), ("cut", CUT), ("tune", tune - CUT / 2)


LIVES = {  # by way of pruning: what happens, and for how much of all epochs
    "train, prune, tune": _cut("train", "train-prune-tune"),
    "PCAS": _cut("train with attention", "pcas"),
    "proximal, STR, AutoPrune": (("train and prune at once", 1.0),),
    "BitPruning": (
        ("train and prune at once", 1 - RECIPES["bitpruning"]["tune"]),
        ("tune", RECIPES["bitpruning"]["tune"]),
    ),
}
MODULE = ("maps\nof a layer\nC × H × W", "mean of\neach map\nC", "two small\nlayers, and\na sigmoid", "attention\n$a_1$ … $a_C$\nin 0..1", "each map\ntimes its\nattention")  # fmt: skip
PLACES = 401  # at which a curve is drawn


def lives() -> Figure:
    """In which part of a network's training each way of pruning happens."""
    said = "; ".join(f"{name}: {', then '.join(what for what, _ in life)}" for name, life in LIVES.items())
    figure, (axis,) = panels(1, f"What happens when, from the first epoch to the last. {said}.", height=2.3, width=9)
    kinds = list(dict.fromkeys(what for life in LIVES.values() for what, _ in life))
    for row, life in enumerate(LIVES.values()):
        start = 0.0
        for what, share in life:
            look = bar_style(kinds.index(what)) | ({"color": "black", "hatch": ""} if what == "cut" else {})
            known = axis.get_legend_handles_labels()[1]
            axis.barh(row, share, 0.62, start, label=None if what in known else what, **look)
            start += share
    axis.set(xlabel="training, from the first epoch to the last", xticks=[], xlim=(0, 1), ylabel="way of pruning")
    axis.set_yticks(range(len(LIVES)), LIVES)
    axis.set_ylim(len(LIVES) - 0.5, -0.5)
    axis.grid(False)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
    return figure


def steps_to_zero(amount: float = 0.1, start: float = 0.27, steps: int = 8) -> Figure:
    """Two ways to take a step of ``amount`` towards 0: left, where a factor goes that nothing else pulls at; right,
    where one step takes each factor."""
    jumping = [start]
    for _ in range(steps):
        jumping.append(jumping[-1] - math.copysign(amount, jumping[-1]))
    paths = {"subgradient step": jumping, "proximal step": [max(start - amount * i, 0) for i in range(steps + 1)]}
    end = 4 * amount
    maps = {
        "subgradient step": ([-end, 0, math.nan, 0, end], [amount - end, amount, math.nan, -amount, end - amount]),
        "proximal step": ([-end, -amount, amount, end], [amount - end, 0, 0, end - amount]),
    }
    said = "; ".join(f"{name} {', '.join(f'{x:.2f}' for x in path)}" for name, path in paths.items())
    alt = f"A scaling factor after each step of {amount:g}: {said}. Right: one step from every factor."
    figure, (left, right) = panels(2, alt, height=3.1, width=9)
    right.plot([-end, end], [-end, end], color="0.6", lw=1, ls=":", label="no step")
    for i, name in enumerate(paths):
        left.plot(range(steps + 1), paths[name], ms=6, label=name, **style(i))
        right.plot(*maps[name], lw=2, label=name, **(style(i) | {"marker": ""}))
    left.axhline(0, color="black", lw=1)
    left.set(xlabel="step", ylabel="scaling factor γ", title="a factor that nothing else pulls at")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(xlabel="γ before the step", ylabel="γ after it", title=f"one step of {amount:g}")
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def thresholds(threshold: float = 0.5) -> Figure:
    """The hard and the soft threshold, and the slopes of both: by the weight, and by the threshold."""
    end, jump = 3 * threshold, math.nan
    x = [-end, -threshold, jump, -threshold, threshold, jump, threshold, end]
    one_outside, flat = [1, 1, jump, 0, 0, jump, 1, 1], [0, 0, jump, 0, 0, jump, 0, 0]
    curves = {
        "hard": ([-end, -threshold, jump, 0, 0, jump, threshold, end], one_outside, flat),
        "soft": ([threshold - end, 0, 0, 0, 0, 0, 0, end - threshold], one_outside, [1, 1, jump, 0, 0, jump, -1, -1]),
    }
    alt = (
        f"Threshold {threshold:g}. The hard value jumps at the threshold, the soft one starts from 0 there. The slope by the "
        "weight is 0 below and 1 above for both. The slope by the threshold is 0 everywhere for the hard one; for the soft "
        "one it is -1 above the threshold, 1 below minus the threshold, and 0 between."
    )
    figure, axes = panels(3, alt, height=2.9, width=10, sharex=True)
    for i, (name, rows) in enumerate(curves.items()):
        for axis, row in zip(axes, rows):
            beside = 0.02 * i  # or one line would hide the other
            axis.plot(x, [y + beside for y in row], label=name, lw=2, **(style(i) | {"marker": ""}))
    for axis, title in zip(axes, ("value", "slope by the weight", "slope by the threshold")):
        axis.set(xlabel="weight w", title=title)
        for side in (-threshold, threshold):
            axis.axvline(side, color="0.6", lw=1, ls=":")
    axes[0].set_ylabel("value or slope")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), title=f"dotted: ±{threshold:g}", fontsize=9)
    return figure


def pulled_up(
    weights: Sequence[float], rates: Sequence[float], momentum: float, cases: Sequence[tuple[float, float]]
) -> Figure:
    """How the threshold g(s) = 1/(1 + exp(-s)) grows while nothing but weight decay moves s: a line for each case, the
    first s and its decay, over the steps with these learning ``rates``. Grey: where nine of ten ``weights`` are."""
    low, high = np.quantile(np.abs(np.asarray(weights, dtype=float)), (0.05, 0.95))
    figure, (axis,) = panels(1, "", height=3.3, width=8.6)
    ends = []
    for i, (start, decay) in enumerate(cases):
        s, velocity, path = start, 0.0, []
        for rate in rates:
            path.append(s)
            velocity = momentum * velocity + decay * s
            s -= rate * velocity
        thresholds = 1 / (1 + np.exp(-np.array(path)))
        ends.append(f"s from {start:g} with decay {decay:g} ends at {thresholds[-1]:.2g}")
        axis.plot(thresholds, label=f"s from {start:g}, decay {decay:g}", lw=2, **(style(i) | {"marker": ""}))
    axis.axhspan(low, high, color="0.85", zorder=0, label="nine of ten weights")
    axis.set(xlabel="step", ylabel="threshold t (log scale)", yscale="log", ylim=(None, 1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    figure.set_label(f"Threshold over steps; the weights are from {low:.2g} to {high:.2g}: {'; '.join(ends)}.")
    return figure


def coarse_slopes() -> Figure:
    """Left, the step h(m) and the slopes that may stand for it; right, the gradient by m over the weight that m
    gates: w itself, as the chain rule says, or its sign."""
    m = np.linspace(-5, 5, PLACES)
    alt = (
        "Left: h(m) is 0 for m below 0 and 1 above, so its own slope is 0; the slope of softplus rises smoothly from 0 to "
        "1. Right: the gradient by m for a gradient by w·h(m) of 1; with w itself it vanishes for small weights, with the "
        "sign of w it is -1 or 1."
    )
    figure, (left, right) = panels(2, alt, height=3, width=9)
    left.step([-5, 0, 5], [0, 0, 1], color="black", lw=2, where="pre", label="h(m): 0 gone, 1 there")
    left.plot(m, 0 * m, label="its slope", lw=2, **(style(0) | {"marker": ""}))
    left.plot(m, (1 + np.tanh(m / 2)) / 2, label="softplus's slope", lw=2, **(style(1) | {"marker": ""}))
    left.set(xlabel="auxiliary parameter m", ylabel="value or slope", ylim=(-0.08, 1.08))
    left.legend(loc="lower right", bbox_to_anchor=(1, 0.08), fontsize=9)
    right.plot([-1, 1], [-1, 1], label="w itself", lw=2, **(style(0) | {"marker": ""}))
    right.plot(
        [-1, 0, math.nan, 0, 1], [-1, -1, math.nan, 1, 1], label="sign of w", lw=2, **(style(1) | {"marker": ""})
    )
    right.set(xlabel="weight w", ylabel="gradient by m, for a\ngradient by w·h(m) of 1")
    right.legend(loc="upper left", fontsize=9)
    return figure


def attention_module() -> Figure:
    """A channel attention module behind a layer, and what PCAS keeps of it, as boxes."""
    said = ", then ".join(text.replace("\n", " ").replace("$", "") for text in MODULE)
    alt = f"The attention module: {said}. What is kept of all images: the mean of each channel's attention, its score."
    figure, (axis,) = panels(1, alt, height=2.2, width=9)
    for i, text in enumerate(MODULE):
        box = "round,pad=0.08"
        axis.add_patch(FancyBboxPatch((2 * i, 0), 1.35, 1, box, fc="white", ec="black", lw=1.2))
        axis.text(2 * i + 0.675, 0.5, text, ha="center", va="center", fontsize=10)
        if i:
            axis.annotate("", (2 * i - 0.1, 0.5), (2 * i - 0.55, 0.5), arrowprops={"arrowstyle": "->", "lw": 1.5})
    over = {"arrowstyle": "->", "lw": 1.5, "connectionstyle": "bar,fraction=-0.045"}
    axis.annotate("", (8.675, 1.1), (0.675, 1.1), arrowprops=over)
    kept = {"arrowstyle": "->", "lw": 1.5, "color": COLOURS[0]}
    axis.annotate("", (6.675, -0.72), (6.675, -0.12), arrowprops=kept)
    axis.text(6.675, -0.8, "over all images: one score a channel", ha="center", va="top", color=COLOURS[0])
    axis.set(xlim=(-0.2, 9.6), ylim=(-1.2, 1.95))
    axis.axis("off")
    return figure


def between_bits(weights: Sequence[float], bits: float) -> Figure:
    """Quantization at a bit length that is not whole. Left, what becomes of a value, at the whole lengths on both sides
    and between them; right, the mean squared error of ``weights`` over the bit length, and a marker at ``bits``."""
    weights = np.asarray(weights, dtype=float)
    low, high = weights.min(), weights.max()

    def whole(x, n: int):
        scale = (high - low) / (2**n - 1)
        return low + scale * np.round((x - low) / scale)

    def between(x, n: float):
        below = int(n)
        return (1 - (n - below)) * whole(x, below) + (n - below) * whole(x, below + 1)

    x, below = np.linspace(low, high, PLACES), int(bits)
    figure, (left, right) = panels(2, "", height=3.1, width=9)
    curves = {
        f"{below} bits": whole(x, below),
        f"{below + 1} bits": whole(x, below + 1),
        f"{bits:g} bits": between(x, bits),
    }
    for i, (name, y) in enumerate(curves.items()):
        left.plot(x, y, label=name, lw=2, **(style(i) | {"marker": ""}))
    left.set(xlabel="weight", ylabel="what it becomes")
    left.legend(loc="upper left", fontsize=9)
    lengths = np.linspace(1, 8, 141)
    errors = [float(np.mean((between(weights, n) - weights) ** 2)) for n in lengths]
    at = float(np.mean((between(weights, bits) - weights) ** 2))
    right.plot(lengths, errors, lw=2, color="black")
    right.plot(bits, at, label=f"{bits:g} bits", ms=9, **(style(2) | {"ls": ""}))
    right.set(xlabel="bit length", ylabel="mean squared error (log scale)", yscale="log")
    right.legend(loc="upper right", fontsize=9)
    by_length = dict(zip(lengths.round(2).tolist(), errors))
    ends = ", ".join(f"{by_length[n]:.2g} at {n}" for n in range(1, 9))
    dips = [n for n in range(1, 8) if min(by_length[m] for m in by_length if n < m < n + 1) < by_length[n + 1]]
    dip = f" Behind {', '.join(map(str, dips))} bits it dips a little below that of the next whole length." * bool(dips)
    figure.set_label(
        f"Left: a weight quantized to {below} and {below + 1} bits, and at {bits:g} bits, between them. Right: the mean "
        f"squared error over the bit length has no jumps; it is {ends} bits, and {at:.2g} at {bits:g} bits.{dip}"
    )
    return figure
