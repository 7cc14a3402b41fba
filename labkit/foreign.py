"""JSON that somebody else wrote: it may hold anything. It is used only if it fits a schema, to the last key."""

import json
import math
import reprlib
from itertools import islice
from pathlib import Path

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from labkit import models

MOST_BYTES = 2 * 2**20
MOST_VALUES = 50_000  # each takes jsonschema some microseconds
FORMATS = FormatChecker(formats=())


@FORMATS.checks("network")
def _is_network(value) -> bool:
    """Whether a specification is of a network that can be built, on images that can be halved as often as it does."""
    try:
        specification = models.Specification.from_dict(value)
        specification.check(models.FAMILIES)
        strides = getattr(models.FAMILIES[specification.family], "STRIDES", (1, *[2] * 16))  # else every stage halves
        return specification.size >= math.prod(strides[: len(specification.blocks)])
    except Exception:  # whatever a stranger wrote there
        return False


# JSON Schema calls 8.0 an integer; range() does not.
STRICT = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda checker, value: type(value) is int)
Validator = extend(Draft202012Validator, type_checker=STRICT)


def validator(schema: dict) -> Validator:
    return Validator(schema, format_checker=FORMATS)


def content(path: Path):
    """What the JSON file in ``path`` holds. Raises ``ValueError`` with what is wrong with it: too large, too deep, a
    number that is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        raw = path.read_bytes()
        if raw.count(b",") > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values")
        return json.loads(raw, parse_constant=_refuse, parse_float=_finite, parse_int=_short)
    except (OSError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None


def _refuse(text: str):
    raise ValueError(f"it holds {text}")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _refuse(text[:20])


def _short(text: str) -> int:
    return int(text) if len(text) <= 18 else _refuse(f"{text[:18]}…")


def checked(content, validator: Validator):
    """``content``, if it fits. Raises ``ValueError`` with what does not, in three places at most."""
    try:
        wrong = list(dict.fromkeys(map(problem, islice(validator.iter_errors(content), 4))))
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None
    if wrong:
        raise ValueError(", ".join(wrong[:3]) + (", and more" if len(wrong) > 3 else ""))
    return content


def problem(error: ValidationError) -> str:
    """What is wrong at one place of a record. jsonschema's own message would repeat all of it."""
    where = ".".join(map(_step, error.absolute_path)) or "the record"
    if error.validator == "required":
        missing = (key for key in error.validator_value if key not in error.instance)
        return f"in {where} {next(missing)} is missing"
    if error.validator == "additionalProperties":
        unknown = (key for key in error.instance if key not in error.schema.get("properties", ()))
        return f"in {where} {shown(next(unknown))} is unknown"
    return f"{where} is {shown(error.instance)}"


def _step(key: str | int) -> str:
    return str(key) if type(key) is int or key.isidentifier() and len(key) <= 40 else shown(key)


def shown(value) -> str:
    """A value of a stranger's, short and printable."""
    return f"{value:.6g}" if type(value) is float else reprlib.repr(value)
