"""The benchmark's arithmetic and its parts at a small scale; no clock is trusted."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from labkit.settings import PROFILES, REPOSITORY, Recipe

sys.path.insert(0, str(REPOSITORY / "benchmarks"))  # scripts, no package
import plain_loop  # noqa: E402
import speed  # noqa: E402

CPU = torch.device("cpu")
CORES = {
    "cores": 2,
    "why": "what torch takes on this processor",
    "milliseconds": {"one training": 48.0, "one training beside a busy program": 80.0},
    "beside_busy": 1.7,
    "sweep": {"trainings": 24, "steps": 20, "alone": 24.0, "workers": 18.0, "ratio": 1.33},
    "memory": {"images": 154.0, "1 worker": 700.0, "4 workers": 2000.0},
}


def results(device="cpu", precision="bfloat16", full=2.5):
    pair = {"plain": 100.0, "labkit": 250.0, "ratio": full}
    latency = {
        f"{name}, batch {batch}": {"median": value * batch, "subnormals": 0}
        for batch in (1, 64)
        for name, value in (("dense", 10.0), ("90 % pruned", 1.0))
    }
    return {
        "device": device,
        "threads": 2,
        "trainings_together": 1,
        "precision": precision,
        "matrix_product_gflops": {"fast": 400.0, "float32": 200.0},
        "training": {"1": pair, "0.25": pair},
        "of_limit": 0.8,
        "evaluation": pair,
        "step": {
            "profile": "quick",
            "network": "vgg11, width 0.5, batch 50",
            "milliseconds": 10.0,
            "kinds": dict.fromkeys([*speed.KINDS, speed.REST], 1.0),
        },
        "surgery_seconds": 0.1,
        "scan": {"plans": 72, "groups": 8, "images": 200, "cut": 10.0, "scan": 1.0, "ratio": 10.0, "equal": True},
        "latency": latency,
        "cores": None if device != "cpu" else CORES,
    }


def test_targets_are_met_and_missed():
    assert all(target.met for target in speed.targets(results()))
    missed = {target.what for target in speed.targets(results(full=1.5)) if not target.met}
    assert missed == {"full width, times the plain loop", "quarter width, times the plain loop"}
    (full, scan, surgery) = speed.targets(results(device="H100", full=14))
    assert (full.bound, full.met, scan.bound, scan.met, surgery.met) == (15, False, 8, True, True)


def test_without_half_precision_twice_the_plain_loop_is_not_asked_for():
    asked = {target.what for target in speed.targets(results(precision="float32", full=1.2))}
    assert "full width, nominal operations, of the matrix-product limit" in asked
    assert not any("plain loop" in what for what in asked)


def test_every_kind_of_operation_is_found_in_a_step():
    step = speed.step_profile(PROFILES["quick"], CPU, count=2)
    assert set(step["kinds"]) == {*speed.KINDS, speed.REST}
    assert all(milliseconds > 0 for milliseconds in step["kinds"].values())


def test_a_kernel_is_counted_with_its_operator_and_not_again():
    operator = SimpleNamespace(
        key="aten::cudnn_convolution", device_type=DeviceType.CPU, self_cpu_time_total=9000, self_device_time_total=2000
    )
    kernel = SimpleNamespace(
        key="sm90_xmma_fprop", device_type=DeviceType.CUDA, self_cpu_time_total=0, self_device_time_total=2000
    )
    on_gpu = speed.by_kind([operator, kernel], torch.device("cuda"))
    assert sum(on_gpu.values()) == on_gpu["convolution, forward"] == 2
    assert speed.by_kind([operator], CPU)["convolution, forward"] == 9


def test_plain_loop_trains_and_evaluates_the_same_network():
    network, images = speed.vgg19(1 / 16), speed.some_images(40)
    before = [parameter.clone() for parameter in network.parameters()]
    assert len(list(plain_loop.steps(network, images, Recipe(epochs=1, batch=20), 1e-4, CPU))) == 2
    assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters()))
    assert 0 <= plain_loop.evaluate(network, images, 20, CPU) <= 1


@pytest.mark.parametrize("loop", ["plain", "labkit"])
def test_speed_of_a_loop_is_measured(loop):
    assert speed.images_per_second(loop, 1 / 16, 1, CPU) > 0


def test_command_leaves_a_table_a_picture_and_a_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(speed, "measure_all", lambda device, profile: results())
    monkeypatch.setattr(sys, "argv", ["speed.py", "--out", str(tmp_path)])
    speed.main()
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["of_limit"] == 0.8 and content["seconds"] >= 0
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    page = capsys.readouterr().out
    assert "| training, full width | 100 | 250 | 2.50 |" in page
    assert re.search(r"90 % pruned, times faster at batch 64: 10\.00 \(at least 5: met\)", page)
