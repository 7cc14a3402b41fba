"""``labkit run`` and ``labkit figures``: a lab's notebooks, figures and tables again, from one command.
Not in the student edition."""

import os
from pathlib import Path

from labkit import settings
from labkit.course import labs
from labkit.settings import REPOSITORY, LabError
from labkit.tools import figures
from labkit.tools.run import run_notebooks


def add_commands(commands) -> None:
    run = commands.add_parser("run", help="execute a lab's notebooks; keep copies, figures and a results table")
    run.add_argument("--lab", default="1", metavar="N", help="which lab, or all (default: 1)")
    run.add_argument("--profile", help="quick, half, full or paper (default: quick)")
    run.add_argument(
        "--data", help="shapes, cifar10, cifar100, minicifar[:PATH] or folder:PATH (default: the profile's)"
    )
    run.add_argument("--seed", help="seed of weights and batches (default: 0)")
    run.add_argument("--out", type=Path, help="where the runs are kept (default: runs/)")
    run.set_defaults(command=run_lab)

    redraw = commands.add_parser("figures", help="redraw every figure and table from the records in a folder")
    redraw.add_argument("folder", type=Path, help="a lab's runs, an experiment, or a folder of experiments")
    redraw.add_argument("--lab", default="all", metavar="N", help="of which lab (default: all)")
    redraw.add_argument("--out", type=Path, help="where to draw them (default: into the folder itself)")
    redraw.set_defaults(command=redraw_labs)


def run_lab(options) -> None:
    given = {"PROFILE": options.profile, "DATA": options.data, "SEED": options.seed, "RUNS": options.out}
    given = {f"LABKIT_{name}": str(value) for name, value in given.items() if value is not None}
    for lab in labs.chosen(options.lab):
        sources = [REPOSITORY / "notebooks" / f"{name}.ipynb" for name in lab.notebooks]
        if missing := [source.name for source in sources if not source.exists()]:
            raise LabError(f"{missing[0]} is not in {REPOSITORY / 'notebooks'}: run labkit from a clone of the course.")
        run_notebooks(sources, settings.current({**os.environ, **given}, lab.number))


def redraw_labs(options) -> None:
    names = [lab.name for lab in labs.chosen(options.lab)]
    figures.redraw(options.folder, options.out or options.folder, names)
