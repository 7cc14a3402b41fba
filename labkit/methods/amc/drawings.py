"""Pictures of AMC's decision process and of its agent, drawn from numbers and from no record."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import PercentFormatter

from labkit.methods.amc.agent import Constants
from labkit.methods.amc.environment import STATE, Environment, Episode
from labkit.view.plots import COLOURS, bar_style, panels, style

BOXES = {
    "state\nof group t": (0.0, 0.0),
    "actor\nμ(s)": (2.4, 0.0),
    "+ noise": (4.4, 0.0),
    "clamp": (6.2, 0.0),
    "channels\nkept": (8.0, 0.0),
    "critic\nQ(s, a)": (4.4, -1.9),
    "reward\n−error": (8.0, -1.9),
}


def actor_critic() -> Figure:
    """How a share comes about and how the agent learns from the reward, as boxes."""
    alt = (
        "A state goes through the actor, noise and the clamp and becomes a number of channels; after the last group the "
        "network is judged. The critic learns to foretell the reward, and the actor follows the critic's slope."
    )
    figure, (axis,) = panels(1, alt, height=2.7, width=9.4)
    for text, (x, y) in BOXES.items():
        axis.add_patch(FancyBboxPatch((x, y), 1.3, 0.9, "round,pad=0.08", fc="white", ec="black", lw=1.2))
        axis.text(x + 0.65, y + 0.45, text, ha="center", va="center", fontsize=10)
    right = {"arrowstyle": "->", "lw": 1.5}
    for x, end in ((1.4, 2.3), (3.8, 4.3), (5.8, 6.1), (7.6, 7.9)):
        axis.annotate("", (end, 0.45), (x, 0.45), arrowprops=right)
    axis.annotate("", (8.65, -0.9), (8.65, -0.1), arrowprops=right)
    axis.text(8.75, -0.5, "after the\nlast group", va="center", fontsize=9)
    learning = {"arrowstyle": "->", "lw": 1.5, "color": COLOURS[0], "ls": "--"}
    axis.annotate("", (5.8, -1.45), (7.9, -1.45), arrowprops=learning)
    axis.text(6.85, -1.35, "learns to foretell it", ha="center", color=COLOURS[0], fontsize=9)
    axis.annotate("", (3.05, -0.1), (4.3, -1.45), arrowprops=learning)
    axis.text(3.3, -1.35, "its slope says\nmore or fewer", ha="right", color=COLOURS[0], fontsize=9)
    axis.set(xlim=(-0.2, 10.1), ylim=(-2.1, 1.1))
    axis.axis("off")
    return figure


def walked(environment: Environment, widths: Sequence[int]) -> Figure:
    """A policy's ``widths``, group by group: the MACs that are spent if all later groups keep their least, and the budget."""
    whole, least = sum(environment.whole), environment.least
    steps = range(len(environment) + 1)
    heights = [environment.table.macs([*widths[:step], *least[step:]]) / whole for step in steps]
    said = ", ".join(f"{height:.1%}" for height in heights)
    figure, (axis,) = panels(
        1,
        f"MACs spent after each decision, if the rest keeps its least: {said}; the budget is {environment.budget / whole:.1%}.",
        2.8,
        8,
    )
    axis.bar(steps, heights, 0.7, **bar_style(0))
    axis.axhline(environment.budget / whole, color=COLOURS[3], ls="--", lw=1.5)
    axis.text(-0.4, environment.budget / whole, "budget", va="bottom", color=COLOURS[3])
    kept = ["all least", *(f"{width}" for width in widths)]
    small = len(environment) > 12
    axis.set_xticks(steps, kept, fontsize=7 if small else 9)
    axis.set(xlabel="channels that the group just decided keeps", ylabel="MACs if all later\ngroups keep their least")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(False, axis="x")
    return figure


def affordable(environment: Environment, kept: Sequence[int], shares: Sequence[float]) -> Figure:
    """What each number of channels of the next group costs at least, the budget, and shares that are asked for."""
    costs, whole = np.array(environment.costs(kept)) / sum(environment.whole), sum(environment.whole)
    budget, group = environment.budget / whole, len(kept)
    most = int((costs <= budget).sum()) - 1
    asked = ", ".join(f"{share:.0%}" for share in shares)
    alt = (
        f"Group {group + 1}: the MACs rise with its channels; at most {most} are within the budget. Asked for: {asked}."
    )
    figure, (axis,) = panels(1, alt, height=2.9, width=7.6)
    axis.plot(costs, color="black", lw=1.6)
    axis.axhline(budget, color=COLOURS[3], ls="--", lw=1.5, label="budget")
    axis.axvspan(most + 0.5, len(costs) - 1, color="0.85", label="not affordable")
    axis.axvspan(0, environment.least[group], fc="white", hatch="///", ec="0.4", lw=0, label="below the least")
    for i, share in enumerate(shares):
        x = share * (len(costs) - 1)
        axis.plot(
            x, np.interp(x, range(len(costs)), costs), ms=9, label=f"asked for {share:.0%}", **style(i) | {"ls": ""}
        )
    axis.set(xlabel=f"channels that group {group + 1} keeps", ylabel="MACs if all later\ngroups keep their least")
    axis.set(xlim=(0, len(costs) - 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def states(episode: Episode) -> Figure:
    """All states of one episode as a map: a row for each of the 11 numbers, a column for each group."""
    figure, (axis,) = panels(
        1, "The 11 numbers of the state, 0 to 1, of every group in one episode, as a map.", height=3.4, width=8
    )
    picture = axis.imshow(episode.states.T, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    if len(episode.states) <= 12:
        for (column, row), value in np.ndenumerate(episode.states):
            colour = "white" if value < 0.6 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axis.set_yticks(range(len(STATE)), STATE, fontsize=9)
    axis.set_xticks(range(len(episode.states)), range(1, len(episode.states) + 1), fontsize=9)
    axis.set(xlabel="channel group", ylabel="entry of the state")
    axis.grid(False)
    figure.colorbar(picture, label="value, normalised")
    return figure


def noise(constants: Constants, warm_up: int, episodes: int, mean: float = 0.7) -> Figure:
    """Left, σ over the episodes; right, how likely each share is where the actor proposes ``mean``, at three times."""
    numbers = np.arange(episodes)
    sigma = constants.noise * constants.decay ** np.maximum(0, numbers - warm_up)
    figure, (left, right) = panels(
        2, f"σ stays while chance decides, then falls; the noise around {mean:g} gets narrower.", 2.8, 9
    )
    left.plot(numbers[warm_up:], sigma[warm_up:], color=COLOURS[0], lw=1.8)
    left.axvspan(0, warm_up, color="0.88")
    left.text(
        warm_up / 2, 0.5 * constants.noise, "warm-up:\nby chance", rotation=90, ha="center", va="center", fontsize=9
    )
    left.set(xlabel="episode", ylabel="σ of the noise", ylim=(0, 1.05 * constants.noise), xlim=(0, episodes))
    x = np.linspace(0, 1, 201)
    for i, eighths in enumerate((0, 1, 3)):  # later the density is a needle
        number = warm_up + eighths * (episodes - 1 - warm_up) // 8
        density = np.exp(-0.5 * ((x - mean) / sigma[number]) ** 2)
        look = style(i) | {"marker": ""}
        right.plot(x, density / (density.sum() * (x[1] - x[0])), lw=1.8, label=f"episode {number + 1}", **look)
    right.set(xlabel="share of the channels", ylabel="density")
    right.xaxis.set_major_formatter(PercentFormatter(1))
    right.legend(fontsize=9)
    return figure
