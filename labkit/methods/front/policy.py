"""A layer-wise policy: which share of its channels each group gives. The homework's second part, and its numbers."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import nn

from labkit import measure, models, training
from labkit.data import Dataset
from labkit.files import checked_name, write_text
from labkit.methods import criteria
from labkit.methods.front.geometry import Point
from labkit.methods.front.work import POLICY, TUNED
from labkit.models import Specification
from labkit.pruning import ChannelPlan, Scores, channel_groups, global_plan, thin, width_plan
from labkit.records import Record, as_text, read_json
from labkit.settings import LabError, Profile, Recipe

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.55, 0.7)  # of all channels: the global front's points, here and in the reference grid
BY_SENSITIVITY = "policy-sensitivity"  # so begin the names of the policies that notebook 09 makes for everybody
MOST_POLICIES = 3  # that one student's area is made of
KNOBS = 10  # more than these nobody keeps apart
MEASURED_WIDTHS, BATCH = (1.0, 0.5, 0.125), 16  # with one image half of the time is no arithmetic

Latency = Callable[[Specification], float]
"""Predicts a network's latency in milliseconds, for a batch of ``BATCH`` images."""


def recipe(profile: Profile) -> Recipe:
    """How every point of a front is fine-tuned: as the criteria were, one epoch at a tenth of the training's rate."""
    return criteria.recipe(profile)


# What a policy is


def stages(network: Specification) -> dict[str, tuple[str, ...]]:
    """The channel groups of each stage of a network, in order: ``stage1``, ``stage2``, … and, where a family has
    them, ``stem`` and ``head``."""
    names = list(channel_groups(models.build(network)))
    blocks = [f"stage{stage}" for stage, count in enumerate(network.blocks, 1) for _ in range(count)]
    labels = blocks if network.family == "vgg" else [_stage_in(name) for name in names]
    return {label: tuple(n for n, own in zip(names, labels) if own == label) for label in dict.fromkeys(labels)}


def _stage_in(name: str) -> str:
    found = re.search(r"stage\d+", name)
    return found[0] if found else name.partition(".")[0]


def knobs(network: Specification) -> dict[str, tuple[str, ...]]:
    """What an editor has a slider for, and the groups that each moves: every group or, where there are more than
    ``KNOBS``, every stage."""
    names = list(channel_groups(models.build(network)))
    return {name: (name,) for name in names} if len(names) <= KNOBS else stages(network)


def policy(
    scores: Scores, shares: Mapping[str, float], stages: Mapping[str, tuple[str, ...]] | None = None
) -> ChannelPlan:
    """Remove from each group the share 0..1 of its channels that ``shares`` says, the lowest scores first. A group
    that is not named keeps all. With ``stages`` (of ``front.stages``) the name of a stage speaks for its groups; a
    group's own name comes before it.

    Raises ``LabError`` for a name that is neither, a share outside [0, 1), and one that leaves a group empty.
    """
    return width_plan(scores, _widths({name: len(score) for name, score in scores.items()}, shares, stages))


def _widths(total: dict[str, int], shares: Mapping[str, float], stages) -> dict[str, int]:
    """Channels left by group."""
    by_group = _by_group(total, shares, stages or {})
    widths = {name: total[name] - round(share * total[name]) for name, share in by_group.items()}
    if empty := [name for name, width in widths.items() if not width]:
        name = empty[0]
        raise LabError(
            f"A share of {by_group[name]:g} takes all {total[name]} channels of {name}: one has to stay, so give "
            f"{(total[name] - 1) / total[name]:.3g} at most."
        )
    return widths


def _by_group(
    total: Iterable[str], shares: Mapping[str, float], stages: Mapping[str, tuple[str, ...]]
) -> dict[str, float]:
    total = list(total)
    for name, share in shares.items():
        if name not in total and name not in stages:
            raise LabError(f"There is no group or stage {name!r}: choose from {', '.join([*stages, *total])}.")
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise LabError(f"The share of {name} is {share!r}: give a number from 0 up to, but not including, 1.")
    of_stages = {group: shares[stage] for stage, groups in stages.items() if stage in shares for group in groups}
    return of_stages | {name: share for name, share in shares.items() if name in total}


def reaching(
    target: float,
    network: Specification,
    scores: Scores,
    shares: Mapping[str, float],
    stages: Mapping[str, tuple[str, ...]] | None = None,
) -> ChannelPlan:
    """The policy ``shares`` made milder or harsher, all by one factor, until the share of multiply-accumulates left
    is as close to ``target``, 0..1, as whole channels allow; each group keeps one channel at least.

    Raises ``LabError`` for a target that these groups cannot reach, with the nearest that they can.
    """
    total = {name: len(score) for name, score in scores.items()}
    by_group = _by_group(total, shares, stages or {})
    if not 0 < target <= 1:
        raise LabError(f"The target is {target!r} of the MACs: give a share above 0, up to 1.")

    def widths(factor: float) -> dict[str, int]:
        return {name: max(1, total[name] - round(factor * share * total[name])) for name, share in by_group.items()}

    def left(factor: float) -> float:
        return cost(network, [widths(factor).get(name, total[name]) for name in total])

    mild, harsh = 0.0, max((1 / share for share in by_group.values() if share), default=0.0)
    if target < (least := left(harsh)):
        raise LabError(
            f"{target:.1%} of the MACs cannot be reached with {', '.join(by_group) or 'no group'} alone: with one channel "
            f"left in each of them it is {least:.1%}, the nearest that there is. Name more groups, or ask for less."
        )
    for _ in range(20):
        middle = (mild + harsh) / 2
        mild, harsh = (middle, harsh) if left(middle) > target else (mild, middle)
    return width_plan(scores, widths(min((mild, harsh), key=lambda factor: abs(left(factor) - target))))


# What it costs


@lru_cache(maxsize=4096)
def counted(network: Specification) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a network."""
    model = models.build(network)
    return measure.parameters(model), measure.macs(model)


def cost(network: Specification, widths: Iterable[int]) -> float:
    """The share of its multiply-accumulates that a network of other widths would have, 0..1."""
    return counted(network.with_widths(widths))[1] / counted(network)[1]


def per_channel(network: Specification) -> dict[str, int]:
    """The multiply-accumulates that one channel of each group costs: in the layers that put it out and in those that
    read it, as long as all other channels are there."""
    names, whole = list(channel_groups(models.build(network))), counted(network)[1]
    return {
        name: whole - counted(network.with_widths(width - (i == j) for j, width in enumerate(network.widths)))[1]
        for i, name in enumerate(names)
    }


def linear_latency(model: nn.Module, runs: int = 30) -> Latency:
    """A latency model in multiply-accumulates: a straight line, by least squares through what was measured on this
    machine, one thread, ``BATCH`` images, at ``MEASURED_WIDTHS`` of the network's own. It knows nothing of a layer's shape."""
    network = model.specification
    sizes = [network.with_widths(max(1, round(width * share)) for width in network.widths) for share in MEASURED_WIDTHS]
    measured = [measure.latency(models.build(size, seed=0), BATCH, runs).median for size in sizes]
    slope, constant = np.polyfit([counted(size)[1] for size in sizes], measured, 1)
    return lambda size: float(constant + slope * counted(size)[1])


def numbers(network: Specification, plan: ChannelPlan, latency: Latency | None = None) -> dict[str, float]:
    """What a plan would leave of a network: ``parameters``, ``macs`` and, with a model of it, ``latency`` in ms."""
    slim = network.with_widths(plan.widths)
    found = dict(zip(("parameters", "macs"), counted(slim)))
    return found | ({"latency": latency(slim)} if latency else {})


def described(network: Specification, plan: ChannelPlan, latency: Latency | None = None) -> str:
    """One line: what a plan leaves of parameters and multiply-accumulates, and the predicted latency."""
    found, (parameters, macs) = numbers(network, plan, latency), counted(network)
    line = (
        f"{found['parameters']:,} parameters ({found['parameters'] / parameters:.1%}), "
        f"{found['macs']:,} MACs ({found['macs'] / macs:.1%})"
    )
    return line + (f", about {found['latency']:.2f} ms for {BATCH} images" if latency else "")


# Runs


def _training(folder: Path, kind: str, run: Record, plan: ChannelPlan, data: Dataset, recipe: Recipe) -> dict:
    """What ``training.fit`` needs to fine-tune the thin network that a plan makes of ``run``."""
    options = {"folder": folder, "kind": kind, "seed": run.config["seed"], "plan": plan.to_dict(), "parent": run.name}
    return {"model": thin(run.model(), plan), "data": data, "recipe": recipe} | options


def fine_tuned(
    name: str, run: Record, plan: ChannelPlan, data: Dataset, recipe: Recipe, lab: Path, watch=None
) -> Record:
    """Cut a trained run by ``plan`` and fine-tune the thin network by ``recipe``, once, in ``lab``'s folder
    ``policy-NAME``. Raises ``LabError`` for a name that is no folder's, a plan that does not fit the network or one
    that leaves a group without channels."""
    return training.fit(**_policy_training(name, run, plan, data, recipe, lab), watch=watch)


def fine_tuned_all(
    plans: Mapping[str, ChannelPlan], run: Record, data: Dataset, recipe: Recipe, lab: Path
) -> list[Record]:
    """``fine_tuned`` of each plan by its name, several at once where that is faster. Raises ``LabError`` for more than
    ``MOST_POLICIES``."""
    if len(plans) > MOST_POLICIES:
        raise LabError(f"There are {len(plans)} policies, and {MOST_POLICIES} count at most: leave some out.")
    return training.fit_all([_policy_training(name, run, plan, data, recipe, lab) for name, plan in plans.items()])


def _policy_training(name: str, run: Record, plan: ChannelPlan, data: Dataset, recipe: Recipe, lab: Path) -> dict:
    folder = lab / f"policy-{checked_name(name)}"
    if folder.name.startswith(BY_SENSITIVITY):
        raise LabError(f"The name {name!r} is one of notebook 09's policies: choose another for your own.")
    return _training(folder, POLICY, run, plan, data, recipe)


def global_front(
    run: Record, scores: Scores, data: Dataset, recipe: Recipe, lab: Path, ratios: Iterable[float] = RATIOS
) -> list[Record]:
    """The global front of a trained run: all channels ranked together, cut at each of ``ratios`` and fine-tuned,
    once, in ``lab``'s folders ``global-10``, ``global-20``, … (percent)."""
    plans = {f"global-{100 * ratio:g}": global_plan(scores, ratio) for ratio in ratios}
    return training.fit_all([_training(lab / name, TUNED, run, plan, data, recipe) for name, plan in plans.items()])


def points_of(runs: Iterable[Record], network: Specification) -> list[Point]:
    """Share of the MACs of ``network``, the unpruned one, and validation accuracy of every fine-tuned run."""
    return [Point(cost(network, run.specification.widths), run.results["validation_accuracy"]) for run in runs]


# Plans as files


def save_plan(plan: ChannelPlan, folder: Path, name: str) -> Path:
    """Write a plan as ``NAME.json`` into ``folder``. Raises ``LabError`` for a name that is no file's."""
    path = Path(folder) / f"{checked_name(name)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, as_text(plan.to_dict()))
    return path


def load_plan(path: Path) -> ChannelPlan:
    """The plan in a file that ``save_plan`` or the editor wrote. Raises ``LabError`` where it holds none."""
    try:
        return ChannelPlan.from_dict(read_json(Path(path)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LabError(f"{path} holds no plan ({type(error).__name__}): save it again with the editor.") from None
