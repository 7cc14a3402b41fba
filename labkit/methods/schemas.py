"""Pieces of JSON Schema (json-schema.org) that the records of several methods share.

A method says in ``KINDS``, a schema by kind, what its records look like. Grading believes a student's record
only if it fits: every object has exactly the keys that are named, every list and text a largest length.
"""

from labkit import models, records


def number(low: float, high: float) -> dict:
    return {"type": "number", "minimum": low, "maximum": high}


def integer(low: int, high: int) -> dict:
    return {"type": "integer", "minimum": low, "maximum": high}


def array(items: dict, most: int) -> dict:
    return {"type": "array", "items": items, "maxItems": most}


def record(keys: dict[str, dict], optional: dict[str, dict] | None = None) -> dict:
    """An object with exactly these keys, and perhaps the ``optional`` ones."""
    properties = keys | (optional or {})
    return {"type": "object", "properties": properties, "required": list(keys), "additionalProperties": False}


def by_name(values: dict, most: int = 200) -> dict:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": values, "maxProperties": most}


def or_null(schema: dict) -> dict:
    return schema | {"type": [schema["type"], "null"]}


TEXT = {"type": "string", "maxLength": 200}
NOTHING = {"type": "null"}
SHARE, POSITIVE, COUNT = number(0, 1), number(0, 1e9), integer(0, 10**9)
IMAGES, CLASSES, EPOCHS = integer(1, 10**7), integer(1, 1000), integer(1, 1000)

# What ``models.Specification`` says of a network; the format is that such a network can be built.
NETWORK = record(
    {
        "family": {"enum": list(models.FAMILIES)},
        "blocks": array(integer(1, 64), 16),
        "widths": array(integer(1, 4096), 64),
        "classes": CLASSES,
        "size": integer(1, 1024),
    }
) | {"format": "network"}
DATA = record(
    {"name": TEXT, "classes": CLASSES, "train": IMAGES, "validation": IMAGES, "test": IMAGES, "sha256": TEXT},
    {"split": COUNT},
)
RECIPE = record(
    {
        "epochs": EPOCHS,
        "batch": IMAGES,
        "learning_rate": number(1e-9, 100),
        "momentum": number(0, 0.9999),
        "weight_decay": SHARE,
        "schedule": {"enum": ["step", "linear"]},
    }
)
HISTORY = array(
    record(
        {
            "epoch": EPOCHS,
            "loss": POSITIVE,
            "learning_rate": POSITIVE,
            "gamma_l1": POSITIVE,
            "train_accuracy": SHARE,
            "validation_accuracy": SHARE,
        }
    ),
    1000,
)
PLAN = record(
    {
        "kept": by_name(array(integer(0, 4095), 4096)),
        "total": by_name(integer(1, 4096)),
        "requested": SHARE,
        "threshold": or_null(POSITIVE),
        "guarded": array(TEXT, 200),
    }
)
LATENCY = record(
    dict.fromkeys(("median", "quartile1", "quartile3"), POSITIVE)
    | dict.fromkeys(("batch", "runs", "threads", "subnormals"), COUNT)
)
MEASURED = {"parameters": integer(1, 10**11), "macs": integer(1, 10**15), "latency_ms": LATENCY}

# What determines a result, in every record; of a training; and of what is made from another run without training.
CONFIG = {"lambda": number(0, 1000), "seed": COUNT, "data": DATA}
CONFIG_OF_TRAINING = CONFIG | {
    "kind": TEXT,
    "parent": or_null(TEXT),
    "recipe": RECIPE,
    "ratio": SHARE,
    "precision": TEXT,
    "start": TEXT,
    "penalty_probe": or_null(array(number(-1e6, 1e6), 5)),
    "network": NETWORK,
}
CONFIG_OF_STUDY = CONFIG | {"parent": TEXT, "parent_config": TEXT, "parent_network": NETWORK}


def of_kind(kind: str, config: dict, results: dict, plan: dict = NOTHING, **others: dict) -> dict:
    """A whole record; ``others`` replace what is not the same in every kind."""
    return record(
        {
            "kind": {"const": kind},
            "config": record(config),
            "network": NETWORK,
            "history": array({}, 0),
            "snapshots": array({}, 0),
            "results": record(results),
            "plan": plan,
            "versions": by_name(TEXT, 50),
            "format": {"const": records.FORMAT},
        }
        | others
    )


def of_training(kind: str, plan: dict = NOTHING, config: dict | None = None, results: dict | None = None) -> dict:
    """A record that ``training.fit`` writes; ``config`` and ``results``: what a method says there besides."""
    config = CONFIG_OF_TRAINING | (config or {})
    results = {"shrinkage_budget": POSITIVE, "validation_accuracy": SHARE, "seconds": POSITIVE} | (results or {})
    snapshots = array(integer(0, 1000), 1001)
    return of_kind(kind, config, results, plan, history=HISTORY, snapshots=snapshots)
