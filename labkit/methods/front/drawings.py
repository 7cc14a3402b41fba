"""Pictures of coupled channels, drawn from the channel groups of a network and from no record."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import PercentFormatter
from torch import nn

from labkit import models
from labkit.methods.front.policy import counted
from labkit.models import Specification
from labkit.pruning import ChannelPlan, Scores, channel_groups
from labkit.view.plots import COLOURS, bar_style, panels

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def coupled(networks: dict[str, nn.Module], most: int = 10) -> Figure:
    """The first ``most`` convolutions of each network in order, with the letter of the channel group that each puts
    out; a line joins the layers that share one."""
    letters = {title: _letters(model, most) for title, model in networks.items()}
    said = {
        title: "; ".join(
            f"{letter} {', '.join(_short(layer) for layer in found if found[layer] == letter)}"
            for letter in dict.fromkeys(found.values())
        )
        for title, found in letters.items()
    }
    alt = "Convolutions of each network with the letter of the channel group that each puts out. "
    alt += " ".join(f"{title}: {text}." for title, text in said.items())
    figure, axes = panels(len(networks), alt, height=0.36 * most + 0.5, width=9.6)
    for axis, (title, found) in zip(axes, letters.items()):
        _draw(axis, found)
        axis.set_title(title)
        axis.set(xlim=(-0.05, 2.5), ylim=(most - 0.4, -0.6))
        axis.axis("off")
    return figure


def _letters(model: nn.Module, most: int) -> dict[str, str]:
    groups = channel_groups(model)
    owner = {layer: letter for letter, group in zip(LETTERS, groups.values()) for layer in group.layers("out")}
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][:most]
    letters = {layer: owner[layer] for layer in layers}
    names = {letter: LETTERS[i] for i, letter in enumerate(dict.fromkeys(letters.values()))}
    return {layer: names[letter] for layer, letter in letters.items()}


def _short(layer: str) -> str:
    """``blocks.stage2_block1.conv1`` -> ``stage 2, block 1: conv1``."""
    *where, name = layer.removeprefix("blocks.").removeprefix("features.").split(".")
    if len(where) > 1:  # the shortcut's convolution
        name = where.pop()
    place = " ".join(where).replace("_", ", ").replace("stage", "stage ").replace("block", "block ")
    return f"{place}: {name}" if place else name


def _draw(axis, letters: dict[str, str]) -> None:
    order = list(dict.fromkeys(letters.values()))
    for row, (layer, letter) in enumerate(letters.items()):
        i = order.index(letter)
        axis.text(0, row, _short(layer), va="center", fontsize=8)
        box = FancyBboxPatch(
            (1.42, row - 0.3), 0.28, 0.6, "round,pad=0.02", fc=COLOURS[i % 10], ec="black", lw=0.8, alpha=0.45
        )
        axis.add_patch(box)
        axis.text(1.56, row, letter, ha="center", va="center", weight="bold")
    shared = [letter for letter in order if list(letters.values()).count(letter) > 1]
    for column, letter in enumerate(shared):
        rows = [row for row, other in enumerate(letters.values()) if other == letter]
        x = 1.85 + 0.14 * column
        axis.plot([x, x], [rows[0], rows[-1]], color="black", lw=1.6)
        for row in rows:
            axis.plot([1.74, x], [row, row], color="black", lw=1.2)


def selection(scores: Scores, plans: dict[str, ChannelPlan]) -> Figure:
    """The scores of a few channels as bars, group by group, once for each plan: filled where the channel stays."""
    names = list(scores)
    said = "; ".join(
        f"{title}: " + ", ".join(f"{name} keeps {len(plan.kept[name])} of {plan.total[name]}" for name in names)
        for title, plan in plans.items()
    )
    figure, axes = panels(
        len(plans), f"Scores of channels as bars, filled where they stay. {said}.", 2.8, 9.4, sharey=True
    )
    for axis, (title, plan) in zip(axes, plans.items()):
        start, middles = 0, []
        for i, name in enumerate(names):
            x, stays = start + np.arange(len(scores[name])), plan.mask(name).tolist()
            for place, value, keep in zip(x, scores[name].tolist(), stays):
                look = (
                    {"color": COLOURS[i], "edgecolor": "black"}
                    if keep
                    else {"color": "white", "edgecolor": "0.5", "hatch": "xx"}
                )
                axis.bar(place, value, 0.8, **look)
            middles.append(x.mean())
            start += len(x) + 1
        axis.set(title=title, xlabel="channel group (crossed out: removed)")
        axis.set_xticks(middles, [f"{name}\n{len(plan.kept[name])} of {plan.total[name]} stay" for name in names])
        axis.grid(False, axis="x")
    axes[0].set_ylabel("score")
    return figure


def what_half_saves(network: Specification) -> Figure:
    """The share of all parameters and of all multiply-accumulates that goes if a group loses half of its channels."""
    names = list(channel_groups(models.build(network)))
    whole = counted(network)
    saved = {"parameters": [], "MACs": []}
    for i in range(len(names)):
        half = counted(network.with_widths(w // 2 or 1 if i == j else w for j, w in enumerate(network.widths)))
        for kind, before, after in zip(saved, whole, half):
            saved[kind].append(1 - after / before)
    said = "; ".join(f"{kind}: " + ", ".join(f"{value:.0%}" for value in values) for kind, values in saved.items())
    figure, (axis,) = panels(1, f"Saved by halving each group alone, first to last. {said}.", 2.7, 8.4)
    for i, (kind, values) in enumerate(saved.items()):
        axis.bar(np.arange(len(names)) + 0.4 * (i - 0.5), values, 0.4, label=kind, **bar_style(i))
    axis.set(xlabel="channel group", ylabel="share saved by\nhalving it alone")
    axis.set_xticks(range(len(names)), [name.rpartition(".")[2] for name in names], fontsize=9)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.grid(False, axis="x")
    axis.legend()
    return figure
