"""Tables drawn from records, as Markdown: one experiment's summary, and the story over several seeds."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

from labkit.plots import under_threshold
from labkit.records import Record, load_all


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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


def experiments(folder: Path) -> list[Path]:
    """The experiments in ``folder``: itself, or those of its subfolders that hold finished runs."""
    candidates = [Path(folder), *sorted(path for path in Path(folder).glob("*") if path.is_dir())]
    return [path for path in candidates if any(path.glob("*/record.json"))]


def story(experiment: Path) -> dict[str, float | None]:
    """What Network Slimming did in one experiment, as numbers in 0..1; None for what was not run.

    λ1 < λ2 are the lowest and the highest positive λ; accuracies of λ1's pruning are on validation
    images, the others on test images.
    """
    dense, weak, *_, strong = load_all(experiment, "sparsity")
    (summary,) = load_all(experiment, "summary")
    test = {(row["stage"], row["ratio"]): row["accuracy"] for row in summary.results["rows"]}
    halves = {
        r.config["lambda"]: r.results["validation"] for r in load_all(experiment, "pruning") if r.config["ratio"] == 0.5
    }
    half = halves.get(weak.config["lambda"], {})
    return {
        "channels with γ below 0.01, λ = 0": under_threshold(dense),
        "channels with γ below 0.01, λ1": under_threshold(weak),
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


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def story_table(folders: list[Path]) -> str:
    """Experiments that differ only in their seed, side by side, with the mean."""
    stories = [story(folder) for folder in folders]
    header = ["", *(re.sub(r".*-(seed)(\d+)$", r"\1 \2", folder.name) for folder in folders)]
    rows = [[name, *(percent(s[name]) for s in stories)] for name in stories[0]]
    if len(stories) > 1:
        header.append("mean")
        columns = {name: [s[name] for s in stories] for name in stories[0]}
        rows = [[*row, percent(None if None in columns[row[0]] else mean(columns[row[0]]))] for row in rows]
    return markdown(header, rows)


def results(folder: Path) -> str:
    """All of ``folder``'s tables as one Markdown page: the stories by seed, then every summary."""
    families, pages = defaultdict(list), []
    for experiment in experiments(folder):
        if load_all(experiment, "summary") and len(load_all(experiment, "sparsity")) >= 3:
            families[re.sub(r"-seed\d+$", "", experiment.name)].append(experiment)
    for family, members in families.items():
        pages.append(f"## {family}\n\n{story_table(members)}")
        for member in members:
            (summary,) = load_all(member, "summary")
            pages.append(f"### {member.name}\n\n{summary_table(summary)}")
    return "\n\n".join(pages) + "\n"
