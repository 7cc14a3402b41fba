"""Pictures of the granularities and of what hardware can use, drawn from no record."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from labkit.methods.granularity.masks import GRANULARITIES, mask
from labkit.methods.granularity.storage import storage
from labkit.view.plots import bar_style, panels

FILTERS, INPUTS = 6, 8  # of the layer, as many as can be seen


def granularities(weight: Tensor, ratio: float = 0.5) -> Figure:
    """Which weights of a convolution (c_o, c_i, k_h, k_w) go at one ratio, a strip for each granularity: a row is a
    filter, a cell a weight, dark is large, white is gone. The choice is made over the whole layer; the first filters
    and inputs are shown. Raises ``LabError`` as ``mask`` does."""
    filters, inputs, height, width = min(FILTERS, len(weight)), min(INPUTS, weight.shape[1]), *weight.shape[2:]
    shown = weight.detach().abs()[:filters, :inputs].flatten(1).numpy()
    masks = {name: mask(weight, name, ratio) for name in GRANULARITIES}
    strips = {"dense": shown} | {
        name: np.where(stays[:filters, :inputs].flatten(1).numpy(), shown, np.nan) for name, stays in masks.items()
    }
    shares = {name: float(stays.float().mean()) for name, stays in masks.items()}
    figure, (axis,) = panels(
        1,
        f"The first {filters} of {len(weight)} filters and {inputs} of {weight.shape[1]} inputs of a convolution, one "
        f"strip for each granularity, a cell a weight, white where it is gone at a ratio of {ratio:.0%}. Fine-grained: "
        "white cells anywhere. N:M: as many in every four neighbours. Vector: rows of "
        f"{width}. Kernel: blocks of {height * width}. Channel: whole rows of the strip.",
        height=5.6,
        width=9.4,
    )
    step = filters + 1.6
    for i, (name, strip) in enumerate(strips.items()):
        edges = np.arange(strip.shape[1] + 1), i * step + np.arange(filters + 1)
        axis.pcolormesh(
            *edges, np.ma.masked_invalid(strip), cmap="Greys", vmin=-0.3 * shown.max(), vmax=shown.max(),
            edgecolors="0.75", linewidth=0.3,
        )  # fmt: skip
        for column in range(0, strip.shape[1] + 1, height * width):
            axis.plot((column, column), (i * step, i * step + filters), color="black", lw=0.9)
        left = f"{shares[name]:.0%} left" if name in shares else f"{weight.numel():,} weights"
        axis.text(-1, i * step + filters / 2, f"{name}\n{left}", ha="right", va="center")
    axis.set(xlim=(-0.2, shown.shape[1] + 0.2), ylim=(len(strips) * step - 1.4, -0.3), yticks=[])
    axis.set_xticks([(i + 0.5) * height * width for i in range(inputs)], [f"input {i}" for i in range(inputs)])
    axis.set_xlabel(
        f"one cell = one weight, dark = large |w|, white = gone; between two lines: a {height}×{width} kernel"
    )
    axis.tick_params(length=0)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure


def stored(shape: tuple[int, ...], ratio: float = 0.5) -> Figure:
    """Bytes of a weight (c_o, c_i, k_h, k_w) at one ratio by granularity, values and indices, with 32 and with 8 bits
    a value; the dashed line is the dense weight."""
    rows = {bits: {name: storage(shape, name, ratio, bits) for name in GRANULARITIES} for bits in (32, 8)}
    said = "; ".join(
        f"{bits} bits: "
        + ", ".join(f"{name} {row['values']:,.0f} and {row['indices']:,.0f}" for name, row in of.items())
        for bits, of in rows.items()
    )
    figure, axes = panels(2, f"Bars: bytes of values and of indices by granularity. {said}.", height=3.1, width=9.4)
    for axis, (bits, of) in zip(axes, rows.items()):
        values, indices = ([row[part] for row in of.values()] for part in ("values", "indices"))
        axis.bar(list(of), values, **bar_style(0), label="values")
        axis.bar(list(of), indices, bottom=values, **bar_style(1), label="indices")
        dense = storage(shape, "fine-grained", 0.0, bits)["values"]
        axis.axhline(dense, color="black", ls="--", lw=1, label="dense")
        axis.set(title=f"{bits} bits a value", xlabel="granularity")
        axis.set_xticks(range(len(of)), [name.replace("-", "-\n") for name in of])
        axis.grid(False, axis="x")
    axes[0].set_ylabel(f"bytes, {ratio:.0%} pruned")
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


# What each design can skip or leave out. EIE: Han et al., ISCA 2016. ESE: Han et al., FPGA 2017. SpArch: Zhang et al.,
# HPCA 2020. SpAtten: Wang et al., HPCA 2021. A100: Mishra et al., 2021.
USES = (
    "single weights,\nanywhere",
    "single weights,\nbalanced",
    "2:4 of\nweights",
    "zero\nactivations",
    "sparse ×\nsparse",
    "tokens,\nheads",
    "whole\nchannels",
)
HARDWARE = {
    "CPU, GPU, dense kernels": (0, 0, 0, 0, 0, 0, 1),
    "EIE (2016)": (1, 0, 0, 1, 0, 0, 1),
    "ESE (2017)": (1, 1, 0, 0, 0, 0, 1),
    "SpArch (2020)": (1, 0, 0, 1, 1, 0, 1),
    "SpAtten (2021)": (0, 0, 0, 0, 0, 1, 1),
    "A100 (2020)": (0, 0, 1, 0, 0, 0, 1),
}


def accelerators() -> Figure:
    """What sparsity each design turns into less work, as a chart."""
    names = [use.replace("\n", " ") for use in USES]
    said = "; ".join(
        f"{design}: {', '.join(name for name, can in zip(names, row) if can)}" for design, row in HARDWARE.items()
    )
    figure, (axis,) = panels(1, f"A chart of what each design can use. {said}.", height=3.0, width=9.4)
    for y, row in enumerate(HARDWARE.values()):
        for x, can in enumerate(row):
            axis.add_patch(Rectangle((x + 0.05, y + 0.08), 0.9, 0.84, fc="0.25" if can else "0.95", ec="0.6"))
            axis.text(
                x + 0.5, y + 0.5, "uses" if can else "–", color="white" if can else "0.5", ha="center", va="center"
            )
    axis.set_xticks([x + 0.5 for x in range(len(USES))], USES)
    axis.set_yticks([y + 0.5 for y in range(len(HARDWARE))], HARDWARE)
    axis.set(xlim=(0, len(USES)), ylim=(len(HARDWARE), 0), xlabel="sparsity that becomes less work")
    axis.tick_params(length=0)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure
