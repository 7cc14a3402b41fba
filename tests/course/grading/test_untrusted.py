"""Every kind of record that a method declares has a schema that is one, and bounds what it lets in."""

import json
import time

import pytest

from labkit import methods, settings
from labkit.course.grading import untrusted

KINDS = {kind: schema for kinds in methods.declared("KINDS") for kind, schema in kinds.items()}


def parts(schema):
    """Every schema inside a schema."""
    yield schema
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for part in inner:
        if isinstance(part, dict):
            yield from parts(part)


def test_a_kind_is_declared_once():
    assert sum(map(len, methods.declared("KINDS"))) == len(KINDS) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one_and_leaves_nothing_without_a_limit(kind):
    untrusted.Validator.check_schema(KINDS[kind])
    for part in parts(KINDS[kind]):
        types = part.get("type", ())
        if "string" in types:
            assert "maxLength" in part
        if "array" in types:
            assert "maxItems" in part
        if "object" in types:
            assert part["additionalProperties"] is False or "maxProperties" in part
        if "integer" in types or "number" in types:
            assert {"minimum", "maximum"} <= part.keys()


def test_shipped_records_fit_their_schemas():
    """Of the runs on photographs, two were made before a configuration said all that it says now."""
    unlike = []
    for file in sorted(settings.REFERENCE.glob("*/lab*/*/record.json")):
        try:
            assert untrusted.read(file).name == file.parent.name
        except ValueError as error:
            unlike.append((file.parts[-4], str(error)))
    assert {name for name, _ in unlike} <= {"quick-folder-cifar10-seed0", "quick-folder-cifar10-seed1"}
    missing = {"in config parent_config is missing", "in config at_least is missing"}
    assert {error for _, error in unlike} <= missing


def test_a_record_with_as_many_values_as_may_be_is_refused_in_seconds(tmp_path):
    content = json.loads(next(settings.REFERENCE.glob("quick-shapes-seed0/lab1/pruning*/record.json")).read_text())
    content["plan"]["kept"] = {f"layer{number}": [0] * 240 for number in range(200)}
    content["plan"]["total"]["x" * 10**6] = -1
    (tmp_path / "record.json").write_text(json.dumps(content))
    started = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        untrusted.read(tmp_path / "record.json")
    assert time.perf_counter() - started < 20 and len(str(caught.value)) < 500
