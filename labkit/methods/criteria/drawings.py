"""Pictures of what the criteria do, drawn from tensors and from no record."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor
from torch.nn import functional as F

from labkit.settings import LabError
from labkit.view.plots import COLOURS, bar_style, panels

STATIONS = (  # of one channel on its way: what it is, and which criteria look there
    ("filter\nof channel i", "filter-l1\nfilter-l2"),
    ("BatchNorm\nγᵢ, βᵢ", "scaling-factor"),
    ("ReLU\nits map", "apoz"),
    ("next layer\nits share zᵢ", "thinet\nlasso"),
    ("loss", "taylor"),
)


def where_criteria_look() -> Figure:
    """One channel's way through the network, and which criterion looks at which place."""
    said = "; ".join(f"{place} – {names}".replace("\n", " ") for place, names in STATIONS)
    figure, (axis,) = panels(1, f"A channel's way through the network, and where each criterion looks: {said}.", 2.3, 9)
    for i, (place, names) in enumerate(STATIONS):
        box = FancyBboxPatch((2 * i, 1), 1.3, 0.8, "round,pad=0.08", fc="white", ec="black", lw=1.2)
        axis.add_patch(box)
        axis.text(2 * i + 0.65, 1.4, place, ha="center", va="center", fontsize=10)
        axis.text(2 * i + 0.65, 0.2, names, ha="center", va="center", fontsize=10, color=COLOURS[0], weight="bold")
        axis.annotate(
            "", (2 * i + 0.65, 0.9), (2 * i + 0.65, 0.5), arrowprops={"arrowstyle": "->", "color": COLOURS[0]}
        )
        if i:
            axis.annotate("", (2 * i - 0.1, 1.4), (2 * i - 0.58, 1.4), arrowprops={"arrowstyle": "->", "lw": 1.5})
    axis.set(xlim=(-0.2, 9.5), ylim=(-0.2, 2))
    axis.axis("off")
    return figure


def rows_by_norm(weight: Tensor, norms: dict[str, Tensor]) -> Figure:
    """A weight, float (rows, columns), and the norms of its rows by name, each float (rows,), as bars."""
    alt = "; ".join(f"{name}: {', '.join(f'{v:.3g}' for v in values.tolist())}" for name, values in norms.items())
    figure, axes = panels(1 + len(norms), f"A weight and the norms of its rows. {alt}.", 2.2, 8.4)
    _numbers(axes[0], weight, "weight, a row an output")
    for i, (axis, (name, values)) in enumerate(zip(axes[1:], norms.items())):
        bars = axis.barh(range(len(values)), values.tolist(), **bar_style(i))
        axis.bar_label(bars, [f"{value:.3g}" for value in values.tolist()], padding=2)
        axis.set(title=name, yticks=range(len(values)), xlim=(0, 1.25 * float(values.max())))
        axis.set_ylim(len(values) - 0.5, -0.5)
        axis.grid(False, axis="y")
    return figure


def _numbers(axis, matrix: Tensor, title: str, limit: float | None = None) -> None:
    limit = limit or float(matrix.abs().max()) or 1.0
    axis.imshow(matrix.numpy(), cmap="PuOr", vmin=-limit, vmax=limit)
    axis.set(title=title, xticks=range(matrix.shape[1]), yticks=range(matrix.shape[0]))
    axis.grid(False)
    for (row, column), value in np.ndenumerate(matrix.numpy()):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        axis.text(column, row, f"{value:g}", ha="center", va="center", fontsize=9, color=colour)


def filter_on_maps(kernels: dict[str, Tensor], maps: dict[str, Tensor]) -> Figure:
    """What 3x3 filters, float (3, 3) by name, make of maps, float (H, W) by name: a filter and its outputs (no
    padding) side by side, one filter after the other, with the mean absolute output."""
    figure, axes = panels(len(kernels) * (1 + len(maps)), "", height=2.3, width=1.75 * len(kernels) * (1 + len(maps)))
    outputs = {
        (kernel, image): F.conv2d(maps[image][None, None], kernels[kernel][None, None])[0, 0]
        for kernel in kernels
        for image in maps
    }
    strongest = max(float(output.abs().max()) for output in outputs.values()) or 1.0
    largest, said, places = max(float(kernel.abs().max()) for kernel in kernels.values()), [], iter(axes)
    for kernel, weights in kernels.items():
        _numbers(next(places), weights, f"{kernel}\nΣ|w| = {float(weights.abs().sum()):g}", largest)
        for image, axis in zip(maps, places):
            strength = float(outputs[kernel, image].abs().mean())
            axis.imshow(outputs[kernel, image].numpy(), cmap="PuOr", vmin=-strongest, vmax=strongest)
            axis.set(title=f"on {image}:\nmean |output| {strength:.3g}", xticks=[], yticks=[])
            axis.grid(False)
            said.append(f"{kernel} on {image} {strength:.3g}")
    figure.set_label(f"Filters, and the mean absolute output of each on each map: {'; '.join(said)}.")
    return figure


def errors_by_layer(errors: dict[str, dict[str, float]], title: str) -> Figure:
    """What each layer loses of its reader's output, as a share 0..1 (log scale): by criterion, by channel group.
    Raises ``LabError`` for no criterion."""
    if not errors:
        raise LabError("There are no errors to draw: give those of one criterion at least.")
    groups = list(next(iter(errors.values())))
    alt = f"Bars: share of the next layer's output that is lost, by layer, for {', '.join(errors)}."
    figure, (axis,) = panels(1, alt, height=3, width=9.4)
    width = 0.8 / len(errors)
    for i, (name, by_group) in enumerate(errors.items()):
        x = np.arange(len(groups)) + width * (i - (len(errors) - 1) / 2)
        axis.bar(x, [max(by_group[group], 1e-7) for group in groups], width, **bar_style(i), label=name)
    axis.set(yscale="log", xlabel="convolution", ylabel="share of output lost\n(log scale)", title=title)
    axis.set_xticks(range(len(groups)), range(1, len(groups) + 1))
    axis.grid(False, axis="x")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
