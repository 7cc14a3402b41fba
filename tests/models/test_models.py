"""Networks from specifications: what they cost, what they draw, what can be done with them."""

import json
import math

import pytest
import torch
from networks import OWN, images_for, own, random_plan, specification
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from workers import vgg_of

from labkit import measure, models, pruning
from labkit.models import Specification
from labkit.training import fingerprint
from labkit.training.convolution import fast_convolutions


def layer(inputs, outputs, kernel, size, groups=1):
    """Parameters of a convolution and its norm, and the convolution's multiply-accumulates."""
    weights = inputs // groups * outputs * kernel * kernel
    return weights + 2 * outputs, weights * size * size


def classifier(inputs, classes):
    return inputs * classes + classes, inputs * classes


def counted_vgg(spec):
    size, inputs, widths = spec.size, 3, list(spec.widths)
    for count in spec.blocks:
        for _ in range(count):
            outputs = widths.pop(0)
            yield layer(inputs, outputs, 3, size)
            inputs = outputs
        size //= 2
    yield classifier(inputs, spec.classes)


def counted_resnet(spec):
    size, widths = spec.size, list(spec.widths)
    stream = widths.pop(0)
    yield layer(3, stream, 3, size)
    for stage, count in enumerate(spec.blocks):
        for block in range(count):
            inputs, inner = stream, widths.pop(0)
            if stage and not block:
                size, stream = math.ceil(size / 2), widths.pop(0)
                yield layer(inputs, stream, 1, size)
            yield layer(inputs, inner, 3, size)
            yield layer(inner, stream, 3, size)
    yield classifier(stream, spec.classes)


def counted_mobilenet(spec):
    size, widths = spec.size, list(spec.widths)
    stream = widths.pop(0)
    yield layer(3, stream, 3, size)
    for stage, count in enumerate(spec.blocks):
        for block in range(count):
            inputs = inner = stream
            if stage:
                inner = widths.pop(0)
                yield layer(inputs, inner, 1, size)
            if not block:
                stream = widths.pop(0)
                size = math.ceil(size / (2 if stage in (2, 3, 5) else 1))
            yield layer(inner, inner, 3, size, groups=inner)
            yield layer(inner, stream, 1, size)
    head = widths.pop(0)
    yield layer(stream, head, 1, size)
    yield classifier(head, spec.classes)


COUNTED = {"vgg": counted_vgg, "resnet": counted_resnet, "mobilenet": counted_mobilenet}


def counted(spec):
    """Parameters and multiply-accumulates by plain arithmetic, from the specification alone."""
    return tuple(map(sum, zip(*COUNTED[spec.family](spec))))


def thinned(name, seed=0):
    net = own(name)
    return pruning.thin(net, random_plan(net, seed, share=0.4))


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("width, classes, size", [(1.0, 10, 32), (0.25, 7, 32), (0.1, 100, 64)])
def test_costs_follow_from_the_specification(name, width, classes, size):
    spec = models.named(name, width, classes, size)
    net = models.build(spec)
    assert (measure.parameters(net), measure.macs(net)) == counted(spec)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("seed", range(4))
def test_costs_of_thin_networks_follow_from_their_specification(name, seed):
    net = own(name)
    plan = random_plan(net, seed)
    thin = pruning.thin(net, plan)
    assert (measure.parameters(thin), measure.macs(thin)) == counted(net.specification.with_widths(plan.widths))


def test_full_networks_have_the_sizes_that_are_published():
    """VGG-19 for 10 classes; ResNet-18 with a stem for small images (11.17 M); MobileNetV2 (2.24 M, 10 classes)."""
    sizes = {
        name: measure.parameters(models.build(models.named(name))) for name in ("vgg19", "resnet18", "mobilenetv2")
    }
    assert sizes == {"vgg19": 20_035_018, "resnet18": 11_173_962, "mobilenetv2": 2_236_682}


@pytest.mark.parametrize("name", models.names())
def test_a_specification_survives_json(name):
    spec = models.named(name, 0.3, classes=5, size=48)
    assert Specification.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert (spec.classes, spec.size) == (5, 48)


@pytest.mark.parametrize("name", OWN)
def test_building_draws_nothing_from_the_global_random_state(name):
    spec = specification(name)
    before = torch.get_rng_state()
    nets = [models.build(spec, seed) for seed in (0, 0, 1, None)]
    pruning.thin(nets[0], random_plan(nets[0], 0))
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other, empty = map(fingerprint, nets)
    assert first == again
    assert len({first, other, empty}) == 3
    torch.manual_seed(123)
    assert fingerprint(models.build(spec, 0)) == first
    assert all(not parameter.any() for n, parameter in nets[3].named_parameters() if "norm" not in n)
    assert all((norm.weight == 0.5).all() and not norm.bias.any() for norm in models.norms(nets[0]).values())


def test_weights_are_drawn_as_the_literature_says():
    net = models.build(models.named("vgg19"), seed=0)
    for name, (convolution, _) in models.convolutions(net).items():
        expected = math.sqrt(2 / (9 * convolution.out_channels))
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.05), name
    bound = 1 / math.sqrt(512)
    assert 0.95 * bound < net.classifier.weight.abs().max() <= bound


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("thin", [False, True], ids=["dense", "thin"])
def test_a_network_is_exported_with_any_number_of_images(name, thin):
    net = thinned(name) if thin else own(name)
    with fast_convolutions(net):
        net(images_for(net, 40))  # what was lent is taken back
    assert not any("forward" in vars(module) for module in net.modules())
    exported = torch.export.export(net, (images_for(net, 3),), dynamic_shapes=({0: torch.export.Dim("images")},))
    for count in (1, 2, 64):
        x = images_for(net, count)
        torch.testing.assert_close(exported.module()(x), net(x), atol=1e-5, rtol=1e-5)


def test_a_thin_network_is_exported_to_onnx(tmp_path):
    net = thinned("resnet18")
    program = torch.onnx.export(
        net, (images_for(net, 3),), dynamo=True, dynamic_shapes=({0: torch.export.Dim("images")},)
    )
    program.save(tmp_path / "thin.onnx")
    assert (tmp_path / "thin.onnx").stat().st_size > 0


@pytest.mark.parametrize("name", OWN)
@torch.no_grad()
def test_a_convolution_and_its_norm_fuse(name):
    """Fusing adds a bias, which the fast product has to know."""
    net = thinned(name)
    expected = {count: net(images_for(net, count)) for count in (4, 64)}
    found = models.convolutions(net)
    assert len(found) == len(models.norms(net))
    for path, (convolution, norm) in found.items():
        follower = next(name for name, module in net.named_modules() if module is norm)
        net.set_submodule(path, fuse_conv_bn_eval(convolution, norm))
        net.set_submodule(follower, nn.Identity())
    for count, logits in expected.items():
        x = images_for(net, count)
        torch.testing.assert_close(net(x), logits, atol=1e-4, rtol=1e-4)
        with fast_convolutions(net):
            torch.testing.assert_close(net(x), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", OWN)
def test_every_norm_stands_behind_a_convolution_of_its_width(name):
    net = own(name)
    found = models.convolutions(net)
    assert [norm for _, norm in found.values()] == list(models.norms(net).values())
    assert set(found) == {path for path, module in net.named_modules() if isinstance(module, nn.Conv2d)}


def test_an_unknown_network_is_refused(refused):
    with refused("'vgg13'", "choose one of", "vgg11", "resnet18", "mobilenetv2"):
        models.named("vgg13")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "transformer"}, "no family 'transformer': choose one of vgg, resnet, mobilenet"),
        ({"widths": (4, 0, 4)}, "widths holds 0"),
        ({"widths": (4, -1, 4)}, "widths holds -1"),
        ({"widths": (4, 2.5, 4)}, "widths holds 2.5"),
        ({"widths": (4, True, 4)}, "widths holds True"),
        ({"widths": (4, 10**9, 4)}, "widths holds 1000000000"),
        ({"widths": (4, 4)}, "has 3 channel groups, but 2 widths were given"),
        ({"widths": (4,) * 4}, "has 3 channel groups, but 4 widths were given"),
        ({"blocks": (1, 0, 2)}, "blocks holds 0"),
        ({"classes": 0}, "classes holds 0"),
        ({"size": 10**6}, "size holds 1000000"),
        ({"family": "mobilenet", "blocks": (1,) * 8}, "at most 7 stages, not 8"),
    ],
)
def test_a_specification_that_no_network_has_is_refused(refused, changes, said):
    spec = Specification(**vars(vgg_of([4], [4, 4])) | changes)
    with refused(said):
        models.build(spec)


@pytest.mark.parametrize("content", [{}, {"family": "vgg"}, {"blocks": 3, "widths": 4}, {"depth": 11}])
def test_what_is_no_specification_is_refused(refused, content):
    with refused("is no specification of a network"):
        Specification.from_dict(content)


def test_a_norm_that_does_not_fit_the_convolution_before_it_is_refused(refused):
    """As in a DenseNet, where a norm reads several layers at once."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(7))
    with refused("1 (7 channels)", "behind 0 (4)", "channel_groups"):
        models.convolutions(net)


def test_the_size_of_images_is_the_networks_own():
    assert models.image_size(models.build(vgg_of([4], size=48))) == 48
    other = nn.Conv2d(3, 4, 3)
    assert models.image_size(other) == 32
    other.size = 224
    assert models.image_size(other) == 224
