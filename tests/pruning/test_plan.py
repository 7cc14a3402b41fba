"""A plan is data: a ranking, a guard, an exact count."""

import json
import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from labkit.pruning import ChannelPlan, global_plan

RATIOS = st.floats(0, 1, exclude_max=True)


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


def test_unreachable_prune_ratio_is_refused_with_the_reachable_one(refused):
    with refused("0.9", "7 of 8", "allows only 6", "ratio 0.7500"):
        global_plan({"conv1": torch.rand(4), "conv2": torch.rand(4)}, 0.9)


def test_a_plan_prints_its_ratio_and_every_group():
    plan = global_plan({"a": torch.tensor([0.1, 0.2]), "b": torch.tensor([1.0, 2.0])}, 0.5)
    assert str(plan).splitlines() == [
        "requested 50.0%, achieved 50.00% of 4 channels",
        "                 a     1 of    2  (guarded)",
        "                 b     1 of    2",
    ]
