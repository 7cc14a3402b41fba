"""Read a record that a student wrote: it may hold anything.

It is used only if it fits the schema that a method of ``labkit.methods`` declares for its kind, to the last
key; the checks of ``labkit.course.grading.findings`` rely on that.
"""

from functools import cache
from pathlib import Path

from labkit import foreign, methods, training
from labkit.foreign import MOST_BYTES, Validator, shown
from labkit.records import Record

__all__ = ["MOST_BYTES", "MOST_STEPS", "Validator", "read", "shown", "validators"]

MOST_STEPS = 200_000


@cache
def validators() -> dict[str, Validator]:
    """By kind of record, what checks one: the ``KINDS`` that the methods declare."""
    declared = (pair for kinds in methods.declared("KINDS") for pair in kinds.items())
    return {kind: foreign.validator(schema) for kind, schema in declared}


def read(path: Path) -> Record:
    """The record in ``path``. Raises ``ValueError`` with what is wrong with it."""
    content = foreign.content(path)
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in validators():
        raise ValueError(f"its kind is {shown(kind)}")
    record = Record(**foreign.checked(content, validators()[kind])).with_folder(path.parent)
    if "start" in record.config and not (record.history and _steps(record) <= MOST_STEPS):
        raise ValueError(f"it has {len(record.history)} history entries for {_steps(record)} steps")
    return record


def _steps(run: Record) -> int:
    recipe = run.config["recipe"]
    return recipe["epochs"] * training.steps_per_epoch(run.config["data"]["train"], recipe["batch"])
