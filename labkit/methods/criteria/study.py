"""One network, every criterion, one grid of ratios: what each choice of channels costs before and after training."""

import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from labkit import models, records, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.schemas import POSITIVE, SHARE, TEXT
from labkit.models import Specification
from labkit.pruning import CRITERIA, ChannelPlan, Scores, channel_groups, observed, reconstructed, thin, uniform_plan
from labkit.records import Record
from labkit.settings import Profile, Recipe, Settings

RATIOS = (0.3, 0.7)  # of every layer's channels
IMAGES = 500  # training images that criteria look at
STUDIED = tuple(name for name in CRITERIA if name != "filter-l1-per-weight")  # inside a layer it ranks as filter-l1
STAGES = {
    "as_it_stands": "as it stands",
    "reconstructed": "next layer reconstructed",
    "recalibrated": "BatchNorm re-estimated",
    "tuned": "fine-tuned, one epoch",
}
TRAINED, STUDY, TUNED = "criteria-trained", "criteria-study", "criteria-tuned"
MADE_FROM = {"parent": TEXT, "parent_config": TEXT, "seed": schemas.COUNT, "data": schemas.DATA}
GRID = {"criteria": schemas.array(TEXT, 50), "ratios": schemas.array(SHARE, 50), "fine_tune": schemas.RECIPE}
BY_CRITERION = schemas.by_name(schemas.record(dict.fromkeys(STAGES, GRID["ratios"])), 50)
RESULTS = {
    "parent": SHARE,
    "seconds": schemas.by_name(POSITIVE, 50),
    "epoch_seconds": POSITIVE,
    "validation": BY_CRITERION,
    "correlations": schemas.array(schemas.array(schemas.number(-1, 1), 50), 50),
}
KINDS = {
    TRAINED: schemas.of_training(TRAINED),
    STUDY: schemas.of_kind(STUDY, MADE_FROM | GRID, RESULTS),
    TUNED: schemas.of_training(TUNED, schemas.PLAN),
}


def network(profile: Profile, classes: int) -> Specification:
    """What the criteria are compared on: the profile's network at half its width."""
    return models.named(profile.network, profile.width / 2, classes)


def recipe(profile: Profile) -> Recipe:
    """One epoch at a tenth of the training's rate: long enough to repair, too short to forget the choice."""
    return replace(profile.fine_tune, epochs=1, learning_rate=0.1 * profile.train.learning_rate)


def trained(here: Settings, data: Dataset, watch=None) -> Record:
    """The network of lab 2, trained once, in its folder of runs: notebook 07 writes the same call out."""
    return training.fit(
        models.build(network(here.profile, len(data.classes)), seed=here.seed),
        data,
        here.profile.train,
        folder=here.folder / "trained",
        kind=TRAINED,
        seed=here.seed,
        watch=watch,
    )


def scored(model: nn.Module, data: Dataset, seed: int, names: Iterable[str] = STUDIED) -> dict[str, Scores]:
    """Every criterion's scores on the first ``IMAGES`` training images, by its name."""
    return {name: CRITERIA[name](model, data.train[:IMAGES], seed) for name in names}


def rank_correlations(scores: dict[str, Scores]) -> Tensor:
    """Spearman's rank correlation of each two criteria, the mean over the channel groups in which both tell
    channels apart, float64 (criteria, criteria)."""

    def both(one: Scores, other: Scores) -> float:
        found = [
            spearmanr(one[group], other[group]).statistic
            for group in one
            if len(one[group].unique()) > 1 < len(other[group].unique())
        ]
        return sum(found) / len(found) if found else 0.0

    rows = [[both(one, other) for other in scores.values()] for one in scores.values()]
    return torch.tensor(rows, dtype=torch.float64).clamp(-1, 1)


def study(run: Record, data: Dataset, recipe: Recipe, folder: Path, ratios: tuple[float, ...] = RATIOS) -> Record:
    """Prune a trained run by every criterion, every layer by the same ratio, and keep the validation accuracies of
    each stage, the criteria's rank correlations and the seconds that their scores took. The fine-tunings lie in
    ``tuned`` beside ``folder``. Made once."""
    config = {"parent": run.name, "parent_config": records.identity(run), "seed": run.config["seed"]}
    config |= {"data": data.describe(), "criteria": list(STUDIED), "ratios": list(ratios), "fine_tune": asdict(recipe)}

    def compare() -> Record:
        model, some, scores, seconds = run.model(), data.train[:IMAGES], {}, {}
        channel_groups(model)  # found once; no criterion should be charged for it
        for name in STUDIED:
            started = time.perf_counter()
            scores |= scored(model, data, run.config["seed"], [name])
            seconds[name] = time.perf_counter() - started
        moments = observed(model, some, seed=run.config["seed"]).moments
        plans = {(name, ratio): uniform_plan(scores[name], ratio) for name in STUDIED for ratio in ratios}
        found = {key: _untrained(model, plan, moments, data) for key, plan in plans.items()}
        tuned = training.fit_all(
            {
                "model": thin(model, plan),
                "data": data,
                "recipe": recipe,
                "folder": folder.parent / "tuned" / f"{name}-{100 * ratio:g}",
                "kind": TUNED,
                "seed": run.config["seed"],
                "plan": plan.to_dict(),
                "parent": run.name,
            }
            for (name, ratio), plan in plans.items()
        )
        for accuracies, end in zip(found.values(), tuned):
            accuracies["tuned"] = end.results["validation_accuracy"]
        results = {
            "parent": training.evaluate(model, data.validation),
            "seconds": seconds,
            "epoch_seconds": run.results["seconds"] / run.config["recipe"]["epochs"],
            "validation": {
                name: {stage: [found[name, ratio][stage] for ratio in ratios] for stage in STAGES} for name in STUDIED
            },
            "correlations": rank_correlations(scores).tolist(),
        }
        return records.save(Record(STUDY, config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, compare)


def _untrained(model: nn.Module, plan: ChannelPlan, moments: dict[str, Tensor], data: Dataset) -> dict[str, float]:
    """Validation accuracy of the thin networks that a plan gives without training."""
    as_it_stands = thin(model, plan)
    networks = {
        "as_it_stands": as_it_stands,
        "reconstructed": reconstructed(model, plan, moments),
        "recalibrated": training.recalibrate(as_it_stands, data.train[: training.RECALIBRATION_IMAGES]),
    }
    return {stage: training.evaluate(thinned, data.validation) for stage, thinned in networks.items()}
