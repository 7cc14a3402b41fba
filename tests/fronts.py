"""The records of a lab 2 without a training: the shipped network to prune, and fine-tuned points that contradict nothing."""

import json
import math
from dataclasses import asdict, replace

import torch

from labkit import models, pruning, records, settings, training
from labkit.methods import front
from labkit.settings import Recipe

TRAINED = json.loads((settings.REFERENCE / "quick-shapes-seed0/lab2/trained/record.json").read_text(encoding="utf-8"))
NETWORK = models.Specification.from_dict(TRAINED["network"])
RECIPE = front.recipe(settings.PROFILES["quick"])
SCORES = pruning.random_scores(pruning.scaling_factors(models.build(NETWORK, seed=0)), seed=0)
GLOBAL = dict(zip(front.RATIOS, (597, 594, 591, 582, 564, 528)))  # right of 600
FEW = {"features.conv1": 14, "features.conv2": 22, "features.conv3": 40, "features.conv4": 40}
GLOBAL_RUNS = [f"global-{100 * ratio:g}" for ratio in GLOBAL]
POLICIES = {
    "policy-late": ({f"features.conv{i}": 24 for i in (5, 6, 7, 8)}, 597),
    "policy-even": (FEW | {f"features.conv{i}": 40 for i in (5, 6, 7, 8)}, 592),
}


def point(kind: str, plan: pruning.ChannelPlan, right: int, recipe: Recipe = RECIPE) -> dict:
    """A record of the thin network that ``plan`` makes, fine-tuned by ``recipe``, with ``right`` of 600 images."""
    sizes, network = TRAINED["config"]["data"], NETWORK.with_widths(plan.widths).to_dict()
    wrong = 1 - (seen := round(sizes["train"] * (right / 600 - 0.05)) / sizes["train"])
    rates = training.learning_rates(recipe, sizes["train"])
    epochs = [
        {
            "epoch": epoch,
            "loss": round(2 * math.log(2) * wrong + 0.001 * (recipe.epochs - epoch) + sum(plan.widths) * 1e-6, 9),
            "learning_rate": rates[epoch * len(rates) // recipe.epochs - 1],
            "gamma_l1": float(sum(plan.widths)),
            "train_accuracy": seen,
            "validation_accuracy": right / 600,
        }
        for epoch in range(1, recipe.epochs + 1)
    ]
    facts = {"kind": kind, "parent": "trained", "recipe": asdict(recipe), "ratio": plan.requested, "network": network}
    return TRAINED | {
        "kind": kind,
        "config": TRAINED["config"] | facts | {"start": records.digest(plan.to_dict())},
        "network": network,
        "history": epochs,
        "snapshots": list(range(recipe.epochs + 1)),
        "results": TRAINED["results"] | {"validation_accuracy": right / 600, "seconds": 3.0 + right / 1000},
        "plan": json.loads(json.dumps(plan.to_dict())),
    }


def honest() -> dict[str, dict]:
    """All records by the run's name: the network, its global front, two policies."""
    found = {"trained": TRAINED}
    for ratio, right in GLOBAL.items():
        found[f"global-{100 * ratio:g}"] = point(front.TUNED, pruning.global_plan(SCORES, ratio), right)
    for name, (widths, right) in POLICIES.items():
        found[name] = point(front.POLICY, pruning.width_plan(SCORES, widths), right)
    return found


def careless() -> dict[str, dict]:
    """A point of the global front was forgotten, and a policy was fine-tuned for three epochs, not one."""
    found, (widths, right) = honest(), POLICIES["policy-late"]
    del found["global-55"]
    longer = point(front.POLICY, pruning.width_plan(SCORES, widths), right + 2, replace(RECIPE, epochs=3))
    return found | {"policy-late": longer}


def forged() -> dict[str, dict]:
    """An accuracy that is no count and one that is too good, a plan of another network, a channel that does not exist,
    the history of another run, and a kind that nobody declares."""
    found = honest()
    even, late = found["policy-even"], found["policy-late"]
    beyond = {"features.conv1": [*even["plan"]["kept"]["features.conv1"][:-1], 16]}
    paths = {f"../../{name}": channels for name, channels in even["plan"]["kept"].items()}
    return found | {
        "policy-edited": ending(even, 0.9999),
        "policy-great": ending(even, 1.0, train_accuracy=0.5, loss=1.0),
        "policy-even": even | {"plan": even["plan"] | {"kept": even["plan"]["kept"] | beyond}},
        "policy-paths": even | {"plan": even["plan"] | {"kept": paths}},
        "policy-late": late | {"history": found["global-10"]["history"], "results": found["global-10"]["results"]},
        "policy-alien": even | {"kind": "front-best"},
    }


def ending(content: dict, accuracy: float, **last) -> dict:
    """A record with another accuracy at the end, wherever it stands; ``last`` changes the last epoch."""
    epochs = [*content["history"][:-1], content["history"][-1] | {"validation_accuracy": accuracy} | last]
    return content | {"history": epochs, "results": content["results"] | {"validation_accuracy": accuracy}}


def archived(contents: dict[str, dict], student: str) -> dict[str, bytes]:
    """Records as files of ``student``'s archive; no two machines need the same time."""
    delay = torch.tensor(list(student.encode())).sum().item() / 1e4
    files = {}
    for name, content in contents.items():
        own = content["results"] | {"seconds": content["results"]["seconds"] + delay}
        files[f"records/{name}/record.json"] = json.dumps(content | {"results": own}).encode()
    return files
