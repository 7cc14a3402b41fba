"""Sensitivity of a network's channel groups, what several thresholds on the drop give, and the networks that come of it."""

from pathlib import Path

from labkit import models, pruning, records, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.front.policy import BY_SENSITIVITY
from labkit.methods.front.work import POLICY
from labkit.methods.ratios.policies import bisected, macs_left, ratio_plan, tolerated
from labkit.methods.schemas import COUNT, SHARE, TEXT
from labkit.pruning import CRITERIA, ChannelPlan, Scores
from labkit.records import Record
from labkit.settings import Recipe

CRITERION = "filter-l1-per-weight"
RATIOS = tuple(tenth / 10 for tenth in range(10))
DROPS = (0.01, 0.02, 0.05, 0.1, 0.2)  # thresholds, as shares of all validation images
TARGETS = (0.6, 0.4, 0.25)  # of the MACs, to be left
SENSITIVITY, TUNED = "ratios-sensitivity", "ratios-tuned"

MADE_FROM = {"parent": TEXT, "parent_config": TEXT, "seed": COUNT, "data": schemas.DATA}
BY_GROUP = schemas.by_name(SHARE, 64)
JOINT = {"drop": SHARE, "ratios": BY_GROUP, "macs": SHARE, "joint": SHARE, "recalibrated": SHARE}
SCHEMA = schemas.of_kind(
    SENSITIVITY,
    MADE_FROM | {"criterion": TEXT, "ratios": schemas.array(SHARE, 50), "drops": schemas.array(SHARE, 50)},
    {
        "curves": schemas.by_name(schemas.array(SHARE, 50), 64),
        "together": schemas.array(schemas.record(JOINT), 50),
    },
)


def made_from(run: Record, data: Dataset) -> dict:
    """What a record of this package says of the training that it is made from."""
    facts = {"parent": run.name, "parent_config": records.identity(run), "seed": run.config["seed"]}
    return facts | {"data": data.describe()}


def scored(run: Record, data: Dataset) -> Scores:
    """The scores that every policy here ranks by."""
    return CRITERIA[CRITERION](run.model(), data.train, run.config["seed"])


def sensitivities(run: Record, data: Dataset, folder: Path, drops: tuple[float, ...] = DROPS) -> Record:
    """Prune every channel group of a trained run alone, at ``RATIOS``, and then all together by each threshold of
    ``drops``: the validation accuracies. Made once."""
    config = made_from(run, data) | {"criterion": CRITERION, "ratios": list(RATIOS), "drops": list(drops)}

    def scan() -> Record:
        model, scores = run.model(), scored(run, data)
        curves = pruning.sensitivity(model, scores, RATIOS, data.validation)
        together = []
        for drop in drops:
            ratios = tolerated(curves, RATIOS, drop)
            plan = ratio_plan(scores, ratios)
            thin = pruning.thin(model, plan)
            again = training.recalibrate(thin, data.train[: training.RECALIBRATION_IMAGES])
            accuracies = {"joint": thin, "recalibrated": again}
            together.append(
                {"drop": drop, "ratios": ratios, "macs": macs_left(run.specification, plan)}
                | {name: training.evaluate(network, data.validation) for name, network in accuracies.items()}
            )
        results = {"curves": curves, "together": together}
        return records.save(Record(SENSITIVITY, config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, scan)


def plan_for(target: float, study: Record, scores: Scores) -> ChannelPlan:
    """The plan by sensitivity with the smallest threshold that leaves at most ``target`` of the MACs. Raises
    ``LabError`` where no threshold does."""

    def plan(drop: float) -> ChannelPlan:
        return ratio_plan(scores, tolerated(study.results["curves"], study.config["ratios"], drop))

    return plan(bisected(lambda drop: macs_left(study.specification, plan(drop)), target))


def global_plan_for(target: float, network: models.Specification, scores: Scores) -> ChannelPlan:
    """The global plan with the least ratio that leaves at most ``target`` of the MACs."""
    most = 1 - len(scores) / sum(map(len, scores.values()))

    def cost(ratio: float) -> float:
        return macs_left(network, pruning.global_plan(scores, ratio))

    return pruning.global_plan(scores, bisected(cost, target, high=most))


def families(
    run: Record, data: Dataset, study: Record, recipe: Recipe, lab: Path, targets: tuple[float, ...] = TARGETS
) -> dict[str, list[Record]]:
    """Fine-tuned networks by policy, ``sensitivity`` and ``global``, one for each of ``targets``: shares of the MACs.
    Those of sensitivity are policies as every other (``front.POLICY``), in ``lab``'s folders ``policy-sensitivity-60``
    and so on; the global ones, each with as many MACs as the one beside it, in ``matched-global-60`` and so on. Made
    once."""
    scores, network, plans = scored(run, data), run.specification, {}
    for target in targets:
        mine = plan_for(target, study, scores)
        plans[lab / f"{BY_SENSITIVITY}-{100 * target:g}"] = mine
        plans[lab / f"matched-global-{100 * target:g}"] = global_plan_for(macs_left(network, mine), network, scores)
    made = training.fit_all(
        {
            "model": pruning.thin(run.model(), plan),
            "data": data,
            "recipe": recipe,
            "folder": folder,
            "kind": POLICY if folder.name.startswith(BY_SENSITIVITY) else TUNED,
            "seed": run.config["seed"],
            "plan": plan.to_dict(),
            "parent": run.name,
        }
        for folder, plan in plans.items()
    )
    return {"sensitivity": made[::2], "global": made[1::2]}
