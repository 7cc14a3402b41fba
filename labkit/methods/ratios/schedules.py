"""The same ratio, reached in other ways: at once or in rising steps, at other rates, after other trainings."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import models, pruning, records, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.ratios.policies import rising
from labkit.methods.ratios.sensitivity import CRITERION, MADE_FROM, RATIOS, TUNED, made_from
from labkit.methods.schemas import COUNT, SHARE, TEXT
from labkit.pruning import CRITERIA, Prepared
from labkit.records import Record
from labkit.settings import Recipe

FINAL, STEPS = 0.8, 3  # of every layer's channels; an epoch of fine-tuning a step
FACTORS = (1.0, 0.1, 0.01)  # of the training's learning rate
SCHEDULES, REGULARIZATIONS, PENALISED = "ratios-schedules", "ratios-regularizations", "ratios-penalised"
JUDGED_BY = (CRITERION, "scaling-factor")

EPOCHS = schemas.array(SHARE, 1000)
OF_PENALTY = schemas.record(
    {"parent": SHARE, "curves": schemas.by_name(EPOCHS, 10), "tuned": schemas.by_name(SHARE, 10)}
)
SCHEMAS = {
    PENALISED: schemas.of_training(PENALISED),
    TUNED: schemas.of_training(TUNED, schemas.PLAN),
    SCHEDULES: schemas.of_kind(
        SCHEDULES,
        MADE_FROM | {"final": SHARE, "steps": COUNT, "factors": EPOCHS, "fine_tune": schemas.RECIPE},
        {"parent": SHARE, "one_shot": schemas.by_name(EPOCHS, 10), "rising": EPOCHS, "ratios": EPOCHS},
    ),
    REGULARIZATIONS: schemas.of_kind(
        REGULARIZATIONS,
        MADE_FROM
        | {"parents": schemas.by_name(TEXT, 10), "final": SHARE, "ratios": EPOCHS, "fine_tune": schemas.RECIPE},
        {"penalties": schemas.by_name(OF_PENALTY, 10)},
    ),
}


def at_rate(recipe: Recipe, train: Recipe, factor: float, epochs: int) -> Recipe:
    """``recipe`` for so many epochs at ``factor`` times the training's learning rate."""
    return replace(recipe, epochs=epochs, learning_rate=factor * train.learning_rate)


def schedules(
    run: Record, data: Dataset, recipe: Recipe, lab: Path, final: float = FINAL, steps: int = STEPS
) -> Record:
    """Prune every layer of a trained run to the ratio ``final`` with ``steps`` epochs of fine-tuning: at once, at each of
    ``FACTORS`` times the training's rate, and in ``steps`` rising steps with an epoch after each, at a tenth. Keeps the
    validation accuracy after every epoch; the trainings lie in ``lab/ratios``. ``recipe`` is that of the fine-tuning, of
    which epochs and rate are set here. Made once."""
    train, seed = Recipe(**run.config["recipe"]), run.config["seed"]
    config = made_from(run, data) | {"final": final, "steps": steps, "factors": list(FACTORS)}
    config |= {"fine_tune": asdict(at_rate(recipe, train, 0.1, 1))}
    facts = {"data": data, "kind": TUNED, "seed": seed, "parent": run.name}

    def compare() -> Record:
        model = run.model()
        plan = pruning.uniform_plan(CRITERIA[CRITERION](model, data.train, seed), final)
        thin = pruning.thin(model, plan)
        at_once = training.fit_all(
            facts
            | {"model": thin, "plan": plan.to_dict(), "recipe": at_rate(recipe, train, factor, steps)}
            | {"folder": lab / "ratios" / f"one-shot-rate-{factor:g}"}
            for factor in FACTORS
        )
        left, ratios, accuracies = model, rising(final, steps), []
        for number, ratio in enumerate(ratios, 1):
            again = further(left, data, seed, ratio, plan.total)
            short = at_rate(recipe, train, 0.1, 1)
            end = training.fit(
                pruning.thin(left, again), recipe=short, folder=lab / "ratios" / f"rising-{number}",
                **facts | {"plan": again.to_dict()},
            )  # fmt: skip
            left = end.model()
            accuracies.append(end.results["validation_accuracy"])
        results = {
            "parent": run.results["validation_accuracy"],
            "one_shot": {
                f"{factor:g}": [row["validation_accuracy"] for row in end.history]
                for factor, end in zip(FACTORS, at_once)
            },
            "rising": accuracies,
            "ratios": ratios,
        }
        return records.save(Record(SCHEDULES, config, run.network, results=results).with_folder(lab / "schedules"))

    return records.run_once(lab / "schedules", config, compare)


def further(model, data: Dataset, seed: int, ratio: float, before: dict[str, int]) -> pruning.ChannelPlan:
    """The plan of a thin network that leaves in every group as many channels as ``ratio`` of those that the unpruned
    network had, ``before``."""
    scores = CRITERIA[CRITERION](model, data.train, seed)
    return pruning.width_plan(scores, {name: max(1, width - round(ratio * width)) for name, width in before.items()})


def penalised(run: Record, data: Dataset, budget: float, lab: Path) -> dict[str, Record]:
    """The run's training again with a penalty, by name: ``L1`` on the scaling factors, ``L2`` on all weights (weight
    decay), each so strong that its shrinkage budget λ·Ση/(1−μ) is ``budget``. L1 moves a factor by so much, L2
    multiplies a weight by exp(−budget), if the loss does not object. In ``lab``'s folders; made once."""
    recipe, seed = Recipe(**run.config["recipe"]), run.config["seed"]
    reach = training.shrinkage_budget(1.0, training.learning_rates(recipe, len(data.train)), recipe.momentum)
    strength = float(f"{budget / reach:.2g}")

    @torch.enable_grad()
    def slope(gammas: Tensor, lam: float) -> Tensor:
        """The penalty's gradient by autograd (Liu et al., 2017, equation 1). In here, since lab 1 asks for it."""
        gammas = gammas.detach().requires_grad_()
        penalty = F.l1_loss(gammas, torch.zeros_like(gammas), reduction="sum")
        return lam * torch.autograd.grad(penalty, gammas)[0]

    same = {"model": models.build(run.specification, seed), "data": data, "kind": PENALISED, "seed": seed}
    l1 = same | {"recipe": recipe, "lam": strength, "penalty_gradient": slope, "folder": lab / "trained-l1"}
    l2 = same | {"recipe": replace(recipe, weight_decay=strength), "folder": lab / "trained-l2"}
    return dict(zip(("L1", "L2"), training.fit_all([l1, l2])))


def regularizations(runs: dict[str, Record], data: Dataset, recipe: Recipe, lab: Path, final: float = FINAL) -> Record:
    """Prune runs that were trained with other penalties, by name, the first of them with none: every layer alike, by each
    criterion of ``JUDGED_BY``, at every ratio as it stands and at ``final`` after fine-tuning by ``recipe``. Keeps the
    validation accuracies; the fine-tunings lie in ``lab/ratios``. Made once."""
    first = next(iter(runs.values()))
    config = made_from(first, data) | {"final": final, "ratios": list(RATIOS), "fine_tune": asdict(recipe)}
    config |= {"parents": {name: records.identity(run) for name, run in runs.items()}}
    seed = first.config["seed"]

    def compare() -> Record:
        found, trainings = {}, []
        for penalty, run in runs.items():
            model, curves = run.model(), {}
            for criterion in JUDGED_BY:
                scores = CRITERIA[criterion](model, data.train, seed)
                cuts = [pruning.uniform_plan(scores, ratio) for ratio in RATIOS]
                curves[criterion] = Prepared(model, data.train.labels.device).accuracies(cuts, data.validation)
                plan = pruning.uniform_plan(scores, final)
                folder = lab / "ratios" / f"penalty-{penalty}-{criterion}"
                trainings.append(
                    {"model": pruning.thin(model, plan), "data": data, "recipe": recipe, "folder": folder}
                    | {"kind": TUNED, "seed": seed, "plan": plan.to_dict(), "parent": run.name}
                )
            found[penalty] = {"parent": run.results["validation_accuracy"], "curves": curves}
        ends = iter(training.fit_all(trainings))
        for penalty in found.values():
            penalty["tuned"] = {name: next(ends).results["validation_accuracy"] for name in JUDGED_BY}
        results = {"penalties": found}
        record = Record(REGULARIZATIONS, config, first.network, results=results)
        return records.save(record.with_folder(lab / "regularizations"))

    return records.run_once(lab / "regularizations", config, compare)
