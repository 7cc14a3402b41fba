"""What is checked in the records of lab 2, The front, and for which cells of its notebooks.

No one is trusted for their own score: a policy counts only if its record contradicts nothing, and the area that it
gains is computed from its plan and the count of images that it gets right.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import combinations

from labkit import settings
from labkit.course.grading import findings
from labkit.course.grading.findings import Case, Cell, each, only
from labkit.course.grading.untrusted import shown
from labkit.methods import amc, criteria, front
from labkit.methods.front import Point
from labkit.records import Record
from labkit.settings import LabError, Profile

AHEAD = 0.4  # validation over training images in one epoch of fine-tuning; 0.29 is the most in the course's runs
ABOVE = 0.03  # the unpruned network
COUNTED = 3  # policies, as notebook 08 says: those that gain most together
WEAK = 0.1  # of area, below the course's own global fronts


def profile_of(trained: Record) -> Profile | None:
    """The profile whose network and recipe the training has."""

    def fits(profile: Profile) -> bool:
        network = criteria.network(profile, trained.config["data"]["classes"]).to_dict()
        return (trained.config["recipe"], trained.network) == (asdict(profile.train), network)

    return next(filter(fits, settings.PROFILES.values()), None)


def is_the_courses(case: Case, run: Record) -> Iterator[str]:
    if profile_of(run) is None:
        yield f"no profile of the course has this recipe and the network {findings.named(run.network)}."


def comes_from_the_training(case: Case, run: Record) -> Iterator[str]:
    """What is a point of a front: the course's network, cut by a plan that fits, and the one recipe for all."""
    parent = case.parent(run, criteria.TRAINED)
    profile = profile_of(parent) if parent else None
    if profile is None:
        what = "not the course's network" if parent else "not among the records as the network to prune"
        yield f"it was made from {shown(run.config['parent'])}, which is {what}."
        return
    yield from findings.wrong_plan(run, parent.network, findings.channels_of(parent.specification))
    if (run.config["recipe"], run.config["lambda"]) != (asdict(front.recipe(profile)), 0):
        yield "it was not fine-tuned by the one recipe that all points of the fronts share."


def is_within_reach(case: Case, run: Record) -> Iterator[str]:
    claimed, parent = run.results["validation_accuracy"], case.parent(run, criteria.TRAINED)
    if claimed - run.history[-1]["train_accuracy"] > AHEAD:
        yield f"{claimed:.1%} of the validation images are right, and {run.history[-1]['train_accuracy']:.1%} of those trained on."
    if parent and claimed - parent.results["validation_accuracy"] > ABOVE:
        yield f"validation accuracy {claimed:.1%}, well above the unpruned network's {parent.results['validation_accuracy']:.1%}."


def has_a_history_of_its_own(case: Case, run: Record) -> Iterator[str]:
    for other in case.runs:
        if other.history and other.history == run.history and (other.plan or {}).get("kept") != run.plan["kept"]:
            yield f"it has the history of {other.name} to the last digit, but another plan."


def cuts_what_it_says(case: Case, run: Record) -> Iterator[str]:
    """A point of the global front: the exact count, and the lowest scores first, whatever the ratio."""
    kept, total = run.plan["kept"], sum(run.plan["total"].values())
    gone, exact = total - sum(map(len, kept.values())), round(run.config["ratio"] * total)
    if gone != exact:
        yield f"{gone} of {total} channels are pruned; {run.config['ratio']:.0%} are {exact}."
    for other in case.of(front.TUNED):
        if other.config["ratio"] < run.config["ratio"]:
            revived = sum(len(set(kept[layer]) - set(other.plan["kept"].get(layer, []))) for layer in kept)
            if revived:
                yield f"{revived} channels are kept, but pruned in {other.name}: no ranking of all channels does that."


def missing_ratios(case: Case) -> list[float]:
    """The ratios at which the global front has no point that counts."""
    found = [run.config["ratio"] for run in case.of(front.TUNED) if counts(case, run)]
    return [ratio for ratio in front.RATIOS if not any(math.isclose(ratio, other) for other in found)]


def is_a_whole_front(case: Case, runs: list[Record]) -> Iterator[str]:
    """Every ratio is there, and it is as good as the course's own: over a weak front any policy gains."""
    if (count := len(case.of(criteria.TRAINED))) != 1:
        yield f"There are {count} records of a network to prune: areas can be compared over exactly one."
    if missing := missing_ratios(case):
        yield f"The global front has no point that counts at {', '.join(f'{ratio:.0%}' for ratio in missing)}."
    mine = standing(case).area
    theirs = [area for name, area in _course_areas(case) if name == runs[0].config["data"]["name"]]
    if theirs and mine < min(theirs) - WEAK:
        yield f"The area under the global front is {mine:.3f}; under the course's it is {min(theirs):.3f} or more."


def _course_areas(case: Case) -> Iterator[tuple[str, float]]:
    """Data set and area under the global front of each experiment of the course's that has one."""
    for trained in (run for run in case.reference if run.kind == criteria.TRAINED):
        beside = [r for r in case.reference if r.kind == front.TUNED and r.folder.parent == trained.folder.parent]
        if beside:
            yield trained.config["data"]["name"], front.hypervolume(front.points_of(beside, trained.specification))


OF_A_POINT = (
    findings.follows_its_recipe,
    findings.has_possible_accuracies,
    comes_from_the_training,
    is_within_reach,
    has_a_history_of_its_own,
)


def counts(case: Case, run: Record) -> bool:
    """Whether a run contradicts neither itself nor the course, and is the student's own."""
    return not any(text for check in (*OF_A_POINT, findings.is_the_students_own) for text in check(case, run))


@dataclass(frozen=True)
class Standing:
    """What records are worth: the ``area`` under the global front, what is ``free`` above it, the student's own
    ``policies`` that count by run's name, what each gains ``alone``, what the best ``COUNTED`` have ``gained`` together,
    the ``points`` for it, and how many policies were ``left_out``."""

    area: float
    free: float
    policies: dict[str, Point]
    alone: dict[str, float]
    gained: float
    points: float
    left_out: int


def standing(case: Case) -> Standing:
    """The policies against the global front, with the runs that count. Over a front with gaps nothing is gained."""

    def points(kind: str) -> dict[str, Point]:
        runs = [run for run in case.of(kind) if not run.name.startswith(front.BY_SENSITIVITY) and counts(case, run)]
        return {run.name: front.points_of([run], case.parent(run, criteria.TRAINED).specification)[0] for run in runs}

    base, mine, whole = list(points(front.TUNED).values()), points(front.POLICY), not missing_ratios(case)
    area, unpruned = front.hypervolume(base), case.of(criteria.TRAINED)
    free = max(0.0, unpruned[0].results["validation_accuracy"] - area) if len(unpruned) == 1 and whole else 0.0

    def gained(points: Iterable[Point]) -> float:
        return front.gained(base, points) if free else 0.0

    alone = {name: gained([point]) for name, point in mine.items()}
    helpful = front.dominating(mine[name] for name, gain in alone.items() if gain)
    best = max(map(gained, combinations(helpful, min(COUNTED, len(helpful)))))
    own = [run for run in case.of(front.POLICY) if not run.name.startswith(front.BY_SENSITIVITY)]
    return Standing(
        area=area,
        free=free,
        policies=mine,
        alone=alone,
        gained=best,
        points=front.points_for(best, free) if free else 0,
        left_out=len(own) - len(mine),
    )


def proposed(case: Case) -> str:
    found, (_, most) = standing(case), front.SCALE[-1]
    return (
        f"The best {COUNTED} gain an area of {found.gained:.4f} over the global front's {found.area:.4f}, of {found.free:.4f} "
        f"that are free: {found.points:g} of {most} points on the scale."
    )


def described(case: Case) -> str:
    found = standing(case)
    lines = (f"{name} {point.cost:.1%} and {found.alone[name]:.4f}" for name, point in found.policies.items())
    return f"MACs left, and the area that each gains alone: {', '.join(lines) or 'none is the student’s own'}."


def walked_within_its_budget(case: Case, run: Record) -> Iterator[str]:
    """A search of the network to prune: policies that its clamp allows, accuracies that images give, its own best."""
    found, config = run.results, run.config
    rewards, tried = found["rewards"], found["widths"]
    if not len(rewards) == len(tried) == len(found["accuracies"]) or not 0 < len(rewards) <= config["episodes"]:
        yield f"{len(rewards)} rewards of {len(tried)} policies; {config['episodes']} episodes were asked for."
        return
    parent = case.parent(run, criteria.TRAINED, amc.TRAINED)
    if parent is None or parent.network != run.network:
        yield f"it was made from {shown(config['parent'])}, which is not the network that it says to prune."
        return
    try:
        walk = amc.Environment(parent.specification, config["budget"], config["least"])
    except LabError as error:
        yield f"it cannot have searched: {error}"
        return
    for number, widths in enumerate(tried, 1):
        fits = len(widths) == len(walk) and all(map(_between, walk.least, widths, walk.total))
        if not fits or walk.table.macs(widths) > walk.budget:
            yield f"the policy of episode {number} is outside its bounds, or leaves more than {config['budget']:.1%} of the MACs."
    for number, accuracy in enumerate(found["accuracies"], 1):
        yield from findings.impossible(accuracy, config["images"], f"accuracy in episode {number}")
    if found["best"] >= len(rewards) or rewards[found["best"]] != max(rewards):
        yield f"episode {found['best'] + 1} is called its best, but the highest reward is {max(rewards):.4f}."


def _between(low: int, value: int, high: int) -> bool:
    return low <= value <= high


def has_its_control(case: Case, runs: list[Record]) -> Iterator[str]:
    """To each search of the agent the one by chance with the same options."""

    def options(run: Record) -> dict:
        return {name: value for name, value in run.config.items() if name not in ("agent", "warm_up", "constants")}

    controls = [options(run) for run in runs if run.config["agent"] == "random"]
    for run in runs:
        if run.config["agent"] != "random" and options(run) not in controls:
            yield f"{run.name}: no search by chance has the same options, so nothing can be compared."


def found_by_searches(case: Case) -> str:
    runs = (run for run in case.of(amc.SEARCH) if not list(walked_within_its_budget(case, run)))
    said = (f"{run.name} {max(run.results['accuracies']):.1%}" for run in runs)
    return (
        f"The best accuracy that each search saw, on the images that it judged by: {', '.join(said) or 'none counts'}."
    )


ENDS = "{run.results[validation_accuracy]:.1%}"
OF_THE_FRONT = (
    only(criteria.TRAINED, each(findings.follows_its_recipe, findings.has_possible_accuracies, is_the_courses)),
    only(front.TUNED, each(*OF_A_POINT, cuts_what_it_says)),
    is_a_whole_front,
    findings.share_seed_and_data,
)
CELLS = {
    "manual-policy": Cell(
        (front.POLICY,),
        (findings.are_the_students_own, each(*OF_A_POINT), is_a_whole_front),
        "Plans, channels and histories are consistent; validation accuracy",
        ENDS,
        owns=True,
        called=("policy-",),
        conclusion=proposed,
    ),
    "manual-report-front": Cell(
        (criteria.TRAINED, front.TUNED),
        OF_THE_FRONT,
        "The network and its global front are consistent; validation accuracy",
        ENDS,
        owns=True,
    ),
    "manual-amc": Cell(
        (amc.SEARCH,),
        (each(walked_within_its_budget), has_its_control),
        "Searches are consistent, and each has its control; episodes",
        "{run.config[episodes]}",
        owns=True,
        called=("my-search-",),
        conclusion=found_by_searches,
        optional=True,
    ),
    "manual-report-policy": Cell(
        (front.POLICY,), (), "What there is to explain; validation accuracy", ENDS, conclusion=described
    ),
}
