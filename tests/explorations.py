"""The records of a lab 4 without a training: the dense network and explorations that contradict nothing."""

import json

from labkit import models, pruning, settings
from labkit.methods import learned
from labkit.models import Specification

TRAINED = json.loads((settings.REFERENCE / "quick-shapes-seed0/lab2/trained/record.json").read_text(encoding="utf-8"))
NETWORK = Specification.from_dict(TRAINED["network"])
NOTHING = {"name": "dense", "probe": None}


def record(
    method: dict = NOTHING,
    right: int = 594,
    zeros: float = 0.0,
    bits: int = 32,
    plan: pruning.ChannelPlan | None = None,
    number: int = 0,
) -> dict:
    """A record of the network of lab 2 trained with a method: ``right`` of 600 images, the share ``zeros`` of each
    layer's weights, ``bits`` each. ``number`` makes its history one of its own."""
    network = models.build(NETWORK.with_widths(plan.widths) if plan else NETWORK)
    after = {name: layer.weight.numel() for name, layer in learned.prunable(network).items()}
    layers = {}
    for name, layer in learned.prunable(models.build(NETWORK)).items():
        stay = after[name] - round(zeros * after[name])
        layers[name] = {"elements": layer.weight.numel(), "zeros": layer.weight.numel() - stay, "bits": bits}
    totals = learned.totals(layers, network)
    gone = plan.achieved if plan else totals["sparsity"]
    history = [
        row | {"sparsity": gone, "bits": totals["bits"], "loss": row["loss"] + 1e-6 * number}
        for row in TRAINED["history"]
    ]
    history[-1] = history[-1] | {"validation_accuracy": right / 600}
    results = {"shrinkage_budget": 0.0, "validation_accuracy": right / 600, "seconds": 20.0 + number, "layers": layers}
    return TRAINED | {
        "kind": learned.KIND,
        "config": TRAINED["config"] | {"kind": learned.KIND, "method": method},
        "network": network.specification.to_dict(),
        "history": history,
        "results": results | totals,
        "plan": json.loads(json.dumps(plan.to_dict())) if plan else None,
    }


STR = {"name": "str", "probe": [0.0], "target": 0.99}
PCAS = {"name": "pcas", "probe": [0.0], "target": 0.5}
BITS = {"name": "bitpruning", "probe": [0.0], "factor": 0.1}
HALF = pruning.uniform_plan(pruning.random_scores(pruning.scaling_factors(models.build(NETWORK)), seed=0), 0.5)


def honest() -> dict[str, dict]:
    """All records by the run's name: dense, and three explorations of which two are close to it."""
    return {
        "dense": record(),
        "explore-bits": record(BITS, 591, bits=4, number=1),
        "explore-channels": record(PCAS, 585, plan=HALF, number=2),
        "explore-too-far": record(STR, 570, zeros=0.99, number=3),
    }
