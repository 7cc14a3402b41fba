import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from workers import vgg, vgg_of

from labkit import models
from labkit.measure import costs, flush_subnormals, latency, macs, parameters, quartiles
from labkit.training import fingerprint

TINY = torch.finfo(torch.float32).tiny


def counted(stages, classes=10, size=32):
    """Parameters and multiply-accumulates of a VGG from the widths of its stages alone."""
    width, weights, products = 3, 0, 0
    for stage in stages:
        for c in stage:
            weights += 9 * width * c + 2 * c
            products += 9 * width * c * size * size
            width = c
        size //= 2
    return weights + width * classes + classes, products + width * classes


def test_vgg19_has_its_parameters_and_macs():
    net = models.build(models.named("vgg19"))
    assert parameters(net) == 20_035_018
    assert macs(net) == 398_136_320


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("depth", [11, 16, 19])
def test_costs_of_every_vgg_match_the_plain_formula(depth, width):
    specification = models.named(f"vgg{depth}", width)
    assert len(specification.widths) == sum(specification.blocks) == depth - 3
    widths = iter(specification.widths)
    stages = [[next(widths) for _ in range(count)] for count in specification.blocks]
    net = models.build(specification)
    assert (parameters(net), macs(net)) == counted(stages)


@given(
    st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=3), min_size=1, max_size=5),
    st.integers(2, 30),
    st.sampled_from([32, 40, 64]),
)
def test_costs_of_any_vgg_match_the_plain_formula_at_its_own_size(stages, classes, size):
    net = models.build(vgg_of(*stages, classes=classes, size=size))
    assert (parameters(net), macs(net)) == counted(stages, classes, size)


def test_macs_leave_the_network_as_it_was():
    net = vgg([4], [4]).train()
    before = fingerprint(net)
    macs(net)
    assert fingerprint(net) == before and net.training


@pytest.fixture
def net():
    """A network with five subnormal weights."""
    net = vgg([4], [4]).train()
    with torch.no_grad():
        net.features.conv1.weight.view(-1)[:3] = torch.tensor([TINY / 2, -TINY / 2, 1e-44])
        net.features.norm2.weight[1] = TINY / 4
        net.features.norm2.running_mean[2] = -TINY / 8
        net.classifier.weight.view(-1)[:3] = torch.tensor([TINY, -TINY, 0])  # the smallest normal ones
    return net


def test_latency_counts_subnormals_and_leaves_the_network_as_it_was(net):
    before, pointer = fingerprint(net), net.classifier.weight.data_ptr()
    assert latency(net, runs=4).subnormals == 5
    assert latency(net, runs=4).subnormals == 5
    assert fingerprint(net) == before and net.training
    assert net.classifier.weight.data_ptr() == pointer and net.classifier.weight.requires_grad


def test_only_subnormals_are_flushed():
    tensor = torch.tensor([0, -0.0, TINY, -TINY, TINY / 2, -TINY / 2, 1, -1, 1e-45])
    assert flush_subnormals(tensor) == 3
    assert tensor.tolist() == [0, 0, TINY, -TINY, 0, 0, 1, -1, 0]


@pytest.mark.parametrize("threads", [1, 2])
def test_latency_pins_the_threads_and_gives_them_back(net, threads):
    class Watched(nn.Module):
        seen = []

        def forward(self, x):
            self.seen.append((torch.get_num_threads(), self.training, tuple(x.shape), x.dtype))
            return x

    before = torch.get_num_threads()
    timed = latency(Watched(), batch=3, runs=5, threads=threads)
    assert set(Watched.seen) == {(threads, False, (3, 3, 32, 32), torch.float32)}
    assert len(Watched.seen) >= 5 + 3
    assert (timed.batch, timed.runs, timed.threads, timed.subnormals) == (3, 5, threads, 0)
    assert torch.get_num_threads() == before


def test_threads_are_given_back_after_an_error():
    class Broken(nn.Module):
        def forward(self, x):
            raise ArithmeticError

    before = torch.get_num_threads()
    with pytest.raises(ArithmeticError):
        latency(Broken(), threads=before + 1)
    assert torch.get_num_threads() == before


def test_latency_is_the_median_and_quartiles_of_the_runs_after_the_warm_up(monkeypatch):
    """With a clock on which pass k takes k milliseconds: 3 of warm-up, then 4 to 10."""
    clock = {"passes": 0, "now": 0.0}

    class Slower(nn.Module):
        def forward(self, x):
            clock["passes"] += 1
            clock["now"] += clock["passes"] / 1000

    monkeypatch.setattr("time.perf_counter", lambda: clock["now"])
    timed = latency(Slower(), runs=7)
    monkeypatch.undo()
    assert (timed.quartile1, timed.median, timed.quartile3) == pytest.approx((5.5, 7, 8.5))


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30))
def test_quartiles_stay_within_the_times_however_few(times):
    low, median, high = quartiles(times)
    assert min(times) <= low <= median <= high <= max(times)


def test_costs_are_plain_numbers_for_a_record(net):
    found = costs(copy.deepcopy(net))
    assert (found["parameters"], found["macs"]) == counted([[4], [4]])
    assert found["latency_ms"].keys() == {
        "median",
        "quartile1",
        "quartile3",
        "batch",
        "runs",
        "threads",
        "subnormals",
    }
    assert all(type(value) in (int, float) for value in found["latency_ms"].values())


class Large(nn.Module):
    """For images of 224 x 224, as AlexNet: at 32 x 32 its last map would be empty."""

    size = 224

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 11, stride=4, padding=2)
        self.pool = nn.Sequential(nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2))
        self.classifier = nn.Linear(4 * 6 * 6, 10)

    def forward(self, x):
        return self.classifier(self.pool(self.stem(x)).flatten(1))


def test_a_network_is_measured_on_images_of_its_own_size():
    assert macs(Large()) == 3 * 11 * 11 * 4 * 55 * 55 + 144 * 10
    assert latency(Large(), batch=2, runs=4).median > 0
    assert costs(Large())["parameters"] == 3 * 11 * 11 * 4 + 4 + 144 * 10 + 10
