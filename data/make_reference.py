"""Copy finished runs into data/reference: ``python data/make_reference.py runs/quick-shapes-seed0/lab1 [--weights]``;
without a folder, only bring the tables in README.md and docs/results.md up to date.

Records, figures and tables always ship; scaling factors but for fine-tunings of lab 2 and trainings of lab 4, where
nothing reads them. Weights
ship with ``--weights``, as float16, for the runs that a later notebook starts from.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from labkit import amc, criteria, files, front, granularity, learned, ratios, records
from labkit.methods.slimming import tables
from labkit.settings import REFERENCE, REPOSITORY
from labkit.tools import figures

STARTED_FROM = ("sparsity", "pruning")
WITHOUT_FACTORS = {*front.KINDS, *amc.KINDS, ratios.TUNED, learned.KIND}
PAGES = [REPOSITORY / "README.md", REPOSITORY / "docs" / "results.md"]


def ship(lab: Path, weights: bool) -> Path:
    target = REFERENCE / lab.resolve().parent.name / lab.resolve().name
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
    figures.draw(target, target)
    return target


def found(kind: str) -> Iterator[records.Record]:
    """Every shipped run of a kind."""
    return (run for lab in records.folders_with_runs(REFERENCE) for run in records.load_all(lab, kind))


def blocks() -> dict[str, str]:
    """The generated tables by the name that marks their place: ``<!-- NAME -->`` ... ``<!-- end -->``."""
    families = tables.families(REFERENCE)
    published = json.loads((REPOSITORY / "data" / "published.json").read_text(encoding="utf-8"))
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
    by_seed = {kind: next(iter(found(kind))) for kind in (ratios.SCHEDULES, ratios.REGULARIZATIONS)}
    return stories | {
        "fronts": front.areas_table(records.load_all(REFERENCE / "fronts-folder-cifar10" / "lab2")),
        "policies": front.gains_table(REFERENCE),
        "schedules": ratios.schedules_table(by_seed[ratios.SCHEDULES]),
        "regularizations": ratios.penalties_table(by_seed[ratios.REGULARIZATIONS]),
        "term-project": granularity.term_project_table(),
        "comparison": tables.comparison_table(ours + published),
        "promises": tables.promises_table(families),
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
    options = parser.parse_args()
    if options.lab:
        print(ship(options.lab, options.weights))
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
