"""Lab 2, the front."""

import math

import torch

from claims import claim, reach, spread
from labkit import amc, criteria, front, ratios, records
from labkit.records import Record
from labkit.settings import REFERENCE

SHAPES = [REFERENCE / f"quick-shapes-seed{seed}" / "lab2" for seed in range(3)]
PHOTOGRAPHS = [REFERENCE / f"quick-folder-cifar10-seed{seed}" / "lab2" for seed in range(2)]
WEIGHTS, IMAGES = ("filter-l1", "filter-l2", "scaling-factor"), ("apoz", "thinet", "lasso", "taylor")
NEXT_LAYER = ("thinet", "lasso")
SENSIBLE = (*WEIGHTS, *NEXT_LAYER, "taylor")  # all but APoZ and chance

EXACT = {  # prune ratios
    "07-41": ("30 %", "70 %"),
    "07-45": ("70 %",),
    "07-48": ("30 %", "70 %"),
    "07-53": ("30 %", "70 %"),
    "07-56": ("30 %", "70 %"),
    "08-22": ("30 %",),
    "08-24": ("30 %",),
    "08-26": ("30 %",),
    "08-34": ("40 %",),
    "08-47": ("40 %", "84 %", "86 %"),
}


def study(experiment) -> Record:
    (found,) = records.load_all(experiment, criteria.STUDY)
    return found


def accuracies(experiment, stage: str, ratio: float, names=criteria.STUDIED) -> dict[str, float]:
    run = study(experiment)
    column = run.config["ratios"].index(ratio)
    return {name: run.results["validation"][name][stage][column] for name in names}


def correlations(experiment) -> dict[frozenset, float]:
    """By pair of criteria."""
    run = study(experiment)
    names, rows = run.config["criteria"], run.results["correlations"]
    return {frozenset((a, b)): rows[i][j] for i, a in enumerate(names) for j, b in enumerate(names) if i < j}


def apart(values) -> str:
    """``0.7 to 1.4 points``"""
    low, high = (f"{100 * end(values):.1f}" for end in (min, max))
    return f"{low} to {high} points"


@claim("07-43")
def who_agrees_with_whom():
    twins = [frozenset(WEIGHTS[:2]), frozenset(NEXT_LAYER)]
    lowest, loner, chance, rest = [], [], [], []
    for experiment in SHAPES + PHOTOGRAPHS:
        pairs = correlations(experiment)
        assert sorted(pairs, key=pairs.get)[-2:] == twins[::-1]
        lowest.append(min(pairs[pair] for pair in twins))
        chance.append(max(abs(value) for pair, value in pairs.items() if "random" in pair))
        others = {pair: value for pair, value in pairs.items() if "random" not in pair}
        apoz = [value for pair, value in others.items() if "apoz" in pair]
        assert max(apoz) < min(value for pair, value in others.items() if "apoz" not in pair)
        loner.append(max(apoz))
        rest += [value for pair, value in others.items() if "apoz" not in pair and pair not in twins]
        assert experiment in SHAPES or pairs[frozenset(("apoz", "scaling-factor"))] < 0
    return [
        f"In every reference run two pairs stand out, with {math.floor(100 * min(lowest)) / 100:.2f} at least",
        f"All other pairs without APoZ and random lie at {min(rest):.2f} to {max(rest):.2f}",
        f"with no other criterion is it above {math.ceil(100 * max(loner)) / 100:.2f}",
        f"within {math.ceil(100 * max(chance)) / 100:.2f} of 0",
    ]


@claim("07-45")
def what_looks_at_images_costs_less_than_an_epoch():
    for experiment in SHAPES + PHOTOGRAPHS:
        results = study(experiment).results
        weights, images = ([results["seconds"][name] for name in names] for names in (WEIGHTS, IMAGES))
        assert min(images) > 10 * max(weights) and max(images) < results["epoch_seconds"]
        assert max(results["seconds"], key=results["seconds"].get) == "lasso"
    return ["at least ten times as long", "less than one epoch of training", "The LASSO takes longest"]


@claim("07-48")
def what_each_repair_brings():
    standing, early = [], []
    for experiment in SHAPES:
        parent = study(experiment).results["parent"]
        fitted = accuracies(experiment, "reconstructed", 0.3)
        assert min(fitted[name] for name in SENSIBLE) > parent - 0.02
        early += [parent - fitted[name] for name in SENSIBLE]
        standing += accuracies(experiment, "as_it_stands", 0.3, SENSIBLE).values()
    late = [
        value for experiment in SHAPES + PHOTOGRAPHS for value in accuracies(experiment, "as_it_stands", 0.7).values()
    ]
    assert max(late) < 0.11
    fitted, again, tuned, chance, apoz = [], [], [], [], []
    for experiment in SHAPES:
        fitted += accuracies(experiment, "reconstructed", 0.7, SENSIBLE).values()
        again += accuracies(experiment, "recalibrated", 0.7, SENSIBLE).values()
        tuned += accuracies(experiment, "tuned", 0.7, SENSIBLE).values()
        ends = accuracies(experiment, "tuned", 0.7)
        chance.append(ends["random"])
        apoz.append(ends["apoz"])
        assert ends["apoz"] < ends["random"] < min(ends[name] for name in SENSIBLE)
    for experiment in PHOTOGRAPHS:
        ends = accuracies(experiment, "tuned", 0.7)
        assert sorted(ends, key=ends.get)[:2] == ["random", "apoz"]
    return [
        f"{reach(standing)} of the images are right",
        f"at most {100 * max(early):.1f} points below",
        "every criterion is at chance, on photographs as well",
        f"brings the six to {reach(fitted)}",
        f"{reach(again)}",
        f"{reach(tuned)}, random channels to {reach(chance)}, and APoZ to {reach(apoz)}",
        "APoZ is just above it",
    ]


@claim("07-53")
def the_order_does_not_survive():
    winners, leads, after, photographs = [], [], [], []
    clear, narrow = [], []
    for experiment in SHAPES + PHOTOGRAPHS:
        before, ends = (accuracies(experiment, stage, 0.3, SENSIBLE) for stage in ("as_it_stands", "tuned"))
        first, second = sorted(before.values())[:-3:-1]
        (clear if experiment in SHAPES else narrow).append(first - second)
        if experiment in SHAPES:
            winners.append(max(before, key=before.get))
            leads.append(spread(before.values()))
            after.append(spread(ends.values()))
        else:
            assert max(before, key=before.get) in NEXT_LAYER
            photographs.append(spread(ends.values()))
    assert sorted(winners) == ["scaling-factor", "taylor", "taylor"]
    for experiment in SHAPES:
        again, ends = (accuracies(experiment, stage, 0.7, SENSIBLE) for stage in ("recalibrated", "tuned"))
        assert min(again, key=again.get) == "taylor" != min(ends, key=ends.get)
    errors = []
    for experiments in (SHAPES, PHOTOGRAPHS):
        images = study(experiments[0]).config["data"]["validation"]
        ends = [max(accuracies(experiment, "tuned", 0.3).values()) for experiment in experiments]
        right = sum(ends) / len(ends)
        errors.append(f"{100 * math.sqrt(right * (1 - right) / images):.1f} points (on {images:,} ")
    return [
        f"one criterion is clearly ahead, by {apart(clear)}: Taylor in two seeds and the scaling factor in the third. On "
        f"photographs it is ThiNet or the LASSO, by {apart(narrow)} only",
        *errors,
        f"The best and the worst of the six are {apart(leads)} apart on `shapes`",
        f"After one epoch they are within {apart(after)}, and on photographs within {apart(photographs)}",
        "the last of the six with BatchNorm re-estimated, and not the last after training",
    ]


# 08 · The front


def grid() -> list[Record]:
    """The shipped fronts of three networks."""
    (lab,) = REFERENCE.glob("fronts-*/lab2")
    return records.load_all(lab)


def winner(found: dict[str, list[float]]) -> str:
    """The policy of which every seed is above every seed of the other."""
    first, second = sorted(found, key=lambda policy: -min(found[policy]))
    return first if min(found[first]) > max(found[second]) else "within the seeds"


@claim("08-30")
def who_wins_where():
    areas, rows = front.areas(grid()), []
    for name in ("vgg19", "resnet18", "mobilenetv2"):
        (network,) = {key[0] for key in areas if key[0].startswith(f"{name}x")}
        found = [
            winner({policy: areas[network, policy, cost] for policy in ("global", "uniform")})
            for cost in ("parameters", "macs")
        ]
        rows.append(f"| {name} | {found[0]} | {found[1]} |")
    for seed in (0, 1):  # at 40 % of the channels both rules leave about as many parameters of VGG-19
        mine, other = (vgg_19(policy, 40, "parameters", seed) for policy in ("global", "uniform"))
        assert abs(mine[0] - other[0]) < 0.01 and mine[1] > other[1] + 0.03

    def by_macs(policy: str, ratio: int) -> tuple[str, list[float]]:
        left, accuracies = zip(*(vgg_19(policy, ratio, "macs", seed) for seed in (0, 1)))
        return reach(left), accuracies

    (mild, ahead), (milder, behind), (harsh, fallen), (harsher, working) = (
        by_macs(*point) for point in (("global", 40), ("uniform", 10), ("global", 70), ("uniform", 40))
    )
    assert min(ahead) > max(behind)
    return [
        *rows,
        f"{reach(ahead)} of the images right at {mild} of the MACs, where layer-wise has {reach(behind)} at {milder}",
        f"to {reach(fallen)} at {harsh} of the MACs, where layer-wise still has {reach(working)} at {harsher}",
    ]


def vgg_19(policy: str, ratio: int, cost: str, seed: int) -> tuple[float, float]:
    """The share of the cost that is left, and the accuracy after fine-tuning."""
    label = f"vgg19x0.125-folder-cifar10-seed{seed}-filter-l1-per-weight-{policy}-{ratio}-"
    cut, tuned = (
        next(r for r in grid() if r.name.startswith(label) and r.kind == kind) for kind in (front.CUT, front.TUNED)
    )
    return cut.results[cost] / cut.results[f"parent_{cost}"], tuned.results["validation_accuracy"]


def shares(policy: str, ratio: float, cost: str) -> list[float]:
    """What is left, in every network and seed."""
    cuts = [run for run in grid() if run.kind == front.CUT]
    chosen = [run for run in cuts if (run.config["policy"], run.config["ratio"]) == (policy, ratio)]
    assert len(chosen) == 6
    return [run.results[cost] / run.results[f"parent_{cost}"] for run in chosen]


@claim("08-34")
def where_each_rule_cuts():
    early, stream = [], []
    for run in grid():
        if run.kind == front.CUT and (run.config["policy"], run.config["ratio"]) == ("global", 0.4):
            kept = [(len(run.plan["kept"][name]), total) for name, total in run.plan["total"].items()]
            first = kept[: len(kept) // 2]
            early.append(sum(stay for stay, _ in first) / sum(total for _, total in first))
            assert [stay for stay, _ in kept].count(1) == (0 if run.name.startswith("vgg19") else 2)
            if run.name.startswith("resnet18"):
                widest = "blocks.stage4_block1.conv2"
                assert run.plan["total"][widest] == max(run.plan["total"].values())
                stream.append(len(run.plan["kept"][widest]) / run.plan["total"][widest])
    return [
        f"keeps {reach(early)} of the channels of the first half of the groups",
        f"the widest stream of ResNet18 keeps {reach(stream)}",
        f"global leaves {reach(shares('global', 0.4, 'parameters'))} of the parameters, but "
        f"{reach(shares('global', 0.4, 'macs'))} of the MACs",
        f"layer-wise leaves {reach(shares('uniform', 0.4, 'parameters'))} of the parameters and "
        f"{reach(shares('uniform', 0.4, 'macs'))} of the MACs",
    ]


def live(experiment) -> tuple[Record, list, list]:
    """The trained network of an experiment, its global front and our policies as points."""
    trained, specification = records.load(experiment / "trained"), records.load(experiment / "trained").specification
    runs = (records.load_all(experiment, kind) for kind in (front.TUNED, front.POLICY))
    runs = ([run for run in found if not run.name.startswith(front.BY_SENSITIVITY)] for found in runs)
    return trained, *(front.points_of(found, specification) for found in runs)


@claim("08-39")
def the_global_front_falls_off_a_cliff():
    for experiment in SHAPES:
        trained, points, _ = live(experiment)
        before, knee = trained.results["validation_accuracy"], front.knee(points)
        assert before - knee.accuracy < 0.02 and knee.cost > 0.8
        assert min(point.accuracy for point in points) < 0.3 and min(point.cost for point in points) > 0.5
    return []


@claim("08-50")
def what_our_policies_gain():
    gains = []
    for experiment in SHAPES:
        trained, points, mine = live(experiment)
        assert len(mine) == 3
        gain, free = front.gained(points, mine), front.free(points, trained.results["validation_accuracy"])
        assert front.points_for(gain, free) == 25
        gains.append(gain / free)
    return [f"every reference run gains {reach(gains)} of the free area"]


# 09 · Ratios

EXACT |= {
    "09-06": ("0 %", "10 %", "90 %"),
    "09-08": ("5 points",),
    "09-11": ("5 points",),
    "09-18": ("10 points", "20 points", "40 %"),
    "09-28": ("80 %",),
    "09-32": ("80 %",),
    "09-35": ("80 %",),
    "09-40": ("80 %",),
    "09-50": ("8 %", "0.96 times"),
    "manual-report-front": ("40 %",),
    "09-56": ("10.5 %", "31 %"),
}
RATIO_RUNS = SHAPES


def of_kind(experiment, kind: str) -> Record:
    (found,) = records.load_all(experiment, kind)
    return found


def digits(values) -> str:
    """``93.8 to 99.3 %``"""
    return f"{100 * min(values):.1f} to {100 * max(values):.1f} %"


@claim("09-11")
def the_third_layer_is_among_the_most_fragile():
    for experiment in RATIO_RUNS:
        run = of_kind(experiment, ratios.SENSITIVITY)
        chosen = ratios.tolerated(run.results["curves"], run.config["ratios"], 0.05)
        assert chosen["features.conv3"] == min(chosen.values()) == 0.3
        assert all(curve[0] - curve[1] < 0.02 for curve in run.results["curves"].values())
    return ["at 5 points it can lose 30 %, and no layer less"]


@claim("09-18")
def together_is_worse_than_the_sum():
    over = []
    for experiment in RATIO_RUNS:
        run = of_kind(experiment, ratios.SENSITIVITY)
        for row in run.results["together"]:
            alone, joint, again = ratios.drops(run, row)
            if row["drop"] <= 0.1:
                assert joint > alone and again < joint / 2
            else:
                over.append(alone)
    assert max(over) > 1
    return ["at every threshold up to 10 points", "takes more than half of the joint loss back"]


@claim("manual-report-policy")
def more_than_what_the_seeds_change():
    gains = {True: [], False: []}  # of the policies from the curves, of our own
    for experiment in RATIO_RUNS:
        trained, points, _ = live(experiment)
        runs = records.load_all(experiment, front.POLICY)
        for by_curves, found in gains.items():
            chosen = [run for run in runs if run.name.startswith(front.BY_SENSITIVITY) == by_curves]
            policies = front.points_of(chosen, trained.specification)
            assert len(policies) == 3 and (min(point.cost for point in policies) > 0.23) == by_curves
            found.append(front.gained(points, policies))
    (low, high), (mine, best) = ((min(found), max(found)) for found in gains.values())
    assert mine > high and max(high - low, best - mine) < low / 10
    return [
        f"In the course's runs of three seeds, the same three policies gain {mine:.2f} to {best:.2f}, those of the "
        f"curves {low:.2f} to {high:.2f}"
    ]


@claim("09-26")
def sensitivity_is_far_ahead_of_the_global_ranking():
    mine, ranking = [], []
    for experiment in RATIO_RUNS:
        for target in ratios.TARGETS:
            for found, folder in ((mine, "policy-sensitivity"), (ranking, "matched-global")):
                run = records.load(experiment / f"{folder}-{100 * target:g}")
                found.append(run.results["validation_accuracy"])
    assert min(mine) > max(ranking)
    return [f"{digits(mine)} of the images are right, and {digits(ranking)}"]


@claim("09-35")
def steps_do_not_win_at_equal_epochs():
    rising, second, third, once = [], [], [], {"1": [], "0.1": [], "0.01": []}
    for experiment in RATIO_RUNS:
        results = of_kind(experiment, ratios.SCHEDULES).results
        rising.append(results["rising"][-1])
        second.append(results["parent"] - results["rising"][1])
        third.append(results["rising"][1] - results["rising"][2])
        for factor, found in once.items():
            found.append(results["one_shot"][factor][-1])
        assert once["0.01"][-1] < rising[-1] < once["0.1"][-1] < once["1"][-1]
        assert min(results["rising"][:-1]) > 0.9
    ahead = [full - tenth for full, tenth in zip(once["1"], once["0.1"])]
    return [
        f"within {100 * min(second):.0f} to {100 * max(second):.0f} points of the unpruned one",
        f"costs {100 * min(third):.0f} to {100 * max(third):.0f} points more",
        f"rising ends at {reach(rising)}, and at once with the same rate at {reach(once['0.1'])}",
        f"for so short a repair: {reach(once['0.01'])}",
        f"comes to {reach(once['1'])}, ahead of a tenth by {apart(ahead)}",
    ]


@claim("09-40")
def what_penalties_do():
    half, other, price, ahead, second = [], [], [], [], []
    for experiment in RATIO_RUNS:
        run = of_kind(experiment, ratios.REGULARIZATIONS)
        found, place = run.results["penalties"], run.config["ratios"].index(0.5)
        half += [curve[place] for curve in found["L1"]["curves"].values()]
        other += [curve[place] for name in ("none", "L2") for curve in found[name]["curves"].values()]
        price.append(found["none"]["parent"] - found["L1"]["parent"])
        ahead += [found["L1"]["tuned"][name] - value for name, value in found["none"]["tuned"].items()]
        second += [found["L2"]["tuned"][name] - value for name, value in found["none"]["tuned"].items()]
    assert min(ahead) > 0 and len(second) / 2 < sum(gain > 0 for gain in second) < len(second)
    shares = {
        name: [gone_below(experiment / f"trained-{name.lower()}") for experiment in RATIO_RUNS] for name in ("L1", "L2")
    }
    assert max(shares["L2"]) < 0.01
    return [
        f"after L1, {reach(half)} of the images are right in the reference runs; without it, or with L2, {reach(other)}",
        f"it costs {apart(price)}",
        f"Of its factors {reach(shares['L1'])} are below 0.01. With L2, at most 1 % are",
        f"by {apart(ahead)}",
    ]


def gone_below(folder, threshold: float = 0.01) -> float:
    """The share of a run's scaling factors that end below a threshold."""
    last = torch.cat(list(records.load(folder).gammas()[-1].values()))
    return float((last < threshold).float().mean())


@claim("09-56")
def the_table_predicts_the_family():
    searched, others, promised, saved = [], [], [], []
    for experiment in RATIO_RUNS:
        latencies = of_kind(experiment, ratios.LATENCIES)
        off, whole = ratios.errors(latencies), latencies.results["whole_now"]
        for name, error in off.items():
            (searched if name.startswith("netadapt") else others).append(error)
        mildest = "policy-sensitivity-60"
        taken = latencies.results["measured"][mildest]
        promised.append(1 - (1 + off[mildest]) * taken / whole)
        saved.append(1 - taken / whole)
    assert max(others) < 0
    return [
        f"every network of the search within {100 * max(map(abs, searched)):.0f} %, in every reference run",
        f"the table is {reach([-error for error in others])} too low for them",
        f"promises {reach(promised)} of the time for the mildest network by sensitivity, {reach(saved)} are saved",
    ]


@claim("09-58")
def netadapt_is_ahead_of_the_global_ranking_even_before_it_is_tuned():
    for experiment in RATIO_RUNS:
        searched = of_kind(experiment, "ratios-netadapt").results["iterations"][-1]
        ranked = [records.load(experiment / f"matched-global-{100 * target:g}") for target in ratios.TARGETS]
        best = max(run.results["validation_accuracy"] for run in ranked)
        assert searched["candidates"][searched["chosen"]]["accuracy"] > best + 0.5
    return ["so is NetAdapt even at the end of its search, before the long fine-tuning"]


@claim("09-60")
def how_far_the_ranking_goes_depends_on_the_network():
    def ends(network: str, ratio: float) -> list[float]:
        named = (run for run in grid() if run.name.startswith(network) and run.config["ratio"] == ratio)
        kinds = (front.TUNED,) if ratio else (front.TRAINED,)
        return [r.results["validation_accuracy"] for r in named if r.kind in kinds and "-uniform-" not in r.name]

    pairs = [(ends(name, 0.0), ends(name, ratio)) for name, ratio in (("vgg19", 0.4), ("mobilenetv2", 0.2))]
    assert all(len(found) == 2 for pair in pairs for found in pair)
    (before, standing), (whole, fallen) = pairs
    assert min(standing) > min(before) - 0.005 and max(fallen) < min(whole) / 2
    return ["VGG-19 stands 40 % of its channels by it, and MobileNetV2 not even 20 %"]


# 10 · AMC

EXACT |= {"10-00": ("40 points",), "10-43": ("40 %",)}
LAST = 20  # episodes that say what an agent has learned


def searches(experiment, name: str = "vgg", variant: str = "") -> tuple[Record, Record]:
    """AMC's search and the one by chance."""
    return tuple(records.load(experiment / f"{agent}-{name}{variant}") for agent in ("amc", "random"))


def policies_of(experiment, name: str, stage: str) -> dict[str, float]:
    judged = records.load(experiment / f"amc-compared-{name}")
    if stage == "tuned":
        return {n: run.results["validation_accuracy"] for n, run in amc.tuned_beside(judged).items()}
    return {n: row[stage] for n, row in judged.results["policies"].items()}


@claim("10-34")
def the_agent_learns_and_chance_keeps_up():
    ahead, by_chance = [], []
    for experiment in SHAPES + PHOTOGRAPHS:
        agent, chance = (run.results for run in searches(experiment))
        mean = sum(chance["accuracies"]) / len(chance["accuracies"])
        assert sum(agent["accuracies"][-LAST:]) / LAST > mean + 0.15
        best, luck = max(agent["accuracies"]), max(chance["accuracies"])
        assert abs(best - luck) < 0.05
        ahead.append(luck > best)
        by_chance.append(agent["best"] < amc.WARM_UP)
    assert sum(ahead[:3]) == 2 and [a or b for a, b in zip(ahead, by_chance)][:3] == [True] * 3
    assert sum(by_chance[:3]) == 1 and sum(ahead[3:]) == 0 and len(ahead) == 5
    return [
        "chance is ahead in two of the three runs on `shapes`, in none of the two on photographs",
        "In the third on `shapes`, AMC's best is one of its warm-up",
    ]


@claim("10-50")
def the_best_policy_is_never_the_last():
    episodes = [searches(experiment)[0].results["best"] + 1 for experiment in SHAPES]
    return ["episode {}, {} or {} of 300, never at the end".format(*episodes)]


@claim("10-38")
def judged_as_it_stands_nothing_of_use_is_found():
    (experiment,) = [lab for lab in SHAPES if (lab / "amc-vgg-as-it-stands").exists()]
    found = [run.results["accuracies"] for run in searches(experiment, variant="-as-it-stands")]
    assert max(map(max, found)) < 0.2
    assert sum(math.isclose(accuracy, 0.1) for accuracy in found[1]) > 0.8 * len(found[1])
    agent, chance = (sum(accuracies[-LAST:]) / LAST for accuracies in found)
    run = records.load(experiment / "amc-vgg-log-flops")
    table, total = amc.table(run.specification), run.specification.widths
    last = [table.macs(widths) / table.macs(total) for widths in run.results["widths"][-LAST:]]
    assert min(last) > 0.7 and min(run.results["accuracies"][-LAST:]) > 0.98
    return [
        f"get {agent:.0%} of the images right".replace("%", " %"),
        f"random search get {chance:.0%}".replace("%", " %"),
        "learns to keep nearly all channels",
    ]


@claim("10-39")
def what_rules_leave_of_the_budget():
    unused = {}
    for experiment in SHAPES:
        for name, row in records.load(experiment / "amc-compared-vgg").results["policies"].items():
            unused[experiment.parent.name, name] = amc.BUDGET - row["macs"]
    assert min(unused.values()) > -0.001 and max(unused, key=unused.get)[1] == "sensitivity"
    return [f"up to {100 * max(unused.values()):.1f} points of it unused"]


@claim("10-43")
def a_search_does_not_pay_on_a_vgg():
    gains, behind, apart_tuned, curves, curves_tuned = [], [], [], [], []
    changed = []
    for experiment in SHAPES + PHOTOGRAPHS:
        assert max(policies_of(experiment, "vgg", "as_it_stands").values()) < 0.25
        found, tuned = (policies_of(experiment, "vgg", stage) for stage in ("re_estimated", "tuned"))
        gains.append(found["amc"] - found["uniform"])
        behind.append(found["random"] > found["amc"])
        best, luck = (max(run.results["accuracies"]) for run in searches(experiment))
        changed.append((luck > best) != behind[-1])
        three = [tuned[name] for name in ("amc", "random", "uniform")]
        apart_tuned.append(max(three) - min(three))
        assert 0 < tuned["uniform"] - tuned["amc"] < 0.01
        assert found["global"] < 0.2
        if experiment in SHAPES:
            curves.append(found["uniform"] - found["sensitivity"])
            curves_tuned.append(tuned["uniform"] - tuned["sensitivity"])
    assert min(gains) > 0 and max(apart_tuned) < 0.02 and min(curves + curves_tuned) > 0
    assert sum(behind[:3]) == 1 and sum(behind[3:]) == 1 and sum(changed) == len(changed) - 1 == 4
    return [
        f"ahead of uniform in every reference run, by {apart(gains[:3])} on `shapes` and by {apart(gains[3:])} on "
        "photographs; chance is ahead of it in one of three runs and in one of two",
        "in all runs but one the two searches have changed places",
        "uniform is ahead of AMC in every reference run",
        "within two points of each other",
        f"by {apart(curves)} re-estimated and by {apart(curves_tuned)} after fine-tuning",
    ]


@claim("10-47")
def chance_wins_on_a_mobilenetv2_until_it_is_tuned():
    uniform_ahead = 0
    for experiment in SHAPES:
        found, tuned = (policies_of(experiment, "mobilenetv2", stage) for stage in ("re_estimated", "tuned"))
        assert found["random"] > found["amc"] > found["uniform"] > found["global"]
        assert max(found.values()) < 0.5 and tuned["global"] < 0.2
        assert all(tuned[name] > found[name] + 0.2 for name in ("uniform", "random", "amc"))
        uniform_ahead += tuned["uniform"] > tuned["amc"]
        agent, chance = (run.results["accuracies"] for run in searches(experiment, "mobilenetv2"))
        assert sum(agent[-LAST:]) / LAST < sum(chance) / len(chance) + 0.02 and max(agent) > max(chance)
    assert uniform_ahead == 2
    return ["chance is ahead of AMC, and AMC ahead of uniform, in every reference run", "in two of the three runs"]
