"""The board of a class: one JSON a student, in which nothing is believed that can be computed.

An entry holds the unpruned network's specification and, for each policy, what is claimed of it and the record of its
fine-tuning. It is data only: read with a limit on its size, held to a schema, never executed.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit import foreign, models, records
from labkit.files import checked_name, write_text
from labkit.methods import schemas
from labkit.methods.front.figures import staircase
from labkit.methods.front.geometry import Point, gained
from labkit.methods.front.policy import MOST_POLICIES, cost, counted
from labkit.methods.front.work import KINDS, POLICY
from labkit.models import Specification
from labkit.pruning import channel_groups
from labkit.records import Record
from labkit.settings import LabError
from labkit.view import plots
from labkit.view.tables import markdown

FORMAT = 1
CLAIMS = {"accuracy": schemas.SHARE} | {name: schemas.MEASURED[name] for name in ("parameters", "macs")}
CLAIMED = schemas.record({"claimed": schemas.record(CLAIMS), "record": KINDS[POLICY]})
ENTRY = schemas.record(
    {
        "format": {"const": FORMAT},
        "name": schemas.TEXT,
        "network": schemas.NETWORK,
        "policies": schemas.array(CLAIMED, MOST_POLICIES) | {"minItems": 1},
    }
)


@dataclass(frozen=True)
class Entry:
    """A student's policies for one network: ``runs`` are their fine-tunings, ``points`` what each reached."""

    name: str
    network: Specification
    runs: tuple[Record, ...]

    @property
    def points(self) -> list[Point]:
        return [
            Point(cost(self.network, run.network["widths"]), run.results["validation_accuracy"]) for run in self.runs
        ]


# Writing


def entry(name: str, runs: Iterable[Record]) -> dict:
    """What goes on the board: up to ``MOST_POLICIES`` policies of one student, cut from one network, as JSON can
    hold it. Raises ``LabError`` for a name that is no file's, other runs than policies, too many or none of them."""
    runs = list(runs)
    if not 1 <= len(runs) <= MOST_POLICIES or {run.kind for run in runs} != {POLICY}:
        raise LabError(
            f"An entry has 1 to {MOST_POLICIES} runs of kind {POLICY}: fine-tune a policy first, or leave some out."
        )
    parents = [records.load(run.folder.parent / run.config["parent"]).network for run in runs]
    if any(parent != parents[0] for parent in parents):
        raise LabError("The policies of an entry were cut from different networks: make one entry for each.")
    policies = []
    for run in runs:
        parameters, macs = counted(run.specification)
        claimed = {"accuracy": run.results["validation_accuracy"], "parameters": parameters, "macs": macs}
        policies.append({"claimed": claimed, "record": {k: v for k, v in vars(run).items() if k != "folder"}})
    return {"format": FORMAT, "name": checked_name(name), "network": parents[0], "policies": policies}


def save_entry(name: str, runs: Iterable[Record], folder: Path) -> Path:
    """Write ``entry`` as ``NAME.json`` into ``folder``, where ``board`` reads it."""
    content = entry(name, runs)
    path = Path(folder) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, records.as_text(content))
    return path


# Reading


@cache
def _validator() -> foreign.Validator:
    return foreign.validator(ENTRY)


def read_entry(path: Path) -> Entry:
    """The entry in a file that a stranger wrote. Raises ``LabError`` with the first thing that is wrong with it."""
    path = Path(path)
    try:
        if path.is_symlink():
            raise ValueError("it is a link, and links are not followed")
        if not path.is_file():
            raise ValueError("it is no plain file")
        entry = _checked(foreign.checked(foreign.content(path), _validator()))
        if entry.name != path.stem:
            raise ValueError(f"it is the entry of {foreign.shown(entry.name)}, and a file is called after its student")
        return entry
    except (ValueError, LabError) as error:
        raise LabError(f"{foreign.shown(path.name)} is not on the board: {str(error).rstrip('.')}.") from None


def _checked(content: dict) -> Entry:
    name, network = checked_name(content["name"]), Specification.from_dict(content["network"])
    _refuse_foreign(network)
    runs = tuple(Record(**policy["record"]) for policy in content["policies"])
    for number, (policy, run) in enumerate(zip(content["policies"], runs), 1):
        if wrong := next(_faults(policy["claimed"], run, network), None):
            raise ValueError(f"its policy {number} {wrong}")
    return Entry(name, network, runs)


def _refuse_foreign(network: Specification) -> None:
    """Only what is no larger than a network of the catalogue is built."""
    largest = [models.named(known, classes=network.classes, size=network.size) for known in models.names()]
    same = [known for known in largest if (known.family, known.blocks) == (network.family, network.blocks)]
    fits = any(all(a <= b for a, b in zip(network.widths, known.widths)) for known in same)
    if not fits or network.size > 64 or network.classes > 1000:
        raise ValueError(f"its network is none of {', '.join(models.names())}, at their widths at most")


def _faults(claimed: dict, run: Record, network: Specification) -> Iterator[str]:
    """What is wrong with a policy, in words that follow its number; later sentences rely on those before them."""
    groups, plan = channel_groups(models.build(network)), run.plan
    widths = {name: group.width for name, group in groups.items()}
    if plan["total"] != widths or plan["kept"].keys() != widths.keys():
        yield "has a plan that does not fit its network: other groups or widths"
    for name, kept in plan["kept"].items():
        if not kept or kept != sorted(set(kept)) or kept[-1] >= widths.get(name, 0):
            yield f"has a plan that does not fit its network: {foreign.shown(name)} keeps {foreign.shown(kept)}"
    slim = network.with_widths(len(plan["kept"][name]) for name in groups)
    if not run.network == run.config["network"] == slim.to_dict():
        yield "has a record of another network than its plan makes"
    parameters, macs = counted(slim)
    if (claimed["parameters"], claimed["macs"]) != (parameters, macs):
        yield (
            f"claims {claimed['parameters']:,} parameters and {claimed['macs']:,} MACs; its plan leaves {parameters:,} "
            f"and {macs:,}"
        )
    if not run.history or len(run.history) != run.config["recipe"]["epochs"]:
        yield f"has {len(run.history)} epochs in its history; its recipe has {run.config['recipe']['epochs']}"
    found = {run.results["validation_accuracy"], run.history[-1]["validation_accuracy"]}
    if found != {claimed["accuracy"]}:
        yield f"claims an accuracy of {claimed['accuracy']:.4%}; its record says {', '.join(f'{a:.4%}' for a in sorted(found))}"
    images = run.config["data"]["validation"]
    if not math.isclose(claimed["accuracy"] * images, round(claimed["accuracy"] * images), abs_tol=1e-3):
        yield f"claims an accuracy of {claimed['accuracy']:.4%}, which no count of {images} images gives"


def board(folder: Path) -> tuple[list[Entry], dict[str, str]]:
    """Every entry in ``folder`` (files ``*.json``, not below it), and by file name why the others are none."""
    entries, refused = [], {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            entries.append(read_entry(path))
        except LabError as error:
            refused[path.name] = str(error)
    return entries, refused


# Showing


def _ranked(entries: list[Entry], front: list[Point]) -> list[tuple[float, Entry]]:
    """Entries with what they gain, the largest gain first."""
    return sorted(((gained(front, e.points), e) for e in entries), key=lambda pair: (-pair[0], pair[1].name))


def board_table(entries: list[Entry], front: list[Point]) -> str:
    """One row an entry, by the area that it gains over ``front``: its policies' MACs left, accuracies and epochs."""
    header = ["place", "name", "area gained", "MACs left", "validation accuracy", "epochs"]
    rows = [
        [
            str(place),
            entry.name,
            f"{gain:.3f}",
            ", ".join(f"{point.cost:.1%}" for point in entry.points),
            ", ".join(f"{point.accuracy:.1%}" for point in entry.points),
            ", ".join(str(len(run.history)) for run in entry.runs),
        ]
        for place, (gain, entry) in enumerate(_ranked(entries, front), 1)
    ]
    return markdown(header, rows)


def board_figure(entries: list[Entry], front: list[Point]) -> Figure:
    """All entries' points and ``front``; in the legend the entries by the area that they gain."""
    ranked = _ranked(entries, front)
    said = ", ".join(f"{entry.name} {gain:.3f}" for gain, entry in ranked)
    alt = f"The board: validation accuracy over MACs left, the front to beat, and {len(entries)} entries; area gained: {said}."
    figure, (axis,) = plots.panels(1, alt, height=3.4, width=8.4)
    staircase(axis, front, "the global front", color="0.4", fill="0.9")
    for i, (gain, entry) in enumerate(ranked):
        look = plots.style(i) | {"ls": ""}
        axis.plot(*zip(*entry.points), ms=7, label=f"{entry.name}: +{gain:.3f}", **look)
    axis.set(xlabel="share of MACs left", ylabel="validation accuracy", xlim=(0, 1), ylim=(0, 1.03))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="area gained")
    return figure
