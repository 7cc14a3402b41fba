"""Copy finished runs into data/reference: ``python data/make_reference.py runs/quick-shapes-seed0/lab1 [--weights]``;
without a folder, only bring the tables in README.md and docs/ up to date. ``--recipes`` copies what benchmarks/recipes.py
made into data/recipes instead, without figures.

Records, figures and tables always ship; scaling factors but for fine-tunings of lab 2, notebook 12's runs and trainings
of lab 4, where nothing reads them. Weights ship with ``--weights``, as float16, for the runs that a later notebook
starts from.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from labkit import amc, criteria, files, front, granularity, learned, quantization, ratios, records
from labkit.course import labs
from labkit.methods import page
from labkit.methods.learned.published import SESSION, STR
from labkit.methods.slimming import tables
from labkit.methods.slimming.published import SOURCE, UNTUNED
from labkit.settings import REFERENCE, REPOSITORY
from labkit.tools import figures
from labkit.view.tables import markdown, percent

STARTED_FROM = ("sparsity", "pruning")
WITHOUT_FACTORS = {*front.KINDS, *amc.KINDS, ratios.TUNED, learned.KIND, *quantization.KINDS}
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", DOCS / "results.md", DOCS / "course.md"]
RECIPES = REPOSITORY / "data" / "recipes"
SCALES = ("full", "half")  # at which the network is that of the published curve


def ship(lab: Path, weights: bool, into: Path = REFERENCE) -> Path:
    target = into / lab.resolve().parent.name / lab.resolve().name
    if lab.resolve() == target:
        raise SystemExit(f"{lab} is the shipped copy itself: give the folder of finished runs.")
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for record in records.load_all(lab):
        state, gammas = None, None
        if weights and record.kind in STARTED_FROM:
            state = {k: v.half() if v.dtype == torch.float32 else v for k, v in record.state().items()}
        if record.snapshots and record.kind not in WITHOUT_FACTORS:
            gammas = files.read_tensors(record.folder / records.GAMMAS)["gammas"]
        records.save(record.with_folder(fresh / record.name), state, gammas)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    if into == REFERENCE:
        figures.draw(target, target)
    return target


def found(kind: str) -> Iterator[records.Record]:
    """Every shipped run of a kind."""
    return (run for lab in records.folders_with_runs(REFERENCE) for run in records.load_all(lab, kind))


def published(name: str) -> list | dict:
    return json.loads((REPOSITORY / "data" / name).read_text(encoding="utf-8"))


def methods_table(rows: list[page.Row]) -> str:
    """What the papers report of each method, beside the rows of ours on the course's page, photographs where there are."""
    known = published("published_methods.json")
    theirs = [(row["method"], row["source"], row["network"], row["data"], row) for row in known["rows"]]
    sourced = [
        *((row, "the course's third session") for row in SESSION),
        *((row, "Kusupati et al. 2020") for row in STR),
    ]
    for (name, network, data, before, after, removed), source in sourced:
        theirs.append((name, source, network, data, {"before": before, "after": after, "removed": removed}))

    def ours(method: str) -> str:
        found = []
        for name, network, *setting in known["beside"][method]["ours"]:
            mine = [row for row in rows if row.is_of(name, network) and (row.first.setting in setting or not setting)]
            found += [row for row in mine if not row.shapes] or mine
        return "<br>".join(map(page.told, found)) or "–"

    lines, seen = [], set()
    for method, source, network, data, row in sorted(theirs, key=lambda line: line[0]):
        change = f"{row['before']:.2%} → {row['after']:.2%}" if "after" in row else "–"
        said = [ours(method), known["beside"][method]["why"]] if method not in seen else ["as above", ""]
        seen.add(method)
        lines.append([method, source, f"{network}, {data}", change, row["removed"], *said])
    header = [
        "method",
        "source",
        "network, data",
        "before → after",
        "removed",
        "ours, by its number on the course's page",
    ]
    return markdown([*header, "why they differ"], lines)


def slimmed_table() -> str:
    """A published curve of slimmed networks that were not tuned, beside ours at the same ratios."""
    swept = {scale: records.load_all(REFERENCE / f"{scale}-folder-cifar10-seed0" / "lab1", "sweep") for scale in SCALES}
    every = [(scale, sweep) for scale, sweeps in swept.items() for sweep in reversed(sweeps)]
    ratios = sorted({*UNTUNED, *(ratio for _, sweep in every for ratio in sweep.results["ratios"])})

    def at(sweep: records.Record, stage: str, ratio: float) -> str:
        return percent(dict(zip(sweep.results["ratios"], sweep.results["validation"][stage])).get(ratio))

    words = {"as_it_stands": "as it stands", "recalibrated": "BatchNorm re-estimated"}
    columns = [(scale, sweep, stage) for scale, sweep in every for stage in words]
    header = [f"{scale} width, λ = {sweep.config['lambda']:g}, {words[stage]}" for scale, sweep, stage in columns]
    rows = [
        [f"{ratio:.0%}", percent(UNTUNED.get(ratio)), *(at(sweep, stage, ratio) for _, sweep, stage in columns)]
        for ratio in ratios
    ]
    return markdown(["prune ratio", f"{SOURCE}, as it stands", *header], rows)


def hours_table() -> str:
    """What a course of so many hours takes out of the notebooks, with the minutes that their first cells say."""
    courses = published("courses.json")
    rows = []
    for lab in labs.LABS:
        for name in lab.notebooks:
            chosen = [course.get(name[:2]) for course in courses.values()]
            if any(sections is not None for sections in chosen):
                rows.append([f"[{name[:2]}](notebooks/{name}.ipynb)", *(_part(name, sections) for sections in chosen)])
    sums = [sum(minutes_of(name, sections) for name, sections in named(course)) for course in courses.values()]
    rows = [*sorted(rows), ["**minutes in all**", *(f"**{minutes}**" for minutes in sums)]]
    return markdown(["notebook", *(f"{hours} hours" for hours in courses)], rows)


def sections_of(notebook: str) -> dict[int, int]:
    """Minutes by section, of the table in a notebook's first cell, exercises included; what trains is not counted."""
    path = REPOSITORY / "notebooks" / f"{notebook}.ipynb"
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return {
        int(number): sum(map(int, re.findall(r"\d+", minutes)))
        for number, minutes in re.findall(r"^\| (\d+) [^|]*\| (\d[^|]*)\|", "".join(first), re.M)
    }


def minutes_of(notebook: str, sections: list[int]) -> int:
    return sum(sections_of(notebook)[section] for section in sections or sections_of(notebook))


def named(course: dict[str, list[int]]) -> Iterator[tuple[str, list[int]]]:
    """A course's notebooks by their full names, with the chosen sections; an empty list stands for all. A notebook that
    no lab has yet is not among them."""
    names = {name[:2]: name for lab in labs.LABS for name in lab.notebooks}
    return ((names[number], sections) for number, sections in course.items() if number in names)


def _part(notebook: str, sections: list[int] | None) -> str:
    if sections is None:
        return "–"
    said = f"section{'s' * (len(sections) > 1)} {', '.join(map(str, sections))}" if sections else "all"
    return f"{said}: {minutes_of(notebook, sections)} min"


def blocks() -> dict[str, str]:
    """The generated tables by the name that marks their place: ``<!-- NAME -->`` ... ``<!-- end -->``."""
    families = tables.families(REFERENCE)
    ours = [row for members in families.values() for row in tables.compared(members)]
    compared = {records.experiment_name(s.folder.parent).rpartition("-seed")[0]: s for s in found(criteria.STUDY)}
    stories = {f"story: {name}": tables.story_table(members) for name, members in families.items()}
    stories |= {f"criteria: {family}": criteria.table(study) for family, study in compared.items()}
    trained = {records.experiment_name(r.folder.parent).rpartition("-seed")[0]: r for r in found(learned.KIND)}
    stories |= {
        f"learned: {family}": learned.table(records.load_all(run.folder.parent, learned.KIND))
        for family, run in trained.items()
    }
    lab2 = REFERENCE / "quick-shapes-seed0" / "lab2"
    searched = {name: records.load(lab2 / f"amc-compared-{name}") for name in ("vgg", "mobilenetv2")}
    stories |= {
        f"amc: {name}": "\n\n".join(amc.seeds_table(study, stage) for stage in ("re_estimated", "tuned"))
        for name, study in searched.items()
    }
    every = page.rows(page.collected())
    recipes = {scale: families[f"{scale}-folder-cifar10"] for scale in SCALES} | tables.families(RECIPES)
    by_seed = {kind: next(iter(found(kind))) for kind in (ratios.SCHEDULES, ratios.REGULARIZATIONS)}
    return stories | {
        "fronts": front.areas_table(records.load_all(REFERENCE / "fronts-folder-cifar10" / "lab2")),
        "policies": front.gains_table(REFERENCE),
        "schedules": ratios.schedules_table(by_seed[ratios.SCHEDULES]),
        "regularizations": ratios.penalties_table(by_seed[ratios.REGULARIZATIONS]),
        "term-project": granularity.term_project_table(),
        "comparison": tables.comparison_table(ours + published("published.json")),
        "promises": tables.promises_table(families),
        "recipes": tables.recipes_table(recipes),
        "costs": tables.costs_table({name: recipes[name] for name in ("full", "a-quarter")}),
        "hardest": tables.hardest_table(families, published("published.json")),
        "inference-time": granularity.inference_table(),
        "lecture": granularity.lecture_table(),
        "slimmed": slimmed_table(),
        "hours": hours_table(),
        "methods": methods_table(every),
        "when": page.when_table(every),
        "course: photographs": page.table(every, shapes=False),
        "course: shapes": page.table(every, shapes=True),
    }


def filled(page: str) -> str:
    """The page with its generated tables as they are now. Raises ``KeyError`` for a name that no table has."""
    tables_now = blocks()
    block = re.compile(r"<!-- ((?:\w+: )?[\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
    return block.sub(lambda match: f"<!-- {match[1]} -->\n{tables_now[match[1]]}\n<!-- end -->", page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", type=Path, nargs="?", help="a lab's folder of finished runs")
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--recipes", action="store_true")
    options = parser.parse_args()
    if options.recipes and not options.lab:
        parser.error("--recipes needs the folder of finished runs")
    if options.lab:
        print(ship(options.lab, options.weights, RECIPES if options.recipes else REFERENCE))
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
