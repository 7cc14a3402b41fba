"""Network Slimming's figure that notebook 02 asks students to draw. Not in the student edition."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from labkit.methods.slimming.figures import FLOOR, THRESHOLD, lambda_label, under_threshold
from labkit.records import Record, load_all
from labkit.view import plots


def scaling_factor_histograms(runs: list[Record]) -> Figure:
    """The distribution of |γ| over all channels on a logarithmic axis, one panel per λ, shared axes; every channel
    is in it (Network Slimming, figure 4, has linear axes)."""
    alt = "Histograms of the absolute scaling factors, one panel per λ, shared logarithmic axes."
    figure, axes = plots.panels(len(runs), alt, height=3.2, width=9.4, sharex=True, sharey=True)
    # in float32 the floor would lie below the first edge
    values = [torch.cat(list(run.gammas()[-1].values())).double().clamp(min=FLOOR).numpy() for run in runs]
    edges = np.geomspace(FLOOR, max(v.max() for v in values), 41)
    for i, (axis, run, v) in enumerate(zip(axes, runs, values)):
        axis.hist(v, edges, color=plots.COLOURS[i % 10], edgecolor="white", lw=0.3)
        axis.axvline(THRESHOLD, color="black", ls="--", lw=1)
        share = f"{under_threshold(run):.0%} of {len(v)}\nbelow {THRESHOLD:g}"
        axis.text(0.04, 0.95, share, transform=axis.transAxes, va="top")
        axis.set(title=lambda_label(run).replace(" (", "\n("), xscale="log", yscale="log")
        axis.set_xlabel("scaling factor |γ|\n(below 1e-9: drawn at 1e-9)")
    axes[0].set(ylabel="channels (log scale)", ylim=(0.5, None))
    return figure


def figures(folder: Path) -> dict[str, Figure]:
    runs = load_all(folder, "sparsity")
    return {"scaling-factor-histograms": scaling_factor_histograms(runs)} if runs else {}
