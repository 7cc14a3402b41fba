"""Tables drawn from records, as Markdown: one experiment's summary, and the story over several seeds."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from labkit import models
from labkit.methods.outcomes import CHANNELS, Outcome, thinner
from labkit.methods.slimming.figures import seed_bands, under_threshold
from labkit.records import Record, experiment_name, folders_with_runs, load, load_all
from labkit.settings import LabError
from labkit.view.tables import band, markdown, percent


def summary_cells(summary: Record) -> list[list[str]]:
    """The lab's last table, header first."""
    header = ["network", "ratio", "test accuracy", "parameters", "MACs", "latency, batch 1"]
    rows = [
        [
            row["stage"],
            f"{row['ratio']:.0%}",
            f"{row['accuracy']:.1%}",
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:.2f} M",
            f"{row['latency_ms']['median']:.2f} ms",
        ]
        for row in summary.results["rows"]
    ]
    return [header, *rows]


def summary_table(summary: Record) -> str:
    header, *rows = summary_cells(summary)
    return markdown(header, rows)


def _summary(lab: Path) -> Record | None:
    """The lab's last table."""
    return load(lab / "summary") if (lab / "summary" / "record.json").exists() else None


def story(experiment: Path) -> dict[str, float | None]:
    """What Network Slimming did in one experiment, as numbers in 0..1; None for what was not run.

    λ1 < λ2 are the lowest and the highest positive λ, of which λ1 may be missing; accuracies of λ1's pruning are on
    validation images, the others on test images.
    """
    dense, *others, strong = load_all(experiment, "sparsity")
    weak = others[0] if others else None
    summary = _summary(experiment)
    test = {(row["stage"], row["ratio"]): row["accuracy"] for row in summary.results["rows"]}
    halves = {
        r.config["lambda"]: r.results["validation"] for r in load_all(experiment, "pruning") if r.config["ratio"] == 0.5
    }
    half = halves.get(weak.config["lambda"], {}) if weak else {}
    return {
        "channels with γ below 0.01, λ = 0": under_threshold(dense),
        "channels with γ below 0.01, λ1": under_threshold(weak) if weak else None,
        "channels with γ below 0.01, λ2": under_threshold(strong),
        "baseline (λ = 0)": test.get(("baseline", 0.0)),
        "sparse (λ2)": test.get(("sparse", 0.0)),
        "λ2, 50 % pruned": test.get(("pruned", 0.5)),
        "λ2, 50 % pruned, re-estimated": test.get(("re-estimated", 0.5)),
        "λ2, 50 % pruned, fine-tuned": test.get(("fine-tuned", 0.5)),
        "λ2, 90 % pruned": test.get(("pruned", 0.9)),
        "λ2, 90 % pruned, re-estimated": test.get(("re-estimated", 0.9)),
        "λ2, 90 % pruned, fine-tuned": test.get(("fine-tuned", 0.9)),
        "90 % network from scratch": test.get(("from scratch", 0.9)),
        "λ1, before pruning (validation)": half.get("parent"),
        "λ1, 50 % pruned (validation)": half.get("as_it_stands"),
        "λ1, 50 % pruned, re-estimated (validation)": half.get("recalibrated"),
        "λ1, 50 % random channels, re-estimated (validation)": half.get("random"),
    }


def story_table(folders: list[Path]) -> str:
    """Experiments that differ only in their seed, side by side, with the mean."""
    stories = [story(folder) for folder in folders]
    header = ["", *(re.sub(r".*-(seed)(\d+)$", r"\1 \2", experiment_name(folder)) for folder in folders)]
    rows = [[name, *(percent(s[name]) for s in stories)] for name in stories[0]]
    if len(stories) > 1:
        header.append("mean")
        columns = {name: [s[name] for s in stories] for name in stories[0]}
        rows = [[*row, percent(None if None in columns[row[0]] else mean(columns[row[0]]))] for row in rows]
    return markdown(header, rows)


def families(folder: Path) -> dict[str, list[Path]]:
    """The finished experiments in ``folder``, those that differ only in their seed together."""
    found = defaultdict(list)
    for experiment in folders_with_runs(folder):
        if _summary(experiment) and len(load_all(experiment, "sparsity")) >= 2:
            found[re.sub(r"-seed\d+$", "", experiment_name(experiment))].append(experiment)
    return dict(found)


def measurements(members: list[Path]) -> dict[tuple[str, float], list[dict]]:
    """The rows of the members' last tables, one per seed, by stage and prune ratio."""
    found = defaultdict(list)
    for member in members:
        summary = _summary(member)
        for row in summary.results["rows"]:
            found[row["stage"], row["ratio"]].append(row)
    return dict(found)


def compared(members: list[Path]) -> list[dict]:
    """An experiment over its seeds, a row for each prune ratio, as ``data/published.json`` has them;
    accuracies are lists, one value per seed."""
    rows, strong = measurements(members), load_all(members[0], "sparsity")[-1]

    def accuracies(stage: str, ratio: float = 0.0) -> list[float]:
        return [row["accuracy"] for row in rows.get((stage, ratio), [])]

    family = re.sub(r"-seed\d+$", "", experiment_name(members[0]))
    return [
        {
            "source": f"**ours**: {family}",
            "lambda": f"{strong.config['lambda']:g}",
            "epochs": strong.config["recipe"]["epochs"],
            "budget": strong.results["shrinkage_budget"],
            "baseline": accuracies("baseline"),
            "sparse": accuracies("sparse"),
            "ratio": ratio,
            "pruned": accuracies("pruned", ratio),
            "re-estimated": accuracies("re-estimated", ratio),
            "fine-tuned": accuracies("fine-tuned", ratio),
            "from scratch": accuracies("from scratch", ratio),
            "parameters": mean(row["parameters"] for row in rows["fine-tuned", ratio]),
            "macs": mean(row["macs"] for row in rows["fine-tuned", ratio]),
        }
        for stage, ratio in rows
        if stage == "fine-tuned"
    ]


STAGES = ("baseline", "sparse", "pruned", "re-estimated", "fine-tuned", "from scratch")


def comparison_table(rows: list[dict]) -> str:
    """Rows of ``compared`` and of ``data/published.json`` under one head: the mean over the seeds and,
    with several, the lowest and the highest."""
    header = ["", "λ (budget)", "epochs", "ratio", *STAGES, "parameters", "MACs", "seeds"]

    def line(row: dict) -> list[str]:
        budget = f" ({row['budget']:.2g})" if "budget" in row else ""
        return [
            row["source"],
            row["lambda"] + budget,
            str(row.get("epochs", "–")),
            f"{row['ratio']:.0%}",
            *(band(row.get(stage)) for stage in STAGES),
            f"{row['parameters'] / 1e6:.3g} M",
            f"{row['macs'] / 1e6:.3g} M" if row.get("macs") else "–",
            str(len(row["baseline"])) if isinstance(row.get("baseline"), list) else "–",
        ]

    return markdown(header, [line(row) for row in rows])


PROMISES = {  # what the course says of a penalty of the recommended strength: (from, to, points that may be lost)
    "sparse network within 1 point of the dense one": (("baseline", 0.0), ("sparse", 0.0), 0.01),
    "50 % pruned and fine-tuned within 0.5 points of the sparse one": (("sparse", 0.0), ("fine-tuned", 0.5), 0.005),
    "70 % pruned and fine-tuned within 1 point of the sparse one": (("sparse", 0.0), ("fine-tuned", 0.7), 0.01),
    "90 % pruned and fine-tuned within 4 points of the sparse one": (("sparse", 0.0), ("fine-tuned", 0.9), 0.04),
}


def promises_table(families: dict[str, list[Path]]) -> str:
    """Points lost, seed by seed, for each of ``PROMISES``, and whether that is what was promised."""
    rows = []
    for promise, (start, end, allowed) in PROMISES.items():
        row = [promise]
        for members in families.values():
            found = measurements(members)
            lost = [a["accuracy"] - b["accuracy"] for a, b in zip(found[start], found.get(end, []))]
            kept = sum(round(points, 6) <= allowed for points in lost)
            told = f"{', '.join(f'{100 * points:+.2f}' for points in lost)} (in {kept} of {len(lost)})"
            row.append(told if lost else "–")  # a ratio that the profile does not have
        rows.append(row)
    return markdown(["points lost, by seed", *families], rows)


def epochs(lab: Path) -> str:
    """Of training and of fine-tuning, as ``15 + 5``."""
    trained, tuned = (load_all(lab, kind)[0].config["recipe"]["epochs"] for kind in ("sparsity", "fine-tuning"))
    return f"{trained} + {tuned}"


def hardest_table(families: dict[str, list[Path]], published: list[dict]) -> str:
    """What is left of each experiment's network at its highest prune ratio, what its training was given, and the points
    of test accuracy that fine-tuning leaves lost against the sparse network; below, the ``published`` rows that say it,
    of VGG-19."""
    header = ["", "ratio", "channels before", "left", "fewest in a layer", "budget", "epochs", "points lost"]
    lines = []
    for family, members in families.items():
        strong = load_all(members[0], "sparsity")[-1]
        cuts = [run for run in load_all(members[0], "pruning") if run.config["lambda"] == strong.config["lambda"]]
        hardest = max(cuts, key=lambda run: run.config["ratio"])
        widths, found = hardest.specification.widths, measurements(members)
        pairs = zip(found["sparse", 0.0], found["fine-tuned", hardest.config["ratio"]])
        lost = ", ".join(f"{100 * (before['accuracy'] - after['accuracy']):+.1f}" for before, after in pairs)
        given = f"{strong.results['shrinkage_budget']:.2g}", epochs(members[0])
        before, left = sum(strong.specification.widths), sum(widths)
        ratio = f"{hardest.config['ratio']:.0%}"
        lines.append([f"**ours**: {family}", ratio, f"{before:,}", f"{left:,}", str(min(widths)), *given, lost])
    channels = sum(models.named("vgg19").widths)
    for row in published:
        if row["ratio"] == 0.9:
            given = f"{row['budget']:.2g}", f"{row['epochs']} + {row['tuned for']}"
            lost = f"{100 * (row['sparse'] - row['fine-tuned']):+.1f}"
            lines.append(
                [row["source"], "90%", f"{channels:,}", f"{channels - round(0.9 * channels):,}", "–", *given, lost]
            )
    return markdown(header, lines)


def recipes_table(families: dict[str, list[Path]]) -> str:
    """Trainings of one kind of network by different recipes, the widest and the longest first: the share of channels
    below ``THRESHOLD``; test accuracy without the penalty, with it, and fine-tuned, mean and range over seeds; seconds
    of the slower of the two trainings."""
    strong = [(name, load_all(members[0], "sparsity")[-1]) for name, members in families.items()]
    strong.sort(key=lambda row: (sum(row[1].specification.widths), row[1].config["recipe"]["epochs"]), reverse=True)
    stages = [("baseline", 0.0), ("sparse", 0.0), *(("fine-tuned", ratio) for ratio in (0.5, 0.7, 0.9))]
    header = ["", "channels", "epochs", "batch", "weight decay", "λ (budget)"]
    header += ["γ < 0.01", "dense", "sparse", "50 %", "70 %", "90 %", "seconds", "seeds"]
    lines = []
    for name, run in strong:
        members = families[name]
        recipe, rows = run.config["recipe"], measurements(members)
        trained = [load_all(lab, "sparsity") for lab in members]
        seconds = [max(run.results["seconds"] for run in (runs[0], runs[-1])) for runs in trained]
        lines.append(
            [
                f"{name}: {recipe['schedule']}, rate {recipe['learning_rate']:g}",
                f"{sum(run.specification.widths):,}",
                epochs(members[0]),
                str(recipe["batch"]),
                f"{recipe['weight_decay']:g}",
                f"{run.config['lambda']:g} ({run.results['shrinkage_budget']:.2g})",
                percent(mean(under_threshold(runs[-1]) for runs in trained)),
                *(band([row["accuracy"] for row in rows[stage]]) for stage in stages),
                f"{mean(seconds):,.0f}",
                str(len(members)),
            ]
        )
    return markdown(header, lines)


def costs_table(families: dict[str, list[Path]]) -> str:
    """The sparse and the fine-tuned networks of these experiments, the largest first by MACs: is it better to prune a
    wide network or to begin with a narrow one? Means over seeds."""
    networks = [
        (mean(row["macs"] for row in rows), name, ratio, rows)
        for name, members in families.items()
        for (stage, ratio), rows in measurements(members).items()
        if stage in ("sparse", "fine-tuned")
    ]
    return markdown(
        ["MACs", "parameters", "", "pruned", "test accuracy"],
        [
            [
                f"{macs / 1e6:.3g} M",
                f"{mean(row['parameters'] for row in rows) / 1e6:.3g} M",
                name,
                f"{ratio:.0%}",
                band([row["accuracy"] for row in rows]),
            ]
            for macs, name, ratio, rows in sorted(networks, reverse=True)
        ],
    )


def results(folder: Path) -> str:
    """All of ``folder``'s tables as one Markdown page: the stories by seed, then every summary."""
    pages = []
    for family, members in families(folder).items():
        pages.append(f"## {family}\n\n{story_table(members)}")
        for member in members:
            summary = _summary(member)
            pages.append(f"### {experiment_name(member)}\n\n{summary_table(summary)}")
    return "\n\n".join(pages) + "\n"


def overview(folder: Path) -> dict[str, Figure]:
    """What a folder of several finished experiments shows together, by file name."""
    several = {name: measurements(members) for name, members in families(folder).items()}
    return {"seed-bands": seed_bands(several)} if several and len(folders_with_runs(folder)) > 1 else {}


MADE = {"fine-tuning": ("fine-tuned", "fine-tuned"), "from-scratch": ("from scratch", "as thin, from scratch")}
"""What is trained of a thin network, by the kind of its record: its stage in the last table, and its words."""


def summary(folder: Path) -> list[Outcome]:
    """The runs in one lab's folder with the largest λ: at each prune ratio with BatchNorm re-estimated, fine-tuned at
    the learning rate that is best on validation images, and as thin but trained from scratch. Raises ``LabError``
    where there are trainings with a penalty and none without."""
    trained, table = load_all(folder, "sparsity"), _summary(folder)
    if not trained:
        return []
    if trained[0].config["lambda"] > 0:
        raise LabError(f"{trained[0].folder} has a penalty and no training beside it has none: train with λ = 0 too.")
    dense, strong = trained[0], trained[-1].config["lambda"]
    times = (
        {(row["stage"], row["ratio"]): row["latency_ms"]["median"] for row in table.results["rows"]} if table else {}
    )

    def point(run: Record, words: str, accuracy: float, notebook: str, **more) -> Outcome:
        setting = f"{run.config['ratio']:.0%} of the channels, {words}"
        before = dense.results["validation_accuracy"]
        left = thinner(dense.specification, run.specification)
        return Outcome(
            "Network Slimming", setting, CHANNELS, notebook, run, dense.specification, accuracy, before, **left, **more
        )

    found = []
    for cut in load_all(folder, "pruning"):
        if cut.config["lambda"] != strong:
            continue
        accuracy = cut.results["validation"]["recalibrated"]
        found.append(point(cut, "BatchNorm re-estimated", accuracy, "03_channel_pruning", trained=False))
        for kind, (stage, words) in MADE.items():
            made = [run for run in load_all(folder, kind) if run.config["parent"] == cut.name]
            time = times[stage, cut.config["ratio"]] / times["baseline", 0.0] if made and times else None
            for best in sorted(made, key=lambda run: run.results["validation_accuracy"])[-1:]:
                accuracy = best.results["validation_accuracy"]
                found.append(point(best, words, accuracy, "04_fine_tuning", time=time))
    return found
