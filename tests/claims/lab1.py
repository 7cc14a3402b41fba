"""Lab 1, Network Slimming."""

import json
import math

import torch

from claims import claim, reach, spread
from labkit import measure, models, records, settings, slimming, training
from labkit.pruning import global_plan, random_scores
from labkit.records import Record
from labkit.settings import REFERENCE, REPOSITORY

SHAPES = [REFERENCE / f"quick-shapes-seed{seed}" / "lab1" for seed in range(3)]
QUICK_PHOTOGRAPHS = [REFERENCE / f"quick-folder-cifar10-seed{seed}" / "lab1" for seed in range(2)]
HALF = REFERENCE / "half-folder-cifar10-seed0" / "lab1"
FULL = REFERENCE / "full-folder-cifar10-seed0" / "lab1"
PHOTOGRAPHS = [*QUICK_PHOTOGRAPHS, HALF, FULL]
RECIPES = REPOSITORY / "data" / "recipes"

EXACT = {
    "01-12": ("64 times",),
    "02-09": ("0 %", "50 %"),
    "03-00": ("10 %", "50 %", "90 %"),
    "03-03": ("40 %",),
    "03-10": ("70 %", "90 %"),
    "03-34": ("50 %", "90 %"),
    "03-36": ("90 %",),
    "03-42": ("10 %",),
    "03-46": ("50 %", "90 %", "10 %", "70 %"),
    "03-47b": ("50 %", "80 %"),
    "03-08f": ("60 %",),
    "04-00": ("90 %",),
    "04-03c": ("90 %",),
    "04-23": ("90 %", "37 %", "10 %"),
    "05-00": ("50 %", "90 %"),
    "manual-report-training": ("90 %",),
    "05-09": ("50 %",),
    "05-13": ("90 %",),
    "manual-report-fine-tuning": ("90 %",),
    "manual-report-problem": ("10 %", "50 %"),
}


def sparsity(experiment) -> list[Record]:
    return records.load_all(experiment, "sparsity")


def named(experiment, name: str) -> Record:
    return records.load(experiment / name)


def of(experiment, kind: str, ratio: float | None = None) -> list[Record]:
    return [run for run in records.load_all(experiment, kind) if ratio in (None, run.config["ratio"])]


def ends(runs) -> list[float]:
    return [run.results["validation_accuracy"] for run in runs]


def tuned(experiment, ratio: float) -> dict[float, Record]:
    """Fine-tunings of one ratio by learning rate."""
    return {round(run.config["recipe"]["learning_rate"], 6): run for run in of(experiment, "fine-tuning", ratio)}


def strongest(experiment, ratio: float) -> Record:
    """The pruning of the run with the largest λ."""
    return max(of(experiment, "pruning", ratio), key=lambda run: run.config["lambda"])


def sweep(experiment, which: int) -> dict[str, dict[float, float]]:
    """Validation accuracies of the weak (0) or the strong (1) λ, by variant and ratio."""
    results = records.load_all(experiment, "sweep")[which].results
    return {name: dict(zip(results["ratios"], values)) for name, values in results["validation"].items()}


def below(run: Record, threshold: float = 0.01, snapshot: int = -1) -> float:
    return slimming.under_threshold(run, snapshot, threshold)


# ------------------------------------------------------------------------------------------ notebook 01


@claim("01-05")
def what_vgg_19_costs():
    network = models.build(models.named("vgg19"), seed=0)
    megabytes, gigaflops = 4 * measure.parameters(network) / 1e6, 2 * measure.macs(network) / 1e9
    return [f"{megabytes:.0f} MB of weights and {gigaflops:.1f} GFLOP"]


@claim("01-22")
def a_budget_is_enough_only_where_the_loss_lets_go():
    for experiment in SHAPES + PHOTOGRAPHS:
        none, *weak, strong = map(below, sparsity(experiment))
        assert none == 0 and max(weak, default=0) <= 0.02 < strong
    return ["Whether a factor does arrive depends on the other force"]


@claim("01-29")
def accuracies_without_and_with_sparsity():
    free, weak, strong = (ends(runs) for runs in zip(*map(sparsity, SHAPES)))
    assert max(min(free), min(weak)) <= min(max(free), max(weak)), "their bars overlap"
    costs = [100 * (a - b) for a, b in zip(free, strong)]
    assert min(costs) > 0 and max(strong) < min(free + weak)
    for experiment in SHAPES:
        none, _, most = (run.history[-1]["gamma_l1"] for run in sparsity(experiment))
        assert most < 0.1 * none
    published = json.loads((REPOSITORY / "data" / "published.json").read_text(encoding="utf-8"))
    paper, group = published[:2]
    assert paper["source"].startswith("Liu") and "paper's group" in group["source"]
    return [
        f"{100 * paper['baseline']:.2f} % without sparsity, {100 * paper['sparse']:.2f} % with it",
        f"{100 * group['baseline']:.2f} % and {100 * group['sparse']:.2f} %",
        "So λ = 0.0012 cannot be told from λ = 0",
        f"costs {min(costs):.1f} to {max(costs):.1f} points in the reference runs",
        f"Its own bar is {100 * spread(strong):.1f} points high",
        "every seed lost, and this bar ends below where the others begin",
        "Σ|γ| fell to less than a tenth",
    ]


# ------------------------------------------------------------------------------------------ notebook 02


@claim("02-07")
def more_penalty_more_channels_near_zero():
    for experiment in SHAPES + PHOTOGRAPHS:
        shares = [below(run, 0.1) for run in sparsity(experiment)]
        assert shares == sorted(shares)
    return ["With growing λ the scaling factors become sparser"]


@claim("02-11")
def wide_layers_give_up_most():
    for experiment in SHAPES:
        gammas = list(sparsity(experiment)[-1].gammas()[-1].values())
        layers = [float((gamma < 0.01).float().mean()) for gamma in gammas]
        assert min(layers[4:7]) > 0.8 > max(layers[:4])
        assert all(gamma.quantile(0.75) < 0.01 for gamma in gammas[4:7])
    return [
        "the three wide layers before the last give up more than four fifths of their channels",
        "even the upper ends of their bars are below 0.01",
    ]


@claim("02-13")
def channels_that_went_hardly_come_back():
    back = []
    for experiment in SHAPES:
        strong = sparsity(experiment)[-1]
        epochs = torch.stack([torch.cat(list(gammas.values())) for gammas in strong.gammas()])
        once = (epochs < 0.01).any(0)
        back.append(float((epochs[-1][once] > 0.05).float().mean()))
    return [f"of the channels that were below 0.01 at some saved epoch, {reach(back, 1)} end above 0.05"]


@claim("02-13c")
def the_same_budget_ends_differently():
    groups = (SHAPES, QUICK_PHOTOGRAPHS, [HALF], [FULL])
    strong = [[sparsity(experiment)[-1] for experiment in group] for group in groups]
    budgets = [run.results["shrinkage_budget"] for runs in strong for run in runs]
    assert spread(budgets) < 0.05 and all(round(budget, 1) == 1.6 for budget in budgets)
    assert all(below(weak) <= 0.02 for experiment in SHAPES + PHOTOGRAPHS for weak in sparsity(experiment)[1:-1])
    (shapes,), (quick,), (half,), (full,) = ({run.config["lambda"] for run in runs} for runs in strong)
    steps = [len(training.learning_rates(settings.Recipe(**runs[0].config["recipe"]), runs[0].config["data"]["train"]))
             for runs in strong]  # fmt: skip
    assert 10 < steps[1] / steps[0] < 12 and 0.08 < quick / shapes < 0.1
    assert full < half
    shares = [reach([below(run) for run in runs]) for runs in strong]
    return [
        f"puts {shares[0]} of the channels below 0.01 on `shapes` (λ = {shapes:g})",
        f"only {shares[1]} in the same network on photographs (λ = {quick:g})",
        f"in a VGG-19 it is {shares[2]} at half width (λ = {half:g}) and {shares[3]} at full width (λ = {full:g})",
        "hardly any channel arrives, on any of the data sets",
    ]


@claim("02-13c")
def force_and_width_apart():
    short, batch, narrow = (
        sparsity(RECIPES / f"{name}-seed0" / "lab1")[-1] for name in ("short", "half-the-batch", "a-quarter")
    )
    wide = sparsity(FULL)[-1]
    assert short.specification == batch.specification and narrow.config["recipe"] == wide.config["recipe"]
    sizes = {name: run.config["recipe"] | {"batch": None} for name, run in (("short", short), ("half", batch))}
    assert sizes["short"] == sizes["half"] and 2 * batch.config["recipe"]["batch"] == short.config["recipe"]["batch"]
    assert 0.49 < batch.config["lambda"] / short.config["lambda"] < 0.51
    assert spread([run.results["shrinkage_budget"] for run in (short, batch, narrow, wide)]) < 0.05
    assert 2 * sum(narrow.specification.widths) == sum(wide.specification.widths)
    return [
        f"{reach([below(batch)])} instead of {reach([below(short)])}",
        f"{reach([below(narrow)])} instead of {reach([below(wide)])}",
    ]


@claim("02-17")
def l2_has_no_crowd_at_zero():
    for experiment in SHAPES:
        (l2,) = of(experiment, "l2")
        free, strong = sparsity(experiment)[0], sparsity(experiment)[-1]
        assert l2.config["lambda"] == strong.config["lambda"] and l2.config["start"] == strong.config["start"]
        assert below(l2) < 0.01 and below(strong) > 0.7 and below(strong, 0.03) - below(strong) < 0.03
        medians = [torch.cat(list(run.gammas()[-1].values())).median() for run in (l2, free)]
        assert medians[0] < 0.7 * medians[1]
    return ["With L2 there is one crowd, and hardly a channel near zero", "with few channels between them"]


@claim("03-10")
def half_of_the_channels_goes_from_the_crowd_near_zero():
    for experiment in SHAPES:
        threshold = strongest(experiment, 0.5).plan["threshold"]
        strong = sparsity(experiment)[-1]
        assert threshold < 0.001 and below(strong, 0.001) > 0.6
    return ["At 50 % the threshold stands in the middle of the left crowd"]


# ------------------------------------------------------------------------------------------ notebook 03


@claim("03-42")
def parameters_fall_more_than_macs_on_photographs():
    left = {"parameters": [], "macs": []}
    for experiment in PHOTOGRAPHS:
        pruned = strongest(experiment, 0.5)
        whole = next(row for row in named(experiment, "summary").results["rows"] if row["stage"] == "sparse")
        for cost, values in left.items():
            values.append(pruned.results[cost] / whole[cost])
    return [f"leave {reach(left['parameters'])} of the parameters but {reach(left['macs'])} of the MACs"]


@claim("03-46")
def what_comes_back_without_training():
    for experiment in SHAPES:
        weak, strong = (run.results["validation"] for run in of(experiment, "pruning", 0.5))
        lost = weak["parent"] - weak["as_it_stands"]
        assert lost > 0.5 and weak["recalibrated"] - weak["as_it_stands"] > 0.8 * lost
        assert weak["folded"] - weak["as_it_stands"] < 0.1
        assert strong["parent"] - strong["as_it_stands"] < 0.01
        for half in (weak, strong):
            assert half["recalibrated"] - half["random"] > 0.25
        assert strong["random"] < weak["random"]
        hopeless = of(experiment, "pruning", 0.9)[0].results["validation"]
        assert max(value for name, value in hopeless.items() if name != "parent") < 0.2
        ninety = strongest(experiment, 0.9).results["validation"]
        assert (
            0.05 < ninety["recalibrated"] - ninety["as_it_stands"] < 0.6 * (ninety["parent"] - ninety["as_it_stands"])
        )
    return [
        "Re-estimating the statistics brings most of it back",
        "Folding alone does little here",
        "hardly anything is lost",
        "**Weaker λ, 90 %:** nothing helps",
        "re-estimation brings back a part, far from all of it",
        "at 50 %, re-estimated as well, do clearly worse",
    ]


@claim("03-47b")
def the_sweep_line_by_line():
    found = {"as_it_stands": [], "folded": [], "recalibrated": []}
    explained, early, mended = [], [], []
    for experiment in SHAPES:
        weak, strong = sweep(experiment, 0), sweep(experiment, 1)
        parent = sparsity(experiment)[-1].results["validation_accuracy"]
        early.append(weak["as_it_stands"][0.4])
        mended.append(weak["recalibrated"][0.4])
        assert weak["recalibrated"][0.6] < weak["recalibrated"][0.5] < weak["recalibrated"][0.4]
        assert all(strong[name][ratio] > parent - 0.015 for name in found for ratio in (0.2, 0.4, 0.5, 0.6))
        assert 0.15 < strong["recalibrated"][0.9] < 0.7 and strong["as_it_stands"][0.9] < 0.15
        for name, values in found.items():
            values.append(strong[name][0.8])
        for one in (weak, strong):
            assert all(one["random"][ratio] < value for ratio, value in one["recalibrated"].items() if value > 0.5)
        shares = [
            (one["folded"][ratio] - one["as_it_stands"][ratio])
            / (one["recalibrated"][ratio] - one["as_it_stands"][ratio])
            for one, ratio in ((weak, 0.5), (strong, 0.8))
        ]
        explained.append(shares)
    assert all(weak < strong for weak, strong in explained)
    return [
        f"as it stands {reach(found['as_it_stands'])} of the images are right, with the constants folded "
        f"{reach(found['folded'])}, re-estimated {reach(found['recalibrated'])}",
        f"at 40 % cut {reach(early)} of the images are right",
        f"Re-estimated (green), {reach(mended)} are right there",
        "Everything but random stays up to 60 %",
        "At 90 % re-estimation brings back a part only",
        "It explains more where the channels are really constant, that is with the stronger λ",
        "Random** is below re-estimated wherever re-estimated is above 50 %",
    ]


@claim("03-08f")
def random_wins_where_the_threshold_makes_a_bottleneck():
    weak = [sweep(experiment, 0) for experiment in PHOTOGRAPHS]
    assert all(one["random"][0.6] > one["recalibrated"][0.6] for one in weak)
    for experiment in QUICK_PHOTOGRAPHS:
        assert sweep(experiment, 1)["random"][0.7] > sweep(experiment, 1)["recalibrated"][0.7]
        run = sparsity(experiment)[1]
        scores = run.gammas()[-1]
        total = [len(score) for score in scores.values()]
        by_gamma = global_plan(scores, 0.6).widths
        by_chance = global_plan(random_scores(scores, run.config["seed"]), 0.6).widths
        assert min(k / n for k, n in zip(by_gamma, total)) < 0.1 < 0.25 < min(k / n for k, n in zip(by_chance, total))

    def numbers(variant, runs):
        return " and ".join(f"{100 * one[variant][0.6]:.1f}" for one in runs)

    quick, (half, full) = weak[:2], weak[2:]
    return [
        f"{numbers('random', quick)} % against {numbers('recalibrated', quick)} %",
        f"at half width ({numbers('random', [half])} against {numbers('recalibrated', [half])} %)",
        f"at full width ({numbers('random', [full])} against {numbers('recalibrated', [full])} %)",
        "With the larger λ they win at 70 %, in both seeds",
    ]


# ------------------------------------------------------------------------------------------ notebook 04


@claim("04-08")
def which_rates_differ_by_more_than_seeds_do():
    found = [tuned(experiment, 0.9) for experiment in SHAPES]
    high, middle, low = ([runs[rate].results["validation_accuracy"] for runs in found] for rate in (0.1, 0.01, 0.001))
    differences = [a - b for a, b in zip(high, middle)]
    assert max(map(abs, differences)) < max(spread(high), spread(middle))
    assert max(low) < min(high + middle)
    behind = [other - c for a, b, c in zip(high, middle, low) for other in (a, b)]
    images = sparsity(SHAPES[0])[0].config["data"]["validation"]
    error = 100 * math.sqrt(0.985 * 0.015 / images)
    photographs = [tuned(experiment, 0.9) for experiment in PHOTOGRAPHS]
    gaps = [
        runs[0.1].results["validation_accuracy"] - runs[0.01].results["validation_accuracy"] for runs in photographs
    ]
    for runs in photographs:
        assert min(runs, key=lambda rate: runs[rate].results["validation_accuracy"]) == min(runs)
    return [
        "by "
        + ", ".join(f"{100 * difference:+.1f}" for difference in differences[:-1]).replace("-", "−")
        + f" and {100 * differences[-1]:+.1f} points".replace("-", "−"),
        f"on {images} validation images one image is {100 / images:.2f} points",
        f"near 98.5 % is about {error:.1f} points",
        f"{100 * min(behind):.1f} to {100 * max(behind):.1f} points behind the two others in every seed",
        f"clearly ahead of rate 0.01 in the two runs of VGG-11 ({100 * gaps[0]:.1f} and {100 * gaps[1]:.1f} points), "
        f"equal in VGG-19 at half width ({100 * gaps[2]:.1f}), and behind at full width (−{-100 * gaps[3]:.1f})",
        "A hundredth of the original rate is too low, in all of these runs",
    ]


@claim("04-10")
def a_network_cut_by_half_works_on_shapes_and_not_on_photographs():
    assert all(strongest(e, 0.5).results["validation"]["as_it_stands"] > 0.9 for e in SHAPES)
    *narrow, full = (strongest(e, 0.5).results["validation"]["as_it_stands"] for e in PHOTOGRAPHS)
    assert max(narrow) < 0.11
    return [
        "On `shapes` the half-pruned network still works",
        f"On photographs it is at 10 % until its statistics are re-estimated, at full width at {100 * full:.0f} %",
    ]


@claim("04-14")
def the_control_depends_on_its_seed():
    tests = [[row for row in named(e, "summary").results["rows"] if row["ratio"] == 0.9] for e in SHAPES + PHOTOGRAPHS]
    scratch, back = (
        [next(row["accuracy"] for row in rows if row["stage"] == stage) for rows in tests]
        for stage in ("from scratch", "fine-tuned")
    )
    assert min(back[:3]) - max(scratch[:3]) > max(spread(scratch[:3]), spread(back[:3]))
    wins = sum(a > b for a, b in zip(scratch[3:], back[3:]))
    assert wins == 3
    halves = [tuned(experiment, 0.5) for experiment in SHAPES]
    differences = [
        runs[0.1].results["validation_accuracy"] - runs[0.01].results["validation_accuracy"] for runs in halves
    ]
    first = [runs[0.1].history[0]["validation_accuracy"] for runs in halves]
    return [
        ", ".join(f"{100 * value:.1f}" for value in scratch[:2]) + f" and {100 * scratch[2]:.1f} %",
        ", ".join(f"{100 * value:.1f}" for value in back[:2]) + f" and {100 * back[2]:.1f} %",
        "wins in three of four",
        f"down to {reach(first)} after its first epoch",
        "by "
        + ", ".join(f"{100 * d:+.1f}" for d in differences[:2]).replace("-", "−")
        + f" and {100 * differences[2]:+.1f} points".replace("-", "−"),
    ]


@claim("04-23")
def photographs_do_not_come_back_from_ninety_percent():
    lost = []
    for experiment in PHOTOGRAPHS:
        rows = {(row["stage"], row["ratio"]): row["accuracy"] for row in named(experiment, "summary").results["rows"]}
        lost.append(100 * (rows["sparse", 0.0] - rows["fine-tuned", 0.9]))
    assert min(lost[:-1]) > 9
    return ["stays more than 9 points below the sparse one", f"only VGG-19 at full width comes within {lost[-1]:.1f}"]


# ------------------------------------------------------------------------------------------ notebook 05


@claim("manual-report-training")
def the_strongest_penalty_is_slower_and_validation_jumps():
    for experiment in SHAPES:
        free, _, strong = sparsity(experiment)
        first = [
            next(row["epoch"] for row in run.history if row["validation_accuracy"] > 0.9) for run in (free, strong)
        ]
        assert first[0] < first[1]
        apart = max(abs(row["train_accuracy"] - row["validation_accuracy"]) for row in strong.history)
        assert apart > 0.2
        last = strong.history[-1]
        assert last["train_accuracy"] < last["validation_accuracy"] + 0.01
    assert max(strong.results["validation_accuracy"] for *_, strong in map(sparsity, SHAPES)) < min(
        free.results["validation_accuracy"] for free, *_ in map(sparsity, SHAPES)
    )
    return ["The strongest penalty is clearly slower", "there is no sign of overfitting", "is behind in every seed"]


@claim("manual-report-lambda")
def the_budget_alone_does_not_say_what_arrives():
    return [f"brings only {reach([below(sparsity(e)[-1]) for e in QUICK_PHOTOGRAPHS])} of the channels below 0.01"]


@claim("manual-report-fine-tuning")
def neither_of_the_higher_rates_has_won():
    which_rates_differ_by_more_than_seeds_do()
    the_control_depends_on_its_seed()
    runs = [[tuned(experiment, 0.9)[rate] for experiment in SHAPES] for rate in (0.1, 0.01)]
    signs = {a > b for a, b in zip(*map(ends, runs))}
    assert signs == {True, False}
    assert max(value for e in SHAPES for value in ends(of(e, "from-scratch"))) < min(ends(runs[0] + runs[1]))
    assert max(ends(tuned(e, 0.9)[0.001] for e in SHAPES)) < min(value for group in runs for value in ends(group))
    return [
        "a difference that other seeds turn around",
        "below every reference seed of theirs",
        "all below the seeds of the two higher rates",
        "wins in three of four",
    ]
