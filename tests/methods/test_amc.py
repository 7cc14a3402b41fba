"""AMC: the decision process, its clamp, the fast evaluation, the agent, and searches that are broken off."""

import math
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch
from workers import tiny_dataset, vgg_of

from labkit import amc, criteria, measure, models, pruning, records, training
from labkit.data import normalise
from labkit.methods.amc import search as searching
from labkit.methods.amc.agent import Agent
from labkit.pruning import CRITERIA
from labkit.settings import REFERENCE, LabError, Recipe

FAMILIES = ("vgg11", "resnet18", "mobilenetv2")
SMALL = amc.Constants(hidden=8, batch=8, updates=2)


def clamp(share, costs, least, budget):
    kept = max(least, round(share * (len(costs) - 1)))
    while kept > least and costs[kept] > budget:
        kept -= 1
    return kept


def budget_state(whole, left, group):
    return 1 - sum(left) / sum(whole), sum(whole[group + 1 :]) / sum(whole)


def soft_update(target, online, tau):
    return {name: (1 - tau) * target[name] + tau * online[name] for name in target}


def reward(accuracy, macs, kind):
    return -(1 - accuracy) * (math.log(2 * macs) if kind == "error-log-flops" else 1)


PARTS = amc.Parts(clamp, budget_state, soft_update, reward)


def network_of(name):
    return models.named(name, 0.125)


@pytest.fixture(scope="module")
def data():
    return tiny_dataset()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("amc") / "trained"
    network = models.build(vgg_of([6], [8], [8]), seed=0)
    return training.fit(network, data, Recipe(1, 50), folder=folder, kind=criteria.TRAINED)


def searched(run, data, folder, **options):
    options = {"episodes": 12, "warm_up": 4, "images": 40, "budget": 0.4, "constants": SMALL} | options
    return amc.searched(run, data, options.pop("parts", PARTS), folder, **options)


def fits(folder):
    """The record as it lies on the disk is what its kind's schema says."""
    content = records.read_json(folder / "record.json")
    jsonschema.validate(content, amc.KINDS[content["kind"]])


# The environment


@pytest.mark.parametrize("name", FAMILIES)
def test_counted_macs_are_measured_macs_at_any_widths(name):
    network, random = network_of(name), np.random.default_rng(0)
    table = amc.table(network)
    for _ in range(3):
        widths = [int(random.integers(1, total + 1)) for total in network.widths]
        assert table.macs(widths) == measure.macs(models.build(network.with_widths(widths)))
        assert sum(table.by_group(widths)) == table.macs(widths)
        for group in (0, len(widths) // 2):
            assert table.line(widths, group)[widths[group]] == table.macs(widths)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("budget", [0.15, 0.4, 0.9])
def test_no_walk_exceeds_the_budget_and_none_falls_below_the_least(name, budget):
    environment, random = amc.Environment(network_of(name), budget), np.random.default_rng(1)
    whole = environment.table.macs(environment.total)
    for bold in (0.0, 0.5, 1.0):
        for _ in range(8):
            walk = environment.walk(lambda state, bold=bold: max(bold, random.random()), PARTS)
            assert environment.table.macs(walk.widths) <= budget * whole
            assert all(width >= least for width, least in zip(walk.widths, environment.least))


def test_the_clamp_takes_no_channel_more_than_it_has_to():
    environment = amc.Environment(vgg_of([6], [8], [8]), 0.4)
    kept = []
    for _ in range(3):
        kept.append(environment.decided(kept, 1.0, clamp))
        costs = environment.costs(kept[:-1])
        assert costs[kept[-1]] <= environment.budget
        assert kept[-1] == environment.total[len(kept) - 1] or costs[kept[-1] + 1] > environment.budget


def test_states_of_a_tiny_network_are_those_worked_out_by_hand():
    environment = amc.Environment(vgg_of([4], [8], classes=10), 1.0)
    first, second = 3 * 4 * 9 * 32 * 32, 4 * 8 * 9 * 16 * 16
    whole = first + second + 80
    assert environment.whole == [first, second, 80]
    start = environment.state([], budget_state)
    expected = [0, 0, 3 / 8, 4 / 8, 1, 1, 1, first / whole, 0, (second + 80) / whole, 1]
    assert np.allclose(start, expected, atol=1e-6)
    after = environment.state([1], budget_state)
    gone = (first + second) * 3 / 4
    assert np.allclose(after, [1, 0, 4 / 8, 1, 0.5, 1, 1, second / whole, gone / whole, 80 / whole, 1 / 4], atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_states_lie_between_0_and_1_and_rest_only_falls(name):
    environment, random = amc.Environment(network_of(name), 0.5), np.random.default_rng(2)
    states = environment.walk(lambda state: random.random(), PARTS).states
    assert states.shape == (len(environment), len(amc.STATE)) and states.dtype == np.float32
    assert 0 <= states.min() and states.max() <= 1
    assert (np.diff(states[:, amc.STATE.index("rest")]) < 0).all()
    assert (np.diff(states[:, amc.STATE.index("reduced")]) >= 0).all()
    assert np.array_equal(states[0], environment.state([], budget_state)), "the first is made as all others are"


def test_types_tell_coupled_groups_apart():
    kinds = {}
    for name in FAMILIES:
        environment = amc.Environment(network_of(name), 0.5)
        kinds[name] = set(environment.fixed[:, 1].tolist())
    assert kinds == {"vgg11": {0.0}, "resnet18": {0.0, 1.0}, "mobilenetv2": {0.0, 0.5, 1.0}}


@pytest.mark.parametrize(("budget", "said"), [(0.03, "cannot be reached"), (0.0, "above 0"), (1.5, "up to 1")])
def test_a_budget_that_cannot_be_met_is_refused(budget, said):
    with pytest.raises(LabError, match=said):
        amc.Environment(network_of("vgg11"), budget)


def test_the_refusal_names_the_least_that_can_be_reached():
    network = network_of("vgg11")
    lowest = [max(1, math.ceil(amc.LEAST * width)) for width in network.widths]
    share = measure.macs(models.build(network.with_widths(lowest))) / measure.macs(models.build(network))
    with pytest.raises(LabError, match=f"{share:.1%}"):
        amc.Environment(network, 0.01)
    assert amc.Environment(network, share + 1e-4).walk(lambda state: 1.0, PARTS)


@pytest.mark.parametrize("wrong", [lambda *_: 0, lambda *_: 10**6, lambda share, costs, *_: len(costs) - 1])
def test_a_clamp_that_does_not_clamp_is_refused(wrong):
    environment = amc.Environment(network_of("vgg11"), 0.3)
    with pytest.raises(LabError, match="The clamp keeps"):
        environment.walk(lambda state: 0.5, replace(PARTS, clamp=wrong))


def test_a_clamp_may_give_a_whole_number_of_any_kind_and_no_broken_one():
    environment = amc.Environment(network_of("vgg11"), 0.3)
    expected = environment.decided([], 0.5, clamp)
    for kind in (float, np.int64, torch.tensor):
        kept = environment.decided([], 0.5, lambda *given, kind=kind: kind(clamp(*given)))
        assert kept == expected and type(kept) is int
    with pytest.raises(LabError, match="The clamp keeps"):
        environment.decided([], 0.5, lambda *given: clamp(*given) - 0.5)


# The fast evaluation


@pytest.mark.parametrize("name", FAMILIES)
def test_a_slice_has_the_accuracy_of_the_thin_network(name, data, float32):
    model = training.recalibrate(models.build(network_of(name), seed=0), data.train[:50]).cpu()
    scores = CRITERIA["filter-l1"](model, data.train, 0)
    as_it_stands = amc.Narrow(model, scores, data.validation)
    estimated = amc.Narrow(model, scores, data.validation, data.train[:60])
    random = np.random.default_rng(3)
    for _ in range(2):
        widths = [int(random.integers(1, total + 1)) for total in model.specification.widths]
        thin = pruning.thin(model, as_it_stands.plan(widths))
        assert as_it_stands.accuracy(widths) == pytest.approx(training.evaluate(thin, data.validation), abs=0.021)
        logits = as_it_stands._run(as_it_stands.model.steps()[as_it_stands.start :], as_it_stands.x[:, : widths[0]])
        assert torch.allclose(logits, thin(normalise(data.validation.pixels)), atol=1e-3)
        for norm in (module for module in thin.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.momentum = 1.0
        thin.train()(normalise(data.train[:60].pixels))
        assert estimated.accuracy(widths) == pytest.approx(training.evaluate(thin, data.validation), abs=0.021)


def test_the_network_itself_is_never_changed(run, data):
    model = run.model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    narrow = amc.Narrow(model, CRITERIA["filter-l1"](model, data.train, 0), data.validation, data.train[:20])
    whole = narrow.accuracy(run.specification.widths)
    narrow.accuracy([1, 1, 1])
    assert narrow.accuracy(run.specification.widths) == whole
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# The agent


def test_noise_stays_within_0_and_1_and_is_that_of_the_distribution():
    draws = {}
    for mean, sigma in ((0.9, 0.5), (0.1, 0.3), (0.5, 0.05)):
        generator = torch.Generator().manual_seed(0)
        draws[mean] = np.array([amc.truncated_normal(mean, sigma, generator) for _ in range(400)])
        assert 0 <= draws[mean].min() and draws[mean].max() <= 1
    assert draws[0.9].mean() < 0.7, "cut off above, so the mean moves down"
    assert abs(draws[0.5].mean() - 0.5) < 0.01 and abs(draws[0.5].std() - 0.05) < 0.01
    assert amc.truncated_normal(0.3, 0.0, torch.Generator()) == 0.3


def test_targets_follow_as_the_function_says():
    agent, memory = Agent(SMALL, soft_update, seed=0), amc.Memory(4, 3)
    for number in range(4):
        memory.add(
            np.random.default_rng(number).random((3, 11), np.float32), np.float32([0.2, 0.5, 0.9]), -0.1 * number
        )
    before = {name: tensor.clone() for name, tensor in agent.targets[1].state_dict().items()}
    agent.update(memory, -0.15, torch.Generator().manual_seed(0))
    expected = soft_update(before, agent.critic.state_dict(), SMALL.tau)
    assert all(torch.allclose(expected[name], tensor) for name, tensor in agent.targets[1].state_dict().items())
    assert any(not torch.equal(before[name], expected[name]) for name in before)


def test_the_critic_learns_rewards_and_the_actor_follows_it():
    constants = amc.Constants(hidden=32, batch=32, discount=0.0)
    agent, memory, random = Agent(constants, soft_update, seed=0), amc.Memory(60, 1), np.random.default_rng(0)
    state = random.random((1, 11), np.float32)
    for share in random.random((60, 1), np.float32):
        memory.add(state, share, 1 - abs(float(share[0]) - 0.8))
    generator = torch.Generator().manual_seed(0)
    losses = [agent.update(memory, 0.5, generator, actor=False)[0] for _ in range(40)]
    start = agent.proposed(state[0])
    for _ in range(150):
        agent.update(memory, 0.5, generator)
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    assert abs(agent.proposed(state[0]) - 0.8) < min(0.1, abs(start - 0.8))


# The search


def test_a_search_keeps_its_budget_its_best_and_a_record_that_fits(run, data, tmp_path):
    search = searched(run, data, tmp_path / "amc")
    fits(tmp_path / "amc")
    found, table = search.results, amc.table(run.specification)
    assert len(found["rewards"]) == len(found["accuracies"]) == len(found["losses"]) == 12
    assert all(table.macs(widths) <= 0.4 * table.macs(run.specification.widths) for widths in found["widths"])
    assert found["rewards"][found["best"]] == max(found["rewards"])
    assert amc.best_plan(search).widths == found["widths"][found["best"]]
    assert found["rewards"] == [accuracy - 1 for accuracy in found["accuracies"]]


def test_the_prepared_reward_is_the_thin_networks_accuracy(run, data, tmp_path):
    search = searched(run, data, tmp_path / "amc", reestimate=False)
    thin = pruning.thin(run.model(), amc.best_plan(search))
    assert training.evaluate(thin, data.validation[:40]) == search.results["accuracies"][search.results["best"]]


def test_chance_gets_as_many_evaluations_and_the_same_clamp(run, data, tmp_path, monkeypatch):
    evaluated = []
    monkeypatch.setattr(
        searching.Narrow, "accuracy", lambda self, widths: evaluated.append(tuple(widths)) or len(evaluated) / 100
    )
    counts = {}
    for agent in searching.AGENTS:
        evaluated.clear()
        search = searched(run, data, tmp_path / agent, agent=agent)
        counts[agent] = len(evaluated)
        assert max(amc.table(run.specification).macs(widths) for widths in evaluated) <= 0.4 * sum(
            amc.table(run.specification).by_group(run.specification.widths)
        )
    assert counts == {"ddpg": 12, "random": 12} and search.results["losses"] == []


@pytest.mark.parametrize("killed_at", [1, 5, 7, 11])
def test_a_search_killed_at_any_episode_ends_bit_equal(run, data, tmp_path, monkeypatch, killed_at):
    monkeypatch.setattr(searching, "SAVE_EVERY", 3)
    whole, episode = searched(run, data, tmp_path / "whole"), searching._Search.episode

    def dies(self, number):
        if number == killed_at:
            raise KeyboardInterrupt
        episode(self, number)

    with monkeypatch.context() as during:
        during.setattr(searching._Search, "episode", dies)
        with pytest.raises(KeyboardInterrupt):
            searched(run, data, tmp_path / "killed")
    assert (tmp_path / "killed" / records.CHECKPOINT).exists() == (killed_at >= 3)
    again = searched(run, data, tmp_path / "killed")
    assert {**again.results, "seconds": 0} == {**whole.results, "seconds": 0}
    assert again.plan == whole.plan and not (tmp_path / "killed" / records.CHECKPOINT).exists()


def test_a_loss_that_is_not_finite_ends_the_search_with_its_best(run, data, tmp_path, capsys):
    search = searched(run, data, tmp_path / "amc", constants=replace(SMALL, critic_rate=1e30))
    assert search.results["stopped"] and "loss became" in capsys.readouterr().out
    tried = len(search.results["rewards"])
    assert 1 <= tried < 12 and search.results["rewards"][search.results["best"]] == max(search.results["rewards"])
    assert searched(run, data, tmp_path / "amc", constants=replace(SMALL, critic_rate=1e30)).results == search.results


def test_another_function_is_another_search(run, data, tmp_path):
    first = searched(run, data, tmp_path / "amc")
    other = replace(PARTS, reward=lambda accuracy, macs, kind: 2 * reward(accuracy, macs, kind))
    second = searched(run, data, tmp_path / "amc", parts=other)
    assert first.config["parts"] != second.config["parts"]
    assert (tmp_path / "amc.replaced-1" / "record.json").exists()


def test_functions_that_give_tensors_are_the_same_functions():
    tensors = replace(
        PARTS,
        clamp=lambda *given: torch.tensor(clamp(*given)),
        budget_state=lambda *given: [torch.tensor(value, dtype=torch.float64) for value in budget_state(*given)],
        reward=lambda *given: torch.tensor(reward(*given), dtype=torch.float64),
    )
    assert amc.probe(tensors) == amc.probe(PARTS)
    assert amc.Environment(network_of("vgg11"), 0.3).walk(lambda state: 0.5, tensors).widths


@pytest.mark.parametrize(
    "other",
    [
        lambda accuracy, macs, kind: reward(accuracy, macs, kind) + (accuracy < 0.8) * 0.1,
        lambda accuracy, macs, kind: reward(accuracy, min(macs, 10**6), kind),
    ],
)
def test_rewards_that_agree_at_one_point_only_are_told_apart(other):
    assert other(0.9, 10**6, "error") == reward(0.9, 10**6, "error")
    assert amc.probe(replace(PARTS, reward=other)) != amc.probe(PARTS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"agent": "luck"}, "no agent 'luck'"),
        ({"reward": "money"}, "no reward 'money'"),
        ({"episodes": 0}, "give 1 or more"),
        ({"budget": 0.01}, "cannot be reached"),
        ({"parts": replace(PARTS, reward=lambda *_: math.nan)}, "finite number"),
        ({"parts": replace(PARTS, reward=lambda *_: None)}, "finite number"),
        ({"parts": replace(PARTS, budget_state=lambda *_: ("a", "b"))}, "finite number"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(run, data, tmp_path, options, said):
    with pytest.raises(LabError, match=said):
        searched(run, data, tmp_path / "amc", **options)
    assert not (tmp_path / "amc").exists()


# What it is compared with


def test_policies_by_rules_meet_the_budget_and_are_compared_and_tuned_once(run, data, tmp_path):
    plans = amc.by_rules(run, data, 0.5, shares={name: 0.2 for name in pruning.channel_groups(run.model())})
    left = {name: amc.table(run.specification).macs(plan.widths) for name, plan in plans.items()}
    whole = amc.table(run.specification).macs(run.specification.widths)
    assert list(plans) == ["uniform", "global", "own"]
    assert max(left["uniform"], left["global"]) <= 0.5 * whole and abs(left["own"] / whole - 0.5) < 0.15
    judged = amc.compared(run, data, plans, tmp_path / "amc-compared-vgg")
    tuned = amc.tuned(run, data, plans, Recipe(1, 50, 0.01), tmp_path, "vgg")
    thin = pruning.thin(run.model(), plans["uniform"])
    assert judged.results["policies"]["uniform"]["as_it_stands"] == training.evaluate(thin, data.validation)
    assert amc.tuned_beside(judged).keys() == plans.keys() == tuned.keys()
    for record in (judged, *tuned.values()):
        fits(record.folder)
    assert [len(row) for row in amc.accuracies(judged, tuned).values()] == [3, 3, 3]


def test_ones_own_policy_is_the_nearest_to_the_budget_and_never_a_shipped_one(run, data, tmp_path):
    network, names = run.specification, list(pruning.channel_groups(run.model()))
    assert amc.own_shares(tmp_path, 0.5, network) is None
    scores = CRITERIA["filter-l1"](run.model(), data.train, 0)
    for name, ratio in {"policy-mild": 0.25, "policy-hard": 0.75, "policy-sensitivity-50": 0.3}.items():
        plan = pruning.uniform_plan(scores, ratio).to_dict()
        records.save(records.Record("front-policy", {}, network.to_dict(), plan=plan).with_folder(tmp_path / name))
    shares = amc.own_shares(tmp_path, 0.5, network)
    assert list(shares) == names and shares[names[1]] == 0.25


def test_ones_own_results_stand_beside_the_shipped_ones(tmp_path):
    shipped = records.load(REFERENCE / "quick-shapes-seed0" / "lab2" / "amc-compared-vgg")
    policies = {"own": {"macs": 0.25, "as_it_stands": 0.1, "re_estimated": 0.123}}
    results = {"parent": 0.9, "policies": shipped.results["policies"] | policies}
    folder = tmp_path / "quick-shapes-seed0" / "lab2" / shipped.name
    own = records.save(replace(shipped, results=results).with_folder(folder))
    head, _, *rows = amc.seeds_table(own).splitlines()
    assert "yours" in head and "| own | 12.3% | – | – | – |" in "\n".join(rows).replace(" %", "%")
    assert "yours" not in amc.seeds_table(shipped) and "own" not in amc.seeds_table(shipped)
    assert "seed 2" in head and "seed 2" in amc.seeds_table(shipped)


def test_only_rewards_of_one_kind_share_their_axis():
    lab = REFERENCE / "quick-shapes-seed0" / "lab2"
    names = ("amc-vgg-log-flops", "amc-vgg-as-it-stands", "random-vgg-as-it-stands")
    other, first, second = amc.rewards({name: records.load(lab / name) for name in names}).axes
    assert first.get_ylim() == second.get_ylim() != other.get_ylim()


def test_every_figure_can_be_drawn_and_says_what_it_shows(run, data, tmp_path):
    environment = amc.Environment(run.specification, 0.4)
    episode = environment.walk(lambda state: 0.6, PARTS)
    for name, agent in (("amc-vgg", "ddpg"), ("random-vgg", "random")):
        searched(run, data, tmp_path / "lab2" / name, agent=agent)
    amc.compared(run, data, amc.by_rules(run, data, 0.4), tmp_path / "lab2" / "amc-compared-vgg")
    drawn = [
        amc.actor_critic(),
        amc.walked(environment, episode.widths),
        amc.affordable(environment, [3], (0.2, 0.9)),
        amc.states(episode),
        amc.noise(SMALL, 4, 12),
        *amc.figures(tmp_path).values(),
    ]
    assert len(drawn) == 7 and all(len(figure.get_label()) > 40 for figure in drawn)
    assert "| amc-vgg |" in amc.results(tmp_path) and "| random-vgg |" in amc.results(tmp_path)
