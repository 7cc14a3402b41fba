import json
import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from labkit.models import VGGNet, prunable, vgg_channels
from labkit.pruning import ChannelPlan, folded, global_plan, masked, random_scores, scaling_factors, thin
from labkit.training import fingerprint, recalibrate

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}
RATIOS = st.floats(0, 1, exclude_max=True)


@st.composite
def channel_lists(draw, fewest=1, most=5, pools=True):
    channels = ["M"] * draw(st.booleans()) if pools else []
    for _ in range(draw(st.integers(fewest, most))):
        channels.append(draw(st.integers(1, 9)))
        if pools and channels.count("M") < 5 and draw(st.booleans()):
            channels.append("M")
    return channels


@st.composite
def networks(draw, channels=channel_lists()):  # noqa: B008
    """A network whose norms have random statistics and factors: negative ones, zeros and exact ties."""
    torch.manual_seed(draw(st.integers(0, 10**6)))
    net = VGGNet(draw(channels))
    grid = draw(st.sampled_from([0, 1, 4]))  # 0: no ties
    with torch.no_grad():
        for _, norm in prunable(net).values():
            norm.weight.normal_()
            if grid:
                norm.weight.copy_((norm.weight * grid).round() / grid)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return net.eval()


def lists_of_scores(low=-3, high=3):
    """By layer, a few numbers with many ties."""
    row = st.lists(st.integers(low, high).map(float), min_size=1, max_size=9).map(torch.tensor)
    return st.lists(row, min_size=1, max_size=5).map(lambda rows: {f"l{i}": r for i, r in enumerate(rows)})


def channels_of(scores):
    return sum(len(score) for score in scores.values())


def free_channels(scores, at_least):
    return sum(max(0, len(score) - at_least) for score in scores.values())


def plain_plan(scores, count, at_least):
    """What stays, in plain Python: walk up the ranking, skip each layer's ``at_least`` last."""
    ranking = sorted(
        (score, layer, channel)
        for layer, row in enumerate(scores.values())
        for channel, score in enumerate(row.tolist())
    )
    left = [len(row) for row in scores.values()]
    dropped = set()
    for _, layer, channel in ranking:
        if len(dropped) < count and left[layer] > at_least:
            dropped.add((layer, channel))
            left[layer] -= 1
    return {
        name: tuple(c for c in range(len(row)) if (layer, c) not in dropped)
        for layer, (name, row) in enumerate(scores.items())
    }


def images(count=3):
    return torch.randn(count, 3, 32, 32)


def reachable_plan(net, ratio, at_least=1):
    scores = scaling_factors(net)
    assume(round(ratio * channels_of(scores)) <= free_channels(scores, at_least))
    return global_plan(scores, ratio, at_least)


def plan_without(net, dropped):
    """The plan that drops the given channels, by layer."""
    total = {name: conv.out_channels for name, (conv, _) in prunable(net).items()}
    kept = {name: tuple(c for c in range(n) if c not in dropped.get(name, ())) for name, n in total.items()}
    return ChannelPlan(kept, total, requested=0.5)


@torch.no_grad()
def drop_constants(net, data, names):
    """Set γ = 0 in random channels of the named layers, never in all; which channels those are."""
    dropped = {}
    for name in names:
        norm = prunable(net)[name][1]
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
    assert scores.keys() == prunable(net).keys()
    for name, (_, norm) in prunable(net).items():
        assert scores[name].tolist() == [abs(gamma) for gamma in norm.weight.tolist()]
        assert not scores[name].requires_grad


@given(networks(), RATIOS)
@torch.no_grad()
def test_thin_network_computes_what_the_masked_one_does(net, ratio):
    with torch.enable_grad():
        plan = reachable_plan(net, ratio)
        small = thin(net, plan)
    x = images()
    torch.testing.assert_close(small(x), masked(net, plan)(x), **CLOSE)
    assert [c for c in small.channels if c != "M"] == plan.widths
    rebuilt = VGGNet(small.channels).state_dict()
    assert {n: t.shape for n, t in small.state_dict().items()} == {n: t.shape for n, t in rebuilt.items()}


@given(networks(), RATIOS, st.integers(0, 10**6))
@torch.no_grad()
def test_thin_serves_any_choice_of_channels(net, ratio, seed):
    scores = random_scores(scaling_factors(net), seed)
    assume(round(ratio * channels_of(scores)) <= free_channels(scores, 1))
    plan, x = global_plan(scores, ratio), images()
    with torch.enable_grad():
        small = thin(net, plan)
    torch.testing.assert_close(small(x), masked(net, plan)(x), **CLOSE)


@given(lists_of_scores(), RATIOS, st.integers(0, 3))
def test_plan_is_the_plain_ranking_and_its_count_is_exact(scores, ratio, at_least):
    total = channels_of(scores)
    count = round(ratio * total)
    assume(count <= free_channels(scores, at_least))
    plan = global_plan(scores, ratio, at_least)
    assert plan.kept == plain_plan(scores, count, at_least)
    assert sum(plan.widths) == total - count
    assert plan.total == {name: len(score) for name, score in scores.items()}
    assert plan.requested == ratio
    assert plan.achieved == pytest.approx(count / total)


@given(lists_of_scores(low=0, high=0), RATIOS)
def test_count_is_exact_when_all_scores_are_equal(scores, ratio):
    plan = global_plan(scores, ratio, at_least=0)
    assert sum(plan.widths) == channels_of(scores) - round(ratio * channels_of(scores))


@given(lists_of_scores(), RATIOS, st.integers(1, 3))
def test_guard_never_empties_a_layer(scores, ratio, at_least):
    assume(round(ratio * channels_of(scores)) <= free_channels(scores, at_least))
    plan = global_plan(scores, ratio, at_least)
    assert all(len(plan.kept[name]) >= min(at_least, len(score)) for name, score in scores.items())


@given(lists_of_scores(), RATIOS, st.integers(1, 3))
def test_guarded_names_the_layers_that_the_threshold_alone_would_thin_further(scores, ratio, at_least):
    assume(round(ratio * channels_of(scores)) <= free_channels(scores, at_least))
    guarded = global_plan(scores, ratio, at_least)
    plain = global_plan(scores, ratio, at_least=0)
    assert plain.guarded == ()
    assert guarded.guarded == tuple(n for n in scores if len(plain.kept[n]) < len(guarded.kept[n]))


@given(lists_of_scores(), RATIOS, st.integers(0, 2))
def test_threshold_is_the_highest_pruned_score(scores, ratio, at_least):
    assume(round(ratio * channels_of(scores)) <= free_channels(scores, at_least))
    plan = global_plan(scores, ratio, at_least)
    pruned = [s for name, row in scores.items() for s in row[~plan.mask(name)].tolist()]
    assert plan.threshold == max(pruned, default=None)


@given(lists_of_scores(), RATIOS, st.integers(0, 2))
def test_plan_survives_json(scores, ratio, at_least):
    assume(round(ratio * channels_of(scores)) <= free_channels(scores, at_least))
    plan = global_plan(scores, ratio, at_least)
    assert ChannelPlan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False))) == plan


@given(lists_of_scores(), RATIOS, st.integers(1, 3))
def test_unreachable_ratio_is_refused_with_the_reachable_one(refused, scores, ratio, at_least):
    total, free = channels_of(scores), free_channels(scores, at_least)
    ratio = max(ratio, (free + 0.75) / total)
    assume(ratio < 1)
    with refused(f"ratio {ratio:g}", f"at least {at_least}") as caught:
        global_plan(scores, ratio, at_least)
    reachable = float(re.search(r"\(ratio (.*)\)", str(caught.value))[1])
    assert sum(global_plan(scores, reachable, at_least).widths) == total - free


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, 50, float("nan"), float("inf")])
def test_ratio_outside_zero_to_one_is_refused(refused, ratio):
    with refused(f"ratio is {ratio}", "give a number from 0"):
        global_plan({"conv1": torch.rand(4)}, ratio)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(refused, bad):
    scores = {"conv1": torch.rand(4), "conv2": torch.tensor([0.1, bad])}
    with refused("not finite", "train it again"):
        global_plan(scores, 0.5)


@given(networks(channel_lists(fewest=2)), st.data())
def test_without_guard_a_layer_may_collapse_and_thin_names_it(refused, net, data):
    total = {name: conv.out_channels for name, (conv, _) in prunable(net).items()}
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
    before, mode, channels = fingerprint(net), net.training, list(net.channels)
    plan = reachable_plan(net, ratio)
    for change in (thin, masked, folded):
        change(net, plan)
    recalibrate(net, tiny_data.train[:20])
    assert (fingerprint(net), net.training, net.channels) == (before, mode, channels)


@given(networks(), RATIOS)
def test_thin_copies_statistics_of_a_network_in_training_mode(net, ratio):
    plan = reachable_plan(net, ratio)
    expected = thin(net, plan).state_dict()
    actual = thin(net.train(), plan).state_dict()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())
    variance = net.features.norm1.running_var[plan.mask("features.conv1")]
    assert torch.equal(expected["features.norm1.running_var"], variance)


@given(networks(), RATIOS)
def test_folding_changes_only_means_and_the_classifiers_bias(net, ratio):
    plan = reachable_plan(net, ratio)
    after = folded(net, plan)
    later_means = {f"features.norm{i + 1}.running_mean" for i in range(1, len(plan.kept))}
    assert changes(net, after) <= later_means | {"classifier.bias"}
    assert global_plan(scaling_factors(after), ratio) == plan


@given(networks(), RATIOS)
def test_recalibration_changes_only_running_statistics(tiny_data, net, ratio):
    plan = reachable_plan(net, ratio)
    after = recalibrate(net, tiny_data.train[:30])
    changed = changes(net, after)
    assert "features.norm1.running_mean" in changed
    assert {name.rpartition(".")[2] for name in changed} <= STATISTICS
    assert global_plan(scaling_factors(after), ratio) == plan


@given(networks(), st.data())
@torch.no_grad()
def test_folding_is_exact_in_the_last_layer(net, data):
    name = list(prunable(net))[-1]
    plan = plan_without(net, drop_constants(net, data, [name]))
    x = images()
    with torch.enable_grad():
        small = thin(folded(net, plan), plan)
    torch.testing.assert_close(small(x), net(x), **CLOSE)


@given(networks(channel_lists(2, 4, pools=False)), st.data())
@torch.no_grad()
def test_folding_is_exact_inside_the_image(net, data):
    *inner, last = prunable(net)
    plan = plan_without(net, drop_constants(net, data, inner))
    inside = slice(len(inner), -len(inner))  # each padded convolution after a dropped channel spoils one ring
    x = images()
    with torch.enable_grad():
        small = thin(folded(net, plan), plan)
    expected, actual = net.features(x), small.features(x)
    torch.testing.assert_close(actual[..., inside, inside], expected[..., inside, inside], **CLOSE)


@torch.no_grad()
def test_dropping_a_constant_without_folding_changes_the_output():
    net = VGGNet([4, 4]).eval()
    net.features.norm2.weight[:2], net.features.norm2.bias[:2] = 0, 1
    plan, x = plan_without(net, {"features.conv2": {0, 1}}), images()
    with torch.enable_grad():
        bare, mended = thin(net, plan), thin(folded(net, plan), plan)
    assert (bare(x) - net(x)).abs().max() > 0.01
    torch.testing.assert_close(mended(x), net(x), **CLOSE)


@torch.no_grad()
def test_full_width_vgg19_becomes_thin_and_rebuilds_from_its_channel_list():
    net = VGGNet(vgg_channels(19)).eval()
    for _, norm in prunable(net).values():
        norm.weight.uniform_()
        norm.bias.normal_(std=0.1)
    plan = global_plan(scaling_factors(net), 0.7)
    with torch.enable_grad():
        small = thin(net, plan)
    assert [c == "M" for c in small.channels] == [c == "M" for c in net.channels]
    assert [c for c in small.channels if c != "M"] == plan.widths
    assert sum(plan.widths) == 5504 - round(0.7 * 5504)

    rebuilt, x = VGGNet(small.channels).eval(), images(2)
    rebuilt.load_state_dict(small.state_dict())
    torch.testing.assert_close(rebuilt(x), small(x), **CLOSE)
    torch.testing.assert_close(small(x), masked(net, plan)(x), **CLOSE)


def test_thin_serves_frozen_networks_and_no_grad_callers():
    net = VGGNet([6, "M", 6]).eval().requires_grad_(False)
    plan = global_plan(scaling_factors(net), 0.5)
    with torch.no_grad():
        slim = thin(net, plan)
    assert [c for c in slim.channels if c != "M"] == plan.widths
    assert not any(parameter.requires_grad for parameter in net.parameters())
