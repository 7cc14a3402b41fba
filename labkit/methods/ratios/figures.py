"""The figures and tables of sensitivity, schedules, regularization and NetAdapt, drawn from records."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit.methods.front.policy import BY_SENSITIVITY
from labkit.methods.outcomes import CHANNELS, Outcome, thinner
from labkit.methods.ratios.adapt import LATENCIES, SEARCH, plans
from labkit.methods.ratios.latency import TABLE
from labkit.methods.ratios.policies import macs_left, tolerated
from labkit.methods.ratios.schedules import REGULARIZATIONS, SCHEDULES
from labkit.methods.ratios.sensitivity import SENSITIVITY, TARGETS
from labkit.models import Specification
from labkit.pruning import ChannelPlan
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.settings import LabError
from labkit.view.plots import COLOURS, MARKERS, bar_style, panels, style
from labkit.view.tables import band, markdown

BAND = 0.2  # how far a prediction may be from the measurement


def _short(group: str) -> str:
    return group.removeprefix("features.")


def _beside(axis, title: str | None = None) -> None:
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title, fontsize=9)


def curves(study: Record, drop: float, names: Sequence[str] | None = None) -> Figure:
    """Validation accuracy over the ratio of each group alone, and a line ``drop`` below the unpruned network; a large
    marker at the largest ratio that the drop tolerates. ``names``: the groups to draw, at most all."""
    ratios, found = study.config["ratios"], study.results["curves"]
    chosen = tolerated(found, ratios, drop)
    names = list(names or found)
    said = ", ".join(f"{_short(name)} {chosen[name]:.0%}" for name in names)
    alt = f"Validation accuracy with one group pruned alone. Largest ratio that costs at most {100 * drop:g} points: {said}."
    figure, (axis,) = panels(1, alt, height=3.8, width=8.4)
    for i, name in enumerate(names):
        look = style(i)
        axis.plot(ratios, found[name], ms=4, lw=1.3, label=_short(name), **look)
        place = ratios.index(chosen[name])
        axis.plot(ratios[place], found[name][place], ms=10, mfc="none", mew=1.8, **(look | {"ls": ""}))
    floor = found[names[0]][0] - drop
    axis.axhline(floor, color="black", ls="--", lw=1)
    axis.text(0.0, floor - 0.01, f"{100 * drop:g} points below", va="top", ha="left", fontsize=9)
    axis.set(xlabel="share of this group's channels removed, alone", ylabel="validation accuracy", ylim=(0, 1.03))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1))
    _beside(axis, "large: the ratio chosen")
    return figure


def together(study: Record) -> Figure:
    """For every threshold, what the groups lose alone, added up, beside what they lose together, as the network stands
    and with BatchNorm re-estimated. Bars over the reference seeds, where some ship: their range."""
    rows = {"alone, added up": [], "all together": [], "together, BatchNorm re-estimated": []}
    seeds = over_seeds(study) or [study]
    for run in seeds:
        for name, values in zip(rows, zip(*map(lambda row: drops(run, row), run.results["together"]))):
            rows[name].append(values)
    said = "; ".join(
        f"{name} {', '.join(f'{100 * v:.0f}' for v in np.mean(found, axis=0))}" for name, found in rows.items()
    )
    figure, (axis,) = panels(1, f"Points lost at each threshold: {said}.", height=3, width=8.8)
    width = 0.8 / len(rows)
    for i, (name, found) in enumerate(rows.items()):
        x = np.arange(len(study.config["drops"])) + width * (i - 1)
        middle, low, high = np.mean(found, axis=0), np.min(found, axis=0), np.max(found, axis=0)
        axis.bar(x, middle, width, label=name, **bar_style(i))
        axis.errorbar(x, middle, [middle - low, high - middle], color="black", capsize=2, lw=1, ls="")
    axis.set_xticks(range(len(study.config["drops"])), [f"{100 * drop:g}" for drop in study.config["drops"]])
    axis.set(xlabel="threshold: points that each group may lose alone", ylabel="validation accuracy lost")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(False, axis="x")
    _beside(axis, f"mean and range, {len(seeds)} seeds" if len(seeds) > 1 else None)
    return figure


def drops(run: Record, row: dict) -> tuple[float, float, float]:
    """What one threshold's plan loses: alone and added up, together, re-estimated; in 0..1."""
    places = {group: run.config["ratios"].index(ratio) for group, ratio in row["ratios"].items()}
    alone = sum(curve[0] - curve[places[group]] for group, curve in run.results["curves"].items())
    base = next(iter(run.results["curves"].values()))[0]
    return alone, base - row["joint"], base - row["recalibrated"]


Point = tuple[float, float]


def points(family: Sequence[Record], parent: Record) -> list[Point]:
    """MACs left, as a share of the parent's, and validation accuracy, of fine-tuned networks."""
    return [
        (macs_left(parent.specification, ChannelPlan.from_dict(run.plan)), run.results["validation_accuracy"])
        for run in family
    ]


def compared(families: dict[str, Sequence[Record]], parent: Record, latencies: Record | None = None) -> Figure:
    """Validation accuracy of fine-tuned networks, by policy, over the MACs left and, where their ``latencies`` were
    measured, over the latency left. Raises ``LabError`` for a family without networks."""
    if empty := [name for name, family in families.items() if not family]:
        raise LabError(f"The family {empty[0]!r} has no networks: make one before it is compared.")
    found = {name: points(family, parent) for name, family in families.items()}
    said = "; ".join(f"{name} " + ", ".join(f"{y:.0%} at {x:.0%}" for x, y in p) for name, p in found.items())
    columns = 2 if latencies else 1
    alt = f"Validation accuracy over the share of MACs left{' and over latency' if latencies else ''}: {said}."
    figure, axes = panels(columns, alt, height=3.4, width=4.6 * columns + 1.2, sharey=True)
    for i, (name, family) in enumerate(families.items()):
        y = [accuracy for _, accuracy in found[name]]
        axes[0].plot([x for x, _ in found[name]], y, ms=7, label=name, **style(i))
        if latencies:
            whole = latencies.results["whole_now"]
            axes[1].plot([latencies.results["measured"][run.name] / whole for run in family], y, ms=7, **style(i))
    for axis, label in zip(axes, ("MACs left", "latency left, measured")):
        axis.axhline(parent.results["validation_accuracy"], color="black", ls=":", lw=1)
        axis.set(xlabel=label, xlim=(0, 1.03), ylim=(0, 1.03))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("validation accuracy,\nfine-tuned")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = axes[0].get_legend_handles_labels()
    axes[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5), title="dotted: unpruned", fontsize=9)
    return figure


def ways(study: Record) -> Figure:
    """Validation accuracy after every epoch of fine-tuning: at once, by rate, and in rising steps, beside the ratio
    that each step has reached."""
    epochs = range(1, study.config["steps"] + 1)
    lines = {f"at once, rate × {factor}": found for factor, found in study.results["one_shot"].items()}
    lines["rising, rate × 0.1"] = study.results["rising"]
    said = "; ".join(f"{name} {', '.join(f'{v:.0%}' for v in found)}" for name, found in lines.items())
    figure, (axis,) = panels(1, f"Validation accuracy after each epoch of fine-tuning: {said}.", height=3.2, width=7.6)
    for i, (name, found) in enumerate(lines.items()):
        axis.plot(epochs, found, ms=6, label=name, **style(i))
    for epoch, ratio, accuracy in zip(epochs, study.results["ratios"], study.results["rising"]):
        axis.annotate(
            f"{ratio:.0%} cut", (epoch, accuracy), (0, -16), textcoords="offset points", ha="center", fontsize=8
        )
    axis.axhline(study.results["parent"], color="black", ls=":", lw=1)
    axis.set(xlabel="epochs of fine-tuning", ylabel="validation accuracy", ylim=(0, 1.12), xticks=list(epochs))
    axis.set_xlim(0.8, len(epochs) + 0.2)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    _beside(axis, f"{study.config['final']:.0%} of each layer cut\ndotted: unpruned")
    return figure


def after_penalties(study: Record) -> Figure:
    """Validation accuracy over the ratio as the networks stand, a panel for each criterion and a line for each penalty;
    framed markers: fine-tuned."""
    penalties, ratios, final = study.results["penalties"], study.config["ratios"], study.config["final"]
    criteria = list(next(iter(penalties.values()))["curves"])
    said = "; ".join(f"{n}, {c}: {p['tuned'][c]:.0%}" for n, p in penalties.items() for c in criteria)
    alt = f"Validation accuracy over the share of each layer cut, after three trainings. At {final:.0%}, fine-tuned: {said}."
    figure, axes = panels(len(criteria), alt, height=3.2, width=9.4, sharey=True)
    for axis, criterion in zip(axes, criteria):
        for i, (name, found) in enumerate(penalties.items()):
            look = style(i)
            axis.plot(ratios, found["curves"][criterion], ms=4, label=name, **look)
            framed = {"color": COLOURS[i], "marker": MARKERS[i], "mec": "black", "ms": 9, "ls": ""}
            axis.plot(final + 0.02 * (i - 1), found["tuned"][criterion], **framed)
        axis.set(title=f"ranked by {criterion}", xlabel="share of each layer cut", ylim=(0, 1.03), xlim=(-0.02, 0.95))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("validation accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    _beside(axes[-1], "trained with\n(framed: fine-tuned)")
    return figure


def table_slices(table: Record) -> Figure:
    """Milliseconds of every block over its output channels, all inputs kept."""
    blocks = table.results["blocks"]
    figure, (axis,) = panels(1, "", height=3.2, width=7.6)
    for i, (name, block) in enumerate(blocks.items()):
        axis.plot(block["outputs"], block["milliseconds"][-1], ms=5, label=_short(name), **style(i))
    said = "; ".join(
        f"{_short(n)} {b['milliseconds'][-1][0]:.2g} to {b['milliseconds'][-1][-1]:.2g}" for n, b in blocks.items()
    )
    figure.set_label(f"Milliseconds of each block with the fewest and with all output channels: {said}.")
    axis.set(
        xlabel="output channels of the block", ylabel=f"ms, batch {table.config['batch']}", xscale="log", ylim=(0, None)
    )
    ticks = sorted({channels for block in blocks.values() for channels in block["outputs"]})
    axis.set_xticks(ticks, ticks, fontsize=8)
    axis.minorticks_off()
    _beside(axis)
    return figure


def search(run: Record) -> Figure:
    """A NetAdapt search: left, how much of each layer is left after every iteration; right, accuracy after short-term
    tuning over the predicted latency, of every candidate, and the path of those that were chosen."""
    steps, chosen = run.results["iterations"], plans(run)
    layers = list(chosen[0].total)
    left = np.array([[1.0] * len(layers), *([w / t for w, t in zip(p.widths, p.total.values())] for p in chosen)])
    path = [step["candidates"][step["chosen"]] for step in steps]
    ends = ", ".join(f"{_short(layer)} {share:.0%}" for layer, share in zip(layers, left[-1]))
    figure, (heat, axis) = panels(
        2, f"A NetAdapt search of {len(steps)} iterations; at its end is left: {ends}.", 3.4, 9.6
    )
    picture = heat.imshow(left.T, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for row, layer in enumerate(layers):
        for column, share in enumerate(left[:, row]):
            width = round(share * chosen[0].total[layer])
            colour = "black" if share > 0.6 else "white"
            heat.text(column, row, str(width), ha="center", va="center", fontsize=8, color=colour)
    for column, step in enumerate(steps, 1):
        row = layers.index(step["chosen"])
        heat.plot(column, row, marker="s", ms=19, mfc="none", mec="white", mew=2)
    heat.set(xlabel="iteration", ylabel="layer", xticks=range(len(left)), title="channels; framed: who paid")
    heat.set_yticks(range(len(layers)), map(_short, layers))
    heat.grid(False)
    figure.colorbar(picture, ax=heat, format=PercentFormatter(1)).ax.set_xlabel("channels\nleft")
    others = [(c["predicted"], c["accuracy"]) for s in steps for n, c in s["candidates"].items() if n != s["chosen"]]
    if others:
        axis.plot(*zip(*others), color="0.6", marker="x", ls="", ms=5, label="candidates not taken")
    x = [run.results["start"], *(c["predicted"] for c in path)]
    axis.plot(x, [run.results["parent"], *(c["accuracy"] for c in path)], ms=6, label="taken", **style(0))
    axis.set(xlabel="latency predicted, ms", ylabel="validation accuracy", ylim=(0, 1.03), title="the search")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.invert_xaxis()
    axis.legend(loc="lower left", fontsize=9)
    return figure


def errors(latencies: Record) -> dict[str, float]:
    """By network, how far the prediction is from the measurement, as a share of it. The prediction is multiplied by
    how much slower the machine was for the unpruned network, which was measured both times."""
    results = latencies.results
    slower = results["whole_now"] / results["whole_then"]
    return {name: slower * results["predicted"][name] / found - 1 for name, found in results["measured"].items()}


def predicted_and_measured(latencies: Record) -> Figure:
    """Latency predicted over latency measured, a marker a network, and the band of 20 % around what is right."""
    off, found = errors(latencies), latencies.results["measured"]
    worst = max(map(abs, off.values()), default=0.0)
    alt = (
        f"Latency predicted over measured, {len(off)} networks; the farthest is {worst:.0%} off; a band of {BAND:.0%}."
    )
    figure, (axis,) = panels(1, alt, height=3.8, width=6.4)
    most = 1.15 * max([*found.values(), latencies.results["whole_now"]])
    axis.fill_between(
        [0, most], [0, (1 - BAND) * most], [0, (1 + BAND) * most], color="0.88", label=f"within {BAND:.0%}"
    )
    axis.plot([0, most], [0, most], color="black", lw=1, ls=":")
    kinds = list(dict.fromkeys(_kind(name) for name in found))
    for i, kind in enumerate(kinds):
        mine = [name for name in found if _kind(name) == kind]
        y = [(1 + off[name]) * found[name] for name in mine]
        axis.plot([found[name] for name in mine], y, ms=7, label=kind, **(style(i) | {"ls": ""}))
    axis.set(xlabel="ms measured", ylabel="ms predicted by the table", xlim=(0, most), ylim=(0, most))
    axis.legend(loc="upper left", fontsize=9)
    return figure


def _kind(name: str) -> str:
    """``netadapt-3`` -> ``netadapt``, ``policy-sensitivity-60`` -> ``sensitivity``, ``matched-global-60`` -> ``global``."""
    return name.rpartition("-")[0].removeprefix("policy-").removeprefix("matched-")


def _seeds(study: Record) -> list[dict]:
    return [run.results for run in over_seeds(study) or [study]]


def schedules_table(study: Record) -> str:
    """Validation accuracy at the end, over the seeds: at once by rate, and rising."""
    seeds, epochs = _seeds(study), study.config["steps"]
    rows = [
        [f"at once, {epochs} epochs", f"× {factor}", band([seed["one_shot"][factor][-1] for seed in seeds])]
        for factor in study.results["one_shot"]
    ]
    rows.append([f"rising, {epochs} times 1 epoch", "× 0.1", band([seed["rising"][-1] for seed in seeds])])
    return markdown(["way", "rate", f"{study.config['final']:.0%} cut, fine-tuned"], rows)


def penalties_table(study: Record) -> str:
    """Validation accuracies over the seeds: before pruning, as it stands at a half, fine-tuned at the last ratio."""
    seeds, half = [seed["penalties"] for seed in _seeds(study)], study.config["ratios"].index(0.5)
    rows = [
        [
            name,
            band([seed[name]["parent"] for seed in seeds]),
            criterion,
            band([seed[name]["curves"][criterion][half] for seed in seeds]),
            band([seed[name]["tuned"][criterion] for seed in seeds]),
        ]
        for name, found in study.results["penalties"].items()
        for criterion in found["curves"]
    ]
    header = ["trained with", "before pruning", "ranked by", "50% cut, as it stands"]
    return markdown([*header, f"{study.config['final']:.0%} cut, fine-tuned"], rows)


DRAWN = {  # by kind of record: file name and figure
    SENSITIVITY: {"sensitivity": lambda run: curves(run, 0.05), "sensitivity-together": together},
    SCHEDULES: {"schedules": ways},
    REGULARIZATIONS: {"regularizations": after_penalties},
    TABLE: {"latency-table": table_slices},
    SEARCH: {"netadapt": search},
    LATENCIES: {"latency-predicted": predicted_and_measured},
}
TABLES = {SCHEDULES: schedules_table, REGULARIZATIONS: penalties_table}


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in ``folder`` allow, by file name."""
    return {
        name: draw(run)
        for kind, drawn in DRAWN.items()
        for run in load_all(folder, kind)
        for name, draw in drawn.items()
    }


def results(folder: Path) -> str:
    """The tables of every experiment in ``folder``."""
    found = [
        f"## {experiment_name(lab)}: {run.name}\n\n{table(run)}"
        for lab in folders_with_runs(folder)
        for kind, table in TABLES.items()
        for run in load_all(lab, kind)
    ]
    return "\n\n".join(found)


def summary(folder: Path) -> list[Outcome]:
    """The smallest network by the sensitivity curves, and NetAdapt's last one, of the runs in one lab's folder."""
    runs, found = {run.name: run for run in load_all(folder)}, []

    def add(run: Record, dense: Specification, accuracies: Iterable[float], *words: str, widths, time=None) -> None:
        left = thinner(dense, dense.with_widths(list(widths))) | {"time": time}
        found.append(Outcome(*words, CHANNELS, "09_ratios", run, dense, *accuracies, **left))

    target = min(TARGETS)
    chosen = runs.get(f"{BY_SENSITIVITY}-{100 * target:g}")
    if chosen and (dense := runs.get(chosen.config["parent"])):
        accuracies = (run.results["validation_accuracy"] for run in (chosen, dense))
        words = "Sensitivity curves", f"{target:.0%} of the MACs stay"
        add(chosen, dense.specification, accuracies, *words, widths=chosen.specification.widths)
    for study in (run for run in runs.values() if run.kind == SEARCH):
        last = study.results["iterations"][-1]
        chosen = last["candidates"][last["chosen"]]
        words = "NetAdapt", f"{study.config['short']} training steps an iteration, not fine-tuned"
        left = {"widths": plans(study)[-1].widths, "time": chosen["predicted"] / study.results["start"]}
        add(study, study.specification, (chosen["accuracy"], study.results["parent"]), *words, **left)
    return found
