"""The whole course on one page: every network that a method left, in one picture, with its number in a table.

Not in the student edition: it speaks of all labs at once."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
from labkit.settings import LabError
from labkit.view.plots import COLOURS, panels
from labkit.view.tables import band, markdown

LEFT = {"bytes": "bytes of the file left", "macs": "multiply-accumulates left"}
PANELS = {False: "photographs", True: "generated shapes, ten classes"}
LOOKS = {CHANNELS: ("o", COLOURS[0]), WEIGHTS: ("s", COLOURS[3]), BITS: ("^", COLOURS[2]), SEVERAL: ("D", COLOURS[4])}
LARGER = tuple(name for name in settings.PROFILES if name != "quick")  # shown where their own tables are


AROUND = [
    (r * x, r * y) for r in (12, 18, 25, 33) for x, y in ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1), (0, -1))
]
"""Where a number may stand, in pixels from its marker: the nearest first."""
APART = 11  # pixels between a number and any other mark
IN_WORDS = (
    ("Network Slimming", "50% of the channels, fine-tuned", "", "half of the channels,\nfine-tuned", (-52, 108)),
    (
        "Network Slimming",
        "90% of the channels, BatchNorm re-estimated",
        "",
        "not one weight trained\nafter the cut",
        (88, 4),
    ),
    ("BitPruning", "bit lengths learned", "", "few bits a weight,\nlearned", (-96, -56)),
    ("Ranked globally", "30% of the channels", "MobileNetV2", "MobileNetV2 by one\nglobal ranking", (-62, -22)),
)
"""Said in words over bytes on photographs: method, setting, network, the words, and their place in points from the
marker."""


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

    def is_of(self, method: str = "", network: str = "") -> bool:
        """Whether the row is of this method and this unpruned network; of any where none is said."""
        return method in ("", self.first.method) and printed(self.first.dense).startswith(network)

    @property
    def lost(self) -> list[float]:
        """Points lost against the dense network of the same seed."""
        return [outcome.lost for outcome in self.outcomes]

    def left(self, cost: str) -> float | None:
        """The mean share of ``bytes`` or ``macs`` that is left; None where that says nothing."""
        found = [getattr(outcome, cost) for outcome in self.outcomes]
        return None if None in found else mean(found)

    @property
    def time(self) -> float | None:
        """The mean share of the dense network's latency; None where it was not measured."""
        found = [outcome.time for outcome in self.outcomes]
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
        axis.set(title=PANELS[shapes], xlabel=f"{LEFT[cost]} (log scale; left is smaller)")
        axis.annotate(
            "↖ smaller and better", (0.01, 0.985), xycoords="axes fraction", va="top", fontsize=10, weight="bold"
        )
    axes[0].set_ylabel("points of accuracy lost (up is better)")
    figure.legend(handles=_legend(shown), loc="outside lower center", ncols=4, fontsize=9)
    figure.canvas.draw()  # settles the layout, in which the numbers look for room
    for axis, shapes in zip(axes, PANELS):
        _number(axis, [row for row in shown if row.shapes == shapes], cost)
    if cost == "bytes":
        _say(axes[0], [row for row in shown if not row.shapes])
    return figure


def _described(rows: Sequence[Row], cost: str) -> str:
    said = "; ".join(
        f"{row.number} {row.first.method} on {PANELS[row.shapes].partition(',')[0]}: {row.left(cost):.0%} left, "
        f"{mean(row.lost):.1f} points lost"
        for row in rows
    )
    return f"Points of accuracy lost over the {LEFT[cost]}, on photographs and on generated shapes. {said}."


def _shade(axis: Axes, rows: Sequence[Row]) -> None:
    bands = {(row.first.run.folder.parent, printed(row.first.dense)): row.band for row in rows if row.band is not None}
    if bands:
        reach = median(bands.values())
        axis.axhspan(-reach, reach, color="0.88", lw=0, zorder=0)
        axis.annotate(
            "seeds of one unpruned network", (0.01, reach), (3, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="bottom", fontsize=8, color="0.35",
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
    """Each row's number beside its marker."""
    marks = [(row.left(cost), mean(row.lost)) for row in rows]
    for row, mark, offset in zip(rows, marks, beside(axis.transData.transform(marks).tolist())):
        far = np.hypot(*offset) > 24
        axis.annotate(
            str(row.number), mark, [72 * pixels / axis.figure.dpi for pixels in offset], textcoords="offset points",
            ha="center", va="center", fontsize=9, zorder=5,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkA": 0, "shrinkB": 3} if far else None,
        )  # fmt: skip


def _say(axis: Axes, rows: Sequence[Row]) -> None:
    """``IN_WORDS`` beside the markers that it speaks of."""
    for method, setting, network, words, offset in IN_WORDS:
        for row in rows:
            if row.is_of(method, network) and row.first.setting == setting:
                axis.annotate(
                    words, (row.left("bytes"), mean(row.lost)), offset, textcoords="offset points", zorder=4,
                    ha="center", va="center", fontsize=9, style="italic",
                    arrowprops={"arrowstyle": "-", "lw": 0.7, "color": "0.3", "shrinkB": 6},
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


# Tables

LINKS = "../"  # from docs/, where the page is


def said(row: Row) -> str:
    """Points lost, the mean and the range over the seeds, and whether seeds alone lie as far apart."""
    spread = f" ({min(row.lost):.1f} to {max(row.lost):.1f})" if len(row.lost) > 1 else ", one seed"
    return f"{mean(row.lost):.1f}{spread}" + (", inside the seed band" if row.inside else "")


def notebook(row: Row) -> str:
    """A link to the notebook in which a row's method is taught."""
    name = row.first.notebook
    return f"[{name[:2]}]({LINKS}notebooks/{name}.ipynb)"


def table(rows: Iterable[Row], shapes: bool) -> str:
    """Every row on ``shapes`` or on photographs, as Markdown, with links to its notebook and to each seed's record."""

    def line(row: Row) -> list[str]:
        shares = ("–" if left is None else f"{left:.1%}" for left in map(row.left, LEFT))
        seeds = ", ".join(
            f"[{outcome.run.config['seed']}]({LINKS}{outcome.run.folder.relative_to(settings.REPOSITORY).as_posix()})"
            for outcome in row.outcomes
        )
        first = row.first
        how = [first.method, first.setting, printed(first.dense), "yes" if first.trained else "no", notebook(row)]
        return [str(row.number), *how, *shares, band([o.before for o in row.outcomes]), said(row), seeds]

    header = ["", "method", "setting", "unpruned network", "trained", "notebook", "bytes left", "MACs left"]
    header += ["accuracy before", "points lost", "seeds"]
    return markdown(header, [line(row) for row in rows if row.shapes == shapes])


@dataclass(frozen=True)
class When:
    """Somebody's wish, what the course advises, the rows that say so (the best three of them by ``by``, the smallest
    first), and where the advice stops being true."""

    wish: str
    advice: str
    chosen: Callable[[Row], bool]
    by: Callable[[Row], float]
    limits: str


def _lost(row: Row) -> float:
    return mean(row.lost)


WHENS = (
    When(
        "a smaller file",
        "Store fewer bits, or only the weights that are not zero",
        lambda row: row.inside,
        lambda row: row.left("bytes") or 1,
        "Somebody has to pack the numbers, and to unpack them again. By itself that saves no time: the processor "
        "multiplies as much as before.",
    ),
    When(
        "less time for one image on a CPU",
        "Cut whole channels and fine-tune",
        lambda row: row.time is not None and "scratch" not in row.first.setting,
        lambda row: row.time,
        "Time falls less than multiply-accumulates do. Masks and zeros save none of it.",
    ),
    When(
        "fewer multiply-accumulates",
        "Cut whole channels, and train while or after it",
        lambda row: row.inside and (row.left("macs") or 1) < 1,
        lambda row: row.left("macs"),
        "The easier the images, the further it goes: compare the two panels.",
    ),
    When(
        "no time to train",
        "Cut little, then repair: least squares in the next layer, or BatchNorm estimated again",
        lambda row: not row.first.trained and row.first.removed == CHANNELS,
        _lost,
        "At 70 % of the channels it is not enough. A few hundred images are needed, without labels.",
    ),
    When(
        "no images at hand",
        "Set the smallest weights to zero, by their size alone",
        lambda row: row.first.setting.endswith("not retrained"),
        _lost,
        "How far that goes depends on the learning rate of the training. Whole channels that are cut without an image "
        "lose far more.",
    ),
    When(
        "a residual network",
        "Cut coupled channels together",
        lambda row: row.is_of(network="ResNet") and row.first.removed == CHANNELS,
        _lost,
        "A global ranking cuts parameters, and leaves most of the arithmetic.",
    ),
    When(
        "a MobileNet",
        "Cut every group alike, and little",
        lambda row: row.is_of(network="MobileNet") and row.first.removed == CHANNELS,
        _lost,
        "A network that is thin already has little to give; one global ranking takes the last group away.",
    ),
    When(
        "a GPU that computes 2:4",
        "Leave two of every four weights, and fine-tune",
        lambda row: row.first.setting.startswith("2:4"),
        _lost,
        "It needs compute capability 8.0. Our records hold no fine-tuning after it, and no time on such a GPU.",
    ),
    When(
        "a budget that must be met",
        "Search under a clamp, or bisect sensitivity curves",
        lambda row: row.is_of(network="VGG") and row.first.setting.endswith("of the MACs stay"),
        _lost,
        "The agent has found nothing that as many tries by chance had not found too.",
    ),
    When(
        "milliseconds of this machine, not counts",
        "NetAdapt with a table of measured latencies",
        lambda row: row.is_of("NetAdapt"),
        _lost,
        "Short-term tuning alone does not bring the accuracy back: what it ends with has to be fine-tuned.",
    ),
    When(
        "to know whether pruning was worth it",
        "Train the thin network from scratch beside it",
        lambda row: row.first.setting.startswith("90%") and row.first.notebook == "04_fine_tuning",
        _lost,
        "On photographs the inherited weights are worth little at 90 %, on shapes several points.",
    ),
)


def when_table(rows: Sequence[Row]) -> str:
    """``WHENS`` with what the records say, on photographs where they were tried, else on shapes, as Markdown. Raises
    ``LabError`` for a wish of which no record speaks."""
    lines = []
    for when in WHENS:
        found = [row for row in rows if when.chosen(row)]
        if not found:
            raise LabError(f"No record speaks of the wish {when.wish!r}: make its runs, or leave it out of page.WHENS.")
        here = [row for row in found if not row.shapes] or found
        best = sorted(here, key=when.by)[:3]
        lines.append([f"**{when.wish}**", when.advice, "<br>".join(map(told, best)), when.limits])
    return markdown(["you want", "do", "what our records say", "where it stops being true"], lines)


def told(row: Row) -> str:
    """One line: a row's number and name, what is left, and what was lost."""
    shares = {"bytes": row.left("bytes"), "MACs": row.left("macs"), "time": row.time}
    left = ", ".join(f"{share:.0%} of the {name}" for name, share in shares.items() if share is not None)
    name = f"{row.first.method}, {row.first.setting}"
    where = ", on shapes" if row.shapes else ""
    return f"{row.number}: {name}{where} ({notebook(row)}): {left}; points lost {said(row)}"


def overview(folder: Path) -> dict[str, Figure]:
    """The course's picture over bytes and over multiply-accumulates, of a folder of several experiments."""
    found = rows(collected(folder)) if len(folders_with_runs(folder)) > 1 else []
    return {"course": picture(found), "course-macs": picture(found, "macs")} if found else {}
