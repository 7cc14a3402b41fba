"""The course's figures: style, and what more than one method draws, from records.

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
from PIL import Image

from labkit.pruning import ChannelPlan
from labkit.records import Record

COLOURS = seaborn.color_palette("colorblind")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\")
GUESS = {"color": "black", "marker": "x", "ms": 10, "mew": 2.5, "ls": ""}  # what a student expected
FAINTEST = 1e-4  # a map of scaling factors shows all below it alike
RESOLUTION = 100  # dots per inch: sharp on a screen, small in a notebook


def panels(columns: int, alt: str, height: float = 2.9, width: float = 8.4, rows: int = 1, **keywords):
    """A figure with a row of axes (or several; then the axes row by row), in the lab's style. ``alt`` says in words
    what will be seen."""
    with seaborn.axes_style("whitegrid"), matplotlib.rc_context({"font.size": 10}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **keywords)
    figure.set_label(alt)
    return figure, axes.ravel()


def style(i: int) -> dict:
    """Colour, line and marker of a figure's i-th line."""
    return {"color": COLOURS[i % 10], "ls": LINES[i % len(LINES)], "marker": MARKERS[i % len(MARKERS)]}


def bar_style(i: int) -> dict:
    """Colour and hatch of a figure's i-th bars."""
    return {"color": COLOURS[i % 10], "hatch": HATCHES[i % len(HATCHES)], "edgecolor": "white"}


def png(figure: Figure) -> bytes:
    """The figure as PNG with 256 colours, a third of the size; the same bytes for the same figure and the same
    matplotlib and Pillow."""
    drawn, smaller = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=RESOLUTION)
    picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def show(figure: Figure) -> None:
    """Display the figure in a notebook, with its alt text."""
    from IPython.display import display

    alt = {"image/png": {"alt": figure.get_label()}}
    display({"image/png": png(figure), "text/plain": figure.get_label()}, raw=True, metadata=alt)


def save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))
    return path


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


def accuracy_curves(runs: dict[str, Record]) -> Figure:
    """Accuracy on training images (left) and validation images (right) over epochs, by label."""
    alt = f"Training and validation accuracy over epochs: {'; '.join(runs)}."
    figure, axes = panels(2, alt, sharex=True, sharey=True, height=3.1, width=9.4)
    for axis, part in zip(axes, ("train", "validation")):
        for i, (label, run) in enumerate(runs.items()):
            epochs = [row["epoch"] for row in run.history]
            axis.plot(epochs, [row[f"{part}_accuracy"] for row in run.history], ms=4, label=label, **style(i))
        axis.set(title=f"{'training' if part == 'train' else part} images", xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def scaling_factor_map(axis, epochs: list[int], widths: list[int], rows: torch.Tensor):
    """Draw log10 |γ| of every channel over the snapshots and return what a colour bar needs. ``rows``: |γ|, float
    (snapshots, channels), the channels those of layers of ``widths``. Every layer is equally high, the first on
    top; in it, channels are sorted by their last |γ|, the largest on top."""
    layers = [layer[:, layer[-1].argsort(descending=True)] for layer in rows.split(widths, dim=1)]
    middles = [(a + b) / 2 for a, b in zip(epochs, epochs[1:])]
    across = [epochs[0] - 0.5, *middles, epochs[-1] + 0.5]
    for number, layer in enumerate(layers, 1):
        down = np.linspace(number - 0.5, number + 0.5, layer.shape[1] + 1)
        values = layer.T.clamp(min=FAINTEST).log10().numpy()
        picture = axis.pcolormesh(across, down, values, cmap="viridis_r", vmin=np.log10(FAINTEST), vmax=0)
    axis.hlines(np.arange(1.5, len(widths)), across[0], across[-1], color="white", lw=1.2)
    axis.set(xlabel="epoch", yticks=range(1, len(widths) + 1), ylim=(len(widths) + 0.5, 0.5))
    axis.tick_params(axis="y", labelsize=10 if len(widths) <= 10 else 7)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(False)
    return picture


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
