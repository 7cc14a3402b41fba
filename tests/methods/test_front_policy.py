"""Layer-wise policies: from shares to plans, what they cost, files and runs."""

import json
from dataclasses import replace

import pytest
import torch
from networks import OWN, own
from workers import tiny_dataset, vgg

from labkit import criteria, measure, models, pruning, records, settings, training
from labkit.methods import front
from labkit.pruning import ChannelPlan, filter_norms
from labkit.settings import Recipe

SCORES = {"a": torch.tensor([0.3, 0.1, 0.2, 0.4]), "b": torch.tensor([2.0, 1.0])}
RECIPE = Recipe(1, batch=50, learning_rate=0.01)


def test_each_group_gives_the_share_that_the_policy_says_and_its_lowest_scores():
    plan = front.policy(SCORES, {"a": 0.5})
    assert plan.kept == {"a": (0, 3), "b": (0, 1)}
    assert front.policy(SCORES, {}).widths == [4, 2]
    assert front.policy(SCORES, {"a": 0.6, "b": 0.5}).kept == {"a": (0, 3), "b": (0,)}, "rounded to the nearest"


def test_a_stage_speaks_for_its_groups_and_a_group_for_itself():
    stages = {"all": ("a", "b")}
    assert front.policy(SCORES, {"all": 0.5}, stages).widths == [2, 1]
    assert front.policy(SCORES, {"b": 0.0, "all": 0.5}, stages).widths == [2, 2]


@pytest.mark.parametrize(
    "shares, said",
    [
        ({"c": 0.5}, "no group or stage 'c': choose from a, b"),
        ({"a": 1.0}, "The share of a is 1.0"),
        ({"a": -0.1}, "The share of a is -0.1"),
        ({"a": float("nan")}, "The share of a is nan"),
        ({"a": "half"}, "The share of a is 'half'"),
        ({"a": 0.9}, "takes all 4 channels of a: one has to stay, so give 0.75 at most"),
    ],
)
def test_a_policy_that_is_none_is_refused(refused, shares, said):
    with refused(said):
        front.policy(SCORES, shares)


@pytest.mark.parametrize("name", OWN)
def test_stages_have_every_group_once_in_the_networks_order(name):
    model = own(name)
    found = front.stages(model.specification)
    groups = list(pruning.channel_groups(model))
    assert sorted(g for members in found.values() for g in members) == sorted(groups)
    assert len(front.knobs(model.specification)) <= 10
    assert list(found)[-1] in ("head", "stage4", "stage5")


def test_an_editor_has_a_slider_a_group_where_they_are_few_and_a_stage_where_they_are_many():
    assert list(front.knobs(models.named("vgg11", 0.1))) == [f"features.conv{i}" for i in range(1, 9)]
    assert list(front.knobs(models.named("vgg19", 0.1))) == [f"stage{i}" for i in range(1, 6)]
    assert list(front.knobs(models.named("resnet18", 0.1)))[0] == "stem"


@pytest.fixture(scope="module")
def net():
    return vgg([16, 16], [32])


def test_a_policy_is_made_milder_or_harsher_until_it_reaches_its_target(net):
    scores, shares = filter_norms(net), {"features.conv1": 0.2, "features.conv2": 0.4, "features.conv3": 0.6}
    for target in (0.8, 0.5, 0.2):
        plan = front.reaching(target, net.specification, scores, shares)
        found = measure.macs(pruning.thin(net, plan)) / measure.macs(net)
        assert abs(found - target) < 0.05
        assert plan.widths[0] / 16 >= plan.widths[1] / 16 >= plan.widths[2] / 32
    assert front.reaching(1, net.specification, scores, shares).widths == [16, 16, 32]


def test_a_target_that_cannot_be_reached_is_refused_with_the_nearest(net, refused):
    scores = filter_norms(net)
    nearest = measure.macs(vgg([16, 16], [1])) / measure.macs(net)
    with refused("10.0% of the MACs cannot be reached with features.conv3", f"{nearest:.1%}, the nearest"):
        front.reaching(0.1, net.specification, scores, {"features.conv3": 0.5})
    with refused("no group alone", "100.0%"):
        front.reaching(0.5, net.specification, scores, {})
    for target in (0, -1, 1.5, float("nan")):
        with refused("give a share above 0, up to 1"):
            front.reaching(target, net.specification, scores, {"features.conv3": 0.5})


def test_costs_are_those_of_the_thin_network(net):
    plan = front.policy(filter_norms(net), {"features.conv2": 0.5})
    slim = pruning.thin(net, plan)
    numbers = front.numbers(net.specification, plan, latency=lambda network: 2.5)
    assert numbers == {"parameters": measure.parameters(slim), "macs": measure.macs(slim), "latency": 2.5}
    line = front.described(net.specification, plan, latency=lambda network: 2.5)
    assert f"{measure.macs(slim):,} MACs" in line and "2.50 ms" in line
    assert "ms" not in front.described(net.specification, plan)


def test_one_channels_cost_is_what_goes_with_it(net):
    costs = front.per_channel(net.specification)
    without = measure.macs(vgg([15, 16], [32]))
    assert costs["features.conv1"] == measure.macs(net) - without
    assert list(costs) == list(filter_norms(net))


def test_the_linear_latency_is_a_line_through_its_measurements(net, monkeypatch):
    milliseconds = iter((9.0, 5.0, 3.0))
    measured = []

    def latency(model, batch, runs):
        measured.append(measure.macs(model))
        return measure.Latency(next(milliseconds), 0, 0, batch, runs, 1, 0)

    monkeypatch.setattr(measure, "latency", latency)
    predicted = front.linear_latency(net)
    assert measured == sorted(measured, reverse=True) and len(measured) == 3
    middle = sum(measured) / 3
    assert predicted(net.specification) > predicted(net.specification.with_widths([8, 8, 16]))
    half = net.specification.with_widths([8, 8, 16])
    slope = (predicted(net.specification) - predicted(half)) / (measured[0] - measured[1])
    assert predicted(net.specification) - slope * (measured[0] - middle) == pytest.approx(17 / 3)


# Files


def test_a_saved_plan_comes_back(tmp_path):
    plan = front.policy(SCORES, {"a": 0.5})
    path = front.save_plan(plan, tmp_path / "plans", "mine")
    assert path.name == "mine.json" and front.load_plan(path) == plan


@pytest.mark.parametrize("name", ["", "../mine", "a/b", "a..b", ".hidden", "x" * 41, "ü", "a b", None, 3])
def test_a_name_that_is_no_files_is_refused_before_anything_is_written(tmp_path, refused, name):
    with refused("does not do"):
        front.save_plan(front.policy(SCORES, {}), tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kept": 3}', "no json", '{"kept": {"a": 1}, "guarded": []}', "\xff"]
)
def test_a_file_that_holds_no_plan_is_refused(tmp_path, refused, text):
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="latin-1")
    with refused("plan.json holds no plan"):
        front.load_plan(path)
    with refused("holds no plan"):
        front.load_plan(tmp_path / "nowhere.json")


# Runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return training.fit(
        vgg([8], [8]),
        tiny_dataset(),
        Recipe(1, batch=50),
        folder=tmp_path_factory.mktemp("lab2") / "trained",
        kind=criteria.TRAINED,
    )


def test_a_policy_and_a_global_front_are_runs_that_say_what_they_are(trained, tmp_path):
    scores = filter_norms(trained.model(), per_weight=True)
    plan = front.policy(scores, {"features.conv1": 0.5})
    run = front.fine_tuned("mine", trained, plan, tiny_dataset(), RECIPE, tmp_path)
    assert (run.kind, run.name, run.config["parent"]) == (front.POLICY, "policy-mine", "trained")
    assert ChannelPlan.from_dict(run.plan) == plan and list(run.specification.widths) == [4, 8]
    (again,) = front.fine_tuned_all({"mine": plan}, trained, tiny_dataset(), RECIPE, tmp_path)
    assert again.history == run.history, "made once"
    tuned = front.global_front(trained, scores, tiny_dataset(), RECIPE, tmp_path, (0.25, 0.5))
    assert [r.name for r in tuned] == ["global-25", "global-50"] and {r.kind for r in tuned} == {front.TUNED}
    points = front.points_of([run, *tuned], trained.specification)
    assert points[0].cost == measure.macs(pruning.thin(trained.model(), plan)) / measure.macs(trained.model())
    assert points[0].accuracy == run.results["validation_accuracy"] and points[1].cost > points[2].cost


def test_a_run_whose_name_is_no_folders_is_refused_before_anything_is_trained(trained, tmp_path, refused):
    plan = front.policy(filter_norms(trained.model()), {})
    with refused("'../x' does not do"):
        front.fine_tuned("../x", trained, plan, tiny_dataset(), RECIPE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_another_network_is_refused(trained, tmp_path, refused):
    with refused("network of other layers or widths"):
        front.fine_tuned("mine", trained, front.policy(SCORES, {}), tiny_dataset(), RECIPE, tmp_path)


def test_the_course_has_one_network_for_lab_2_whichever_notebook_trains_it(tmp_path, monkeypatch):
    here = settings.current({"LABKIT_RUNS": str(tmp_path)}, lab=2)
    quick = replace(here.profile, width=0.05, train=Recipe(1, batch=50, schedule="linear"))
    run = criteria.trained(replace(here, profile=quick), tiny_dataset())
    assert run.folder == here.folder / "trained" and run.kind == criteria.TRAINED
    again = training.fit(  # as notebook 07 writes it out
        models.build(criteria.network(quick, 10), seed=0), tiny_dataset(), quick.train,
        folder=here.folder / "trained", kind=criteria.TRAINED, seed=0,
    )  # fmt: skip
    assert again.history == run.history and records.load_all(here.folder) == [again]
    assert json.loads((run.folder / "record.json").read_text())["config"]["seed"] == 0
