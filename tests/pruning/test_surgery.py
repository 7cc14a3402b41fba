"""Masks, surgery, folding and recalibration of small VGGs; other families are in test_families."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from workers import vgg

from labkit import models
from labkit.pruning import ChannelPlan, folded, global_plan, masked, random_scores, scaling_factors, thin
from labkit.training import fingerprint, recalibrate

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}
RATIOS = st.floats(0, 1, exclude_max=True)


@st.composite
def stages(draw, fewest=1, most=5, pools=True):
    """The widths of a VGG by stage, ``fewest`` to ``most`` convolutions in all."""
    found = [[]]
    for _ in range(draw(st.integers(fewest, most))):
        if pools and found[-1] and draw(st.booleans()):
            found.append([])
        found[-1].append(draw(st.integers(1, 9)))
    return found


@st.composite
def networks(draw, widths=stages()):  # noqa: B008
    """A network whose norms have random statistics and factors: negative ones, zeros and exact ties."""
    seed = draw(st.integers(0, 10**6))
    torch.manual_seed(seed)
    net = vgg(*draw(widths), seed=seed)
    grid = draw(st.sampled_from([0, 1, 4]))  # 0: no ties
    with torch.no_grad():
        for norm in models.norms(net).values():
            norm.weight.normal_()
            if grid:
                norm.weight.copy_((norm.weight * grid).round() / grid)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return net.eval()


def images(count=3):
    return torch.randn(count, 3, 32, 32)


def reachable_plan(scores, ratio):
    channels = sum(map(len, scores.values()))
    assume(round(ratio * channels) <= channels - len(scores))
    return global_plan(scores, ratio)


def plan_without(net, dropped):
    """The plan that drops the given channels, by layer."""
    total = {name: conv.out_channels for name, (conv, _) in models.convolutions(net).items()}
    kept = {name: tuple(c for c in range(n) if c not in dropped.get(name, ())) for name, n in total.items()}
    return ChannelPlan(kept, total, requested=0.5)


@torch.no_grad()
def drop_constants(net, data, names):
    """Set γ = 0 in random channels of the named layers, never in all; which channels those are."""
    dropped = {}
    for name in names:
        norm = models.convolutions(net)[name][1]
        width = len(norm.weight)
        dropped[name] = data.draw(st.sets(st.integers(0, width - 1), max_size=width - 1))
        norm.weight[list(dropped[name])] = 0
    return dropped


def changes(before, after):
    """The names of the tensors in which two networks differ."""
    after = after.state_dict()
    return {name for name, value in before.state_dict().items() if not torch.equal(value, after[name])}


@given(networks())
def test_scores_are_the_magnitudes_of_the_scaling_factors(net):
    scores = scaling_factors(net)
    assert scores.keys() == models.convolutions(net).keys()
    for name, (_, norm) in models.convolutions(net).items():
        assert scores[name].tolist() == [abs(gamma) for gamma in norm.weight.tolist()]
        assert not scores[name].requires_grad


@given(networks(), RATIOS)
@torch.no_grad()
def test_thin_network_computes_what_the_masked_one_does(net, ratio):
    with torch.enable_grad():
        plan = reachable_plan(scaling_factors(net), ratio)
        small = thin(net, plan)
    x = images()
    torch.testing.assert_close(small(x), masked(net, plan)(x), **CLOSE)
    assert small.specification == net.specification.with_widths(plan.widths)
    rebuilt = models.build(small.specification).state_dict()
    assert {n: t.shape for n, t in small.state_dict().items()} == {n: t.shape for n, t in rebuilt.items()}


@given(networks(), RATIOS, st.integers(0, 10**6))
@torch.no_grad()
def test_thin_serves_any_choice_of_channels(net, ratio, seed):
    plan, x = reachable_plan(random_scores(scaling_factors(net), seed), ratio), images()
    with torch.enable_grad():
        small = thin(net, plan)
    torch.testing.assert_close(small(x), masked(net, plan)(x), **CLOSE)


@given(networks(stages(fewest=2)), st.data())
def test_without_guard_a_layer_may_collapse_and_thin_names_it(refused, net, data):
    total = {name: conv.out_channels for name, (conv, _) in models.convolutions(net).items()}
    victim = data.draw(st.sampled_from(sorted(total)))
    scores = {name: torch.full((n,), float(name != victim)) for name, n in total.items()}
    ratio = total[victim] / sum(total.values())
    plan = global_plan(scores, ratio, at_least=0)
    assert [name for name, kept in plan.kept.items() if not kept] == [victim]
    with refused(f"leaves {victim} without channels", "at_least=1"):
        thin(net, plan)


@given(networks(), networks())
def test_plan_of_another_network_is_refused(refused, net, other):
    plan = global_plan(scaling_factors(other), 0)
    assume(plan.total != global_plan(scaling_factors(net), 0).total)
    with refused("of other layers or widths", "make it from this network's scores"):
        thin(net, plan)


@given(networks(), RATIOS)
def test_parent_is_never_changed(tiny_data, net, ratio):
    net.train(ratio < 0.5)
    before, mode, specification = fingerprint(net), net.training, net.specification
    plan = reachable_plan(scaling_factors(net), ratio)
    for change in (thin, masked, folded):
        change(net, plan)
    recalibrate(net, tiny_data.train[:20])
    assert (fingerprint(net), net.training, net.specification) == (before, mode, specification)


@given(networks(), RATIOS)
def test_thin_copies_statistics_of_a_network_in_training_mode(net, ratio):
    plan = reachable_plan(scaling_factors(net), ratio)
    expected = thin(net, plan).state_dict()
    actual = thin(net.train(), plan).state_dict()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())
    variance = net.features.norm1.running_var[plan.mask("features.conv1")]
    assert torch.equal(expected["features.norm1.running_var"], variance)


@given(networks(), RATIOS)
def test_folding_changes_only_means_and_the_classifiers_bias(net, ratio):
    plan = reachable_plan(scaling_factors(net), ratio)
    after = folded(net, plan)
    later_means = {f"features.norm{i + 1}.running_mean" for i in range(1, len(plan.kept))}
    assert changes(net, after) <= later_means | {"classifier.bias"}
    assert global_plan(scaling_factors(after), ratio) == plan


@given(networks(), RATIOS)
def test_recalibration_changes_only_running_statistics(tiny_data, net, ratio):
    plan = reachable_plan(scaling_factors(net), ratio)
    after = recalibrate(net, tiny_data.train[:30])
    changed = changes(net, after)
    assert "features.norm1.running_mean" in changed
    assert {name.rpartition(".")[2] for name in changed} <= STATISTICS
    assert global_plan(scaling_factors(after), ratio) == plan


@given(networks(), st.data())
@torch.no_grad()
def test_folding_is_exact_in_the_last_layer(net, data):
    name = list(models.convolutions(net))[-1]
    plan = plan_without(net, drop_constants(net, data, [name]))
    x = images()
    with torch.enable_grad():
        small = thin(folded(net, plan), plan)
    torch.testing.assert_close(small(x), net(x), **CLOSE)


@given(networks(stages(2, 4, pools=False)), st.data())
@torch.no_grad()
def test_folding_is_exact_inside_the_image(net, data):
    *inner, last = models.convolutions(net)
    plan = plan_without(net, drop_constants(net, data, inner))
    inside = slice(len(inner), -len(inner))  # each padded convolution after a dropped channel spoils one ring
    x = images()
    with torch.enable_grad():
        small = thin(folded(net, plan), plan)
    expected, actual = net.features(x), small.features(x)
    torch.testing.assert_close(actual[..., inside, inside], expected[..., inside, inside], **CLOSE)


@torch.no_grad()
def test_dropping_a_constant_without_folding_changes_the_output():
    net = vgg([4, 4]).eval()
    net.features.norm2.weight[:2], net.features.norm2.bias[:2] = 0, 1
    plan, x = plan_without(net, {"features.conv2": {0, 1}}), images()
    with torch.enable_grad():
        bare, mended = thin(net, plan), thin(folded(net, plan), plan)
    assert (bare(x) - net(x)).abs().max() > 0.01
    torch.testing.assert_close(mended(x), net(x), **CLOSE)


@torch.no_grad()
def test_full_width_vgg19_becomes_thin_and_rebuilds_from_its_specification():
    net = models.build(models.named("vgg19"), seed=0).eval()
    for norm in models.norms(net).values():
        norm.weight.uniform_()
        norm.bias.normal_(std=0.1)
    plan = global_plan(scaling_factors(net), 0.7)
    with torch.enable_grad():
        small = thin(net, plan)
    assert small.specification == net.specification.with_widths(plan.widths)
    assert sum(plan.widths) == 5504 - round(0.7 * 5504)

    rebuilt, x = models.build(small.specification).eval(), images(2)
    rebuilt.load_state_dict(small.state_dict())
    torch.testing.assert_close(rebuilt(x), small(x), **CLOSE)
    torch.testing.assert_close(small(x), masked(net, plan)(x), **CLOSE)


def test_thin_serves_frozen_networks_and_no_grad_callers():
    net = vgg([6], [6]).eval().requires_grad_(False)
    plan = global_plan(scaling_factors(net), 0.5)
    with torch.no_grad():
        slim = thin(net, plan)
    assert list(slim.specification.widths) == plan.widths
    assert not any(parameter.requires_grad for parameter in net.parameters())
