"""What is measured of integers and of files: made once, as its schema says, and drawn as it is."""

import by_hand
import jsonschema
import pytest
import torch
from workers import tiny_dataset

from labkit import records
from labkit.methods.quantization import deployed, deployed_figures, deployment_studies, integer
from labkit.records import Record
from labkit.settings import Recipe


@pytest.fixture(scope="module")
def network():
    return by_hand.network()


@pytest.fixture(scope="module")
def graph(network):
    return integer.graph(network)


@pytest.fixture(scope="module")
def studied(network, tmp_path_factory):
    """Records of every kind, made of tiny networks, few images and few ways."""
    tiny, lab = tiny_dataset(), tmp_path_factory.mktemp("experiment") / "lab3"
    config = {"kind": "quantization-trained", "seed": 0, "lambda": 0.0}
    runs = {}
    for name in ("trained", "thin"):
        record = Record("quantization-trained", config, network.specification.to_dict()).with_folder(lab / name)
        runs[name] = records.save(record, network.state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment_studies, "BATCHES", (1, 3))
        patch.setattr(deployment_studies, "RUNS", 5)
        patch.setattr(deployment_studies, "PERCENTILES", (99.0, 99.9))
        bad = ("training images", "one outlier", "not normalised")
        chosen = {name: deployment_studies.CALIBRATED_ON[name] for name in bad}
        patch.setattr(deployment_studies, "CALIBRATED_ON", chosen)
        patch.setattr(deployed_figures, "CALIBRATED_ON", chosen)
        patch.setattr(deployment_studies, "TUNE", Recipe(1, 100, 0.001, schedule="linear"))
        patch.setattr(integer, "has_kernels", lambda: False)
        made = {
            way: deployment_studies.integer_run(
                runs["thin"], tiny, way, lab / f"integer-thin-{way}", by_hand.calibration_range
            )
            for way in ("static-percentile", "qat")
        }
        made["calibration"] = deployment_studies.calibration_run(
            runs["thin"], tiny, lab / "calibration-thin", by_hand.calibration_range
        )
        made["deployed"] = deployment_studies.deployed_run(
            runs["trained"], runs["thin"], made["qat"], tiny, lab / "deployed"
        )
        yield runs, made, lab


def test_records_fit_their_schemas(studied):
    for record in studied[1].values():
        content = records.read_json(record.folder / "record.json")
        jsonschema.validate(content, deployment_studies.KINDS[record.kind])


def test_a_record_is_made_once_and_of_one_function(studied, monkeypatch, capsys):
    runs, made, lab = studied
    monkeypatch.setattr(integer, "graph", None)  # whoever makes it again fails
    arguments = runs["thin"], tiny_dataset(), "static-percentile", lab / "integer-thin-static-percentile"
    again = deployment_studies.integer_run(*arguments, by_hand.calibration_range)
    assert again.results == made["static-percentile"].results and "already there" in capsys.readouterr().out
    with pytest.raises(TypeError):
        deployment_studies.integer_run(*arguments, lambda values, percentile: (0.0, 1.0))


def test_a_network_trained_under_quantization_comes_back_as_it_was(studied, graph):
    qat = studied[1]["qat"]
    network = integer.converted(deployment_studies.restored(qat, graph))
    assert integer.accuracy(network, tiny_dataset().validation) == qat.results["validation_accuracy"]


def test_a_deployed_record_says_what_the_files_do(studied):
    record = studied[1]["deployed"]
    rows = {(row["network"], row["format"]): row for row in record.results["rows"]}
    assert list(rows) == [
        ("dense", "float32"),
        ("dense", "int8"),
        ("thin", "float32"),
        ("thin", "int8"),
        ("thin", "qat"),
    ]
    for name, row in rows.items():
        path = deployment_studies.file_of(record.folder, name)
        assert row["bytes"] == path.stat().st_size
        assert row["validation_accuracy"] == integer.accuracy(deployed.opened(path), tiny_dataset().validation)
        assert set(row["latency_ms"]) == {"1", "3"} and row["latency_ms"]["1"]["lowered"] is None
    assert rows["thin", "float32"]["apart"]["3"] < 1e-4
    assert set(record.results["steps"]) == {"7", "8"}


def test_calibrations_are_compared_on_good_and_bad_images(studied):
    results = studied[1]["calibration"].results
    assert len(results["rows"]) == 2 * (4 + 2 * 3)
    assert results["ranges"]["one outlier"]["image"][1] == pytest.approx(deployment_studies.OUTLIER, rel=0.05)
    assert results["ranges"]["not normalised"]["image"][0] == 0
    assert sum(results["histograms"]["image"]["counts"]) > 100_000
    assert results["ranges"]["percentile 99"]["conv2"][1] < results["ranges"]["min-max"]["conv2"][1]


def test_figures_and_tables_say_what_records_say(studied, refused):
    _, made, lab = studied
    drawn = deployed_figures.deployment_figures(lab)
    assert set(drawn) == {
        "quantization-calibration-ranges",
        "quantization-calibration-accuracy",
        "quantization-steps",
        "quantization-deployed",
    }
    row = made["deployed"].results["rows"][3]
    assert f"thin, int8, calibrated {row['bytes']:,} bytes" in drawn["quantization-deployed"].get_label()
    page = deployed_figures.deployment_results(lab.parent)
    assert "torch, as it stands, batch 1" in page and "integer kernels" not in page  # there are none here
    assert f"{row['bytes']:,}" in page and "| thin | qat | 7 |" in page and "percentile 99.9" in page
    *_, right = drawn["quantization-calibration-ranges"].axes
    ranges = made["calibration"].results["ranges"]
    lines = {line.get_label(): list(line.get_ydata()) for line in right.get_lines()[1:]}
    assert list(lines) == ["one outlier", "not normalised"]
    times = ranges["one outlier"]["image"][1] - ranges["one outlier"]["image"][0]
    assert lines["one outlier"][0] == pytest.approx(times / 2, rel=0.02)  # training images are from -1 to 1
    assert lines["not normalised"][0] == pytest.approx(0.5, rel=0.02)
    with refused("'conv9'", "image, conv1, conv2"):
        deployed_figures.calibration_ranges(made["calibration"], "conv9")


@pytest.mark.parametrize("vnni, part", [(True, "has VNNI"), (False, "has no VNNI"), (None, "does not say")])
def test_what_the_processor_has_is_said(vnni, part):
    record = Record("", {}, {}, results={"processor": {"capability": "AVX2", "vnni": vnni}})
    assert part in deployed_figures.vnni_said(record) and "AVX2" in deployed_figures.vnni_said(record)


@pytest.mark.parametrize(
    ("able", "vnni"),
    [
        ({"avx512_vnni": True, "avx_vnni": False}, True),
        ({"avx512_vnni": False, "avx_vnni": True}, True),  # laptops
        ({"avx512_vnni": False, "avx_vnni": False}, False),
        ({"avx512_vnni": False}, None),
        ({"neon": True}, None),
    ],
)
def test_either_kind_of_vnni_counts_and_what_torch_does_not_say_is_not_known(able, vnni, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert deployment_studies.processor()["vnni"] is vnni
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert deployment_studies.processor()["vnni"] is None


def test_ways_that_are_missing_something_are_refused(graph, refused):
    with refused("'cold'", "static-percentile"):
        deployment_studies.quantized(graph, "cold", tiny_dataset())
    with refused("static-percentile", "calibration_range"):
        deployment_studies.quantized(graph, "static-percentile", tiny_dataset())
