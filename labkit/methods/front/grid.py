"""A grid of fronts as a TOML file says it, and the runs that it is made of.

```toml
networks = ["vgg11", "resnet18"]      # labkit.models.names()
widths = [0.25]                       # multiplies every layer's channels
data = ["shapes"]                     # as LABKIT_DATA
seeds = [0, 1]
criteria = ["scaling-factor", "random"]
policies = ["global", "uniform"]
ratios = [0.3, 0.5, 0.7]              # of all channels
at_least = 1                          # channels that every group keeps
images = 10000                        # training images, the first ones; without this line all

[train]
epochs = 8
batch = 50

[[fine_tune]]                         # one table a recipe; none: cut and re-estimated only
epochs = 2
batch = 50
learning_rate = 0.01
```
"""

import math
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

from labkit import models, pruning, records
from labkit.data import Dataset
from labkit.methods.front.work import CUT, TRAINED, TUNED
from labkit.models import Specification
from labkit.pruning import CRITERIA, POLICIES
from labkit.settings import LabError, Recipe
from labkit.training import learning_rates


@dataclass(frozen=True)
class Grid:
    networks: tuple[str, ...]
    train: Recipe
    ratios: tuple[float, ...]
    widths: tuple[float, ...] = (1.0,)
    data: tuple[str, ...] = ("shapes",)
    seeds: tuple[int, ...] = (0,)
    criteria: tuple[str, ...] = ("scaling-factor",)
    policies: tuple[str, ...] = ("global",)
    at_least: int = 1
    images: int | None = None
    fine_tune: tuple[Recipe, ...] = ()

    def of(self, data: Dataset) -> Dataset:
        """The data set with as many training images as the grid says."""
        return replace(data, train=data.train[: self.images])


AXES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "networks": (f"names of networks ({', '.join(models.names())})", lambda name: name in models.names()),
    "widths": ("numbers above 0, at most 4", lambda width: _is_number(width) and 0 < width <= 4),
    "data": ("names of data sets", lambda name: isinstance(name, str)),
    "seeds": ("whole numbers from 0 to 999999999", lambda seed: _is_whole(seed) and 0 <= seed < 10**9),
    "criteria": (f"names of criteria ({', '.join(CRITERIA)})", lambda name: name in CRITERIA),
    "policies": (f"names of policies ({', '.join(POLICIES)})", lambda name: name in POLICIES),
    "ratios": ("numbers from 0 up to, but not including, 1", lambda ratio: _is_number(ratio) and 0 <= ratio < 1),
}


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def read(path: Path) -> Grid:
    """The grid in a TOML file. Raises ``LabError`` for a file that is none, a word that it does not know, an
    axis without values, a value of another kind, or a ratio that a network cannot reach."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read as TOML ({error}).") from None
    known = {field.name: field for field in fields(Grid)}
    if unknown := sorted(content.keys() - known):
        raise LabError(f"{path}: {unknown[0]!r} means nothing here: a grid has {', '.join(known)}.")
    if missing := [name for name, field in known.items() if field.default is MISSING and name not in content]:
        raise LabError(f"{path} does not say {missing[0]!r}.")
    for name, (what, fits) in AXES.items():
        values = content.get(name, known[name].default)
        if not isinstance(values, list | tuple) or not values or not all(map(fits, values)):
            raise LabError(f"{path}: {name} is {values!r}: give a list of {what}, with one at least.")
        if len(set(values)) < len(values):
            raise LabError(f"{path}: {name} is {values!r}: each only once.")
        content[name] = tuple(values)
    for name in {"at_least", "images"} & content.keys():
        if not _is_whole(content[name]) or content[name] < 1:
            raise LabError(f"{path}: {name} is {content[name]!r}: give a whole number from 1.")
    content["train"] = _recipe(content["train"], f"{path}: train")
    recipes = content.get("fine_tune", [])
    if not isinstance(recipes, list):
        raise LabError(f"{path}: fine_tune is one table: write [[fine_tune]], with two brackets.")
    content["fine_tune"] = tuple(_recipe(recipe, f"{path}: fine_tune") for recipe in recipes)
    grid = Grid(**content)
    _refuse_unreachable(grid, path)
    return grid


def _recipe(content: dict, where: str) -> Recipe:
    try:
        recipe = Recipe(**{"schedule": "linear"} | content)
        if not (_is_whole(recipe.batch) and recipe.batch > 0 and 0 < recipe.learning_rate < math.inf):
            raise ValueError("batch and learning_rate have to be above 0")
        if not (0 <= recipe.momentum < 1 and 0 <= recipe.weight_decay < math.inf):
            raise ValueError("momentum is from 0 to less than 1, weight_decay from 0")
        learning_rates(recipe, 100)
        return recipe
    except (TypeError, ValueError, LabError) as error:
        names = ", ".join(field.name for field in fields(Recipe))
        raise LabError(f"{where} is no recipe ({error}): it has {names}.") from None


def _refuse_unreachable(grid: Grid, path: Path) -> None:
    for network, width, policy, ratio in product(grid.networks, grid.widths, grid.policies, grid.ratios):
        try:
            planned(models.named(network, width), policy, ratio, grid.at_least)
        except LabError as error:
            raise LabError(f"{path}: {network} at width {width:g}, {policy} policy: {error}") from None


def planned(network: Specification, policy: str, ratio: float, at_least: int) -> pruning.ChannelPlan:
    """A plan of the right size, by scores that know nothing: for what can be said before the training."""
    return POLICIES[policy](_blind_scores(network), ratio, at_least)


@lru_cache(maxsize=64)
def _blind_scores(network: Specification) -> pruning.Scores:
    return pruning.random_scores(pruning.scaling_factors(models.build(network)), seed=0)


def described(grid: Grid, data: list[Dataset], precision: str) -> list[dict]:
    """Every run of the grid as a dictionary, a parent before what is made from it; ``precision`` is that of the
    device. Its ``name``, and so its folder, holds a hash of all that determines it: the same run in two grids is
    one run."""
    runs = []
    for dataset, network, width, seed in product(data, grid.networks, grid.widths, grid.seeds):
        specification = models.named(network, width, len(dataset.classes)).to_dict()
        facts = {"images": dataset.fingerprint(), "seed": seed, "precision": precision}
        label = f"{network}x{width:g}-{dataset.name.replace(':', '-')}-seed{seed}"
        trained = _named(label, TRAINED, None, facts, network=specification, recipe=asdict(grid.train))
        runs.append(trained)
        for criterion, policy, ratio in product(grid.criteria, grid.policies, grid.ratios):
            choice = {"criterion": criterion, "policy": policy, "ratio": ratio, "at_least": grid.at_least}
            cut_label = f"{label}-{criterion}-{policy}-{100 * ratio:g}"
            cut = _named(cut_label, CUT, trained, facts, **choice)
            runs.append(cut)
            for recipe in grid.fine_tune:
                tuned = f"{cut_label}-tuned{recipe.epochs}-rate{recipe.learning_rate:g}"
                runs.append(_named(tuned, TUNED, cut, facts, recipe=asdict(recipe)))
    return runs


def _named(label: str, kind: str, parent: dict | None, facts: dict, **own) -> dict:
    content = {"kind": kind, "parent": parent["name"] if parent else None} | facts | own
    return content | {"name": f"{label}-{records.digest(content)[:8]}"}
