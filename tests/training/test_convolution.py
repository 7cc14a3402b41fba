"""The 2x2 product: equal to PyTorch's convolution wherever it is taken, and never left behind."""

import copy

import pytest
import torch
from networks import images_for, own, random_plan
from torch import nn
from torch.nn import functional as F
from workers import tiny_fit, vgg

from labkit import pruning
from labkit.training import evaluate, recalibrate
from labkit.training.convolution import WORTHWHILE, ConvolutionOf2x2, fast_convolutions


def convolution_of(inputs, outputs, bias=False):
    torch.manual_seed(0)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


@pytest.mark.parametrize("inputs, outputs", [(3, 5), (8, 8), (1, 1)])
@pytest.mark.parametrize("size", [(2, 2), (4, 4), (1, 1), (2, 4)])
@pytest.mark.parametrize("images", [1, WORTHWHILE - 1, WORTHWHILE, 40])
@pytest.mark.parametrize("bias", [False, True])
def test_convolution_equals_pytorchs_with_its_gradients(inputs, outputs, size, images, bias):
    convolution = convolution_of(inputs, outputs, bias).double()
    x = torch.randn(images, inputs, *size, dtype=torch.double, requires_grad=True)
    gradient = torch.randn(images, outputs, *size, dtype=torch.double)
    wanted = (x, *convolution.parameters())
    reference = F.conv2d(x, convolution.weight, convolution.bias, padding=1)
    expected = torch.autograd.grad(reference, wanted, gradient)
    with fast_convolutions(convolution):
        y = convolution(x)
        found = torch.autograd.grad(y, wanted, gradient)
    assert ("ConvolutionOf2x2" in str(_history(y))) == (size == (2, 2) and images >= WORTHWHILE)
    for a, b in zip((y, *found), (reference, *expected)):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("stride", [2, (2, 1), 3])
@pytest.mark.parametrize("size, bias", [((8, 8), False), ((7, 5), True), ((1, 1), False)])
@pytest.mark.parametrize("inputs", [1, 7, 16])
def test_strided_1x1_convolution_equals_pytorchs_with_its_gradients(inputs, size, bias, stride):
    convolution = nn.Conv2d(inputs, 5, 1, stride, bias=bias).double()  # oneDNN has no float64, so its fault is not met
    x = torch.randn(40, inputs, *size, dtype=torch.double, requires_grad=True)
    wanted = (x, *convolution.parameters())
    reference = convolution(x)
    gradient = torch.randn_like(reference)
    expected = torch.autograd.grad(reference, wanted, gradient)
    with fast_convolutions(convolution):
        y = convolution(x)
        found = torch.autograd.grad(y, wanted, gradient)
    assert "SliceBackward0" in _history(y)
    for a, b in zip((y, *found), (reference, *expected)):
        assert torch.allclose(a, b, atol=1e-12)


def test_shortcut_with_few_channels_has_the_right_gradient():
    """oneDNN's own fails or crashes here (oneDNN #6035): the network that global pruning leaves of a ResNet."""
    exact = nn.Conv2d(3, 5, 1, stride=2, bias=False).double()
    convolution = copy.deepcopy(exact).float().to(memory_format=torch.channels_last)
    x = torch.randn(50, 3, 32, 32)
    exact(x.double()).square().sum().backward()
    with fast_convolutions(convolution):
        convolution(x.contiguous(memory_format=torch.channels_last)).square().sum().backward()
    assert torch.allclose(convolution.weight.grad.double(), exact.weight.grad, rtol=1e-4)


def _history(y):
    waiting, seen = [y.grad_fn], []
    while waiting:
        if node := waiting.pop():
            seen.append(type(node).__name__)
            waiting += [following for following, _ in node.next_functions]
    return seen


def test_convolution_of_2x2_in_half_precision_is_as_exact_as_pytorchs():
    convolution, x = convolution_of(32, 16), torch.randn(40, 32, 2, 2)
    exact = F.conv2d(x, convolution.weight, padding=1)
    with torch.autocast("cpu", torch.bfloat16), fast_convolutions(convolution):
        half, ours = F.conv2d(x, convolution.weight, padding=1), convolution(x.bfloat16())
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).abs().max() <= 2 * (half - exact).abs().max()


@pytest.mark.parametrize("bias", [False, True])
def test_autocast_with_pooling_straight_to_2x2_works(bias):
    """The pooled images are float32, the product's weights half."""
    net = nn.Sequential(nn.MaxPool2d(16), convolution_of(3, 8, bias), nn.Flatten(), nn.Linear(32, 10))
    x, y = torch.randn(40, 3, 32, 32), torch.arange(40) % 10
    gradients = {}
    for fast in (False, True):
        network = copy.deepcopy(net)
        with torch.autocast("cpu", torch.bfloat16):
            if fast:
                with fast_convolutions(network):
                    loss = F.cross_entropy(network(x), y)
                    assert "ConvolutionOf2x2Backward" in _history(loss)
            else:
                loss = F.cross_entropy(network(x), y)
        loss.backward()
        gradients[fast] = [loss.detach(), *(p.grad for p in network.parameters())]
    for plain, ours in zip(gradients[False], gradients[True], strict=True):
        assert ours.dtype == torch.float32
        assert (ours - plain).norm() <= 0.02 * plain.norm()


@pytest.mark.parametrize("name", ["vgg11", "vgg19", "resnet18"])
def test_a_network_in_half_precision_has_nearly_the_plain_gradients(name):
    net = own(name).train()
    x, y = images_for(net, 64), torch.arange(64) % 10
    gradients = {}
    for fast in (False, True):
        network = copy.deepcopy(net)
        with torch.autocast("cpu", torch.bfloat16):
            if fast:
                with fast_convolutions(network):
                    loss = F.cross_entropy(network(x), y)
            else:
                loss = F.cross_entropy(network(x), y)
        loss.backward()
        gradients[fast] = [loss.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])]
    for plain, ours in zip(gradients[False], gradients[True], strict=True):
        assert (ours - plain).norm() <= 0.1 * plain.norm()


def second_derivatives(net, x, fast):
    """The derivative, along the gradient itself, of the loss's gradient with respect to the weights."""
    y, weights = torch.arange(len(x)) % 10, list(net.parameters())

    def gradient():
        return torch.autograd.grad(F.cross_entropy(net(x), y), weights, create_graph=True)

    if fast:
        with fast_convolutions(net):
            first = gradient()
    else:
        first = gradient()
    return torch.autograd.grad(sum((g * g.detach()).sum() for g in first), weights), first


def test_a_second_derivative_is_right_outside_and_refused_inside():
    net = vgg([3], [4], [4], [4], [5, 5]).double().eval()
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.constant_(norm.bias, 0.5)  # no ReLU switches within the step below
    x = images_for(net, WORTHWHILE).double()
    second, first = second_derivatives(net, x, fast=False)

    step, moved = 1e-5, []
    for sign in (1, -1):
        other = copy.deepcopy(net)
        with torch.no_grad():
            for weight, g in zip(other.parameters(), first):
                weight += sign * step * g
        loss = F.cross_entropy(other(x), torch.arange(len(x)) % 10)
        moved.append(torch.autograd.grad(loss, list(other.parameters())))
    for exact, up, down in zip(second, *moved, strict=True):
        assert (exact - (up - down) / (2 * step)).norm() <= 1e-2 * exact.norm() + 1e-6
    with pytest.raises(RuntimeError, match="no second derivatives inside fast_convolutions"):
        second_derivatives(net, x, fast=True)


def test_what_was_lent_is_taken_back_also_after_an_error_and_inside_itself():
    net = own("vgg11")
    with pytest.raises(ZeroDivisionError), fast_convolutions(net):
        assert sum("forward" in vars(module) for module in net.modules()) == 8
        with fast_convolutions(net):
            pass
        assert sum("forward" in vars(module) for module in net.modules()) == 8
        raise ZeroDivisionError
    assert not any("forward" in vars(module) for module in net.modules())


def test_only_plain_3x3_convolutions_are_lent_the_product():
    others = nn.ModuleList(
        [
            nn.Conv2d(4, 4, 3, padding=1, groups=4),
            nn.Conv2d(4, 4, 3, padding=1, stride=2),
            nn.Conv2d(4, 4, 3, padding=2, dilation=2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(4, 4, 3, padding="same"),
            nn.Conv2d(4, 4, 1),
            nn.Conv2d(4, 4, 3),
            nn.Conv1d(4, 4, 3, padding=1),
            nn.ConvTranspose2d(4, 4, 3, padding=1),
        ]
    )
    with fast_convolutions(others):
        assert not any("forward" in vars(module) for module in others)


def test_training_evaluation_and_recalibration_use_the_product_and_leave_none(tmp_path, tiny_data, monkeypatch):
    taken, original = [], ConvolutionOf2x2.apply
    monkeypatch.setattr(ConvolutionOf2x2, "apply", lambda *args: taken.append(1) or original(*args))
    net = own("vgg11")
    for use in (lambda: evaluate(net, tiny_data.validation), lambda: recalibrate(net, tiny_data.train[:100])):
        taken.clear()
        use()
        assert taken and not any("forward" in vars(module) for module in net.modules())
    assert not any("forward" in vars(module) for module in recalibrate(net, tiny_data.train[:50]).modules())
    thin = pruning.thin(net, random_plan(net, 0))
    assert not any("forward" in vars(module) for module in thin.modules())
    record = tiny_fit(tmp_path / "run", 1)
    assert not any("forward" in vars(module) for module in record.model().modules())
