"""Pictures of how ratios are chosen, drawn from numbers and from no record."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import PercentFormatter

from labkit.methods.ratios.policies import rising
from labkit.settings import LabError
from labkit.view.plots import COLOURS, panels, style

PLACES = 80  # at which a cost is drawn
LOOP = ("budget:\na little less\nlatency", "each layer alone:\nfewest channels\nthat reach it", "short-term\ntuning of\neach", "most accurate\ncandidate\nstays")  # fmt: skip


def halving(cost: Callable[[float], float], target: float, low: float, high: float, halvings: int = 5) -> Figure:
    """A cost that falls in steps from ``low`` to ``high`` (x), and the interval that is left after each of some
    halvings: its upper end always reaches ``target``. Raises ``LabError`` for a target that ``high`` does not reach."""
    if cost(high) > target:
        raise LabError(f"{target:g} cannot be reached: the nearest is {cost(high):.4g}, at {high:g}.")
    figure, (axis, below) = panels(2, "", height=2.8, width=9, sharex=True)
    x = np.linspace(low, high, PLACES)
    axis.step(x, [cost(place) for place in x], color="black", lw=1.4, where="post")
    axis.axhline(target, color=COLOURS[3], ls="--", lw=1.4)
    axis.text(high, target, "wanted ", ha="right", va="bottom", color=COLOURS[3])
    axis.set(xlabel="drop allowed", ylabel="MACs left", title="what a threshold costs", ylim=(0, 1.05))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    ends = [(low, high)]
    for _ in range(halvings):
        a, b = ends[-1]
        middle = (a + b) / 2
        ends.append((a, middle) if cost(middle) <= target else (middle, b))
    for row, (a, b) in enumerate(ends):
        below.plot([a, b], [row, row], color=COLOURS[0], lw=5, solid_capstyle="butt")
    below.set(xlabel="drop allowed", ylabel="halvings done", title="what is left to search", yticks=range(len(ends)))
    below.set_ylim(len(ends) - 0.5, -0.5)
    left = ", ".join(f"{a:.3g} to {b:.3g}" for a, b in ends)
    figure.set_label(
        f"Left: the share of MACs left falls in steps; a line at {target:.0%}. Right, the interval: {left}."
    )
    return figure


def ways_up(final: float, steps: int) -> Figure:
    """Two ways to a final ratio: the ratio rises evenly, or each step removes the same share of what is left. Left, the
    ratio after each step; right, the share of the remaining channels that each step removes."""
    ways = {"equal rises": [final * (i + 1) / steps for i in range(steps)], "equal shares": rising(final, steps)}
    said = "; ".join(f"{name} {', '.join(f'{ratio:.0%}' for ratio in ratios)}" for name, ratios in ways.items())
    figure, (left, right) = panels(2, f"Two ways to a prune ratio of {final:.0%}, after each step: {said}.", 2.6, 9)
    for i, (name, ratios) in enumerate(ways.items()):
        kept = 1 - np.array([0.0, *ratios])
        left.plot(range(steps + 1), 1 - kept, label=name, ms=5, **style(i))
        right.plot(range(1, steps + 1), 1 - kept[1:] / kept[:-1], label=name, ms=5, **style(i))
    left.set(xlabel="step", ylabel="ratio so far", xticks=range(steps + 1), ylim=(0, 1))
    right.set(xlabel="step", ylabel="share of what is left\nthat the step removes", xticks=range(1, steps + 1))
    right.set_ylim(0, 1)
    for axis in (left, right):
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def netadapt_loop() -> Figure:
    """One iteration of NetAdapt, as boxes."""
    said = ", then ".join(text.replace("\n", " ") for text in LOOP)
    figure, (axis,) = panels(1, f"One iteration of NetAdapt: {said}; and again with the next budget.", 1.9, 9)
    for i, text in enumerate(LOOP):
        axis.add_patch(FancyBboxPatch((2.4 * i, 0), 1.7, 1, "round,pad=0.08", fc="white", ec="black", lw=1.2))
        axis.text(2.4 * i + 0.85, 0.5, text, ha="center", va="center", fontsize=10)
        if i:
            arrow = {"arrowstyle": "->", "lw": 1.5}
            axis.annotate("", (2.4 * i - 0.1, 0.5), (2.4 * i - 0.58, 0.5), arrowprops=arrow)
    back = {"arrowstyle": "->", "lw": 1.5, "color": COLOURS[0], "connectionstyle": "bar,fraction=-0.07"}
    axis.annotate("", (0.85, -0.1), (2.4 * 3 + 0.85, -0.1), arrowprops=back)
    axis.text(4.45, -0.95, "next iteration: a family of networks, one an iteration", ha="center", color=COLOURS[0])
    axis.set(xlim=(-0.2, 9.1), ylim=(-1.1, 1.15))
    axis.axis("off")
    return figure


def shares_of_layers(ratios: dict[str, Sequence[float]]) -> Figure:
    """The share of each layer that a policy removes, by policy: one line a policy over the layers."""
    said = "; ".join(f"{name} {', '.join(f'{ratio:.0%}' for ratio in found)}" for name, found in ratios.items())
    figure, (axis,) = panels(1, f"The share of each layer that goes, by policy: {said}.", height=2.8, width=8)
    for i, (name, found) in enumerate(ratios.items()):
        axis.plot(range(1, len(found) + 1), found, ms=6, label=name, **style(i))
    axis.set(xlabel="convolution", ylabel="share of its channels\nthat goes", ylim=(-0.03, 1.03))
    axis.set_xticks(range(1, len(found) + 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
