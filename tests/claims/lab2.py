"""Lab 2, the front."""

from claims import claim, reach, spread

from labkit import criteria, records
from labkit.records import Record
from labkit.settings import REFERENCE

SHAPES = [REFERENCE / f"quick-shapes-seed{seed}" / "lab2" for seed in range(3)]
PHOTOGRAPHS = [REFERENCE / f"quick-folder-cifar10-seed{seed}" / "lab2" for seed in range(2)]
WEIGHTS, IMAGES = ("filter-l1", "filter-l2", "scaling-factor"), ("apoz", "thinet", "lasso", "taylor")
NEXT_LAYER = ("thinet", "lasso")
SENSIBLE = (*WEIGHTS, *NEXT_LAYER, "taylor")  # all but APoZ and chance

EXACT = {}


def study(experiment) -> Record:
    (found,) = records.load_all(experiment, criteria.STUDY)
    return found


def accuracies(experiment, stage: str, ratio: float, names=criteria.STUDIED) -> dict[str, float]:
    run = study(experiment)
    column = run.config["ratios"].index(ratio)
    return {name: run.results["validation"][name][stage][column] for name in names}


def correlations(experiment) -> dict[frozenset, float]:
    """By pair of criteria."""
    run = study(experiment)
    names, rows = run.config["criteria"], run.results["correlations"]
    return {frozenset((a, b)): rows[i][j] for i, a in enumerate(names) for j, b in enumerate(names) if i < j}
