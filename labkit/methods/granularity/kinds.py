"""The kinds of records that notebook 06 makes, as JSON Schema."""

from labkit.methods import schemas
from labkit.methods.granularity.masks import METHODS
from labkit.methods.granularity.work import SPARSITY, TIMING, TRAINED
from labkit.methods.schemas import COUNT, LATENCY, SHARE

RATIOS = schemas.array(SHARE, 100)
SWEPT = {
    "learning_rate": schemas.number(1e-9, 100),
    "weights": COUNT,
    "test_accuracy": SHARE,
    "validation": schemas.record(dict.fromkeys(METHODS, RATIOS)),
    "removed": RATIOS,
    "two_four": SHARE,
    "two_four_recalibrated": SHARE,
    "magnitudes": schemas.array(schemas.number(0, 1e6), 200),
}
TIMES = schemas.array(schemas.record({"ratio": SHARE, "parameters": COUNT, "latency_ms": LATENCY}), 100)
WAYS = ("masked", "thin", "sparse")

KINDS = {
    TRAINED: schemas.of_training(TRAINED),
    SPARSITY: schemas.of_kind(
        SPARSITY, schemas.CONFIG_OF_STUDY | {"ratios": schemas.record(dict.fromkeys(METHODS, RATIOS))}, SWEPT
    ),
    TIMING: schemas.of_kind(
        TIMING,
        schemas.CONFIG | {"timed": schemas.record(dict.fromkeys(WAYS, RATIOS)), "batch": COUNT, "runs": COUNT},
        dict.fromkeys(WAYS, TIMES),
    ),
}
