"""The whole course on one page: every network that a method left, in one picture, with its number in a table.

Not in the student edition: it speaks of all labs at once."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

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

LEFT = {"bytes": "bytes left, counted", "macs": "multiply-accumulates left"}
PANELS = {False: "photographs (* four classes of them)", True: "generated shapes, ten classes"}
IMAGES = {"folder:cifar10": "CIFAR-10", "minicifar:cifar10": "MiniCIFAR"}  # the sets that ship, in print
LOOKS = {CHANNELS: ("o", COLOURS[0]), WEIGHTS: ("s", COLOURS[3]), BITS: ("^", COLOURS[2]), SEVERAL: ("D", COLOURS[4])}
RING = {"marker": "o", "ms": 17, "color": "0.8", "mew": 0, "ls": ""}
LARGER = tuple(name for name in settings.PROFILES if name != "quick")  # shown where their own tables are


AROUND = [
    (r * x, r * y) for r in (14, 20, 27, 35) for x, y in ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1), (0, -1))
]
"""Where a number may stand, in pixels from its marker: the nearest first."""
APART = 12  # pixels between a number and any other mark; to the sides more, since numbers are wider than high
HALF, TENTH = "50% of the channels", "90% of the channels"
SLIMMING = "Network Slimming"
IN_WORDS = (
    (False, "BitPruning", "bit lengths learned", "", "2.3 bits a weight", (-64, 52)),
    (
        False,
        "Deep Compression",
        "channels cut, weights cut, shared and coded",
        "",
        "channels, zeros, shared\nvalues: all together",
        (-8, 62),
    ),
    (False, SLIMMING, f"{HALF}, fine-tuned", "", "half of the\nchannels, six\nepochs more", (-21, 100)),
    (False, SLIMMING, f"{HALF}, BatchNorm re-estimated", "", "the same cut,\nnothing trained", (22, -46)),
    (False, SLIMMING, f"{TENTH}, fine-tuned", "", "a tenth of the channels,\nsix epochs more", (40, 44)),
    (False, SLIMMING, f"{TENTH}, BatchNorm re-estimated", "", "the same cut,\nnothing trained", (80, 4)),
    (False, "Ranked globally", "30% of the channels", "MobileNetV2", "MobileNetV2,\none ranking of all", (-46, -38)),
    (True, SLIMMING, f"{TENTH}, fine-tuned", "", "a tenth of the channels,\nsix epochs more", (50, 60)),
    (True, "Deep Compression", "channels cut, weights cut, shared and coded", "", "all of it together", (-4, 26)),
)
"""Said in words over bytes: whether on shapes, method, setting, network, the words, and their place in points from the
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

    @property
    def images(self) -> str:
        """What was trained on: the set, its classes, and how many images."""
        data = self.first.run.config["data"]
        return f"{IMAGES.get(data['name'], data['name'])}, {data['classes']} classes, {data['train']:,}"

    @property
    def label(self) -> str:
        """The number in the picture, with an asterisk where the photographs are MiniCIFAR's four classes."""
        return f"{self.number}{'*' * self.first.run.config['data']['name'].startswith('minicifar')}"

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
        """The mean share of the dense network's latency; None where no record has it."""
        found = [outcome.time for outcome in self.outcomes]
        return None if None in found else mean(found)

    @property
    def band(self) -> float | None:
        """How far the dense networks are apart over the seeds, in points; None for one seed."""
        before = [100 * outcome.before for outcome in self.outcomes]
        return max(before) - min(before) if len(before) > 1 else None

    @property
    def inside(self) -> bool:
        """Whether the mean loss or gain is no larger than what lies between seeds of the dense network."""
        return self.band is not None and abs(mean(self.lost)) <= self.band

    @property
    def kept(self) -> bool:
        """Whether the mean loss is no larger than what lies between seeds of the dense network, or a gain."""
        return self.inside or mean(self.lost) < 0


def collected(folder: Path = settings.REFERENCE) -> list[Outcome]:
    """What every method says of the runs in ``folder``, of the quick profile and of sweeps."""
    labs = [lab for lab in folders_with_runs(folder) if experiment_name(lab).partition("-")[0] not in LARGER]
    return [outcome for summary in methods.declared("summary") for lab in labs for outcome in summary(lab)]


def on_shapes(outcome: Outcome) -> bool:
    return outcome.run.config["data"]["name"] == "shapes"


def rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """Outcomes with the seeds of one experiment together, numbered in the order of the notebooks, the largest first.
    Raises ``LabError`` where a row would have one seed twice, or one number two sets of photographs."""
    found: dict[tuple, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        family = re.sub(r"-seed\d+$", "", experiment_name(outcome.run.folder.parent))
        key = outcome.notebook, outcome.method, outcome.setting, printed(outcome.dense)
        found[key, family, on_shapes(outcome)].append(outcome)

    def place(item) -> tuple:
        (key, *_), members = item
        return key[0], -max(member.bytes or 1 for member in members), key

    numbers: dict[tuple, int] = {}
    for (key, *_), _ in sorted(found.items(), key=place):
        numbers.setdefault(key, len(numbers) + 1)
    by_seed = {where: tuple(sorted(members, key=lambda o: o.run.config["seed"])) for where, members in found.items()}
    made = [Row(numbers[key], shapes, members) for (key, _, shapes), members in by_seed.items()]
    for row in made:
        _only_once(row.outcomes, lambda outcome: outcome.run.config["seed"])
    _only_once([row.first for row in made], lambda o: (o.notebook, o.method, o.setting, printed(o.dense), on_shapes(o)))
    return sorted(made, key=lambda row: (row.number, row.shapes))


def _only_once(outcomes: Iterable[Outcome], of: Callable[[Outcome], object]) -> None:
    seen: dict[object, Outcome] = {}
    for outcome in outcomes:
        if (other := seen.setdefault(of(outcome), outcome)) is not outcome:
            raise LabError(
                f"{other.run.folder} and {outcome.run.folder} are both {outcome.method!r}, {outcome.setting!r}, with "
                "the same seed or on two sets of photographs: let the settings differ, or take one of them away."
            )


def picture(rows: Sequence[Row], cost: str = "bytes") -> Figure:
    """Points of accuracy lost over what is left (``bytes`` or ``macs``), a panel for photographs and one for shapes, a
    marker a row with its number: full where weights were trained, hollow where none was; bars from the best to the worst
    seed. A grey ring: no more than lies between the seeds of that row's own unpruned network."""
    shown = [row for row in rows if row.left(cost) is not None]
    figure, axes = panels(2, _described(shown, cost), 7.2, 11, sharex=True, sharey=True)
    _scales(axes[0])
    for axis, shapes in zip(axes, PANELS):
        here = [row for row in shown if row.shapes == shapes]
        axis.axhline(0, color="0.4", lw=1, zorder=1)
        for row in here:
            _mark(axis, row, cost)
        axis.plot(1, 0, color="black", marker="*", ms=13, ls="", zorder=4, clip_on=False)
        axis.set(title=PANELS[shapes], xlabel=f"{LEFT[cost]} (log scale)")
        axis.annotate(
            "↖ smaller and better", (0.01, 0.985), xycoords="axes fraction", va="top", fontsize=11, weight="bold"
        )
    axes[0].set_ylabel("points of accuracy lost (log below 2)")
    figure.legend(handles=_legend(shown), loc="outside lower center", ncols=3, fontsize=10.5)
    figure.canvas.draw()  # settles the layout, in which the numbers look for room
    for axis, shapes in zip(axes, PANELS):
        _number(axis, [row for row in shown if row.shapes == shapes], cost)
        if cost == "bytes":
            _say(axis, [row for row in shown if row.shapes == shapes])
    return figure


def _described(rows: Sequence[Row], cost: str) -> str:
    said = "; ".join(
        f"{row.label} {row.first.method} on {'shapes' if row.shapes else 'photographs'}: {row.left(cost):.0%} left, "
        f"{mean(row.lost):.1f} points lost"
        for row in rows
    )
    return f"Points of accuracy lost over the {LEFT[cost]}, on photographs (* four classes) and on generated shapes. {said}."


def _mark(axis: Axes, row: Row, cost: str) -> None:
    marker, colour = LOOKS[row.first.removed]
    x, y = row.left(cost), mean(row.lost)
    reach = [[y - min(row.lost)], [max(row.lost) - y]]
    fill = colour if row.first.trained else "white"
    if row.inside:
        axis.plot(x, y, **RING, zorder=2)
    axis.errorbar(x, y, reach, color=colour, marker=marker, ms=8, mfc=fill, mew=1.4, lw=1, ls="", zorder=3)


def _scales(axis: Axes) -> None:
    """What is left: logarithmic. What is lost: linear up to 2 points and logarithmic beyond, nothing lost on top."""
    axis.set(xscale="log", xlim=(0.005, 1.15), ylim=(150, -3))
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
            row.label, mark, [72 * pixels / axis.figure.dpi for pixels in offset], textcoords="offset points",
            ha="center", va="center", fontsize=10.5, zorder=5,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkA": 0, "shrinkB": 3} if far else None,
        )  # fmt: skip


def _say(axis: Axes, rows: Sequence[Row]) -> None:
    """``IN_WORDS`` beside the markers that it speaks of."""
    for shapes, method, setting, network, words, offset in IN_WORDS:
        for row in rows:
            if row.shapes == shapes and row.is_of(method, network) and row.first.setting == setting:
                axis.annotate(
                    words, (row.left("bytes"), mean(row.lost)), offset, textcoords="offset points", zorder=4,
                    ha="center", va="center", fontsize=11, style="italic",
                    arrowprops={"arrowstyle": "-", "lw": 0.7, "color": "0.3", "shrinkB": 6},
                )  # fmt: skip


def beside(marks: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """For each mark, a place in pixels, the offset of its number: the first of ``AROUND`` that is ``APART`` from every
    mark and number and no nearer to another mark than to its own, or else the one that is farthest from them."""
    taken, found = [tuple(mark) for mark in marks], []
    for x, y in marks:
        room = {(dx, dy): min(np.hypot(0.7 * (x + dx - a), y + dy - b) for a, b in taken) for dx, dy in AROUND}
        free = (place for place in AROUND if room[place] >= max(APART, np.hypot(0.7 * place[0], place[1]) - 2))
        offset = next(free, max(room, key=room.get))
        taken.append((x + offset[0], y + offset[1]))
        found.append(offset)
    return found


def _legend(rows: Sequence[Row]) -> list[Line2D]:
    def mark(label: str, **look) -> Line2D:
        return Line2D([], [], **({"color": "black", "marker": "o", "ms": 8, "ls": ""} | look), label=label)

    removed = {row.first.removed for row in rows}
    looks = [mark(name, marker=shape, color=colour) for name, (shape, colour) in LOOKS.items() if name in removed]
    others = [
        mark("weights trained"),
        mark("not one weight trained", mfc="white"),
        mark("the unpruned network", marker="*", ms=13),
        Line2D([], [], **RING, label="no more than lies between two seeds"),
        Line2D([], [], color="black", lw=1, label="best to worst of the seeds"),
    ]
    return [*looks, *others]


# Tables

LINKS = "../"  # from docs/, where the page is


def said(row: Row) -> str:
    """Points lost, the mean and the range over the seeds, whether seeds alone lie as far apart, and whether every seed
    lost nevertheless."""
    spread = f" ({min(row.lost):.1f} to {max(row.lost):.1f})" if len(row.lost) > 1 else ", one seed"
    every = ", every seed lost" if min(row.lost) > 0 else ""
    return f"{mean(row.lost):.1f}{spread}" + (f", inside the seed band{every}" if row.inside else "")


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
        how = [
            first.method,
            first.setting,
            printed(first.dense),
            row.images,
            "yes" if first.trained else "no",
            notebook(row),
        ]
        return [str(row.number), *how, *shares, band([o.before for o in row.outcomes]), said(row), seeds]

    header = ["", "method", "setting", "unpruned network", "images", "trained", "notebook", "bytes left", "MACs left"]
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
        "Cut channels, then let the weights that stay share a few values, or learn how many bits each layer needs",
        lambda row: _lost(row) < 2,
        lambda row: row.left("bytes") or 1,
        "Up to 2 points lost. Somebody has to pack the numbers, and to unpack them again. By itself that saves no time: "
        "the processor multiplies as much as before.",
    ),
    When(
        "less time for one image on a CPU",
        "Cut whole channels and fine-tune",
        lambda row: row.time is not None and row.first.setting.endswith(" fine-tuned"),
        _lost,
        "Time falls less than multiply-accumulates do. Masks and zeros save none of it.",
    ),
    When(
        "fewer multiply-accumulates",
        "Cut whole channels, and train while or after it",
        lambda row: row.kept and (row.left("macs") or 1) < 1,
        lambda row: row.left("macs"),
        "Zeros and bits save none. Multiply-accumulates are no time: notebook 04 measures both.",
    ),
    When(
        "no time to train",
        "Set half of the weights to zero; of whole channels cut little, and repair: least squares in the next layer, or "
        "BatchNorm estimated again",
        lambda row: not row.first.trained,
        _lost,
        "At 70 % of the channels no repair is enough. The repairs need about 1,000 images, without labels; zeros save "
        "bytes and no time.",
    ),
    When(
        "no images at hand",
        "Set the smallest weights to zero, by their size alone",
        lambda row: row.first.setting.endswith("not retrained"),
        _lost,
        "How far that goes depends on the learning rate of the training (notebook 06). Whole channels that are cut "
        "without an image lose far more (notebook 07).",
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
        "One global ranking leaves one channel of the last group, which the classifier reads.",
    ),
    When(
        "a budget that must be met",
        "Cut every layer alike first; search only if that is not enough",
        lambda row: row.is_of(network="VGG") and row.first.setting.endswith("of the MACs stay"),
        _lost,
        "Neither the agent nor as many tries by chance was better by more than seeds differ, here and on the shapes.",
    ),
    When(
        "milliseconds of this machine, not counts",
        "NetAdapt with a table of measured latencies",
        lambda row: row.is_of("NetAdapt"),
        _lost,
        "The time is what the table predicts, of the machine that made the record. What fine-tuning at the end gives "
        "back is in no record.",
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
    where = ", on shapes" if row.shapes else ", on MiniCIFAR" if row.label.endswith("*") else ""
    return f"{row.number}: {name}{where} ({notebook(row)}): {left}; points lost {said(row)}"


def overview(folder: Path) -> dict[str, Figure]:
    """The course's picture over bytes and over multiply-accumulates, of a folder of several experiments."""
    found = rows(collected(folder)) if len(folders_with_runs(folder)) > 1 else []
    return {"course": picture(found), "course-macs": picture(found, "macs")} if found else {}
