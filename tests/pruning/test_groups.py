"""Channel groups: what goes together, how scores are joined, and what is refused because nobody can follow it."""

import pytest
import torch
from networks import FOREIGN, OWN, foreign, images_for, own, random_plan, shaken, shufflenet
from torch import nn
from torch.nn import functional as F

from labkit import models, pruning
from labkit.pruning import ChannelPlan, channel_groups, global_plan, masked, scaling_factors, thin


class Residual(nn.Module):
    """Two blocks that add to a stream of eight channels."""

    size = 8

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv1, self.norm1 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.stem_norm(self.stem(x)))
        x = F.relu(x + self.norm1(self.conv1(x)))
        x = F.relu(x + self.norm2(self.conv2(x)))
        return self.classifier(x.mean((2, 3)))


def plan_for(model, **kept):
    """A plan that keeps everything but in the named groups."""
    total = {name: group.width for name, group in channel_groups(model).items()}
    return ChannelPlan({name: tuple(kept.get(name, range(width))) for name, width in total.items()}, total, 0.5)


def test_a_residual_network_asked_to_keep_five_channels_keeps_five():
    net = shaken(Residual())
    small = thin(net, plan_for(net, stem=(0, 2, 3, 6, 7)))
    for layer in (small.stem, small.conv1, small.conv2):
        assert layer.out_channels == 5
    assert (small.conv1.in_channels, small.classifier.in_features) == (5, 5)
    assert torch.equal(small.conv2.weight, net.conv2.weight[[0, 2, 3, 6, 7]][:, [0, 2, 3, 6, 7]])


@pytest.mark.parametrize("ratio", [0.3, 0.6])
@pytest.mark.parametrize("name", OWN)
def test_a_global_plan_is_kept_to_the_channel(name, ratio):
    net = own(name)
    scores = scaling_factors(net)
    plan = global_plan(scores, ratio)
    small = thin(net, plan)
    assert list(small.specification.widths) == plan.widths
    assert sum(small.specification.widths) == sum(net.specification.widths) - round(
        ratio * sum(map(len, scores.values()))
    )


@pytest.mark.parametrize(
    ("join", "expected"),
    [("mean", [2.0, 3.0, 4.0]), ("sum", [6.0, 9.0, 12.0]), ("max", [3.0, 6.0, 9.0])],
)
def test_scores_of_coupled_layers_are_joined_by_a_named_rule(join, expected):
    net = Residual()
    with torch.no_grad():
        for norm, row in zip(models.norms(net).values(), ([1, 1, -1], [2, 2, 2], [-3, 6, 9])):
            norm.weight[:3] = torch.tensor(row)
            norm.weight[3:] = 0
    assert scaling_factors(net, join)["stem"].tolist() == [*expected, 0, 0, 0, 0, 0]
    if join == "mean":
        assert torch.equal(scaling_factors(net)["stem"], scaling_factors(net, join)["stem"])


def test_an_unknown_rule_is_refused(refused):
    with refused("'median'", "choose one of mean, sum, max"):
        scaling_factors(Residual(), "median")


@pytest.mark.parametrize("name", OWN)
def test_groups_are_the_specifications_in_its_order(name):
    net = own(name)
    groups = channel_groups(net)
    assert [group.width for group in groups.values()] == list(net.specification.widths)
    outputs = [layer for group in groups.values() for layer in group.layers("out")]
    assert len(outputs) == len(set(outputs)), "no layer is in two groups"
    modules = dict(net.named_modules())
    everything = {name for name, module in modules.items() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))}
    assert set(outputs) == everything
    assert {layer for layer in outputs if isinstance(modules[layer], nn.Conv2d)} == set(models.convolutions(net))


def test_depthwise_convolutions_follow_the_channels_they_work_on():
    net = own("mobilenetv2")
    small = thin(net, random_plan(net, 0))
    depthwise = {name: module for name, module in small.named_modules() if name.endswith("depthwise")}
    assert len(depthwise) == 17
    for name, module in depthwise.items():
        assert module.groups == module.in_channels == module.out_channels == module.weight.shape[0], name
        assert module.weight.shape[1] == 1
    group = channel_groups(net)["blocks.stage2_block1.expand"]
    assert group.layers("out") == [
        f"blocks.stage2_block1.{n}" for n in ("expand", "expand_norm", "depthwise", "depthwise_norm")
    ]
    assert group.layers("in") == ["blocks.stage2_block1.project"]


def test_a_depthwise_layer_of_one_channel_is_followed_as_well():
    net = shaken(models.build(models.named("mobilenetv2", 0.01, size=8), 0))
    assert min(net.specification.widths) == 1
    assert [group.width for group in channel_groups(net).values()] == list(net.specification.widths)
    plan = random_plan(net, 0)
    x = images_for(net, 3)
    torch.testing.assert_close(thin(net, plan)(x), masked(net, plan)(x), atol=1e-4, rtol=1e-4)


def test_a_group_prints_its_layers():
    printed = str(channel_groups(own("resnet18"))["blocks.stage2_block1.conv2"])
    assert printed.startswith("blocks.stage2_block1.conv2: 13 channels of ")
    for layer in ("stage2_block1.shortcut.conv", "stage2_block2.conv2", "stage2_block2.norm2"):
        assert f"blocks.{layer}" in printed.partition("read by")[0]
    for layer in ("stage2_block2.conv1", "stage3_block1.conv1", "stage3_block1.shortcut.conv"):
        assert f"blocks.{layer}" in printed.partition("read by")[2]


@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
def test_groups_without_a_specification_are_the_same(name):
    net = own(name)
    known = {n: str(group) for n, group in channel_groups(net).items()}
    net.size = models.image_size(net)
    del net.specification
    assert {n: str(group) for n, group in channel_groups(net).items()} == known


@pytest.mark.parametrize("name", FOREIGN)
def test_what_the_network_puts_out_is_no_group(name):
    net = foreign(name)
    small = thin(net, random_plan(net, 0, fewest=2, share=0.5))
    assert small(images_for(small, 2)).shape == (2, 10)


def test_groups_are_asked_for_without_changing_the_network():
    net = shaken(Residual()).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.stem.weight.requires_grad_(False)
    with torch.no_grad():
        channel_groups(net)
    assert net.training and not net.stem.weight.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_plan_for_another_network_is_refused_everywhere(refused):
    net, other = own("resnet18"), own("vgg11")
    plan = random_plan(other, 0)
    for use in (thin, masked, pruning.folded, lambda model, plan: pruning.Prepared(model).under(plan).__enter__()):
        with refused("of other layers or widths", "make it from this network's scores"):
            use(net, plan)


def test_layer_collapse_names_the_groups(refused):
    net = own("resnet18")
    plan = plan_for(net, **{"blocks.stage1_block1.conv1": (), "blocks.stage3_block2.conv1": ()})
    with refused("blocks.stage1_block1.conv1, blocks.stage3_block2.conv1 without channels", "at_least=1"):
        thin(net, plan)


class Around(nn.Module):
    """Convolution, norm, ``operation``, convolution, classifier."""

    size = 8

    def __init__(self, operation, width=8):
        super().__init__()
        self.operation = operation
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(width, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 10)

    def forward(self, x):
        x = self.operation(self.norm1(self.conv1(x)))
        return self.classifier(F.relu(self.norm2(self.conv2(x))).mean((2, 3)))


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.rand(1, 8, 1, 1))

    def forward(self, x):
        return x * self.factor


def permuted(x):
    return x[:, torch.tensor([3, 1, 2, 0, 7, 6, 5, 4])]


def shuffled(x):
    return x.view(len(x), 2, 4, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


def mixed(x):
    return torch.einsum("nchw,cd->ndhw", x, torch.eye(8))


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (lambda x: torch.fft.ifft(torch.fft.fft(x, dim=1), dim=1).real, "norm1"),
        (lambda x: x.flip(1), "norm1"),
        (lambda x: x.roll(1, 1), "norm1"),
        (lambda x: x.cumsum(1), "norm1"),
        (lambda x: x.softmax(1), "norm1"),
        (permuted, "norm1"),
        (shuffled, "norm1"),
        (mixed, "norm1"),
        (nn.Conv2d(8, 8, 3, padding=1, groups=2), "operation"),
        (nn.LayerNorm((8, 8, 8)), "operation"),
        (nn.GroupNorm(2, 8), "operation"),
        (nn.InstanceNorm2d(8, affine=True), "operation"),
        (nn.PReLU(8), "operation"),
        (Own(), "operation"),
    ],
    ids=["fft", "flip", "roll", "cumsum", "softmax", "permuted", "shuffled", "mixed", "grouped", "LayerNorm",
         "GroupNorm", "InstanceNorm", "PReLU", "parameter"],
)  # fmt: skip
def test_what_nobody_can_follow_is_refused_by_name(refused, operation, named):
    net = shaken(Around(operation))
    with refused(named):
        thin(net, plan_for(net, conv1=(0, 2, 3, 5)))


def test_a_shufflenet_is_refused(refused):
    net = shufflenet()
    with refused("followed"):
        channel_groups(net)


@pytest.mark.parametrize("operation", [torch.sigmoid, lambda x: x + 1, torch.exp, torch.cos])
def test_an_operation_that_wakes_silent_channels_is_refused(refused, operation):
    """A dropped channel would not be nothing to the next layer: 0.5 after a sigmoid."""
    net = shaken(Around(operation))
    with refused():
        thin(net, plan_for(net, conv1=(0, 2, 3, 5)))


@pytest.mark.parametrize("operation", [F.relu, F.relu6, F.hardswish, F.silu, F.gelu, torch.tanh, nn.Dropout2d()])
def test_activations_that_leave_zero_alone_are_followed(operation):
    net = shaken(Around(operation))
    plan, x = plan_for(net, conv1=(0, 2, 3, 5)), images_for(net, 4)
    torch.testing.assert_close(thin(net, plan)(x), masked(net, plan)(x), atol=1e-5, rtol=1e-5)


def test_a_group_without_norms_has_no_scaling_factors(refused):
    with refused("The channel group features.0 has no batch normalization"):
        scaling_factors(foreign("torchvision squeezenet1_1"))


def test_a_constant_that_nothing_can_absorb_is_refused(refused):
    net = shaken(Around(F.relu))
    net.norm2 = nn.Identity()
    plan = plan_for(net, conv1=(0, 2, 3, 5))
    with refused("conv2 has neither a bias nor a batch normalization"):
        pruning.folded(net, plan)


def test_images_of_another_size_than_the_networks_are_said(refused):
    net = Around(lambda x: F.max_pool2d(x, 16))
    net.size = 8
    with refused("cannot be followed on images of 8 x 8", "attribute size", "too small"):
        channel_groups(net)
