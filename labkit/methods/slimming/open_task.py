"""The open task of notebook 04: of one's own sparse network, the fewest MACs at a given accuracy. Everything
on the board is computed from the runs' records, so nothing is there that was not trained."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from labkit import measure, models
from labkit.data import Dataset
from labkit.files import checked_name
from labkit.pruning import ChannelPlan, thin
from labkit.records import Record, load_all
from labkit.settings import Recipe
from labkit.training import fit
from labkit.view import plots
from labkit.view.tables import markdown

TARGETS = {"shapes": 0.97}  # validation accuracy that a network has to reach, by data set
ALLOWED_LOSS = 0.05  # elsewhere: below the sparse network, rounded down to a whole percent
ENTRANTS = ("fine-tuning", "open-task")  # kinds of runs that stand on the board


def target(run: Record) -> float:
    """The validation accuracy that networks cut from a sparse run have to reach."""
    own = math.floor(round(100 * (run.results["validation_accuracy"] - ALLOWED_LOSS), 6)) / 100
    return TARGETS.get(run.config["data"]["name"], own)


def attempt(name: str, run: Record, plan: ChannelPlan, data: Dataset, recipe: Recipe, lab: Path, watch=None) -> Record:
    """Cut a sparse run by ``plan`` and fine-tune the thin network by ``recipe``, once, in ``lab``'s folder
    ``open-task-NAME``. Raises ``LabError`` for a name that is no folder's, a plan that does not fit the network
    or one that leaves a layer without channels."""
    return fit(
        thin(run.model(), plan),
        data,
        recipe,
        folder=lab / f"open-task-{checked_name(name)}",
        kind="open-task",
        seed=run.config["seed"],
        plan=plan.to_dict(),
        parent=run.name,
        watch=watch,
    )


def standings(folder: Path, goal: float) -> list[dict]:
    """Every fine-tuned network in an experiment's folder: first those that reach ``goal``, with the fewest MACs
    on top, then the others, with the best accuracy on top."""
    rows = []
    for run in (run for kind in ENTRANTS for run in load_all(folder, kind)):
        network, accuracy = models.build(run.specification), run.results["validation_accuracy"]
        costs = {"macs": measure.macs(network), "parameters": measure.parameters(network)}
        described = {"name": run.name, "epochs": len(run.history), "accuracy": accuracy}
        rows.append(described | {"reached": accuracy >= goal} | costs)
    return sorted(rows, key=lambda row: (not row["reached"], row["macs"] * row["reached"], -row["accuracy"]))


def board_cells(folder: Path, goal: float) -> list[list[str]]:
    """The board as a table, header first."""
    header = ["place", "network", "million MACs", "parameters", "epochs", "validation accuracy"]
    rows = [
        [
            str(place) if row["reached"] else f"below {goal:.0%}",
            row["name"],
            f"{row['macs'] / 1e6:.3f}",
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['accuracy']:.1%}",
        ]
        for place, row in enumerate(standings(folder, goal), 1)
    ]
    return [header, *rows]


def board_table(folder: Path, goal: float) -> str:
    header, *rows = board_cells(folder, goal)
    return markdown(header, rows)


def board_figure(folder: Path, goal: float) -> Figure:
    """Validation accuracy over MACs of every network on the board, and the accuracy to reach."""
    rows = standings(folder, goal)
    alt = f"Validation accuracy over MACs of {len(rows)} fine-tuned networks; dashed: the {goal:.0%} to reach."
    figure, (axis,) = plots.panels(1, alt, height=3.2)
    for i, reached in enumerate((True, False)):
        shown = [row for row in rows if row["reached"] == reached]
        label = "reaches it" if reached else "does not"
        axis.plot(
            [row["macs"] / 1e6 for row in shown], [row["accuracy"] for row in shown],
            ms=7, label=label, **(plots.style(i) | {"ls": ""}),
        )  # fmt: skip
    if rows and rows[0]["reached"]:
        best = rows[0]
        axis.annotate(
            f"best: {best['name']}", (best["macs"] / 1e6, best["accuracy"]),
            xytext=(-4, 8), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axis.axhline(goal, color="black", ls="--", lw=1, label=f"{goal:.0%}, to reach")
    axis.set(xscale="log", xlabel="million MACs per image (log scale)", ylabel="validation accuracy")
    axis.yaxis.set_major_formatter(plots.PercentFormatter(1, decimals=1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
