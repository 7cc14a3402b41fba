"""What is said of lab 3's records of notebook 12: nothing against the course's own, and a sentence for what cannot be."""

import copy
import json

import pytest

from labkit.course import labs
from labkit.course.grading import findings
from labkit.settings import REFERENCE

LAB = labs.named(3)
HONEST = {
    path.parent.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((REFERENCE / "quick-shapes-seed0" / "lab3").glob("*/record.json"))
}


def said(contents, folder, well=False):
    """What the findings say of these records, where no reference run is known."""
    for name, content in contents.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    found = findings.findings(folder, LAB, folder / "no reference")
    return "\n".join(row["text"] for row in found if row["well"] == well)


def changed(name, *path_and_value):
    """The honest records with another value at a path in the record ``name``."""
    *path, last, value = path_and_value
    contents = copy.deepcopy(HONEST)
    place = contents[name]
    for step in path:
        place = place[step]
    place[last] = value
    return contents


def without(*names):
    return {name: content for name, content in HONEST.items() if name not in names}


def test_the_courses_own_records_contradict_nothing(tmp_path):
    assert said(HONEST, tmp_path / "bad") == ""
    good = said(HONEST, tmp_path / "good", well=True)
    assert "Trainings and files are consistent" in good and "The files: dense float32" in good


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (changed("deployed", "results", "rows", 3, "bytes", 20_000), "thin, int8: 20,000 bytes for"),
        (changed("deployed", "results", "rows", 0, "bytes", 9_000_000), "dense, float32: 9,000,000 bytes for"),
        (changed("deployed", "results", "rows", 3, "validation_accuracy", 0.9991), "is no count of 600 images"),
        (changed("deployed", "results", "rows", 3, "validation_accuracy", 0.5), "but thin ended with"),
        (changed("deployed", "results", "rows", 0, "network", "wide"), "The record 'deployed' is not one"),
        (
            changed("low-bits-thin-2-flat", "config", "method", "slope", [1]),
            "The record 'low-bits-thin-2-flat' is not one",
        ),
        (
            changed("deployed", "results", "rows", 3, "latency_ms", "1", "onnx", "quartile1", 1e6),
            "between its quartiles",
        ),
        (changed("shared-thin-4", "results", "bytes", "indices", 50_000), "shared-thin-4: indices and codebooks take"),
        (changed("shared-thin-4", "results", "coded", 900_000), "Huffman's code takes 900,000 bytes"),
        (changed("rounded-dense", "config", "probe", [1.0, 0.0, 1.0, 0.0]), "rounded-dense: scale and zero point were"),
        (changed("rounded-dense", "results", "per tensor", [0.5001] * 7), "is no count of 600 images"),
        (changed("thin", "config", "parent", "elsewhere"), "thin: it was made from 'elsewhere'"),
        (changed("thin", "config", "recipe", "learning_rate", 0.5), "thin: "),
        (changed("trained", "network", "widths", [8] * 8), "trained: "),
        (without("thin"), "shared-thin-4: it was made from 'thin', which is not among the records"),
        (without("trained"), "thin: it was made from 'trained', which is not among the records"),
        (without("trained"), "dense, float32: there is no training of this network"),
        (changed("deployed", "results", "rows", 3, "surplus", 1), "The record 'deployed' is not one"),
        (changed("deployed", "results", "rows", 3, "macs", 1_000_000), "thin, int8: 1,000,000 macs; its network has"),
        (changed("deployed", "results", "rows", 0, "parameters", 7), "dense, float32: 7 parameters; its network has"),
        (
            changed("compressed-thin", "results", "steps", 2, "accuracy", 0.9991),
            "step pruned: validation accuracy: 0.99",
        ),
        (changed("compressed-thin", "results", "steps", 1, "accuracy", 0.5), "step thin: validation accuracy 50.00%"),
        (changed("compressed-thin", "results", "steps", 0, "bytes", "values", 9), "step dense: 9 bytes of values"),
        (changed("compressed-thin", "results", "steps", 1, "bytes", "values", 9), "step thin: 9 bytes of values"),
        (
            changed("compressed-thin", "results", "steps", 3, "bytes", "codebooks", 9),
            "step shared: 9 bytes of codebooks",
        ),
        (changed("compressed-thin", "results", "steps", 4, "bytes", "others", 9), "step coded: 9 bytes of others"),
        (changed("compressed-thin", "results", "steps", 4, "step", "shared"), "compressed-thin: its steps are"),
        (without("pruned-thin"), "compressed-thin: step pruned: it was made from 'pruned-thin', which is not among"),
        (
            changed("integer-thin-qat", "results", "validation_accuracy", 0.9991),
            "integer-thin-qat: validation accuracy",
        ),
        (
            changed("integer-thin-qat", "results", "float_accuracy", 0.5),
            "integer-thin-qat: float32: validation accuracy",
        ),
        (
            changed("calibration-thin", "results", "rows", 7, "validation_accuracy", 0.9991),
            "calibration-thin: validation",
        ),
        (
            changed("calibration-thin", "config", "parent", "elsewhere"),
            "calibration-thin: it was made from 'elsewhere'",
        ),
    ],
    ids=range(32),
)
def test_what_cannot_be_is_said(contents, sentence, tmp_path):
    assert sentence in said(contents, tmp_path)


def test_a_copy_of_the_courses_times_is_noticed(tmp_path):
    for name, content in HONEST.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    assert any(
        "deployed" in row["text"] and "reference runs" in row["text"] for row in findings.findings(tmp_path, LAB)
    )
