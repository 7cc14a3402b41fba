"""Slides of an exploration, from its records and the student's texts."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from labkit.methods.learned.exploration import known
from labkit.methods.learned.figures import cells, compared, sizes
from labkit.methods.learned.score import EXPLORED
from labkit.methods.learned.study import KIND
from labkit.records import load_all
from labkit.settings import LabError, Settings
from labkit.view import slides

SLIDES = "slides.pdf"
TEXTS = ("title", "method", "equation", "seen")


def present(here: Settings, student: str, texts: Mapping[str, str]) -> Path:
    """Write ``slides.pdf`` into this experiment's folder and return its path: the ``texts`` title, method, equation (TeX)
    and seen, and between them the figure and the table of all runs that are there, the explorations marked.

    Raises ``LabError`` for texts of other names, an equation that cannot be read, and where there are no runs.
    """
    if odd := sorted(set(texts) ^ set(TEXTS)):
        raise LabError(f"The texts have {', '.join(sorted(texts)) or 'no names'}: {odd[0]!r} is missing or too many.")
    runs = compared(list(known(here).values()))
    mine = [run for run in load_all(here.folder, KIND) if run.name.startswith(EXPLORED)]
    return slides.export(
        here.folder / SLIDES,
        title=texts["title"].strip() or "My exploration",
        student=student,
        method=texts["method"],
        equation=texts["equation"],
        figure=sizes(runs, mine),
        table=cells([*runs, *mine]),
        seen=texts["seen"],
    )


def read_texts(path: Path) -> dict[str, str]:
    """The texts in a TOML file. Raises ``LabError`` for a file that is none, or that holds anything but texts."""
    try:
        texts = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f'{path} cannot be read ({error}): write lines such as title = "…" into it.') from None
    if odd := [name for name, text in texts.items() if not isinstance(text, str)]:
        raise LabError(f"{path}: {odd[0]} is no text; put it between quotation marks.")
    return texts
