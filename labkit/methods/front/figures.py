"""The figures and tables of notebook 08, from points, plans and records."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit.methods import criteria
from labkit.methods.front.geometry import Point, dominating, free, gained, hypervolume, knee
from labkit.methods.front.policy import BY_SENSITIVITY, points_of
from labkit.methods.front.view import points, table
from labkit.methods.front.work import CUT, POLICY, TRAINED, TUNED
from labkit.methods.outcomes import CHANNELS, Outcome, thinner
from labkit.records import Record, experiment_name, folders_with_runs, load_all
from labkit.settings import LabError
from labkit.view.plots import COLOURS, bar_style, panels, style
from labkit.view.tables import band, markdown

SUMMED = 0.3  # the ratio of the fronts that stands on the course's page
SUMMED_POLICIES = {"global": "Ranked globally", "uniform": "Every group alike"}  # there, in print
LEFT = {"parameters": "parameters left", "macs": "MACs left"}


# A front by itself


def staircase(axis: Axes, front: Iterable[Point], label: str, color="black", fill: str | None = None) -> None:
    """A front's points, and the edge of what they dominate; ``fill`` colours the area."""
    best = dominating(front)
    x = [point.cost for point in best] + [1.0]
    y = [point.accuracy for point in best] + [best[-1].accuracy]
    if fill:
        axis.fill_between(x, y, step="post", color=fill, lw=0, zorder=0)
    axis.step([x[0], *x], [0, *y], where="post", color=color, lw=1.2)
    axis.plot(*zip(*best), color=color, marker="o", ms=6, ls="", label=label, clip_on=False)


def _plane(axis: Axes) -> None:
    axis.set(xlabel="cost: share of MACs left", ylabel="accuracy", xlim=(0, 1.0), ylim=(0, 1.0))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1))


def what_a_front_is(found: Iterable[tuple[float, float]]) -> Figure:
    """Three views of the same points: what one of them dominates; the front and the area under it; the knee."""
    found = [Point(*point) for point in found]
    best, bend = dominating(found), knee(found)
    others = [point for point in found if point not in best]
    figure, axes = panels(
        3,
        f"Three times the same {len(found)} points, accuracy over cost. Left: one point and the rectangle to the right of "
        f"it and below it, which it dominates. Middle: the {len(best)} points that none dominates, joined by a staircase, "
        f"the area below it, {hypervolume(found):.3f}, in grey. Right: the diagonal; the knee, "
        f"the point farthest above it, is at cost {bend.cost:.0%} and accuracy {bend.accuracy:.0%}.",
        height=3.0,
        width=9.6,
        sharey=True,
    )
    for axis in axes:
        _plane(axis)
        axis.plot(*zip(*others), color="0.55", marker="x", ms=7, mew=2, ls="", label="dominated")
    axes[0].plot(*zip(*best), color="black", marker="o", ls="", ms=6)
    one = best[len(best) // 2]
    axes[0].fill_between([one.cost, 1], 0, one.accuracy, color=COLOURS[0], alpha=0.25, hatch="//", lw=0)
    axes[0].set_title("what one point dominates")
    staircase(axes[1], best, "front", fill="0.88")
    axes[1].set_title(f"the area under the front: {hypervolume(found):.3f}")
    axes[2].plot(*zip(*best), color="black", marker="o", ls="", ms=6)
    axes[2].plot([0, 1], [0, 1], color="black", ls="--", lw=1)
    axes[2].annotate(
        "knee", bend, xytext=(6, -48), textcoords="offset points", arrowprops={"arrowstyle": "->", "color": "black"}
    )
    axes[2].set_title("where it bends")
    for axis in axes[1:]:
        axis.set_ylabel("")
    axes[1].legend(loc="lower right", fontsize=8)
    return figure


def policies(
    front: Iterable[Point],
    mine: dict[str, Point] | None = None,
    others: dict[str, Point] | None = None,
    unpruned: float | None = None,
) -> Figure:
    """A global front, the area under it and its knee; the area that the points ``mine`` gain, hatched, each with its
    name; other points by name. ``unpruned``: the accuracy 0..1 before pruning."""
    front, mine, others = list(front), mine or {}, others or {}
    bend = knee(front)
    alt = f"Validation accuracy over MACs left: the global front, area {hypervolume(front):.3f}, knee at {bend.cost:.0%} of the MACs"
    if mine:
        alt += f"; policies {', '.join(mine)} gain {gained(front, mine.values()):.3f}, hatched"
    figure, (axis,) = panels(1, alt + ".", height=3.6, width=8.4)
    _plane(axis)
    if mine:
        together = dominating([*front, *mine.values()])
        x, y = [p.cost for p in together] + [1.0], [p.accuracy for p in together] + [together[-1].accuracy]
        axis.fill_between(x, y, step="post", facecolor="none", edgecolor=COLOURS[0], hatch="//", lw=0.8, zorder=0)
    staircase(axis, front, f"global front, area {hypervolume(front):.3f}", fill="0.9")
    hidden = [point for point in front if point not in dominating(front)]
    if hidden:
        axis.plot(*zip(*hidden), color="0.5", marker="x", ms=6, mew=1.5, ls="", label="global, dominated")
    axis.plot(*bend, marker="o", ms=12, mfc="none", mec="black", ls="", label="its knee")
    for i, (name, point) in enumerate((mine | others).items(), 1):
        axis.plot(*point, ms=8, clip_on=False, label=name, **(style(i) | {"ls": ""}))
    if unpruned is not None:
        axis.axhline(unpruned, color="black", lw=1, ls=":", label=f"unpruned, {unpruned:.1%}")
    title = f"hatched: area gained, {gained(front, mine.values()):.3f}" if mine else None
    axis.set(ylabel="validation accuracy", ylim=(0, 1.03))
    axis.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), title=title, fontsize=9)
    return figure


# The reference grid


def _title(network: str) -> str:
    """``resnet18x0.125-folder-cifar10`` -> ``resnet18``, its width and its images below."""
    name, width, data = re.fullmatch(r"(.+?)x([\d.]+)-(.*)", network).groups()
    return f"{name}, width × {width}\n{data.removeprefix('folder-')}"


def fronts(runs: list[Record]) -> Figure:
    """Validation accuracy of a grid's fine-tuned networks over the share of parameters (above) and of MACs (below)
    that is left, a column a network, a line a policy, bars from the lowest to the highest seed."""
    found = points(runs)
    networks = list(dict.fromkeys(network for network, *_ in found))
    figure, axes = panels(
        len(networks),
        "Fronts of "
        + ", ".join(_title(network).replace("\n", " on ") for network in networks)
        + ": validation accuracy after fine-tuning over the share of parameters left (above) and of MACs left (below), one "
        "line per policy with the range over seeds; dotted: the unpruned network.",
        height=5.2,
        width=9.6,
        rows=len(LEFT),
        sharex=True,
        sharey=True,
    )
    for number, axis in enumerate(axes):
        network, cost = networks[number % len(networks)], list(LEFT)[number // len(networks)]
        mine = {key[1:]: point for key, point in found.items() if key[0] == network and "fine-tuned" in point}
        for i, choice in enumerate(dict.fromkeys(choice for choice, _ in mine)):
            line = [point for (name, _), point in mine.items() if name == choice]
            x, y = ([mean(point[name]) for point in line] for name in (cost, "fine-tuned"))
            reach = [
                [m - min(p["fine-tuned"]) for m, p in zip(y, line)],
                [max(p["fine-tuned"]) - m for m, p in zip(y, line)],
            ]
            axis.errorbar(x, y, reach, label=choice.rpartition(", ")[2], capsize=3, lw=1.2, ms=5, **style(i))
        unpruned = mean(value for (name, *_), point in found.items() if name == network for value in point["parent"])
        axis.axhline(unpruned, color="black", lw=1, ls=":", label="unpruned")
        axis.set(xlabel=LEFT[cost], xlim=(0, 1.03))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        if number < len(networks):
            axis.set_title(_title(network))
        if number % len(networks) == 0:
            axis.set_ylabel("validation accuracy")
            axis.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylim(bottom=0)  # shared; before the last line is drawn it would fix the upper end
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def widths_left(runs: list[Record], ratio: float) -> Figure:
    """The share of its channels that each group keeps at one ratio of a grid, the mean over seeds: a panel a network,
    bars by policy, the uniform one as a line."""
    cuts = [run for run in runs if run.kind == CUT and run.config["ratio"] == ratio]
    parents = {run.name: run for run in runs if run.kind == TRAINED}
    by_network = defaultdict(lambda: defaultdict(list))
    for run in cuts:
        network = parents[run.config["parent"]].name.rpartition("-seed")[0]
        kept = [len(run.plan["kept"][name]) / total for name, total in run.plan["total"].items()]
        by_network[network][run.config["policy"]].append(kept)
    figure, axes = panels(
        len(by_network),
        f"Share of its channels that each group keeps where {ratio:.0%} of all channels are cut, by policy, one panel per "
        "network: "
        + "; ".join(
            f"{_title(network).partition(',')[0]}, global, from {max(low):.0%} down to {min(low):.0%}"
            for network, found in sorted(by_network.items())
            for low in [np.mean(found["global"], axis=0)]
        )
        + ".",
        height=3.0,
        width=9.6,
        sharey=True,
    )
    for axis, (network, found) in zip(axes, sorted(by_network.items())):
        for i, (policy, kept) in enumerate(sorted(found.items())):
            x = np.arange(1, len(kept[0]) + 1)
            heights = np.mean(kept, axis=0)
            if policy == "uniform":
                axis.plot(x, heights, label=policy, ms=3, **style(i))
            else:
                axis.bar(x, heights, 0.8, label=policy, **bar_style(i))
        axis.set(title=_title(network), xlabel="channel group, first to last", ylim=(0, 1.05))
        axis.grid(False, axis="x")
    axes[0].set_ylabel("channels left")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def areas(runs: list[Record]) -> dict[tuple[str, str, str], list[float]]:
    """The area under each front of a grid, by network, policy and what costs are counted in (``parameters`` or
    ``macs``), a number a seed."""
    cuts = {run.name: run for run in runs if run.kind == CUT}
    fronts_of = defaultdict(list)
    for run in runs:
        if run.kind == TUNED and (cut := cuts.get(run.config["parent"])):
            network = cut.config["parent"].rpartition("-seed")[0]
            for cost in LEFT:
                left = cut.results[cost] / cut.results[f"parent_{cost}"]
                key = network, cut.config["policy"], cost, cut.config["seed"]
                fronts_of[key].append(Point(left, run.results["validation_accuracy"]))
    found = defaultdict(list)
    for (network, policy, cost, _), front in sorted(fronts_of.items()):
        found[network, policy, cost].append(hypervolume(front))
    return dict(found)


def areas_table(runs: list[Record]) -> str:
    """Area under each front over MACs and over parameters, mean and range over the seeds."""
    found = areas(runs)
    rows = [
        [_title(network).replace("\n", ", "), policy, *(band(found[network, policy, cost]) for cost in LEFT)]
        for network, policy in dict.fromkeys(key[:2] for key in found)
    ]
    return markdown(["network", "policy", *(f"area over {name}" for name in LEFT.values())], rows)


# What a folder of runs allows


def _live(folder: Path) -> tuple[Record, list[Record], list[Record]] | None:
    """The trained network of lab 2, its global front and the policies, if they are there."""
    trained = load_all(folder, criteria.TRAINED)
    tuned, mine = (
        [run for run in load_all(folder, kind) if run.config["parent"] == "trained"] for kind in (TUNED, POLICY)
    )
    return (trained[0], tuned, mine) if trained and tuned else None


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in ``folder`` allow, by file name."""
    drawn, runs = {}, load_all(folder)
    if areas(runs):
        ratios = sorted({run.config["ratio"] for run in runs if run.kind == CUT})
        middle = ratios[len(ratios) // 2]
        drawn |= {"fronts": fronts(runs), "fronts-widths": widths_left(runs, middle)}
    if found := _live(folder):
        trained, tuned, mine = found
        named = dict(zip((run.name.removeprefix("policy-") for run in mine), points_of(mine, trained.specification)))
        front = points_of(tuned, trained.specification)
        drawn["front-policies"] = policies(front, named, unpruned=trained.results["validation_accuracy"])
    return drawn


def policies_table(trained: Record, tuned: list[Record], mine: list[Record]) -> str:
    """The global front's and the policies' points, and the area that each policy gains by itself."""
    front = points_of(tuned, trained.specification)
    rows = []
    for run, point in sorted(
        zip([*tuned, *mine], points_of([*tuned, *mine], trained.specification)), key=lambda r: -r[1].cost
    ):
        gain = f"{gained(front, [point]):.3f}" if run.kind == POLICY else "–"
        rows.append([run.name, f"{point.cost:.1%}", f"{point.accuracy:.1%}", gain])
    return markdown(["run", "MACs left", "validation accuracy", "area gained"], rows)


def gains_table(folder: Path) -> str:
    """Of every experiment in ``folder``: the area under its global front, and what the hand-tuned policies and those of
    the sensitivity curves add to it, in area and as a share of the area that was free."""
    rows = []
    for lab in folders_with_runs(folder):
        if not (found := _live(lab)):
            continue
        trained, tuned, policies = found
        front = points_of(tuned, trained.specification)
        left = free(front, trained.results["validation_accuracy"])
        row = [experiment_name(lab), f"{hypervolume(front):.3f}"]
        for curves in (False, True):
            chosen = [run for run in policies if run.name.startswith(BY_SENSITIVITY) == curves]
            gain = gained(front, points_of(chosen, trained.specification))
            row.append(f"{len(chosen)} policies: {gain:.3f} ({gain / left:.1%} of the free area)")
        rows.append(row)
    return markdown(["experiment", "area of the global front", "hand-tuned", "by sensitivity"], rows)


def results(folder: Path) -> str:
    """The tables of every experiment in ``folder``."""
    pages = []
    for lab in folders_with_runs(folder):
        if areas(runs := load_all(lab)):
            pages.append(f"## {experiment_name(lab)}: fronts\n\n{areas_table(runs)}\n\n{table(runs)}")
        if found := _live(lab):
            pages.append(f"## {experiment_name(lab)}: policies\n\n{policies_table(*found)}")
    return "\n\n".join(pages)


def summary(folder: Path) -> list[Outcome]:
    """What the runs in one lab's folder show: every front at the ratio ``SUMMED``, and the hand-tuned policies. Raises
    ``LabError`` for a run whose unpruned network is not beside it."""
    runs, found = {run.name: run for run in load_all(folder)}, []

    def add(run: Record, dense: Record, method: str, setting: str, macs: float | None = None) -> None:
        accuracy, before = (r.results["validation_accuracy"] for r in (run, dense))
        left = thinner(dense.specification, run.specification, macs)
        found.append(Outcome(method, setting, CHANNELS, "08_front", run, dense.specification, accuracy, before, **left))

    def made_of(run: Record) -> Record:
        if run.config["parent"] not in runs:
            raise LabError(
                f"{run.folder} was made of {run.config['parent']}, which is not beside it: make it there again."
            )
        return runs[run.config["parent"]]

    share = f"{SUMMED:.0%} of the channels"
    for run in runs.values():
        if run.kind not in (TUNED, POLICY):
            continue
        parent = made_of(run)
        if parent.kind == CUT and parent.config["ratio"] == SUMMED:
            policy = parent.config["policy"]
            costs = parent.results["macs"], parent.results["parent_macs"]
            add(run, made_of(parent), SUMMED_POLICIES.get(policy, policy), share, costs[0] / costs[1])
        elif run.name == f"global-{100 * SUMMED:g}":
            add(run, parent, SUMMED_POLICIES["global"], share)
        elif run.kind == POLICY and not run.name.startswith(BY_SENSITIVITY):
            add(run, parent, "Policy by hand", run.name.removeprefix("policy-").replace("-", " "))
    return found
