"""Ratios: what curves, wishes and a latency table make of a network, and what is refused."""

import math
from dataclasses import replace

import jsonschema
import pytest
import torch
from workers import tiny_dataset, vgg_of

from labkit import criteria, measure, models, pruning, ratios, records, training
from labkit.methods.front.work import KINDS as FRONT_KINDS
from labkit.methods.ratios import adapt, latency
from labkit.methods.ratios.schedules import at_rate, further
from labkit.settings import LabError, Recipe

KINDS = ratios.KINDS | FRONT_KINDS | criteria.KINDS
TENTHS = [0, 0.1, 0.2, 0.3]
CURVES = {
    "falls": [0.9, 0.88, 0.6, 0.5],
    "comes back": [0.9, 0.5, 0.9, 0.9],
    "never falls": [0.9, 0.9, 0.9, 0.9],
    "falls at once": [0.9, 0.2, 0.1, 0.1],
}


def test_a_threshold_tolerates_a_curve_up_to_its_first_failure():
    assert ratios.tolerated(CURVES, TENTHS, 0.05) == {
        "falls": 0.1,
        "comes back": 0,
        "never falls": 0.3,
        "falls at once": 0,
    }
    assert ratios.tolerated({"a": [0.75, 0.5]}, [0, 0.5], 0.25) == {"a": 0.5}, "a loss of exactly the drop is allowed"
    assert ratios.tolerated(CURVES, TENTHS, 1) == dict.fromkeys(CURVES, 0.3)


@pytest.mark.parametrize(
    ("found", "drop", "said"),
    [
        ([0, 0.1], -0.01, "drop is -0.01"),
        ([0, 0.1], math.nan, "drop is nan"),
        ([0.1, 0.2], 0.1, "begins with ratio 0"),
        ([], 0.1, "begins with ratio 0"),
        ([0, 0.2, 0.1], 0.1, "rises"),
    ],
)
def test_a_threshold_below_0_and_a_curve_without_ratio_0_are_refused(found, drop, said):
    with pytest.raises(LabError, match=said):
        ratios.tolerated({"a": [0.9] * len(found)}, found, drop)


def test_bisection_finds_where_a_falling_cost_reaches_its_target():
    asked = []

    def cost(x):
        asked.append(x)
        return 1.0 if x < 0.3 else 0.5 if x < 0.7 else 0.2

    for target, place in ((0.5, 0.3), (0.6, 0.3), (0.2, 0.7), (1.0, 0.0)):
        asked.clear()
        found = ratios.bisected(cost, target, tolerance=1e-4)
        assert 0 <= found - place <= 1e-4 and cost(found) <= target
        assert len(asked) < 20
    assert 3 <= ratios.bisected(lambda x: -x, -3, low=2, high=9, tolerance=0.1) <= 3.1


def test_a_target_out_of_reach_names_the_nearest_and_an_empty_search_is_refused():
    with pytest.raises(LabError, match=r"0\.1 cannot be reached: the nearest is 0\.25, at 1"):
        ratios.bisected(lambda x: 1 - 0.75 * x, 0.1)
    with pytest.raises(LabError, match="Nothing to search from 1 to 0"):
        ratios.bisected(lambda x: 0, 0.1, low=1, high=0)
    with pytest.raises(LabError, match="tolerance 0"):
        ratios.bisected(lambda x: 0, 0.1, tolerance=0)


@pytest.mark.parametrize(("final", "steps"), [(0.8, 3), (0.7, 1), (0.0, 4), (0.99, 7)])
def test_rising_ratios_take_equal_shares_of_what_is_left_and_end_exactly(final, steps):
    found = ratios.rising(final, steps)
    assert len(found) == steps and found[-1] == final
    left = [1, *(1 - ratio for ratio in found)]
    shares = [after / before for before, after in zip(left, left[1:])]
    assert shares == pytest.approx([(1 - final) ** (1 / steps)] * steps)


def test_a_schedule_of_no_steps_or_to_a_ratio_of_one_is_refused():
    with pytest.raises(LabError, match="0 steps reach no ratio"):
        ratios.rising(0.5, 0)
    with pytest.raises(LabError, match="final ratio is 1"):
        ratios.rising(1, 3)


def test_a_ratio_plan_has_the_ratios_of_each_group_and_never_empties_one():
    scores = {"a": torch.arange(10.0), "b": torch.arange(4.0)}
    plan = ratios.ratio_plan(scores, {"a": 0.3, "b": 0.95})
    assert plan.kept == {"a": tuple(range(3, 10)), "b": (3,)}
    with pytest.raises(LabError, match="no ratio for b"):
        ratios.ratio_plan(scores, {"a": 0.3})


def test_macs_left_are_those_of_the_thin_network():
    model = models.build(vgg_of([8], [16]), seed=0)
    plan = ratios.ratio_plan(pruning.filter_norms(model), {"features.conv1": 0.5, "features.conv2": 0.25})
    assert ratios.macs_left(model.specification, plan) == measure.macs(pruning.thin(model, plan)) / measure.macs(model)


# A latency table that is made up: each block takes 1 ms, and 0.5 ms for each channel that it puts out; in the last
# block each input costs as well.
HERE = ratios.conditions()
NAMES = ("features.conv1", "features.conv2")


def made_up(record=False):
    """The table of vgg_of([8], [16]), as a table or as the record of one."""
    first = {"inputs": [3], "outputs": [2, 8], "milliseconds": [[2.0, 5.0]]}
    second = {"inputs": [2, 8], "outputs": [4, 16], "milliseconds": [[3.2, 9.2], [3.8, 9.8]]}
    network = vgg_of([8], [16]).to_dict()
    results = {"blocks": dict(zip(NAMES, (first, second))), "whole": 14.8, "seconds": 1.0}
    found = records.Record(ratios.TABLE, HERE | {"rounds": 1, "network": network}, network, results=results)
    return found if record else ratios.loaded(found.with_folder("table"))


def test_a_table_is_linear_between_what_was_measured_and_adds_up():
    table = made_up()
    assert table.predicted({NAMES[0]: 8, NAMES[1]: 16}) == pytest.approx(5.0 + 9.8)
    assert table.by_block({NAMES[0]: 5, NAMES[1]: 10}) == pytest.approx({NAMES[0]: 3.5, NAMES[1]: 6.5})
    assert table.predicted({NAMES[0]: 1, NAMES[1]: 16}) == pytest.approx(1.5 + 9.1), "the first piece goes on below"
    assert latency.Block((3,), (4,), ((2.0,),)).at(3, 2) == 2.0, "one place is all there is"


def test_a_layer_that_the_table_does_not_know_is_refused():
    with pytest.raises(LabError, match="no block 'features.conv3', only features.conv1, features.conv2"):
        made_up().predicted({NAMES[0]: 8, NAMES[1]: 16, "features.conv3": 16})


@pytest.mark.parametrize(
    ("key", "value"),
    [("machine", "another"), ("threads", 2), ("batch", 1), ("dtype", "bfloat16"), ("torch", "1.0")],
)
def test_a_table_of_another_machine_number_of_threads_or_precision_is_refused(key, value):
    record = made_up(record=True).with_folder("table")
    with pytest.raises(LabError, match=f"does not hold here \\({key} is .* measure again"):
        ratios.loaded(record, HERE | {key: value})
    record.config[key] = value
    with pytest.raises(LabError, match=f"does not hold here \\({key} is {value!r} there"):
        ratios.loaded(record)


def test_budgets_fall_by_steps_that_shrink():
    first, second, third = (budget for budget, _ in zip(ratios.budgets(10, 0.1, 0.5), range(3)))
    assert (first, second, third) == pytest.approx((9, 8.5, 8.25))


def test_the_widest_layer_within_the_budget_is_a_whole_multiple():
    table, widths = made_up(), {NAMES[0]: 8, NAMES[1]: 16}
    assert ratios.widest(table, widths, NAMES[1], 13, multiple=4) == 12
    assert ratios.widest(table, widths, NAMES[1], 14.3, multiple=1) == 15
    assert ratios.widest(table, widths, NAMES[0], 14.8, multiple=8) is None, "it has to become narrower"
    assert ratios.widest(table, widths, NAMES[0], 1, multiple=1) is None


def test_the_most_accurate_candidate_within_the_budget_is_chosen():
    slow, good, fast = (ratios.Candidate(4, 0.9, a, ms) for a, ms in ((0.9, 9), (0.8, 7), (0.7, 5)))
    assert ratios.chosen({"slow": slow, "fast": fast, "good": good}, 7) == "good"
    assert ratios.chosen({"first": good, "second": good}, 7) == "first"
    with pytest.raises(LabError, match="No layer alone brings the network to 4 ms"):
        ratios.chosen({"slow": slow, "fast": fast}, 4)
    with pytest.raises(LabError, match="No layer alone"):
        ratios.chosen({}, 4)


def test_a_plan_of_a_plan_counts_in_the_unpruned_network():
    plan = pruning.ChannelPlan({"a": (1, 4, 6, 7), "b": (0, 1)}, {"a": 8, "b": 2}, 0.4)
    narrower = adapt.narrowed(plan, "a", (0, 3))
    assert narrower.kept == {"a": (1, 7), "b": (0, 1)} and narrower.requested == narrower.achieved == 0.6


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny network, trained for one epoch, and all that is made of it."""
    lab, data = tmp_path_factory.mktemp("lab2"), tiny_dataset()
    short = Recipe(epochs=1, batch=50, schedule="linear")
    run = training.fit(
        models.build(vgg_of([8], [16]), seed=0), data, short, folder=lab / "trained", kind=criteria.TRAINED
    )
    table = records.save(made_up(record=True).with_folder(lab / "latency-table"))
    study = ratios.sensitivities(run, data, lab / "sensitivity", (0.05, 0.5))
    families = ratios.families(run, data, study, short, lab, (0.5,))
    search = ratios.netadapt(run, data, table, lab / "netadapt", iterations=2, step=0.2, short=2, multiple=1)
    families["NetAdapt"] = ratios.long_term(search, run, data, short, lab, [1])
    networks = {run.name: run.specification.widths for family in families.values() for run in family}
    latencies = ratios.latencies(table, networks, lab / "latencies")
    schedules = ratios.schedules(run, data, short, lab, final=0.5, steps=2)
    penalised = ratios.penalised(run, data, 1.0, lab)
    penalties = ratios.regularizations({"none": run} | penalised, data, short, lab, final=0.5)
    return {
        "lab": lab, "data": data, "short": short, "run": run, "table": table, "study": study, "families": families,
        "search": search, "latencies": latencies, "schedules": schedules, "penalised": penalised, "penalties": penalties,
    }  # fmt: skip


def test_every_record_fits_its_kind_and_small_ones_stay_small(made):
    paths = sorted(made["lab"].rglob("record.json"))
    assert len(paths) > 15
    for path in paths:
        content = records.read_json(path)
        jsonschema.validate(content, KINDS[content["kind"]])
        assert "recipe" not in content["config"] or content["history"]
    assert {records.load(path.parent).kind for path in paths} >= set(ratios.KINDS)


def test_the_study_has_a_curve_for_each_group_and_what_plans_lose_together(made):
    run, study, data = made["run"], made["study"], made["data"]
    scores = ratios.scored(run, data)
    assert list(study.results["curves"]) == list(scores)
    for row in study.results["together"]:
        plan = ratios.ratio_plan(scores, row["ratios"])
        assert row["ratios"] == ratios.tolerated(study.results["curves"], ratios.RATIOS, row["drop"])
        assert row["joint"] == training.evaluate(pruning.thin(run.model(), plan), data.validation)
        assert row["macs"] == ratios.macs_left(run.specification, plan)


def test_families_have_equal_macs_and_lie_where_policies_do(made):
    (mine,), (same,) = made["families"]["sensitivity"], made["families"]["global"]
    assert (mine.kind, mine.folder) == ("front-policy", made["lab"] / "policy-sensitivity-50")
    left = [
        ratios.macs_left(made["run"].specification, pruning.ChannelPlan.from_dict(run.plan)) for run in (mine, same)
    ]
    assert left[1] <= left[0] <= 0.5
    with pytest.raises(LabError, match="cannot be reached: the nearest is"):
        ratios.plan_for(1e-6, made["study"], ratios.scored(made["run"], made["data"]))


def test_netadapt_meets_each_budget_with_the_best_candidate_and_keeps_the_family(made):
    search, table = made["search"], made_up()
    allowed = ratios.budgets(search.results["start"], 0.2)
    assert len(ratios.plans(search)) == 2 and search.results["start"] == pytest.approx(14.8)
    for number, (step, plan) in enumerate(zip(search.results["iterations"], ratios.plans(search))):
        assert step["budget"] == next(allowed)
        best = step["candidates"][step["chosen"]]
        assert best["accuracy"] == max(candidate["accuracy"] for candidate in step["candidates"].values())
        assert best["predicted"] == table.predicted(dict(zip(NAMES, plan.widths))) <= step["budget"]
        network = ratios.member(search, number)
        assert list(network.specification.widths) == plan.widths
        assert training.evaluate(network, made["data"].validation) == best["accuracy"]
    first, second = ratios.plans(search)
    assert all(set(second.kept[name]) <= set(first.kept[name]) for name in NAMES)
    (long,) = made["families"]["NetAdapt"]
    assert pruning.ChannelPlan.from_dict(long.plan) == second


def test_a_search_is_made_once_and_is_the_same_with_the_same_table(made, tmp_path, capsys):
    facts = {"iterations": 2, "step": 0.2, "short": 2, "multiple": 1}
    again = ratios.netadapt(made["run"], made["data"], made["table"], made["search"].folder, **facts)
    assert ratios.plans(again) == ratios.plans(made["search"]) and "already there" in capsys.readouterr().out
    elsewhere = ratios.netadapt(made["run"], made["data"], made["table"], tmp_path / "netadapt", **facts)
    candidates = [[step["candidates"] for step in run.results["iterations"]] for run in (elsewhere, again)]
    assert candidates[0] == candidates[1] and ratios.plans(elsewhere) == ratios.plans(again)


def test_a_search_ends_where_no_layer_alone_reaches_the_budget(made, tmp_path, capsys):
    facts = {"iterations": 9, "step": 0.3, "decay": 1.0, "short": 1, "multiple": 1}
    found = ratios.netadapt(made["run"], made["data"], made["table"], tmp_path / "netadapt", **facts)
    count = len(ratios.plans(found))
    assert 0 < count < 9 and f"ends after {count} iterations" in capsys.readouterr().out
    with pytest.raises(LabError, match="No layer alone"):
        ratios.netadapt(made["run"], made["data"], made["table"], tmp_path / "other", **facts | {"step": 0.99})


def test_an_empty_family_and_a_member_that_is_none_are_refused(made):
    search = replace(made["search"], results=made["search"].results | {"iterations": []}).with_folder("netadapt")
    with pytest.raises(LabError, match="made no network"):
        ratios.plans(search)
    with pytest.raises(LabError, match="no iteration 2: netadapt has 0 to 1"):
        ratios.member(made["search"], 2)
    with pytest.raises(LabError, match="'none' has no networks"):
        ratios.compared({"none": []}, made["run"])


def test_ways_have_equal_epochs_and_the_same_channels_at_the_end(made):
    schedules, lab = made["schedules"], made["lab"] / "ratios"
    assert [len(found) for found in schedules.results["one_shot"].values()] == [2, 2, 2]
    assert len(schedules.results["rising"]) == 2 and schedules.results["ratios"] == ratios.rising(0.5, 2)
    ends = [records.load(lab / name) for name in ("one-shot-rate-0.1", "rising-2")]
    assert ends[0].network == ends[1].network and list(ends[0].specification.widths) == [4, 8]
    assert ends[1].results["validation_accuracy"] == schedules.results["rising"][-1]
    rates = [
        records.load(lab / f"one-shot-rate-{factor}").config["recipe"]["learning_rate"] for factor in ("1", "0.01")
    ]
    assert rates == pytest.approx([0.1, 0.001])


def test_further_counts_from_the_unpruned_network(made):
    run, data = made["run"], made["data"]
    thin = pruning.thin(run.model(), ratios.ratio_plan(ratios.scored(run, data), dict.fromkeys(NAMES, 0.25)))
    assert further(thin, data, 0, 0.5, {NAMES[0]: 8, NAMES[1]: 16}).widths == [4, 8]


def test_penalties_have_the_budget_and_differ_in_nothing_else(made):
    l1, l2 = made["penalised"]["L1"].config, made["penalised"]["L2"].config
    assert made["penalised"]["L1"].results["shrinkage_budget"] == pytest.approx(1.0, rel=0.05)
    assert l2["recipe"]["weight_decay"] == l1["lambda"] and l2["lambda"] == 0
    assert l1["recipe"] == made["run"].config["recipe"] and l1["start"] == l2["start"] == made["run"].config["start"]
    assert list(made["penalties"].results["penalties"]) == ["none", "L1", "L2"]
    assert made["penalties"].config["parents"]["L1"] == records.identity(made["penalised"]["L1"])


def test_a_rate_is_a_share_of_the_trainings():
    found = at_rate(Recipe(6, 50, 0.3), Recipe(8, 50, 0.2), 0.1, 3)
    assert (found.epochs, found.learning_rate, found.batch) == (3, pytest.approx(0.02), 50)


def test_a_measured_table_covers_the_network_and_every_pair_of_shares(tmp_path, capsys):
    network = vgg_of([8], [16])
    table = ratios.measured(network, tmp_path / "table", batch=2)
    jsonschema.validate(records.read_json(tmp_path / "table" / "record.json"), ratios.KINDS[ratios.TABLE])
    times = ratios.loaded(table, ratios.conditions(batch=2))
    assert {name: (block.inputs, block.outputs) for name, block in times.blocks.items()} == {
        NAMES[0]: ((3,), (8,)),
        NAMES[1]: ((8,), (8, 16)),
    }
    assert all(value > 0 for block in times.blocks.values() for row in block.milliseconds for value in row)
    with pytest.raises(LabError, match="batch is 2 there and 16 here"):
        ratios.loaded(table)


def test_the_grid_of_a_width_has_whole_blocks_of_channels():
    assert latency.grid(128) == [16, 32, 64, 96, 128]
    assert latency.grid(16) == [8, 16] and latency.grid(6) == [6]


def test_blocks_are_the_network_cut_before_each_convolution_and_chains_only():
    model = models.build(vgg_of([8], [16]), seed=0).eval()
    x = torch.randn(2, 3, 32, 32)
    expected, y = model(x), x
    for block in latency.blocks_of(model):
        y = block(y)
    assert len(latency.blocks_of(model)) == 2 and torch.equal(y, expected)
    with pytest.raises(LabError, match="no chain of layers"):
        latency.blocks_of(models.build(models.named("resnet18", 0.125), seed=0))


def test_a_prediction_is_judged_at_the_speed_of_the_hour():
    results = {
        "predicted": {"a": 2.0, "b": 3.0},
        "measured": {"a": 4.0, "b": 4.0},
        "whole_then": 5.0,
        "whole_now": 10.0,
    }
    latencies = records.Record(ratios.LATENCIES, {}, {}, results=results)
    assert ratios.errors(latencies) == pytest.approx({"a": 0.0, "b": 0.5})


def test_figures_and_tables_are_drawn_from_the_records(made):
    drawn = ratios.figures(made["lab"])
    assert set(drawn) == {
        "sensitivity", "sensitivity-together", "schedules", "regularizations", "latency-table", "netadapt",
        "latency-predicted",
    }  # fmt: skip
    figures = [*drawn.values(), ratios.compared(made["families"], made["run"], made["latencies"])]
    figures += [ratios.compared(made["families"], made["run"]), ratios.netadapt_loop(), ratios.ways_up(0.8, 3)]
    figures += [ratios.halving(lambda x: 1 - x, 0.4, 0, 1), ratios.shares_of_layers({"uniform": [0.5, 0.5]})]
    for figure in figures:
        assert len(figure.get_label()) > 30
        figure.savefig("/dev/null", format="png")
    assert ratios.schedules_table(made["schedules"]).count("\n") == 1 + 4
    assert ratios.penalties_table(made["penalties"]).count("\n") == 1 + 6
    assert "fine-tuned" in ratios.results(made["lab"])


def test_the_curves_mark_the_ratio_that_the_threshold_tolerates(made):
    figure = ratios.curves(made["study"], 0.3)
    chosen = ratios.tolerated(made["study"].results["curves"], ratios.RATIOS, 0.3)
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert marks == list(chosen.values())


def test_a_halving_keeps_the_target_within_reach():
    with pytest.raises(LabError, match="cannot be reached"):
        ratios.halving(lambda x: 1 - 0.5 * x, 0.4, 0, 1)
    figure = ratios.halving(lambda x: 1 - x, 0.4, 0, 1, halvings=2)
    spans = [list(line.get_xdata()) for line in figure.axes[1].lines]
    assert spans == [[0, 1], [0.5, 1], [0.5, 0.75]]
