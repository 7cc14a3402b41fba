"""What AMC is compared with, at equal MACs: policies by rules, their accuracies, and their fine-tuned networks."""

from collections.abc import Mapping
from pathlib import Path

from labkit import models, pruning, records, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.front.policy import BY_SENSITIVITY, cost, reaching
from labkit.methods.front.work import POLICY
from labkit.methods.ratios.policies import bisected, macs_left
from labkit.methods.ratios.sensitivity import MADE_FROM, global_plan_for, made_from, plan_for, scored
from labkit.methods.schemas import SHARE
from labkit.models import Specification
from labkit.pruning import ChannelPlan, Scores
from labkit.records import Record
from labkit.settings import Recipe, Settings

TRAINED, COMPARED, TUNED = "amc-trained", "amc-compared", "amc-tuned"
MOBILE, MOBILE_WIDTH = "mobilenetv2", 0.25
MOBILE_BUDGET, MOBILE_EPISODES = 0.5, 150
JUDGED = schemas.record({"macs": SHARE, "as_it_stands": SHARE, "re_estimated": SHARE})
SCHEMAS = {
    TRAINED: schemas.of_training(TRAINED),
    COMPARED: schemas.of_kind(
        COMPARED,
        MADE_FROM | {"plans": schemas.by_name(schemas.array(schemas.integer(1, 4096), 64), 50)},
        {"parent": SHARE, "policies": schemas.by_name(JUDGED, 50)},
    ),
    TUNED: schemas.of_training(TUNED, schemas.PLAN),
}


def mobile(here: Settings, data: Dataset, watch=None) -> Record:
    """A MobileNetV2 of a quarter of its width, trained once by the profile's recipe, in ``trained-mobilenetv2``."""
    network = models.named(MOBILE, MOBILE_WIDTH, len(data.classes))
    folder = here.folder / f"trained-{MOBILE}"
    facts = {"folder": folder, "kind": TRAINED, "seed": here.seed, "watch": watch}
    return training.fit(models.build(network, seed=here.seed), data, here.profile.train, **facts)


def uniform_for(budget: float, network: Specification, scores: Scores) -> ChannelPlan:
    """The uniform plan with the least ratio that leaves at most the share ``budget`` of the MACs."""
    most = 1 - 1 / max(map(len, scores.values()))

    def cost(ratio: float) -> float:
        return macs_left(network, pruning.uniform_plan(scores, ratio))

    return pruning.uniform_plan(scores, bisected(cost, budget, high=most))


def by_rules(
    run: Record,
    data: Dataset,
    budget: float,
    sensitivity: Record | None = None,
    shares: Mapping[str, float] | None = None,
) -> dict[str, ChannelPlan]:
    """Plans that leave at most the share ``budget`` of a trained run's MACs, by rule: ``uniform``, ``global`` and, given
    a record of the run's curves, ``sensitivity``; ``own``: the shares of a policy, made milder or harsher until it
    comes as near to the budget as whole channels allow (``front.reaching``)."""
    scores, network = scored(run, data), run.specification
    found = {"uniform": uniform_for(budget, network, scores)}
    if sensitivity is not None:
        found["sensitivity"] = plan_for(budget, sensitivity, scores)
    found["global"] = global_plan_for(budget, network, scores)
    return found | ({"own": reaching(budget, network, scores, shares)} if shares else {})


def filled(plan: ChannelPlan, budget: float, network: Specification, scores: Scores) -> ChannelPlan:
    """A plan made milder, all of its shares by one factor, until it comes as near to the budget as whole channels allow
    (``front.reaching``): a search may end below its budget, and what is compared has equal MACs."""
    shares = {group: 1 - len(kept) / plan.total[group] for group, kept in plan.kept.items()}
    return reaching(budget, network, scores, {group: share for group, share in shares.items() if share})


def own_shares(lab: Path, budget: float, network: Specification) -> dict[str, float] | None:
    """The shares that a policy of notebook 08 in ``lab`` removes, of one's own the nearest to the budget; None where there
    is none for this network."""
    plans = [run.plan for run in records.load_all(lab, POLICY) if not run.name.startswith(BY_SENSITIVITY)]
    plans = [plan for plan in plans if tuple(plan["total"].values()) == network.widths]
    if not plans:
        return None
    nearest = min(plans, key=lambda plan: abs(cost(network, map(len, plan["kept"].values())) - budget))
    return {group: 1 - len(nearest["kept"][group]) / total for group, total in nearest["total"].items()}


def compared(run: Record, data: Dataset, plans: Mapping[str, ChannelPlan], folder: Path) -> Record:
    """What each plan, by its name, leaves of a trained run without training: its share of the MACs, and the accuracy on
    all validation images as it stands and with BatchNorm re-estimated on ``training.RECALIBRATION_IMAGES``. Made once."""
    config = made_from(run, data) | {"plans": {name: plan.widths for name, plan in plans.items()}}

    def compare() -> Record:
        model, found = run.model(), {}
        for name, plan in plans.items():
            thin = pruning.thin(model, plan)
            again = training.recalibrate(thin, data.train[: training.RECALIBRATION_IMAGES])
            found[name] = {
                "macs": macs_left(run.specification, plan),
                "as_it_stands": training.evaluate(thin, data.validation),
                "re_estimated": training.evaluate(again, data.validation),
            }
        results = {"parent": training.evaluate(model, data.validation), "policies": found}
        return records.save(Record(COMPARED, config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, compare)


def tuned(
    run: Record, data: Dataset, plans: Mapping[str, ChannelPlan], recipe: Recipe, lab: Path, name: str
) -> dict[str, Record]:
    """The thin network of each plan fine-tuned by ``recipe``, in ``lab``'s folders ``amc-tuned-NAME-POLICY``. Made once."""
    made = training.fit_all(
        {
            "model": pruning.thin(run.model(), plan),
            "data": data,
            "recipe": recipe,
            "folder": lab / f"amc-tuned-{name}-{policy}",
            "kind": TUNED,
            "seed": run.config["seed"],
            "plan": plan.to_dict(),
            "parent": run.name,
        }
        for policy, plan in plans.items()
    )
    return dict(zip(plans, made))
