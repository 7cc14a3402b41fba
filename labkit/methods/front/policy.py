"""What a point of a front is: the share of the work that a plan leaves, and the accuracy after one recipe."""

from collections.abc import Iterable
from functools import lru_cache

from labkit import measure, models
from labkit.methods import criteria
from labkit.methods.front.geometry import Point
from labkit.models import Specification
from labkit.records import Record
from labkit.settings import Profile, Recipe

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.55, 0.7)  # of all channels: the global front's points


def recipe(profile: Profile) -> Recipe:
    """How every point of a front is fine-tuned: as the criteria were, one epoch at a tenth of the training's rate."""
    return criteria.recipe(profile)


@lru_cache(maxsize=4096)
def counted(network: Specification) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a network."""
    model = models.build(network)
    return measure.parameters(model), measure.macs(model)


def cost(network: Specification, widths: Iterable[int]) -> float:
    """The share of its multiply-accumulates that a network of other widths would have, 0..1."""
    return counted(network.with_widths(widths))[1] / counted(network)[1]


def points_of(runs: Iterable[Record], network: Specification) -> list[Point]:
    """Share of the MACs of ``network``, the unpruned one, and validation accuracy of every fine-tuned run."""
    return [Point(cost(network, run.specification.widths), run.results["validation_accuracy"]) for run in runs]
