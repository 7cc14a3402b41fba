"""The kinds of records that Network Slimming makes, as JSON Schema."""

from labkit.methods import schemas
from labkit.methods.schemas import MEASURED, PLAN, POSITIVE, SHARE

VARIANTS = ("as_it_stands", "folded", "recalibrated", "random")
BUDGET = {"shrinkage_budget": POSITIVE}
MADE_FROM = schemas.CONFIG_OF_STUDY | {"at_least": schemas.integer(0, 4096)}
PRUNED = BUDGET | MEASURED
PRUNED |= {
    "achieved_ratio": SHARE,
    "validation": schemas.record(dict.fromkeys(("parent", *VARIANTS), SHARE)),
    "test": schemas.record({"as_it_stands": SHARE}),
}
RATIOS = schemas.array(SHARE, 100)
SWEPT = BUDGET | {"ratios": RATIOS, "validation": schemas.record(dict.fromkeys(VARIANTS, RATIOS))}
ROW = MEASURED | {"stage": schemas.TEXT, "ratio": SHARE, "accuracy": SHARE, "network": schemas.NETWORK}

KINDS = {
    "sparsity": schemas.of_training("sparsity"),
    "l2": schemas.of_training("l2"),
    "pruning": schemas.of_kind("pruning", MADE_FROM | {"ratio": SHARE}, PRUNED, PLAN),
    "sweep": schemas.of_kind("sweep", MADE_FROM | {"ratios": RATIOS}, SWEPT),
    "fine-tuning": schemas.of_training("fine-tuning", PLAN),
    "open-task": schemas.of_training("open-task", PLAN),
    "from-scratch": schemas.of_training("from-scratch", PLAN),
    "summary": schemas.of_kind("summary", schemas.CONFIG_OF_STUDY, {"rows": schemas.array(schemas.record(ROW), 20)}),
}
