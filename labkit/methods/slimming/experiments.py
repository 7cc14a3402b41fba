"""Network Slimming's experiments after the training: prune a run, sweep the ratio, sum everything up."""

from pathlib import Path

from torch import nn

from labkit import measure, records
from labkit.data import Dataset, Images
from labkit.pruning import ChannelPlan, folded, global_plan, random_scores, scaling_factors, thin
from labkit.records import Record
from labkit.settings import LabError
from labkit.training import RECALIBRATION_IMAGES, evaluate, recalibrate


def untrained_variants(
    model: nn.Module, plan: ChannelPlan, control: ChannelPlan, data: Dataset
) -> dict[str, nn.Module]:
    """The thin networks that a plan gives without any training: as it stands; with the dropped
    channels' ReLU(β) folded into the next layer; with BatchNorm statistics re-estimated on training
    images; and the same for a ``control`` plan that dropped random channels."""
    some = data.train[:RECALIBRATION_IMAGES]
    as_it_stands = thin(model, plan)
    return {
        "as_it_stands": as_it_stands,
        "folded": thin(folded(model, plan), plan),
        "recalibrated": recalibrate(as_it_stands, some),
        "random": recalibrate(thin(model, control), some),
    }


def accuracies(networks: dict[str, nn.Module], images: Images) -> dict[str, float]:
    return {name: evaluate(network, images) for name, network in networks.items()}


def prune_run(run: Record, data: Dataset, ratio: float, folder: Path, at_least: int = 1) -> Record:
    """Prune a trained run by its scaling factors and keep the thin network, its plan, the accuracy of
    every untrained variant (validation images), as it stands (test images) and its costs. Made once."""
    config = _config(run, data) | {"ratio": ratio, "at_least": at_least}

    def prune() -> Record:
        model = run.model()
        scores = scaling_factors(model)
        plan = global_plan(scores, ratio, at_least)
        control = global_plan(random_scores(scores, run.config["seed"]), ratio, at_least)
        networks = untrained_variants(model, plan, control, data)
        slim = networks["as_it_stands"]
        record = Record(
            kind="pruning",
            config=config,
            network=slim.specification.to_dict(),
            results={
                "shrinkage_budget": run.results["shrinkage_budget"],
                "achieved_ratio": plan.achieved,
                "validation": {"parent": evaluate(model, data.validation)} | accuracies(networks, data.validation),
                "test": {"as_it_stands": evaluate(slim, data.test)},
            }
            | measure.costs(slim),
            plan=plan.to_dict(),
        )
        return records.save(record.with_folder(folder), slim.state_dict())

    return records.run_once(folder, config, prune, files=(records.WEIGHTS,))


def sweep_ratio(run: Record, data: Dataset, ratios: tuple[float, ...], folder: Path, at_least: int = 1) -> Record:
    """Validation accuracy of every untrained variant at every prune ratio. Made once."""
    config = _config(run, data) | {"at_least": at_least, "ratios": list(ratios)}

    def sweep() -> Record:
        model = run.model()
        scores = scaling_factors(model)
        control = random_scores(scores, run.config["seed"])
        rows = []
        for ratio in ratios:
            plans = (global_plan(s, ratio, at_least) for s in (scores, control))
            rows.append(accuracies(untrained_variants(model, *plans, data), data.validation))
        results = {
            "shrinkage_budget": run.results["shrinkage_budget"],
            "ratios": list(ratios),
            "validation": {name: [row[name] for row in rows] for name in rows[0]},
        }
        return records.save(Record("sweep", config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, sweep)


def _config(run: Record, data: Dataset) -> dict:
    """What ties an experiment to the run that it was made from."""
    return {
        "parent": run.name,
        "parent_config": records.identity(run),
        "parent_network": run.network,
        "lambda": run.config["lambda"],
        "seed": run.config["seed"],
        "data": data.describe(),
    }


def made_from(pruned: Record, run: Record) -> Record:
    """``pruned``; raises ``LabError`` if ``run``, which stands beside it, was trained again since. The oldest
    shipped runs do not say what they were made from."""
    known = pruned.config.get("parent_config", records.identity(run))
    if pruned.folder.parent == run.folder.parent and known != records.identity(run):
        raise LabError(f"{pruned.name} was made from another training of {run.name}: run notebook 03 again.")
    return pruned


def summary_row(stage: str, ratio: float, network: nn.Module, data: Dataset) -> dict:
    """One row of the lab's last table: accuracy on the test images, and costs."""
    described = {"accuracy": evaluate(network, data.test), "network": network.specification.to_dict()}
    return {"stage": stage, "ratio": ratio} | described | measure.costs(network)


def save_summary(rows: list[dict], run: Record, data: Dataset, folder: Path) -> Record:
    """Keep the table as a record of kind ``summary``."""
    record = Record("summary", _config(run, data), run.network, results={"rows": rows})
    return records.save(record.with_folder(folder))


def first_collapse(scores, step: float = 0.01) -> tuple[float, tuple[str, ...]] | None:
    """The lowest prune ratio, in steps, at which an unguarded threshold empties a layer, and which."""
    for k in range(1, round(1 / step)):
        plan = global_plan(scores, k * step, at_least=0)
        if emptied := tuple(name for name, kept in plan.kept.items() if not kept):
            return k * step, emptied
    return None
