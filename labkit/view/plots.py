"""Every figure of the lab, one function a figure, drawn from records.

Colours are seaborn's colorblind palette; line styles, markers and hatches say the same again, so
that a greyscale print can be read. Each function returns a figure whose label is its alt text.
"""

import io
from pathlib import Path

import matplotlib
import numpy as np
import seaborn
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labkit.pruning import ChannelPlan
from labkit.records import Record

COLOURS = seaborn.color_palette("colorblind")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\")
RESOLUTION = 100  # dots per inch: sharp on a screen, small in a notebook
THRESHOLD = 0.01  # a scaling factor below it hardly changes the network's output

STAGES = {
    "as_it_stands": "as it stands",
    "folded": "ReLU(β) folded",
    "recalibrated": "BatchNorm re-estimated",
    "random": "random channels,\nre-estimated",
}


def panels(columns: int, alt: str, height: float = 2.9, width: float = 8.4, **keywords):
    """A figure with a row of axes, in the lab's style. ``alt`` says in words what will be seen."""
    with seaborn.axes_style("whitegrid"), matplotlib.rc_context({"font.size": 10}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False, **keywords)
    figure.set_label(alt)
    return figure, axes[0]


def style(i: int) -> dict:
    """Colour, line and marker of a figure's i-th line."""
    return {"color": COLOURS[i % 10], "ls": LINES[i % len(LINES)], "marker": MARKERS[i % len(MARKERS)]}


def bar_style(i: int) -> dict:
    """Colour and hatch of a figure's i-th bars."""
    return {"color": COLOURS[i % 10], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white"}


def png(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes for the same figure and the same matplotlib."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()


def show(figure: Figure) -> None:
    """Display the figure in a notebook, with its alt text."""
    from IPython.display import display

    alt = {"image/png": {"alt": figure.get_label()}}
    display({"image/png": png(figure), "text/plain": figure.get_label()}, raw=True, metadata=alt)


def save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))
    return path


def lambda_label(record: Record) -> str:
    """λ from the record, and how far it can move a scaling factor."""
    budget = record.results["shrinkage_budget"]
    return "λ = 0" if budget == 0 else f"λ = {record.config['lambda']:g} (budget {budget:.2g})"


def families() -> Figure:
    """Five ways to make a layer's 8x8 weight matrix cheaper, as pictures of the matrix."""
    figure, axes = panels(
        5,
        "Five pictures of a weight matrix: dense; unstructured pruning with scattered zeros; structured pruning "
        "with whole rows gone; quantization with few grey levels; distillation with a smaller matrix.",
        height=2.9,
        width=9.5,
    )
    weights = np.random.RandomState(1).randn(8, 8)
    unstructured = np.where(abs(weights) < np.median(abs(weights)), np.nan, weights)
    structured = weights.copy()
    structured[np.argsort(abs(weights).sum(1))[:4]] = np.nan
    quantized = np.clip(np.round(weights / 0.8), -2, 1) * 0.8  # four levels
    distilled = np.full((8, 8), np.nan)
    distilled[2:6, 2:6] = np.random.RandomState(2).randn(4, 4)
    pictures = {
        "dense": weights,
        "unstructured\npruning": unstructured,
        "structured\npruning": structured,
        "quantization": quantized,
        "distillation": distilled,
    }
    notes = (
        "64 weights × 32 bit",
        "32 weights, same shape",
        "4 rows: a smaller layer",
        "64 weights × 2 bit",
        "a small net, taught",
    )
    for axis, (title, picture), note in zip(axes, pictures.items(), notes):
        axis.imshow(np.ma.masked_invalid(picture), cmap="Greys", vmin=-3, vmax=2.5)
        axis.set(title=title, xticks=np.arange(-0.5, 8), yticks=np.arange(-0.5, 8), xlabel=note)
        axis.tick_params(labelbottom=False, labelleft=False)
    return figure


def sample_images(data) -> Figure:
    """One training image of each class, of ten classes at most."""
    figure, axes = panels(1, f"Training images of {data.name}: " + ", ".join(data.classes[:10]), height=1.2)
    labels = data.train.labels.cpu()
    classes = labels.unique().tolist()[:10]
    chosen = [data.train.pixels[int((labels == c).nonzero()[0])].cpu() for c in classes]
    axes[0].imshow(torch.cat(chosen, dim=1).numpy(), interpolation="nearest")
    axes[0].set_xticks([32 * i + 16 for i in range(len(classes))], [data.classes[c] for c in classes])
    axes[0].set(yticks=[])
    axes[0].grid(False)
    return figure


def training_curves(runs: list[Record]) -> Figure:
    """Training and validation accuracy of each run over its epochs, by λ."""
    return accuracy_curves({lambda_label(run): run for run in runs})


def fine_tuning_curves(runs: list[Record]) -> Figure:
    """Training and validation accuracy over the epochs of fine-tuning and of training from scratch."""

    def label(run: Record) -> str:
        start = "from scratch, " if run.kind == "from-scratch" else ""
        return f"{start}{run.config['ratio']:.0%}, rate {run.config['recipe']['learning_rate']:g}"

    return accuracy_curves({label(run): run for run in runs})


def accuracy_curves(runs: dict[str, Record]) -> Figure:
    """Accuracy on training images (left) and validation images (right) over epochs, by label."""
    alt = f"Training and validation accuracy over epochs: {'; '.join(runs)}."
    figure, axes = panels(2, alt, sharex=True, sharey=True, height=3.1)
    for axis, part in zip(axes, ("train", "validation")):
        for i, (label, run) in enumerate(runs.items()):
            epochs = [row["epoch"] for row in run.history]
            axis.plot(epochs, [row[f"{part}_accuracy"] for row in run.history], ms=4, label=label, **style(i))
        axis.set(title=f"{'training' if part == 'train' else part} images", xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[1].legend(fontsize=8)
    return figure


def under_threshold(run: Record, snapshot: int = -1, threshold: float = THRESHOLD) -> float:
    """The fraction of scaling factors with |γ| < ``threshold``, all layers together."""
    return float((torch.cat(list(run.gammas()[snapshot].values())) < threshold).float().mean())


def scaling_factors_per_layer(runs: list[Record]) -> Figure:
    """Median and middle half of |γ| in every layer, one line a λ."""
    figure, axes = panels(1, "Median and quartiles of the absolute scaling factors in each layer, one line a λ.")
    for i, run in enumerate(runs):
        layers = list(run.gammas()[-1].values())
        low, middle, high = (np.array([float(g.quantile(q)) for g in layers]) for q in (0.25, 0.5, 0.75))
        x = np.arange(1, len(layers) + 1) + 0.16 * (i - (len(runs) - 1) / 2)
        axes[0].errorbar(
            x, middle, [middle - low, high - middle], **style(i),
            lw=1, elinewidth=3, label=lambda_label(run),
        )  # fmt: skip
    axes[0].set(xlabel="convolution", ylabel="|γ|: median, quartiles", xticks=range(1, len(layers) + 1), ylim=(0, None))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def scaling_factors_over_epochs(runs: list[Record]) -> Figure:
    """How the mass of |γ| moves during training: bands between quantiles, one panel a λ."""
    figure, axes = panels(
        len(runs), "Quantiles of the absolute scaling factors over epochs, one panel a λ.", sharex=True, sharey=True
    )
    for i, (axis, run) in enumerate(zip(axes, runs)):
        rows = torch.stack([torch.cat(list(row.values())) for row in run.gammas()])
        q = rows.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1).numpy()
        axis.fill_between(run.snapshots, q[0], q[4], color=COLOURS[i % 10], alpha=0.2, label="5 to 95 %")
        axis.fill_between(run.snapshots, q[1], q[3], color=COLOURS[i % 10], alpha=0.45, label="25 to 75 %")
        axis.plot(run.snapshots, q[2], color="black", lw=1.5, label="median")
        axis.set(title=lambda_label(run), xlabel="epoch", ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("scaling factor |γ|")
    axes[-1].legend(loc="upper right")
    return figure


def channels_left(plans: list[ChannelPlan]) -> Figure:
    """Channels of every layer before pruning and after each plan."""
    figure, axes = panels(1, "Bars: channels of every layer before pruning and after each plan.")
    total = list(plans[0].total.values())
    bars = {"before": total} | {f"{plan.achieved:.0%} pruned": plan.widths for plan in plans}
    width = 0.8 / len(bars)
    for i, (label, heights) in enumerate(bars.items()):
        x = np.arange(1, len(total) + 1) + width * (i - (len(bars) - 1) / 2)
        container = axes[0].bar(
            x,
            heights,
            width,
            **bar_style(i),
            label=label,
        )
        if len(total) * len(bars) <= 32:
            axes[0].bar_label(container, fontsize=7)
    axes[0].set(xlabel="convolution", ylabel="channels", xticks=range(1, len(total) + 1))
    axes[0].legend(ncols=len(bars), loc="lower center", bbox_to_anchor=(0.5, 1.02))
    return figure


def ratio_sweep(sweeps: list[Record]) -> Figure:
    """Validation accuracy over the prune ratio, not fine-tuned, one panel a λ."""
    alt = "Validation accuracy over the prune ratio, one panel a λ, four treatments."
    figure, axes = panels(len(sweeps), alt, sharex=True, sharey=True, width=9.4)
    for axis, sweep in zip(axes, sweeps):
        for i, (stage, label) in enumerate(STAGES.items()):
            values = sweep.results["validation"][stage]
            axis.plot(
                sweep.results["ratios"],
                values,
                **style(i),
                ms=4,
                label=label,
            )
        axis.set(title=lambda_label(sweep), xlabel="prune ratio")
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("validation accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def recovery(prunings: list[Record]) -> Figure:
    """What is left of the accuracy right after pruning, and what needs no training to come back."""
    figure, axes = panels(
        1, "Bars: validation accuracy after pruning, as it stands, folded, re-estimated and random.", height=3.2
    )
    width = 0.8 / len(STAGES)
    for i, (stage, label) in enumerate(STAGES.items()):
        x = np.arange(len(prunings)) + width * (i - (len(STAGES) - 1) / 2)
        heights = [run.results["validation"][stage] for run in prunings]
        bars = axes[0].bar(
            x,
            heights,
            width,
            **bar_style(i),
            label=label,
        )
        axes[0].bar_label(bars, [f"{100 * h:.0f}" for h in heights], fontsize=8)
    for k, run in enumerate(prunings):
        axes[0].hlines(run.results["validation"]["parent"], k - 0.45, k + 0.45, color="black", ls="--", lw=1)
    axes[0].set_xticks(
        range(len(prunings)),
        [f"λ = {r.config['lambda']:g}\n{r.config['ratio']:.0%} pruned" for r in prunings],
        fontsize=10 if len(prunings) <= 4 else 8,
    )
    axes[0].set(xlabel="penalty and prune ratio", ylabel="validation accuracy", ylim=(0, 1.12))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5), title="dashed: before pruning")
    return figure


def trade_off(summary: Record) -> Figure:
    """Test accuracy over multiply-accumulates, one point a row of the summary table."""
    figure, axes = panels(1, "Test accuracy over MACs of every network in the summary table.", height=3.4)
    stages = list(dict.fromkeys(row["stage"] for row in summary.results["rows"]))
    for i, stage in enumerate(stages):
        rows = [row for row in summary.results["rows"] if row["stage"] == stage]
        x, y = [row["macs"] / 1e6 for row in rows], [row["accuracy"] for row in rows]
        axes[0].plot(x, y, ms=8, label=stage, **(style(i) | {"ls": ""}))
    axes[0].set(xscale="log", xlabel="million MACs an image (log scale)", ylabel="test accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
