"""Every family, and networks that the project did not write, over random plans: widths are exactly the plan's,
and the thin network computes what the masked one does, also where training and evaluation are fast."""

import copy
from functools import cache

import pytest
import torch
from networks import FOREIGN, OWN, foreign, images_for, own, random_plan, shaken
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from labkit import models, pruning
from labkit.training import evaluate, fingerprint
from labkit.training.convolution import ConvolutionOf2x2, fast_convolutions

PLANS = 4
NETWORKS = [*OWN, *FOREIGN]


@cache
def network(name):
    return own(name) if name in OWN else foreign(name)


def assert_alike(actual, expected, alive=True):
    """Within 1e-4 of the largest value; ``alive``: the images matter, so that this says something."""
    largest = float(expected.abs().max())
    assert float(expected.std(0).max()) > 1e-3 * largest * alive
    assert float((actual - expected).abs().max()) <= 1e-4 * largest


@pytest.fixture
def products(monkeypatch):
    """How often the fast product was taken, in a list of one."""
    count, original = [0], ConvolutionOf2x2.apply

    def counted(*arguments):
        count[0] += 1
        return original(*arguments)

    monkeypatch.setattr(ConvolutionOf2x2, "apply", counted)
    return count


@pytest.mark.parametrize("seed", range(PLANS))
@pytest.mark.parametrize("name", OWN)
@torch.no_grad()
def test_thin_masked_and_prepared_networks_are_one_function(name, seed, products):
    net = network(name)
    alive = seed % 2 == 0  # hardly anything passes where a layer has one channel left
    plan = random_plan(net, seed, share=0.6 if alive else None)
    before = fingerprint(net)
    thin, masked, prepared = pruning.thin(net, plan), pruning.masked(net, plan), pruning.Prepared(net)
    assert list(thin.specification.widths) == plan.widths
    for count in (3, 64):
        x = images_for(net, count, seed)
        expected = masked(x)
        assert_alike(thin(x), expected, alive)
        products[0] = 0
        with fast_convolutions(thin), fast_convolutions(masked):
            assert_alike(thin(x), expected, alive)
            assert_alike(masked(x), expected, alive)
        assert bool(products[0]) == (count == 64 and name != "mobilenetv2")
        with prepared.under(plan) as silent:
            assert_alike(silent(x), expected, alive)
    assert fingerprint(net) == fingerprint(prepared.model) == before


@pytest.mark.parametrize("name", FOREIGN)
@torch.no_grad()
def test_a_network_that_the_project_did_not_write_is_pruned_as_well(name):
    net = network(name)
    before = fingerprint(net)
    for seed in range(1 if name == "torchvision resnet18" else 2):
        plan = random_plan(net, seed, fewest=2, share=0.5)
        thin, masked, prepared = pruning.thin(net, plan), pruning.masked(net, plan), pruning.Prepared(net)
        assert {group: found.width for group, found in pruning.channel_groups(thin).items()} == {
            group: len(kept) for group, kept in plan.kept.items()
        }
        for count in (3, 64):
            x = images_for(net, count, seed)
            expected = masked(x)
            assert_alike(thin(x), expected)
            with fast_convolutions(thin):
                assert_alike(thin(x), expected)
            with prepared.under(plan) as silent:
                assert_alike(silent(x), expected)
        assert fingerprint(net) == fingerprint(prepared.model) == before


@pytest.mark.parametrize("name", OWN)
def test_layers_are_as_wide_as_the_plan_says_and_rebuild_from_their_specification(name):
    net = network(name)
    plan = random_plan(net, seed=7)
    thin = pruning.thin(net, plan)
    rows = {
        layer: len(kept)
        for group, kept in plan.kept.items()
        for layer in pruning.channel_groups(net)[group].layers("out")
    }
    modules = dict(thin.named_modules())
    for layer, width in rows.items():
        module = modules[layer]
        assert module.weight.shape[0] == width == getattr(module, "out_channels", getattr(module, "num_features", None))
    rebuilt = models.build(thin.specification).eval()
    rebuilt.load_state_dict(thin.state_dict())
    for mine, built in zip(thin.modules(), rebuilt.modules(), strict=True):
        assert str(mine) == str(built)
    x = images_for(net, 5)
    assert torch.equal(thin(x), rebuilt.to(memory_format=torch.channels_last)(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_bit_is_back_after_a_plan_also_after_an_error(name):
    prepared = pruning.Prepared(network(name))
    plan, before = random_plan(network(name), seed=3), fingerprint(prepared.model)
    with prepared.under(plan):
        assert fingerprint(prepared.model) != before
    assert fingerprint(prepared.model) == before
    with pytest.raises(ZeroDivisionError), prepared.under(plan):
        raise ZeroDivisionError
    assert fingerprint(prepared.model) == before


@pytest.mark.parametrize("name", OWN)
def test_a_scan_has_the_accuracies_of_the_thin_networks(name, tiny_data, float32):
    if models.image_size(network(name)) != 32:
        net = models.build(models.named(name, 0.1), seed=1).eval()
    else:
        net = copy.deepcopy(network(name))
    plans = [random_plan(net, seed, share=0.7) for seed in range(3)]
    plans.append(pruning.global_plan(pruning.scaling_factors(net), 0.0))
    images = tiny_data.train[:64]
    scanned = pruning.Prepared(net).accuracies(plans, images, batch=40)
    assert scanned == pytest.approx([evaluate(pruning.thin(net, plan), images, 40) for plan in plans])
    assert scanned[-1] == pytest.approx(evaluate(net, images, 40))


@torch.no_grad()
def test_folding_a_mobilenet_is_exact():
    """Every layer that reads a dropped channel is 1x1 or a mean, except the depthwise ones, whose own γ is 0."""
    net = copy.deepcopy(network("mobilenetv2"))
    plan, modules = random_plan(net, seed=5, share=0.6), dict(net.named_modules())
    for name, group in pruning.channel_groups(net).items():
        for member in group.members:
            if isinstance(modules[member.layer], nn.BatchNorm2d):
                modules[member.layer].weight[member.dropped(plan.mask(name))] = 0
    x = images_for(net, 6)
    assert_alike(pruning.thin(pruning.folded(net, plan), plan)(x), net(x))
    assert (pruning.thin(net, plan)(x) - net(x)).abs().max() > 0.01


@torch.no_grad()
def test_folding_a_resnet_is_exact_inside_the_image():
    """Each of the four padded convolutions behind the stem spoils one ring of the maps."""
    net = shaken(models.build(models.Specification("resnet", (2,), (6, 5, 7), size=16), seed=0))
    plan, modules = random_plan(net, seed=1), dict(net.named_modules())
    groups = pruning.channel_groups(net)
    for name, group in groups.items():
        for member in group.members:
            if isinstance(modules[member.layer], nn.BatchNorm2d):
                modules[member.layer].weight[member.dropped(plan.mask(name))] = 0
    assert min(plan.widths) < 5, "something is dropped"
    x, inside = images_for(net, 4), slice(4, -4)
    stream = list(plan.kept[next(iter(groups))])
    mended, bare = (_after_blocks(pruning.thin(model, plan), x) for model in (pruning.folded(net, plan), net))
    expected = _after_blocks(net, x)[:, stream]
    assert_alike(mended[..., inside, inside], expected[..., inside, inside])
    assert (bare - expected)[..., inside, inside].abs().max() > 0.01


def _after_blocks(model, x):
    for step in model.steps()[: model.steps().index(model.pool)]:
        x = step(x)
    return x


@pytest.mark.parametrize("name", [name for name in FOREIGN if "v3" not in name])  # that one takes long
def test_a_thin_network_of_somebody_else_is_exported_with_any_number_of_images(name):
    net = network(name)
    thin = pruning.thin(net, random_plan(net, 0, fewest=2, share=0.5))
    exported = torch.export.export(thin, (images_for(net, 3),), dynamic_shapes=({0: torch.export.Dim("images")},))
    for count in (1, 40):
        x = images_for(net, count)
        torch.testing.assert_close(exported.module()(x), thin(x), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_convolutions_and_norms_of_somebody_elses_thin_network_fuse():
    net = network("torchvision resnet18")
    thin = pruning.thin(net, random_plan(net, 0, fewest=2, share=0.5))
    expected = {count: thin(images_for(net, count)) for count in (4, 64)}
    found = models.convolutions(thin)
    assert len(found) == 20
    for path, (convolution, norm) in found.items():
        follower = next(name for name, module in thin.named_modules() if module is norm)
        thin.set_submodule(path, fuse_conv_bn_eval(convolution, norm))
        thin.set_submodule(follower, nn.Identity())
    for count, logits in expected.items():
        x = images_for(net, count)
        assert_alike(thin(x), logits)
        with fast_convolutions(thin):
            assert_alike(thin(x), logits)
