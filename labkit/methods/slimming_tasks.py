"""Network Slimming's figure that notebook 02 asks students to draw. Not in the student edition."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from labkit.methods.slimming.figures import THRESHOLD, lambda_label, under_threshold
from labkit.records import Record, load_all
from labkit.view import plots


def scaling_factor_histograms(runs: list[Record]) -> Figure:
    """The distribution of |γ| over all channels, one panel a λ, shared axes (Network Slimming, figure 4)."""
    figure, axes = plots.panels(
        len(runs), "Histograms of the absolute scaling factors, one panel a λ, shared axes.", sharex=True, sharey=True
    )
    values = [torch.cat(list(run.gammas()[-1].values())).numpy() for run in runs]
    edges = np.linspace(0, max(np.quantile(v, 0.995) for v in values), 41)
    for i, (axis, run, v) in enumerate(zip(axes, runs, values)):
        axis.hist(np.minimum(v, edges[-1]), edges, color=plots.COLOURS[i % 10], edgecolor="white", lw=0.3)
        axis.axvline(THRESHOLD, color="black", ls="--", lw=1)
        share = f"{under_threshold(run):.0%} of {len(v)}\nbelow {THRESHOLD:g}"
        axis.text(0.96, 0.95, share, transform=axis.transAxes, ha="right", va="top")
        axis.set(title=lambda_label(run), xlabel="scaling factor |γ|", yscale="log")
    axes[0].set_ylabel("channels (log scale)")
    return figure


def figures(folder: Path) -> dict[str, Figure]:
    runs = load_all(folder, "sparsity")
    return {"scaling-factor-histograms": scaling_factor_histograms(runs)} if runs else {}
