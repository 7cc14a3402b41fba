"""What is said of a submission's records: nothing of honest ones, the right sentence of forged ones."""

import json
import shutil
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import records, settings
from labkit.course import labs
from labkit.course.grading import findings, untrusted

LAB = labs.named(1)
EXPERIMENTS = sorted(settings.REFERENCE.glob(f"quick-shapes-seed*/{LAB.name}"))
CELLS = findings.cells_of(LAB)
HONEST = {
    path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in EXPERIMENTS[0].glob("*/record.json")
}
TRAINING, FACTORS, LAMBDA = "manual-report-training", "manual-scaling-factor-visualization", "manual-report-lambda"
TUNING, OWNERS = "manual-report-fine-tuning", {cell for cell in CELLS if CELLS[cell].owns}
HALF, NINETY = "pruning-lambda0.005-50", "pruning-lambda0.005-90"
GONE = min(set(range(32)) - set(HONEST[HALF]["plan"]["kept"]["features.conv1"]))  # cut at 50 %, so at 90 %, too
OF_HALF, LAST_ROW = HONEST[HALF]["results"], HONEST["summary"]["results"]["rows"][8]
FROM_SCRATCH = HONEST["from-scratch-90"]["results"]["validation_accuracy"]


def keep(contents, folder):
    """Write records, given as values or as the very bytes, the way ``collect`` leaves them."""
    for name, content in contents.items():
        (folder / name).mkdir(parents=True)
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name / "record.json").write_bytes(raw)
    return folder


def wrong(contents, folder):
    """The sentences by cell on what is wrong; no reference run is known."""
    said = findings.findings(keep(contents, folder / "records"), LAB, folder / "no reference")
    found = {}
    for finding in said:
        assert set(finding) == {"cell", "well", "text"} and finding["cell"] in CELLS
        finding["text"].encode()
        assert "\n" not in finding["text"] and len(finding["text"]) < 1500
        if not finding["well"]:
            found.setdefault(finding["cell"], []).append(finding["text"])
    return found


def changed(path, value):
    """The honest records, with one place holding ``value`` or, for a function, what it makes of what was there."""
    contents = json.loads(json.dumps(HONEST))
    *steps, last = path
    holder = reduce(lambda inside, step: inside[step], steps, contents)
    holder[last] = value(holder[last]) if callable(value) else value
    return contents


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_honest_runs_are_consistent_in_every_cell(experiment, tmp_path):
    said = findings.findings(experiment, LAB, tmp_path)
    assert [finding["cell"] for finding in said] == list(CELLS)
    assert [finding["text"] for finding in said if not finding["well"]] == []
    assert all(
        name in said[0]["text"] for name in ("sparsity-lambda0 ", "sparsity-lambda0.0012", "sparsity-lambda0.005")
    )


def test_the_cells_are_those_of_the_notebooks():
    from labkit.course.release import released_notebooks

    cells = [cell for notebook in released_notebooks(LAB).values() for cell in notebook.cells]
    graded = {cell.metadata.nbgrader.grade_id for cell in cells if "nbgrader" in cell.metadata}
    assert set(CELLS) <= graded


FORGERIES = {
    # training
    "epoch left out": ("sparsity-lambda0", "history", lambda h: h[:-1], TRAINING, "7 entries"),
    "epochs renumbered": ("sparsity-lambda0", "history", lambda h: h[::-1], TRAINING, "odd epochs"),
    "learning rate": ("sparsity-lambda0", "history.3.learning_rate", 0.05, TRAINING, "learning rate 0.05 in epoch 4"),
    "training accuracy no count": ("sparsity-lambda0", "history.3.train_accuracy", 0.87121, TRAINING, "4000 images"),
    "validation no count": ("sparsity-lambda0", "history.7.validation_accuracy", 0.999, TRAINING, "600 images"),
    "accuracy above 1": ("sparsity-lambda0", "history.0.train_accuracy", 1.5, TRAINING, "train_accuracy is 1.5"),
    "loss too low": ("sparsity-lambda0", "history.0.loss", 0.3, TRAINING, "too low for a training accuracy of 17"),
    "end not the history's": ("sparsity-lambda0", "results.validation_accuracy", 1.0, TRAINING, "not that of the last"),
    "another recipe": ("sparsity-lambda0", "config.recipe.weight_decay", 0.0, TRAINING, "another recipe or network"),
    "another start": ("sparsity-lambda0", "config.start", "x", TRAINING, "start from different weights"),
    "another seed": ("sparsity-lambda0", "config.seed", 7, TRAINING, "different seeds: [0, 7]"),
    "another data set": ("sparsity-lambda0", "config.data.name", "mine", TRAINING, "'mine', 'shapes'"),
    "other pixels": ("sparsity-lambda0", "config.data.sha256", "0" * 64, TRAINING, "are called shapes, but"),
    "channels": ("sparsity-lambda0", "network.widths.0", 31, TRAINING, "differ from the configuration's"),
    "history of another λ": (
        "sparsity-lambda0.005", "history", HONEST["sparsity-lambda0.0012"]["history"], TRAINING, "same history",
    ),
    # scaling factors and λ
    "snapshots": ("sparsity-lambda0.005", "snapshots", [0, 8], FACTORS, "were kept at epochs [0, 8]"),
    "factors that grow": ("sparsity-lambda0.005", "history.7.gamma_l1", 900.0, FACTORS, "it should fall"),
    "no λ = 0": ("sparsity-lambda0", "config.lambda", 0.001, LAMBDA, "no run without a penalty"),
    "λ of no budget": ("sparsity-lambda0.0012", "config.lambda", 0.002, LAMBDA, "0.0012 is missing"),
    "budget": ("sparsity-lambda0.005", "results.shrinkage_budget", 0.4, LAMBDA, "λ = 0.005 and the recipe give 1.6"),
    "gradient of L2": (
        "sparsity-lambda0.005", "config.penalty_probe", [-0.01, -0.0025, 0.0, 0.0025, 0.01], LAMBDA, "gradient at γ",
    ),
    "sign at zero": ("sparsity-lambda0.005", "config.penalty_probe.2", 0.005, LAMBDA, "gradient at γ"),
    "no gradient": ("sparsity-lambda0.005", "config.penalty_probe", None, LAMBDA, "was None"),
    "gradient without λ": ("sparsity-lambda0", "config.penalty_probe", [0.0], LAMBDA, "right is None"),
    # pruning
    "parent unknown": (HALF, "config.parent", "sparsity-lambda7", "manual-prune-50", "not among the records"),
    "parent trained again": (HALF, "config.parent_config", "0", "manual-prune-50", "another training of sparsity-"),
    "λ of another parent": (HALF, "config.lambda", 0.0012, "manual-prune-50", "network, λ or budget"),
    "budget of another": (HALF, "results.shrinkage_budget", 0.4, "manual-prune-50", "network, λ or budget"),
    "accuracy of another parent": (HALF, "results.validation.parent", 0.95, "manual-prune-50", "before pruning 95.00%"),
    "one channel more": (HALF, "plan.kept.features.conv1", lambda k: sorted({*k, GONE}), "manual-prune-50", "687 of 1376"),
    "descending": (HALF, "plan.kept.features.conv2", lambda k: k[::-1], "manual-prune-50", "not ascending"),
    "twice": (HALF, "plan.kept.features.conv2", lambda k: [k[0], *k], "manual-prune-50", "not ascending"),
    "out of range": (HALF, "plan.kept.features.conv1", lambda k: [*k[:-1], 32], "manual-prune-50", "indices below 32"),
    "layer collapsed": (NINETY, "plan.kept.features.conv6", [], "manual-prune-90", "not ascending indices"),
    "layer left out": (HALF, "plan.kept", lambda k: dict(list(k.items())[1:]), "manual-prune-50", "plan's layers"),
    "layer renamed": (HALF, "plan.total", lambda t: {"x" + n: w for n, w in t.items()}, "manual-prune-50", "layers"),
    "requested": (HALF, "plan.requested", 0.4, "manual-prune-50", "50% are 688"),
    "ratio": (NINETY, "config.ratio", 0.5, "manual-prune-50", "1238 of 1376 channels are pruned; 50% are 688"),
    "achieved": (HALF, "results.achieved_ratio", 0.51, "manual-prune-50", "the plan removes 50.0000%"),
    "guarded": (NINETY, "plan.guarded", ["features.conv1"], "manual-prune-90", "said to be guarded, but keeps 7"),
    "thin channels": (HALF, "network.widths.0", 5, "manual-prune-50", "not the one that the plan keeps"),
    "poolings": (HALF, "network.blocks", [2, 1, 1, 2, 2], "manual-prune-50", "not the one that the plan keeps"),
    "channels revived": (
        NINETY, "plan.kept.features.conv1", lambda k: sorted({*k[1:], GONE}), "manual-prune-90", "1 channels of 'features.conv1'",
    ),
    "parameters": (HALF, "results.parameters", 542355, "manual-prune-50", f"network gives {OF_HALF['parameters']:,}"),
    "MACs": (HALF, "results.macs", 1, "manual-prune-50", f"and {OF_HALF['macs']:,}"),
    "latency": (HALF, "results.latency_ms.median", 0.1, "manual-prune-50", "not between its quartiles"),
    "treatment": (HALF, "results.validation.folded", 0.9999, "manual-report-prune-50", "folded: 0.9999 is no count"),
    "test no count": (HALF, "results.test.as_it_stands", 0.98765, "manual-report-prune-50", "no count of 1000"),
    "test too good": (NINETY, "results.test.as_it_stands", 0.984, "manual-report-prune-90", "10.0% on validation"),
    # fine-tuning, from scratch, summary
    "fewer epochs": ("from-scratch-90", "history", lambda h: h[:8], TUNING, "the recipe has 14 epochs"),
    "shorter recipe": ("from-scratch-90", "config.recipe.epochs", 8, TUNING, "another recipe than the profile quick"),
    "weight decay": ("fine-tuning-90-rate0.1", "config.recipe.weight_decay", 0.1, TUNING, "another recipe"),
    "rate not asked for": ("fine-tuning-90-rate0.1", "config.recipe.learning_rate", 0.2, TUNING, "rate 0.1 is missing"),
    "rate of 50 %": ("fine-tuning-50-rate0.01", "config.recipe.learning_rate", 0.2, TUNING, "50% network"),
    "another plan": (
        "fine-tuning-50-rate0.01", "plan.kept.features.conv1", lambda k: [1, *k[1:]], TUNING, f"not those of {HALF}",
    ),
    "another network": ("from-scratch-90", "network.widths.0", 8, TUNING, f"not those of {NINETY}"),
    "unknown parent": ("from-scratch-90", "config.parent", "x", TUNING, "made from 'x', which is not among"),
    "another start weights": ("fine-tuning-90-rate0.1", "config.start", "x", TUNING, "from different weights"),
    "penalty while tuning": ("fine-tuning-90-rate0.1", "results.shrinkage_budget", 1.0, TUNING, "shrinkage budget 1"),
    "tuned accuracy": ("fine-tuning-90-rate0.1", "history.2.validation_accuracy", 0.12345, TUNING, "no count of 600"),
    "history twice": (
        "fine-tuning-90-rate0.1", "history", HONEST["fine-tuning-90-rate0.01"]["history"], TUNING, "same history",
    ),
    "row's parameters": ("summary", "results.rows.0.parameters", 1, TUNING, "summary, baseline 0%: 1 parameters"),
    "row's MACs": ("summary", "results.rows.8.macs", 1, TUNING, f"and {LAST_ROW['macs']:,}"),
    "row's channels": ("summary", "results.rows.1.network.widths.0", 31, TUNING, "not that of sparsity-lambda0.005"),
    "row's accuracy": ("summary", "results.rows.5.accuracy", 0.3, TUNING, "summary, pruned 90%: test accuracy 30.0%"),
    "row slightly off": ("summary", "results.rows.2.accuracy", 0.995, TUNING, f"{HALF} has {OF_HALF['test']['as_it_stands']:.1%}"),
    "tuned row too good": ("summary", "results.rows.8.accuracy", 0.8, TUNING, f"from-scratch-90 has {FROM_SCRATCH:.1%}") ,
    "row no count": ("summary", "results.rows.0.accuracy", 0.99712, TUNING, "no count of 1000"),
    "row left out": ("summary", "results.rows", lambda r: r[1:], TUNING, "missing: ('baseline', 0)"),
    "row twice": ("summary", "results.rows", lambda r: [*r, r[0]], TUNING, "rows are there twice"),
    "row of no run": ("summary", "results.rows.3.stage", "magic", TUNING, "('magic', 0.5)"),
}  # fmt: skip


def steps_to(record, place):
    """``plan.kept.features.conv1`` -> ("record", "plan", "kept", "features.conv1")."""
    head, dot, layer = place.partition(".features.")
    keys = [int(key) if key.isdecimal() else key for key in head.split(".")]
    return [record, *keys, *([f"features.{layer}"] if dot else [])]


@pytest.mark.parametrize(("record", "place", "value", "cell", "words"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_value_is_found_in_its_cell(record, place, value, cell, words, tmp_path):
    found = wrong(changed(steps_to(record, place), value), tmp_path)
    assert any(words in text for text in found[cell]), found


HOSTILE = {
    "not JSON": b"<html>",
    "not UTF-8": b'"\xff\xfe"',
    "empty": b"",
    "a number": b"7",
    "null": b"null",
    "an alien": {"kind": "alien"},
    "a kind of no text": {"kind": ["sparsity"]},
    "nested": b'{"a":' * 100_000,
    "deep list": b"[" * 100_000,
    "NaN": json.dumps(changed(["summary", "config", "lambda"], float("nan"))["summary"]).encode(),
    "infinite": json.dumps(HONEST["summary"]).replace('"lambda": 0.005', '"lambda": 1e999').encode(),
    "huge whole number": json.dumps(HONEST["summary"]).replace('"seed": 0', '"seed": 1' + "0" * 5000).encode(),
    "too large": b" " * (untrusted.MOST_BYTES + 1),
    "surrogate": b'{"kind": "\\ud800\\n\\u001b[31m"}',
    "millions of steps": changed(["sparsity-lambda0", "config", "data", "train"], 10**7)["sparsity-lambda0"],
    "no history": changed(["sparsity-lambda0", "history"], [])["sparsity-lambda0"],
    "odd key": HONEST["sparsity-lambda0"] | {"\ud800" * 5000: 1},
    "bool for a number": changed(["sparsity-lambda0", "config", "recipe", "batch"], True)["sparsity-lambda0"],
    "unknown family": changed(["sparsity-lambda0", "network", "family"], "magic")["sparsity-lambda0"],
    "too few widths": changed(["sparsity-lambda0", "network", "widths"], lambda w: w[1:])["sparsity-lambda0"],
    "a width of 0": changed(["sparsity-lambda0", "config", "network", "widths", 0], 0)["sparsity-lambda0"],
    "the old format": changed(["sparsity-lambda0", "format"], 1)["sparsity-lambda0"],
    "a newer format": changed(["sparsity-lambda0", "format"], 3)["sparsity-lambda0"],
    "a float for a count": changed(["sparsity-lambda0", "config", "recipe", "epochs"], 8.0)["sparsity-lambda0"],
    "millions of values": b'{"kind": "sparsity", "snapshots": [' + b"0," * 10**6 + b"0]}",
    "wide": changed(["sparsity-lambda0", "network", "widths"], [10**9] * 8)["sparsity-lambda0"],
    "halved too often": changed(["sparsity-lambda0", "network", "blocks"], [1] * 8)["sparsity-lambda0"],
    "many unknown keys": dict.fromkeys(map(str, range(100_000)), 0) | {"kind": "summary"},
    "layer with a long name": changed([HALF, "plan", "kept"], {"x" * 10**5: "y"})[HALF],
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ["sparsity-lambda0", "summary"])
def test_a_record_that_is_none_is_named_and_the_others_are_checked(content, name, tmp_path):
    found = wrong(HONEST | {name: content}, tmp_path)
    cell = TRAINING if name.startswith("sparsity") else TUNING
    assert any(f"The record {name!r} is not one that labkit wrote" in text for text in found[cell])
    assert "manual-report-prune-90" not in found


def test_what_is_missing_is_said(tmp_path):
    found = wrong({}, tmp_path)
    assert set(found) == set(CELLS)
    assert found["manual-prune-50"] == ["There is no record of pruning at 50%."]
    alone = {name: content for name, content in HONEST.items() if not name.startswith("pruning-lambda0.005")}
    found = wrong(alone, tmp_path / "alone")
    assert "sparsity-lambda0.005, the run of the largest λ, was not pruned at this ratio." in found["manual-prune-90"]
    assert any("no run of the student's belongs to the rows" in text for text in found[TUNING])


def test_many_sentences_and_many_records_are_cut_off(tmp_path):
    contents = {f"run{number:02d}": b"" for number in range(findings.MOST_RUNS + 5)}
    texts = wrong(contents, tmp_path)[TUNING]
    assert len(texts) == findings.MOST_SENTENCES + 1 and texts[-1] == "And 94 more of this kind."


def test_the_shipped_runs_are_recognised_by_their_times():
    said = findings.findings(EXPERIMENTS[1], LAB)
    copied = [finding for finding in said if not finding["well"]]
    assert {finding["cell"] for finding in copied} == OWNERS
    assert all("these are the course's reference runs, not the student's own" in f["text"] for f in copied)
    assert "sparsity-lambda0, sparsity-lambda0.0012, sparsity-lambda0.005" in copied[0]["text"]
    assert {finding["cell"] for finding in said if finding["well"]} == set(CELLS)


def test_the_same_numbers_with_other_times_may_be_honest(tmp_path):
    contents = changed(["sparsity-lambda0", "results", "seconds"], 12.5)
    said = findings.findings(keep({"sparsity-lambda0": contents["sparsity-lambda0"]}, tmp_path), LAB)
    (text,) = (f["text"] for f in said if "reference runs" in f["text"])
    assert text.startswith("sparsity-lambda0: ") and "the same kind of machine with the same seed can do that" in text


def test_runs_of_ones_own_are_no_copies(tmp_path):
    contents = json.loads(json.dumps(HONEST))
    for content in contents.values():
        results = content["results"]
        for row in [results, *results.get("rows", [])]:
            row.get("latency_ms", {})["quartile1"] = row.get("latency_ms", {})["median"] = 1 / 7
            row.get("latency_ms", {})["quartile3"] = 1
        if content["history"]:
            results["seconds"] = 1.25
            content["history"][0]["loss"] += 1e-9
    for content in contents.values():  # and what was made from them was made from these
        if parent := contents.get(content["config"].get("parent")):
            if "parent_config" in content["config"]:
                own = {"config": parent["config"], "history": parent["history"]}
                content["config"]["parent_config"] = records.digest(own)
    assert all(finding["well"] for finding in findings.findings(keep(contents, tmp_path), LAB))


def test_prunings_of_the_shipped_runs_are_told_from_unknown_ones(tmp_path):
    contents = {HALF: HONEST[HALF]}
    texts = [f["text"] for f in findings.findings(keep(contents, tmp_path), LAB) if f["cell"] == "manual-prune-50"]
    assert texts == [f"{HALF}: it was made from 'sparsity-lambda0.005', which is the course's reference run."]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=8,
)
PLAUSIBLE = (
    st.integers(0, 4096) | st.floats(0, 1) | st.sampled_from(["M", "linear", "step", 0, 1, 0.5, 0.9, None, [], {}])
)


@st.composite
def forged(draw):
    """One honest record in which some places, anywhere, hold something else, or nothing."""
    name = draw(st.sampled_from(sorted(HONEST)))
    content = json.loads(json.dumps(HONEST[name]))
    for _ in range(draw(st.integers(1, 3))):
        inside = content
        while True:
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            key = draw(st.sampled_from(keys))
            if not inside[key] or not isinstance(inside[key], (dict, list)) or draw(st.integers(0, 9)) == 0:
                break
            inside = inside[key]
        if draw(st.booleans()):
            inside[key] = draw(PLAUSIBLE | ANYTHING)
        elif len(inside) > 1:
            inside.pop(key)
    return name, content


@given(forged())
def test_no_forged_record_stops_the_checks(tmp_path_factory, forgery):
    name, content = forgery
    found = wrong(HONEST | {name: content}, tmp_path_factory.mktemp("forged"))
    assert "could be checked" not in json.dumps(found)


@given(st.dictionaries(st.sampled_from(sorted(HONEST)), ANYTHING, max_size=3))
def test_no_json_at_all_stops_the_checks(tmp_path_factory, contents):
    found = wrong(contents, tmp_path_factory.mktemp("any"))
    assert "could be checked" not in json.dumps(found) and len(found) == len(CELLS)


@pytest.mark.parametrize("images", [600, 4000, 45_000])
def test_a_share_divided_in_float32_is_a_count_and_one_image_less_is_another(images):
    for count in range(images // 2, images, 97):
        share = np.float32(count) / np.float32(images)
        assert not list(findings.impossible(float(share), images, "it"))
        assert list(findings.impossible(float(share) + 0.3 / images, images, "it"))


def test_a_check_that_breaks_is_said_and_stops_nothing(tmp_path, monkeypatch):
    def breaks(case, runs):
        raise KeyError("x")

    cell = CELLS[LAMBDA]
    monkeypatch.setitem(CELLS, LAMBDA, replace(cell, checks=(breaks,)))
    found = wrong(HONEST, tmp_path)
    assert found == {LAMBDA: ["Not everything could be checked (KeyError): look at these records yourself."]}


def test_folders_without_a_record_are_ignored(tmp_path):
    shutil.copytree(EXPERIMENTS[0], tmp_path / "records")
    (tmp_path / "records" / "empty").mkdir()
    assert all(finding["well"] for finding in findings.findings(tmp_path / "records", LAB, tmp_path / "none"))
