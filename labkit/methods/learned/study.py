"""One network, one recipe, as many epochs for every method: what each leaves, as one record."""

from collections.abc import Iterable

from labkit import models, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.criteria import network
from labkit.methods.learned.base import Learned
from labkit.methods.schemas import COUNT, EPOCHS, POSITIVE, SHARE, TEXT
from labkit.records import Record
from labkit.settings import Settings

KIND = "learned"
NEAR = 0.02  # of the target: what counts as reached
RECIPES = {
    "train-prune-tune": {"tune": 0.375},
    "proximal": {"lam": 0.025},
    "str": {"start": -8.0, "ramp": 0.6},
    "autoprune": {"mu": 2e-4, "start": 0.5, "rate": 30.0},
    "pcas": {"target": 0.35, "tune": 0.375, "reduction": 8, "rate": 5.0},
    "bitpruning": {"factor": 0.1, "start": 8.0, "tune": 0.25},
}
"""By name, the constants with which each method is trained in eight epochs of the quick profile."""

CONSTANT = {"type": ["number", "string", "null"], "minimum": -1e6, "maximum": 1e6, "maxLength": 200}
METHOD = {
    "type": "object",
    "properties": {"name": TEXT, "probe": schemas.or_null(schemas.array(schemas.number(-1e6, 1e6), 50))},
    "required": ["name", "probe"],
    "additionalProperties": CONSTANT,
    "maxProperties": 20,
}
LAYER = schemas.record({"elements": COUNT, "zeros": COUNT, "bits": schemas.number(1, 32)})
BITS = schemas.number(1, 32)
ROW = {"epoch": EPOCHS, "loss": POSITIVE, "learning_rate": POSITIVE, "gamma_l1": POSITIVE, "train_accuracy": SHARE}
ROW |= {"validation_accuracy": SHARE, "sparsity": SHARE, "bits": BITS}
RESULTS = {"shrinkage_budget": POSITIVE, "validation_accuracy": SHARE, "seconds": POSITIVE, "sparsity": SHARE}
RESULTS |= {"bits": BITS, "layers": schemas.by_name(LAYER), "bytes": POSITIVE}
KINDS = {
    KIND: schemas.of_kind(
        KIND,
        schemas.CONFIG_OF_TRAINING | {"method": METHOD},
        RESULTS,
        schemas.or_null(schemas.PLAN),
        history=schemas.array(schemas.record(ROW), 1000),
        snapshots=schemas.array(schemas.integer(0, 1000), 1001),
    )
}


def train(method: Learned, here: Settings, data: Dataset, watch=None) -> Record:
    """Train the network of lab 2 with ``method``, by the profile's recipe; the run lies in the lab's folder under the
    method's name. Made once. Says so where a target was not reached."""
    return train_all([method], here, data, watch)[0]


def train_all(methods: Iterable[Learned], here: Settings, data: Dataset, watch=None) -> list[Record]:
    """``train`` for each of the methods, at once where that is faster; the runs, in order."""
    methods = list(methods)
    model = models.build(network(here.profile, len(data.classes)), seed=here.seed)
    shared = {"model": model, "data": data, "recipe": here.profile.train, "kind": KIND, "seed": here.seed}
    runs = training.fit_all(
        shared | {"folder": here.folder / method.folder, "method": method, "watch": watch} for method in methods
    )
    for run in runs:
        if said := missed(run):
            print(said)
    return runs


def missed(run: Record) -> str | None:
    """A sentence where a run is more than ``NEAR`` from its target, else None. Of methods that cut channels the share
    of channels counts, of others that of weights."""
    target, reached = run.config["method"].get("target"), run.history[-1]["sparsity"]
    if target is None or abs(reached - target) <= NEAR:
        return None
    return (
        f"{run.name}: asked for a sparsity of {target:.0%}, reached {reached:.1%}; "
        "the record holds what was reached. Train for more epochs, or ask for less."
    )
