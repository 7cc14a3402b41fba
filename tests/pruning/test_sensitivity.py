"""A scan of every channel group alone says what cutting and judging each network anew says."""

import pytest
import torch
from networks import own
from torch import nn

from labkit import models, pruning
from labkit.data import Images, normalise
from labkit.pruning import Prepared, alone, sensitivity
from labkit.pruning.prepared import _read
from labkit.training import evaluate, fingerprint, recalibrate

RATIOS = (0.5, 0.0, 0.3)  # in no order, one without effect


def images_of(tiny_data, size=32, count=40):
    """Shapes of ``size`` x ``size`` pixels."""
    some = tiny_data.train[:count]
    return Images(some.pixels[:, :: 32 // size, :: 32 // size].contiguous(), some.labels)


def seeing(name, tiny_data):
    """A shaken network that takes the shapes for different classes."""
    return recalibrate(own(name), tiny_data.train[:40])


def scores_of(net):
    return pruning.random_scores(pruning.scaling_factors(net), seed=0)


def assert_close(actual, expected):
    assert float((actual - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize(("name", "every"), [("vgg11", 1), ("resnet18", 2), ("mobilenetv2", 8)])
@torch.no_grad()
def test_a_scan_has_the_accuracies_and_logits_of_the_thin_networks(name, every, tiny_data, float32):
    images = images_of(tiny_data, models.image_size(own(name)))
    net, x = seeing(name, tiny_data), normalise(images.pixels)
    scores, before = scores_of(net), fingerprint(net)
    found = sensitivity(net, scores, RATIOS, images, batch=33)
    assert list(found) == list(scores) and fingerprint(net) == before
    assert len({accuracy for accuracies in found.values() for accuracy in accuracies}) > 2, "pruning is seen"
    compared = [(group, ratio) for group in list(scores)[::-every] for ratio in RATIOS]
    plans, prepared = [alone(scores, *pair) for pair in compared], Prepared(net)
    logits = dict(prepared.logits(plans, x))
    assert len(logits) == len(plans) and fingerprint(prepared.model) == before
    for number, (group, ratio) in enumerate(compared):
        thin = pruning.thin(net, plans[number])
        assert found[group][RATIOS.index(ratio)] == evaluate(thin, images, 33)
        assert_close(logits[number], thin(x))


@pytest.mark.parametrize("kept", [[(0, 1), (1, 2), (0,)], [(0, 1), (), (1,)], [()], [(0, 2), (0, 2), (0,)]])
@torch.no_grad()
def test_any_plans_of_one_group_are_right(kept, tiny_data):
    """Also those that are not nested, that leave no channel, or that are one."""
    x = normalise(images_of(tiny_data).pixels)
    net = seeing("vgg11", tiny_data)
    whole = alone(scores_of(net), "features.conv3", 0.0)
    plans = [pruning.ChannelPlan(whole.kept | {"features.conv3": some}, whole.total, 0.5) for some in kept]
    for number, logits in Prepared(net).logits(plans, x):
        assert_close(logits, pruning.masked(net, plans[number])(x))


@torch.inference_mode()
def test_in_half_precision_parts_are_rounded_together():
    """Ten parts of a linear layer's output are one product, rounded once."""
    layer, x = nn.Linear(40, 7), torch.randn(5, 40).bfloat16()
    kept = torch.arange(40) < torch.arange(4, 41, 4)[:, None]
    outputs = list(_read(layer, x, kept))
    weight, bias = (parameter.bfloat16().double() for parameter in (layer.weight, layer.bias))
    for keep, output in zip(kept, outputs, strict=True):
        exact = x.double() @ (weight * keep).t() + bias
        assert output.dtype == torch.bfloat16
        torch.testing.assert_close(output.double(), exact, rtol=2**-8, atol=1e-6)


def test_alone_prunes_one_group_and_no_other():
    scores = {"a": torch.tensor([3.0, 1.0, 2.0, 4.0]), "b": torch.tensor([0.0, 0.1])}
    plan = alone(scores, "a", 0.5)
    assert plan.kept == {"a": (0, 3), "b": (0, 1)} and plan.total == {"a": 4, "b": 2} and plan.requested == 0.5
    assert alone(scores, "b", 0.5, at_least=0).kept == {"a": (0, 1, 2, 3), "b": (1,)}


def test_what_cannot_be_scanned_is_refused(tiny_data, refused):
    net, images = own("vgg11"), tiny_data.train[:10]
    scores = pruning.scaling_factors(net)
    first = next(iter(scores))
    for ratio in (-0.1, 1.0, 1.5, float("nan")):
        with refused("prune ratio", ratio):
            sensitivity(net, scores, [0.5, ratio], images)
    with refused("no scores of a channel group 'conv'", first):
        alone(scores, "conv", 0.5)
    for wrong in (scores | {"conv": torch.rand(4)}, {first: scores[first]}, scores | {first: torch.rand(3)}):
        with refused("other layers or widths"):
            sensitivity(net, wrong, [0.5], images)
