"""The figures and tables of pruning while training, drawn from records."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit.methods.learned.score import ALLOWED, BASELINE, EXPLORED
from labkit.methods.learned.study import KIND
from labkit.methods.outcomes import BITS, CHANNELS, WEIGHTS, Outcome, computed
from labkit.records import Record, experiment_name, folders_with_runs, load_all, over_seeds
from labkit.settings import LabError
from labkit.view.plots import panels, style
from labkit.view.tables import band, markdown

SIZES = (12, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200)  # kB, where an axis has its marks
A_FEW = 0.01  # zeros, as a share of all weights: what is quantized may have so many by chance
MINE = {"marker": "*", "ms": 17, "mfc": "none", "mec": "black", "mew": 1.5, "ls": "", "color": "black"}


def family(run: Record) -> str:
    """The method's name: runs of one method with several targets are one line."""
    return run.config["method"]["name"]


def compared(runs: Sequence[Record]) -> list[Record]:
    """The runs that stand for their method: all but thresholds that only weight decay moved."""
    return [run for run in runs if run.config["method"].get("target", True) is not None]


def one_each(runs: Sequence[Record]) -> list[Record]:
    """Of each family that makes zeros, the run with the most of them."""
    sparse = [run for run in runs if run.results["sparsity"] > A_FEW]
    found = {family(run): run for run in sorted(sparse, key=lambda run: run.results["sparsity"])}
    return [found[name] for name in sorted(found)]


def _seeds(run: Record) -> list[Record]:
    """The shipped runs of every seed; the run alone where none ship."""
    return over_seeds(run) or [run]


def _of(runs: Sequence[Record], key: str) -> list[float]:
    return [run.results[key] for run in runs]


def _some(runs: Sequence[Record]) -> Sequence[Record]:
    if not runs:
        raise LabError("There are no runs to draw: train a method first, or look for the shipped ones.")
    return runs


def _dense(runs: Sequence[Record]) -> Record | None:
    return next((run for run in runs if run.name == BASELINE), None)


def _beside(axis, title: str | None = None) -> None:
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title, fontsize=9)


def sizes(runs: Sequence[Record], mine: Sequence[Record] = ()) -> Figure:
    """Validation accuracy over the size of the stored network (left) and over the share of weights that are gone
    (right), a line for each family of ``runs``; bars from the lowest to the highest reference seed, where some ship.
    Grey: at most ``ALLOWED`` below the dense network. ``mine``: runs that are drawn as stars, with numbers if they are
    several. Raises ``LabError`` where there are no runs."""
    families: dict[str, list[Record]] = {}
    for run in sorted(_some(runs), key=lambda run: run.results["sparsity"]):
        families.setdefault(family(run), []).append(run)
    said = "; ".join(
        f"{run.name} {run.results['validation_accuracy']:.1%} at {run.results['bytes'] / 1000:.0f} kB"
        for run in (*runs, *mine)
    )
    figure, axes = panels(2, f"Validation accuracy over size and over sparsity: {said}.", 4, 10.4, sharey=True)
    axes_of = list(zip(axes, ("bytes", "sparsity"), (1000, 1)))
    for i, (name, members) in enumerate(sorted(families.items())):
        found = [_of(_seeds(run), "validation_accuracy") for run in members]
        y = [mean(values) for values in found]
        reach = [[m - min(v) for v, m in zip(found, y)], [max(v) - m for v, m in zip(found, y)]]
        for axis, key, unit in axes_of:
            x = [mean(_of(_seeds(run), key)) / unit for run in members]
            axis.errorbar(x, y, reach, ms=7, lw=1.3, capsize=3, label=name, **style(i))
    for number, run in enumerate(mine, 1):
        name = f"{number}: {run.name}" if len(mine) > 1 else run.name
        for axis, key, unit in axes_of:
            place = run.results[key] / unit, run.results["validation_accuracy"]
            axis.plot(*place, label=name, **MINE)
            if len(mine) > 1:
                axis.annotate(number, place, (8, 6), textcoords="offset points", fontsize=10, weight="bold")
    if dense := _dense(runs):
        top = mean(_of(_seeds(dense), "validation_accuracy"))
        for axis in axes:
            axis.axhspan(top - ALLOWED, top, color="0.88", zorder=0)
            axis.axhline(top, color="black", ls=":", lw=1)
    axes[0].set(xlabel="size, kB (log scale)", ylabel="validation accuracy", xscale="log")
    low, high = axes[0].get_xlim()
    marks = [size for size in SIZES if low <= size <= high]
    axes[0].set_xticks(marks, marks)
    axes[0].minorticks_off()
    axes[1].set_xlabel("share of the weights that are gone")
    axes[1].xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    count = max(len(_seeds(run)) for run in runs)
    bars = f"bars: {count} seeds; grey:\n" if count > 1 else "grey: "
    _beside(axes[1], f"{bars}within {100 * ALLOWED:g} points of dense" if _dense(runs) else None)
    return figure


def over_epochs(runs: Sequence[Record]) -> Figure:
    """The share of zeros (left) and the validation accuracy (right) after every epoch, a line a run. Raises ``LabError``
    where there are no runs."""
    ends = "; ".join(f"{run.name} {run.history[-1]['sparsity']:.0%}" for run in _some(runs))
    figure, axes = panels(
        2, f"Share of zeros and validation accuracy over epochs. Zeros at the end: {ends}.", 3.4, 10.2
    )
    for i, run in enumerate(runs):
        epochs = [row["epoch"] for row in run.history]
        for axis, key in zip(axes, ("sparsity", "validation_accuracy")):
            axis.plot(epochs, [row[key] for row in run.history], ms=5, label=run.name, **style(i))
    for axis, label in zip(axes, ("share of zeros", "validation accuracy")):
        axis.set(xlabel="epoch", ylabel=label)
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylim(-0.03, 1.03)
    _beside(axes[1])
    return figure


def by_layer(runs: Sequence[Record]) -> Figure:
    """The share of each layer's weights that is gone at the end, a line a run. Raises ``LabError`` where there are no
    runs."""
    shares = {
        run.name: [row["zeros"] / row["elements"] for row in run.results["layers"].values()] for run in _some(runs)
    }
    said = "; ".join(f"{name} {', '.join(f'{share:.0%}' for share in found)}" for name, found in shares.items())
    figure, (axis,) = panels(1, f"Share of each layer's weights that is gone: {said}.", height=3.2, width=8.6)
    for i, (name, found) in enumerate(shares.items()):
        axis.plot(range(1, len(found) + 1), found, ms=6, label=name, **style(i))
    layers = [_short(name) for name in runs[0].results["layers"]]
    axis.set_xticks(range(1, len(layers) + 1), layers, rotation=30)
    axis.set(xlabel="layer", ylabel="share of its weights\nthat is gone", ylim=(-0.03, 1.03))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    _beside(axis)
    return figure


def _short(layer: str) -> str:
    return layer.removeprefix("features.")


def bit_lengths(run: Record) -> Figure:
    """The bits that each layer's weights end with, as bars, and their mean over all weights."""
    layers = run.results["layers"]
    bits, average = [row["bits"] for row in layers.values()], run.results["bits"]
    said = ", ".join(f"{_short(name)} {row['bits']:g}" for name, row in layers.items())
    figure, (axis,) = panels(1, f"Bits of a weight: {said}; the mean over all weights is {average:.2f}.", 2.8, 7.6)
    axis.bar_label(axis.bar(range(len(bits)), bits, color=style(0)["color"]), [f"{value:g}" for value in bits])
    axis.set_xticks(range(len(bits)), map(_short, layers), rotation=30)
    axis.set(xlabel="layer", ylabel="bits of a weight", ylim=(0, 1.15 * max(bits)))
    axis.set_title(f"{run.name}: {average:.2f} bits in the mean over all weights")
    axis.grid(False, axis="x")
    return figure


def cells(runs: Sequence[Record]) -> list[list[str]]:
    """The runs as a table, header first: the share of zeros, bits, size, how many times smaller than the dense
    network, and accuracy, over the seeds."""
    dense = _dense(runs)
    rows = []
    for run in sorted(runs, key=lambda run: (run.name != BASELINE, family(run), run.results["sparsity"])):
        seeds = _seeds(run)
        size = mean(_of(seeds, "bytes"))
        row = [run.name, band(_of(seeds, "sparsity")), f"{mean(_of(seeds, 'bits')):.2g}", f"{size / 1000:.0f}"]
        row += [f"{mean(_of(_seeds(dense), 'bytes')) / size:.1f}"] if dense else []
        rows.append([*row, band(_of(seeds, "validation_accuracy"))])
    header = ["run", "zeros", "bits a weight", "kB", *(["times smaller"] if dense else []), "validation accuracy"]
    return [header, *rows]


def table(runs: Sequence[Record]) -> str:
    """``cells`` in Markdown."""
    header, *rows = cells(runs)
    return markdown(header, rows)


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in ``folder`` allow, by file name."""
    found = load_all(folder, KIND)
    runs = compared(found)
    if not runs:
        return {}
    drawn = {"learned-sizes": sizes(runs)}
    if unsteered := [run for run in found if run not in runs]:
        drawn["learned-decay"] = over_epochs(unsteered)
    if pruned := one_each(runs):
        drawn |= {"learned-epochs": over_epochs(pruned), "learned-layers": by_layer(pruned)}
    return drawn | {f"learned-bits-{run.name}": bit_lengths(run) for run in runs if family(run) == "bitpruning"}


def results(folder: Path) -> str:
    """The table of every experiment in ``folder``."""
    found = {experiment_name(lab): load_all(lab, KIND) for lab in folders_with_runs(folder)}
    return "\n\n".join(f"## {name}: pruning while training\n\n{table(runs)}" for name, runs in found.items() if runs)


PRINTED = {
    "train-prune-tune": "Train, prune, tune",
    "train-prune-tune-channels": "Train, prune, tune",
    "proximal": "Proximal steps",
    "str": "STR",
    "autoprune": "AutoPrune",
    "pcas": "PCAS",
    "bitpruning": "BitPruning",
}
"""The methods' names in print."""


def summary(folder: Path) -> list[Outcome]:
    """Of every method in one lab's folder the run with the fewest bytes, explorations left out; nothing as long as
    there is no training without a method, which notebook 11 makes after others."""
    runs = [run for run in compared(load_all(folder, KIND)) if not run.name.startswith(EXPLORED)]
    dense = _dense(runs)
    smallest = {family(run): run for run in sorted(runs, key=lambda run: -run.results["bytes"])}
    return [_point(run, dense) for run in smallest.values() if run is not dense] if dense else []


def _point(run: Record, dense: Record) -> Outcome:
    removed = CHANNELS if run.plan else BITS if run.results["bits"] < 32 else WEIGHTS
    target = run.config["method"].get("target")
    what = "channels" if run.plan else "weights"
    setting = f"{target:.0%} of the {what}" if target else f"as many {what} as it takes"
    setting = "bit lengths learned" if removed == BITS else setting
    return Outcome(
        method=PRINTED.get(family(run), family(run)),
        setting=setting,
        removed=removed,
        notebook="11_pruning_while_training",
        run=run,
        dense=dense.specification,
        accuracy=run.results["validation_accuracy"],
        before=dense.results["validation_accuracy"],
        bytes=run.results["bytes"] / dense.results["bytes"],
        macs=computed(run.specification) / computed(dense.specification) if run.plan else None,
    )
