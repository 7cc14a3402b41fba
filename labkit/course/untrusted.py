"""Read a record that a student wrote: it may hold anything.

It is used only if it has the SHAPES below to the last key, on which the checks of
``labkit.course.findings`` then rely.
"""

import json
import math
import reprlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from labkit import records, training
from labkit.records import Record

MOST_BYTES, MOST_STEPS = 2 * 2**20, 200_000


def channel_list(value) -> bool:
    """At most 64 layers of at most 4096 channels, and no more poolings than 32 pixels can be halved."""
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 64
        and all(item == "M" or type(item) is int and 1 <= item <= 4096 for item in value)
        and value.count("M") <= min(5, len(value) - 1)
    )


# A dictionary holds exactly these keys, {str: ...} any keys; [shape, n] is a list of at most n;
# (low, high) a whole number, or any number if the bounds are floats; str a word; ? a key that may be null.
SHARE, POSITIVE, SIZE, SMALL = (0.0, 1.0), (0.0, 1e9), (1, 10**7), (0, 10**9)
DATA = {"name": str, "classes": (1, 1000), "train": SIZE, "validation": SIZE, "test": SIZE, "sha256": str}
RECIPE = {"epochs": (1, 1000), "batch": SIZE, "learning_rate": (1e-9, 100.0), "momentum": (0.0, 0.9999)}
RECIPE |= {"weight_decay": SHARE, "schedule": ("step", "linear")}
EPOCH = dict.fromkeys(("loss", "learning_rate", "gamma_l1"), POSITIVE) | {"epoch": (1, 1000)}
EPOCH |= {"train_accuracy": SHARE, "validation_accuracy": SHARE}
PLAN = {"kept": {str: [(0, 4095), 4096]}, "total": {str: (1, 4096)}, "requested": SHARE}
PLAN |= {"threshold?": POSITIVE, "guarded": [str, 64]}
LATENCY = dict.fromkeys(("median", "quartile1", "quartile3"), POSITIVE)
LATENCY |= dict.fromkeys(("batch", "runs", "threads", "subnormals"), SMALL)
COSTS = {"parameters": (1, 10**11), "macs": (1, 10**15), "latency_ms": LATENCY}
ROW = COSTS | {"stage": str, "ratio": SHARE, "accuracy": SHARE, "channels": channel_list}
COMMON = {"lambda": (0.0, 1000.0), "seed": SMALL, "data": DATA}
STUDY = COMMON | {"parent": str, "parent_config": str, "parent_channels": channel_list}
CONFIG = COMMON | {"kind": str, "parent?": str, "recipe": RECIPE, "ratio": SHARE, "precision": str, "start": str}
CONFIG |= {"penalty_probe?": [(-1e6, 1e6), 5], "channels": channel_list}
TREATMENTS = ("as_it_stands", "folded", "recalibrated", "random")
BUDGET = {"shrinkage_budget": POSITIVE}
TRAINING = {
    "config": CONFIG,
    "history": [EPOCH, 1000],
    "snapshots": [(0, 1000), 1001],
    "results": BUDGET | {"validation_accuracy": SHARE, "seconds": POSITIVE},
}
PRUNED = BUDGET | COSTS | {"achieved_ratio": SHARE, "test": {"as_it_stands": SHARE}}
PRUNED |= {"validation": dict.fromkeys(("parent", *TREATMENTS), SHARE)}
SWEEP = BUDGET | {"ratios": [SHARE, 100], "validation": dict.fromkeys(TREATMENTS, [SHARE, 100])}
ALL = {"kind": str, "channels": channel_list, "classes": (1, 1000), "versions": {str: str}}
ALL |= {"history": [str, 0], "snapshots": [str, 0], "plan?": {}, "format": (records.FORMAT, records.FORMAT)}
WITH_PLAN = {key: shape for key, shape in ALL.items() if key != "plan?"} | {"plan": PLAN}
SHAPES = {
    "sparsity": ALL | TRAINING,
    "pruning": WITH_PLAN | {"config": STUDY | {"ratio": SHARE, "at_least": (0, 4096)}, "results": PRUNED},
    "sweep": ALL | {"config": STUDY | {"at_least": (0, 4096)}, "results": SWEEP},
    "fine-tuning": WITH_PLAN | TRAINING,
    "from-scratch": WITH_PLAN | TRAINING,
    "summary": ALL | {"config": STUDY, "results": {"rows": [ROW, 20]}},
}


def misfits(value, shape, where: str = "") -> Iterator[str]:
    """The places in ``value`` that are not of ``shape``, in words."""
    match shape, value:
        case dict(), dict():
            known = {key.removesuffix("?"): key for key in shape} if str not in shape else dict.fromkeys(value, str)
            yield from (f"{where}{key} is missing" for key in known if key not in value)
            yield from (f"{where}{shown(key)} is unknown" for key in value if key not in known)
            for key in filter(value.__contains__, known):
                if value[key] is not None or not str(known[key]).endswith("?"):
                    yield from misfits(value[key], shape[known[key]], f"{where}{key if key in shape else shown(key)}.")
        case [inner, int(most)], list() if isinstance(shape, list) and len(value) <= most:
            for index, item in enumerate(value):
                yield from misfits(item, inner, f"{where}{index}.")
        case (float(low), high), int() | float() if type(value) is not bool and low <= value <= high:
            pass
        case (int(low), high), int() if type(value) is not bool and low <= value <= high:
            pass
        case (str(), _), str() if value in shape:
            pass
        case type(), str() if len(value) <= 200:
            pass
        case _ if shape is not channel_list or not channel_list(value):
            yield f"{where[:-1] or 'the record'} is {shown(value)}"


def shown(value) -> str:
    """A value of a stranger's, short and printable."""
    return f"{value:.6g}" if type(value) is float else reprlib.repr(value)


def read(path: Path) -> Record:
    """The record in ``path``. Raises ``ValueError`` with what is wrong with it."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        content = json.loads(path.read_bytes(), parse_constant=_refuse, parse_float=_finite, parse_int=_short)
    except (OSError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in SHAPES:
        raise ValueError(f"its kind is {shown(kind)}")
    if wrong := list(islice(misfits(content, SHAPES[kind]), 4)):
        raise ValueError(", ".join(wrong[:3]) + (", and more" if len(wrong) > 3 else ""))
    record = Record(**content).with_folder(path.parent)
    if "recipe" in record.config and not (record.history and _steps(record) <= MOST_STEPS):
        raise ValueError(f"it has {len(record.history)} history entries for {_steps(record)} steps")
    return record


def _refuse(text: str):
    raise ValueError(f"it holds {text}")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _refuse(text[:20])


def _short(text: str) -> int:
    return int(text) if len(text) <= 18 else _refuse(f"{text[:18]}…")


def _steps(run: Record) -> int:
    recipe = run.config["recipe"]
    return recipe["epochs"] * training.steps_per_epoch(run.config["data"]["train"], recipe["batch"])
