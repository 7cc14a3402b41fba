"""The whole course on one page: every network that a method left, in one picture, with its number in a table. Not in
the student edition: it speaks of all labs at once."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from labkit import methods, settings
from labkit.methods.outcomes import BITS, CHANNELS, SEVERAL, WEIGHTS, Outcome, printed
from labkit.records import experiment_name, folders_with_runs
from labkit.view.plots import COLOURS, panels

COSTS = {"bytes": "bytes of the file left", "macs": "multiply-accumulates left"}
PANELS = {False: "photographs", True: "generated shapes, ten classes"}
LOOKS = {CHANNELS: ("o", COLOURS[0]), WEIGHTS: ("s", COLOURS[3]), BITS: ("^", COLOURS[2]), SEVERAL: ("D", COLOURS[4])}
LARGER = tuple(name for name in settings.PROFILES if name != "quick")  # shown where their own tables are


AROUND = [
    (r * x, r * y) for r in (12, 18, 25, 33) for x, y in ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1), (0, -1))
]
"""Where a number may stand, in pixels from its marker: the nearest first."""
APART = 11  # pixels between a number and any other mark
IN_WORDS = {
    ("Network Slimming", "50% of the channels, fine-tuned"): ("half of the channels,\nfine-tuned", (-84, -46)),
    ("Network Slimming", "90% of the channels, BatchNorm re-estimated"): (
        "not one weight trained\nafter the cut",
        (34, 16),
    ),
    ("BitPruning", "bit lengths learned"): ("2 to 3 bits a weight,\nlearned", (-70, 34)),
    ("Ranked globally", "30% of the channels", "MobileNetV2"): ("MobileNetV2 by one\nglobal ranking", (-78, -14)),
}
"""What is said in words beside its marker, on photographs: the text, and where it stands in points from the marker."""


@dataclass(frozen=True)
class Row:
    """What a method did with one setting to one network: ``outcomes``, one a seed, on ``shapes`` or on photographs. Rows
    of the two with equal method, setting and network have one ``number``."""

    number: int
    shapes: bool
    outcomes: tuple[Outcome, ...]

    @property
    def first(self) -> Outcome:
        return self.outcomes[0]

    @property
    def lost(self) -> list[float]:
        """Points lost against the dense network of the same seed."""
        return [outcome.lost for outcome in self.outcomes]

    def left(self, cost: str) -> float | None:
        """The mean share of ``bytes`` or ``macs`` that is left; None where that says nothing."""
        found = [getattr(outcome, cost) for outcome in self.outcomes]
        return None if None in found else mean(found)

    @property
    def band(self) -> float | None:
        """How far the dense networks are apart over the seeds, in points; None for one seed."""
        before = [100 * outcome.before for outcome in self.outcomes]
        return max(before) - min(before) if len(before) > 1 else None

    @property
    def inside(self) -> bool:
        """Whether the mean loss is no larger than what lies between seeds of the dense network."""
        return self.band is not None and mean(self.lost) <= self.band


def collected(folder: Path = settings.REFERENCE) -> list[Outcome]:
    """What every method says of the runs in ``folder``, of the quick profile and of sweeps."""
    labs = [lab for lab in folders_with_runs(folder) if experiment_name(lab).partition("-")[0] not in LARGER]
    return [outcome for summary in methods.declared("summary") for lab in labs for outcome in summary(lab)]


def rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """Outcomes with the seeds of one experiment together, numbered in the order of the notebooks, the largest first."""
    found: dict[tuple, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        family = re.sub(r"-seed\d+$", "", experiment_name(outcome.run.folder.parent))
        key = outcome.notebook, outcome.method, outcome.setting, printed(outcome.dense)
        found[key, family, outcome.run.config["data"]["name"] == "shapes"].append(outcome)

    def place(item) -> tuple:
        (key, *_), members = item
        return key[0], -max(member.bytes or 1 for member in members), key

    numbers: dict[tuple, int] = {}
    for (key, *_), _ in sorted(found.items(), key=place):
        numbers.setdefault(key, len(numbers) + 1)
    by_seed = {where: tuple(sorted(members, key=lambda o: o.run.config["seed"])) for where, members in found.items()}
    made = [Row(numbers[key], shapes, members) for (key, _, shapes), members in by_seed.items()]
    return sorted(made, key=lambda row: (row.number, row.shapes))


def picture(rows: Sequence[Row], cost: str = "bytes") -> Figure:
    """Points of accuracy lost over what is left (``bytes`` or ``macs``), a panel for photographs and one for shapes, a
    marker a row with its number: full where weights were trained, hollow where none was; bars from the best to the worst
    seed. Shaded: how far apart the seeds of one unpruned network are, the median over the panel's networks."""
    shown = [row for row in rows if row.left(cost) is not None]
    figure, axes = panels(2, _described(shown, cost), 6.6, 12.4, sharex=True, sharey=True)
    _scales(axes[0])
    for axis, shapes in zip(axes, PANELS):
        here = [row for row in shown if row.shapes == shapes]
        _shade(axis, [row for row in rows if row.shapes == shapes])
        for row in here:
            _mark(axis, row, cost)
        axis.plot(1, 0, color="black", marker="*", ms=13, ls="", zorder=4, clip_on=False)
        axis.set(title=PANELS[shapes], xlabel=f"{COSTS[cost]} (log scale; left is smaller)")
    axes[0].set_ylabel("points of accuracy lost (up is better)")
    figure.legend(handles=_legend(shown), loc="outside lower center", ncols=4, fontsize=9)
    figure.canvas.draw()  # settles the layout, in which the numbers look for room
    for axis, shapes in zip(axes, PANELS):
        _number(axis, [row for row in shown if row.shapes == shapes], cost)
    return figure


def _described(rows: Sequence[Row], cost: str) -> str:
    said = "; ".join(
        f"{row.number} {row.first.method} on {PANELS[row.shapes].partition(',')[0]}: {row.left(cost):.0%} left, "
        f"{mean(row.lost):.1f} points lost"
        for row in rows
    )
    return f"Points of accuracy lost over the {COSTS[cost]}, on photographs and on generated shapes. {said}."


def _shade(axis: Axes, rows: Sequence[Row]) -> None:
    bands = {(row.first.run.folder.parent, printed(row.first.dense)): row.band for row in rows if row.band is not None}
    if bands:
        reach = median(bands.values())
        axis.axhspan(-reach, reach, color="0.88", lw=0, zorder=0)
        axis.annotate(
            "between seeds of one unpruned network", (0.01, -reach), (3, -3), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="top", fontsize=8, color="0.35",
        )  # fmt: skip
    axis.axhline(0, color="0.4", lw=1, zorder=1)


def _mark(axis: Axes, row: Row, cost: str) -> None:
    marker, colour = LOOKS[row.first.removed]
    x, y = row.left(cost), mean(row.lost)
    reach = [[y - min(row.lost)], [max(row.lost) - y]]
    fill = colour if row.first.trained else "white"
    axis.errorbar(x, y, reach, color=colour, marker=marker, ms=8, mfc=fill, mew=1.4, lw=1, ls="", zorder=3)


def _scales(axis: Axes) -> None:
    """What is left: logarithmic. What is lost: linear up to 2 points and logarithmic beyond, nothing lost on top."""
    axis.set(xscale="log", xlim=(0.005, 1.15), ylim=(100, -3))
    axis.set_yscale("symlog", linthresh=2, linscale=1.1)
    shares = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    axis.set_xticks(shares, [f"{100 * share:g}%" for share in shares])
    axis.set_xticks([], minor=True)
    axis.set_yticks(points := [-2, -1, 0, 1, 2, 5, 10, 20, 50], [f"{lost:g}" for lost in points])
    axis.set_yticks([], minor=True)


def _number(axis: Axes, rows: Sequence[Row], cost: str) -> None:
    """Each row's number beside its marker, and the words of ``IN_WORDS`` on photographs."""
    marks = [(row.left(cost), mean(row.lost)) for row in rows]
    for row, mark, offset in zip(rows, marks, beside(axis.transData.transform(marks).tolist())):
        far = np.hypot(*offset) > 24
        axis.annotate(
            str(row.number), mark, [72 * pixels / axis.figure.dpi for pixels in offset], textcoords="offset points",
            ha="center", va="center", fontsize=9, zorder=5,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkA": 0, "shrinkB": 3} if far else None,
        )  # fmt: skip
    for row, mark in zip(rows, marks):
        name = printed(row.first.dense).partition(",")[0]
        keys = [(row.first.method, row.first.setting), (row.first.method, row.first.setting, name)]
        for words, offset in (IN_WORDS[key] for key in keys if key in IN_WORDS and not row.shapes):
            axis.annotate(
                words, mark, offset, textcoords="offset points", ha="center", va="center", fontsize=9, style="italic",
                arrowprops={"arrowstyle": "-", "lw": 0.7, "color": "0.3", "shrinkB": 6}, zorder=4,
            )  # fmt: skip


def beside(marks: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """For each mark, a place in pixels, the offset of its number: the first of ``AROUND`` that is ``APART`` from every
    mark and number, or else the one that is farthest from them."""
    taken, found = [tuple(mark) for mark in marks], []
    for x, y in marks:
        room = {(dx, dy): min(np.hypot(x + dx - a, y + dy - b) for a, b in taken) for dx, dy in AROUND}
        offset = next((place for place, free in room.items() if free >= APART), max(room, key=room.get))
        taken.append((x + offset[0], y + offset[1]))
        found.append(offset)
    return found


def _legend(rows: Sequence[Row]) -> list[Line2D]:
    def mark(label: str, **look) -> Line2D:
        return Line2D([], [], **({"color": "black", "marker": "o", "ms": 8, "ls": ""} | look), label=label)

    removed = {row.first.removed for row in rows}
    looks = [mark(name, marker=shape, color=colour) for name, (shape, colour) in LOOKS.items() if name in removed]
    others = [mark("weights trained"), mark("not one weight trained", mfc="white")]
    return [*looks, *others, mark("the unpruned network", marker="*", ms=13)]
