"""AMC's figures and tables, drawn from records."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit import settings
from labkit.methods.amc.policies import COMPARED, TUNED
from labkit.methods.amc.search import SEARCH
from labkit.methods.outcomes import CHANNELS, Outcome, thinner
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.view.plots import COLOURS, MARKERS, bar_style, panels, style
from labkit.view.tables import markdown, percent

STAGES = {"as_it_stands": "as it stands", "re_estimated": "BatchNorm re-estimated", "tuned": "fine-tuned, one epoch"}


def rewards(searches: Mapping[str, Record]) -> Figure:
    """The reward of every episode of some searches, by name: dots, and the best so far as a line."""
    best = {name: np.maximum.accumulate(run.results["rewards"]) for name, run in searches.items()}
    said = "; ".join(f"{name} {line[-1]:.3f}" for name, line in best.items())
    figure, axes = panels(len(best), f"Reward over episodes. Best: {said}.", 3, 4.4 * len(best) + 0.6)
    first = {}  # rewards of two kinds have no scale in common
    for axis, run in zip(axes, searches.values()):
        if (leader := first.setdefault(run.config["reward"], axis)) is not axis:
            axis.sharey(leader)
    for i, (axis, (name, run)) in enumerate(zip(axes, searches.items())):
        found, warm_up = run.results["rewards"], run.config["warm_up"]
        number = np.arange(1, len(found) + 1)
        axis.plot(number, found, color=COLOURS[i], marker=MARKERS[i % len(MARKERS)], ms=3, ls="", alpha=0.6)
        axis.step(number, best[name], color="black", lw=1.6, where="post", label="best so far")
        if run.config["agent"] == "ddpg":
            axis.axvspan(0.5, min(warm_up, len(found)) + 0.5, color="0.88", zorder=0, label="warm-up, by chance")
        axis.set(xlabel="episode", title=name)
    axes[0].set_ylabel("reward")
    axes[0].legend(fontsize=8, loc="lower right")
    return figure


def shares(plans: Mapping[str, Mapping]) -> Figure:
    """The share of each group's channels that plans, as dictionaries by name, keep: a line each."""
    kept = {name: [len(plan["kept"][g]) / total for g, total in plan["total"].items()] for name, plan in plans.items()}
    said = "; ".join(f"{name} {', '.join(f'{share:.0%}' for share in found)}" for name, found in kept.items())
    figure, (axis,) = panels(1, f"Share of each group's channels that stays: {said}.", height=3.1, width=9)
    for i, (name, found) in enumerate(kept.items()):
        axis.plot(range(1, len(found) + 1), found, ms=5, label=name, **style(i))
    axis.set(xlabel="channel group", ylabel="share of its channels\nthat stays", ylim=(0, 1.03))
    axis.set_xticks(range(1, len(found) + 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def accuracies(study: Record, tuned: Mapping[str, Record]) -> dict[str, list[float]]:
    """By policy, the validation accuracy at each of ``STAGES`` that is known of it."""
    found = {name: [row["as_it_stands"], row["re_estimated"]] for name, row in study.results["policies"].items()}
    return {
        name: [*row, tuned[name].results["validation_accuracy"]] if name in tuned else row
        for name, row in found.items()
    }


def policies(study: Record, tuned: Mapping[str, Record]) -> Figure:
    """Validation accuracy of every policy at equal MACs: as it stands, re-estimated, and fine-tuned where it was."""
    found = accuracies(study, tuned)
    said = "; ".join(f"{name} {', '.join(f'{value:.0%}' for value in row)}" for name, row in found.items())
    figure, (axis,) = panels(1, f"Validation accuracy by policy, {', '.join(STAGES.values())}: {said}.", 3.2, 9)
    for i, stage in enumerate(STAGES.values()):
        values = [(x, row[i]) for x, row in enumerate(found.values()) if i < len(row)]
        if not values:
            continue  # nothing was fine-tuned
        bars = axis.bar(
            [x + 0.27 * (i - 1) for x, _ in values], [y for _, y in values], 0.27, label=stage, **bar_style(i)
        )
        axis.bar_label(bars, [f"{100 * y:.0f}" for _, y in values], fontsize=8)
    axis.axhline(study.results["parent"], color="black", ls=":", lw=1)
    axis.set_xticks(range(len(found)), [f"{name}\n{study.results['policies'][name]['macs']:.1%}" for name in found])
    axis.set(xlabel="policy, and the share of MACs that it leaves", ylabel="validation accuracy", ylim=(0, 1.08))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(False, axis="x")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="dotted: unpruned", fontsize=9)
    return figure


def over_the_seeds(study: Record) -> dict[str, dict[str, list[float]]]:
    """``accuracies`` of a comparison by column: ``yours``, unless it is a shipped one, and each shipped reference run's."""
    runs = {} if study.folder.resolve().is_relative_to(settings.REFERENCE) else {"yours": study}
    runs |= {f"seed {run.config['seed']}": run for run in over_seeds(study)}
    return {column: accuracies(run, tuned_beside(run)) for column, run in runs.items()}


def tuned_beside(study: Record) -> dict[str, Record]:
    """The fine-tuned networks of a comparison that lie beside it, by policy."""
    prefix = f"amc-tuned-{study.name.removeprefix('amc-compared-')}-"
    found = load_all(study.folder.parent, TUNED)
    return {run.name.removeprefix(prefix): run for run in found if run.name.startswith(prefix)}


def seeds_table(study: Record, stage: str = "re_estimated") -> str:
    """Markdown: a policy a row, one's own run and each shipped seed a column: the validation accuracy at one of
    ``STAGES``."""
    place, columns = list(STAGES).index(stage), over_the_seeds(study)
    names = dict.fromkeys(name for found in columns.values() for name in found)
    rows = [[n, *(percent(c[n][place]) if place < len(c.get(n, [])) else "–" for c in columns.values())] for n in names]
    return markdown([f"policy, {STAGES[stage]}", *columns], rows)


def searches_table(searches: Mapping[str, Record]) -> str:
    """Markdown: what searches found and what they took."""
    rows = [
        [
            name,
            str(len(run.results["rewards"])),
            percent(run.config["budget"]),
            percent(float(np.mean(run.results["accuracies"]))),
            percent(float(np.mean(run.results["accuracies"][-20:]))),
            percent(run.results["accuracies"][run.results["best"]]),
            str(run.results["best"] + 1),
        ]
        for name, run in searches.items()
    ]
    return markdown(["search", "episodes", "budget", "mean", "mean of the last 20", "best", "in episode"], rows)


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the searches and comparisons in ``folder`` allow, by file name."""
    found = {}
    for lab in folders_with_runs(folder):
        name, searches = experiment_name(lab), {run.name: run for run in load_all(lab, SEARCH)}
        for run in searches.values():
            if run.config["agent"] == "ddpg":
                other = searches.get(run.name.replace("amc-", "random-", 1))
                pair = {"AMC": run} | ({"random search": other} if other else {})
                found[f"{name}-{run.name}"] = rewards(pair)
        for study in load_all(lab, COMPARED):
            found[f"{name}-{study.name}"] = policies(study, tuned_beside(study))
    return found


def results(folder: Path) -> str:
    """Markdown of what the searches in ``folder`` found; empty where there are none."""
    parts = []
    for lab in folders_with_runs(folder):
        if searches := {run.name: run for run in load_all(lab, SEARCH)}:
            parts.append(f"AMC, {experiment_name(lab)}\n\n{searches_table(searches)}")
    return "\n\n".join(parts)


SUMMED = {"amc": "AMC", "random": "Chance, as many tries", "uniform": "Every layer alike"}
"""What stands on the course's page, by policy: its name in print."""


def summary(folder: Path) -> list[Outcome]:
    """The policies that the agent and chance found in one lab's folder, and the one that cuts every layer alike,
    fine-tuned."""
    found = []
    for study in load_all(folder, COMPARED):
        dense = study.specification
        for policy, run in tuned_beside(study).items():
            if policy in SUMMED:
                macs = study.results["policies"][policy]["macs"]
                budget = f"{round(20 * macs) / 20:.0%} of the MACs stay"
                accuracy, before = run.results["validation_accuracy"], study.results["parent"]
                left = thinner(dense, run.specification, macs)
                found.append(Outcome(SUMMED[policy], budget, CHANNELS, "10_amc", run, dense, accuracy, before, **left))
    return found
