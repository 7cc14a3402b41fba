"""Fronts as a figure and a table, from records."""

from collections import defaultdict
from dataclasses import asdict
from statistics import mean

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit.methods.front.work import CUT, TUNED
from labkit.records import Record
from labkit.settings import Recipe
from labkit.view import plots
from labkit.view.tables import band, markdown

COSTS = ("parameters", "macs")
Point = dict[str, list[float]]
"""What was measured at one ratio, a value for each seed."""


def points(runs: list[Record]) -> dict[tuple[str, str, float], Point]:
    """Runs of a grid by network and data set, criterion and policy, and ratio."""
    cuts = {run.name: run for run in runs if run.kind == CUT}
    tuned = [run for run in runs if run.kind == TUNED and run.config["parent"] in cuts]
    differ = [key for key in asdict(Recipe(1, 1)) if len({run.config["recipe"][key] for run in tuned}) > 1]
    found: dict[tuple[str, str, float], Point] = defaultdict(lambda: defaultdict(list))

    def point(cut: Record) -> Point:
        network, _, _ = cut.name.rpartition(f"-seed{cut.config['seed']}-{cut.config['criterion']}-")
        return found[network, f"{cut.config['criterion']}, {cut.config['policy']}", cut.config["ratio"]]

    for cut in cuts.values():
        for name, accuracy in cut.results["validation"].items():
            point(cut)[name].append(accuracy)
        for cost in COSTS:
            point(cut)[cost].append(cut.results[cost] / cut.results[f"parent_{cost}"])
    for run in tuned:
        words = [f"{key.replace('_', ' ')} {run.config['recipe'][key]}" for key in differ]
        stage = f"fine-tuned ({', '.join(words)})" if words else "fine-tuned"
        point(cuts[run.config["parent"]])[stage].append(run.results["validation_accuracy"])
    return dict(sorted(found.items()))


def _stages(found: dict) -> list[str]:
    """Columns of accuracies, in the order in which they come about."""
    return list(dict.fromkeys(name for point in found.values() for name in point if name not in COSTS))


def table(runs: list[Record]) -> str:
    """Validation accuracies over the seeds, and what is left of parameters and MACs; empty without cuts."""
    found = points(runs)
    if not found:
        return ""
    stages = _stages(found)
    header = ["network, data", "criterion, policy", "ratio", "parameters left", "MACs left", *stages, "seeds"]
    rows = [
        [
            network,
            choice,
            f"{ratio:.0%}",
            *(f"{mean(point[cost]):.1%}" for cost in COSTS),
            *(band(point.get(stage, [])) for stage in stages),
            str(len(point["parent"])),
        ]
        for (network, choice, ratio), point in found.items()
    ]
    return markdown([name.replace("_", " ") for name in header], rows)


def front(runs: list[Record]) -> Figure:
    """Validation accuracy over the fraction of MACs left, a panel for each network and data set, a line for each
    criterion and policy, bars from the lowest to the highest seed; the last stage that the grid has."""
    found = points(runs)
    networks = list(dict.fromkeys(network for network, *_ in found))
    stage = _stages(found)[-1]
    stage_name = "re-estimated" if stage == "recalibrated" else stage
    figure, axes = plots.panels(
        len(networks),
        f"Validation accuracy ({stage_name}) over the fraction of multiply-accumulates left, one panel per network and "
        "data set, one line per criterion and policy, with the range over seeds; the unpruned network as a line.",
        height=3.4,
        width=3.2 * len(networks) + 2.2,
        sharey=True,
    )
    for axis, network in zip(axes, networks):
        mine = {key[1:]: point for key, point in found.items() if key[0] == network}
        for i, choice in enumerate(dict.fromkeys(choice for choice, _ in mine)):
            line = [point for (name, _), point in mine.items() if name == choice and stage in point]
            x, y = ([mean(point[name]) for point in line] for name in ("macs", stage))
            reach = [[m - min(point[stage]) for m, point in zip(y, line)]]
            reach += [[max(point[stage]) - m for m, point in zip(y, line)]]
            axis.errorbar(x, y, reach, label=choice, capsize=3, lw=1.2, **plots.style(i))
        axis.axhline(mean(next(iter(mine.values()))["parent"]), color="black", lw=1, label="unpruned")
        seeds = len(next(iter(mine.values()))["parent"])
        axis.set(
            title=f"{network}\n{seeds} seed{'s' * (seeds > 1)}", xlabel="MACs left", xlim=(0, 1.03), ylim=(0, 1.03)
        )
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel(f"validation accuracy,\n{stage_name}")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure
