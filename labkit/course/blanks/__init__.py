"""The table of blanks: the one declaration that students' checks, grading and the tests read; a file for each lab.

An *exercise* is a blank without points: the same check stands below it, and grading never sees it.

A right answer is what the complete notebook's solution region computes: ``labkit.course.answers``
executes it, and it is never written down again.

Not in the student edition: wrong answers and their sentences lead to the right ones.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from labkit.course import labs
from labkit.course.labs import Lab
from labkit.settings import LabError


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students really give: the body of the function, and what to say to it; for a
    body that raises, what its error's message ``says`` (alternatives separated by a bar)."""

    body: str
    sentence: str
    function: str | None = None  # where a blank has several
    says: str = ""


@dataclass(frozen=True)
class Credit:
    """``points`` for what is right in every case of these ``groups``, in one ``aspect`` of what ``function``
    does: ``values`` or ``form`` of what it returns; a watched tensor's name, or ``form``. What is left out
    covers all of its kind."""

    points: int
    function: str | None = None
    groups: tuple[str, ...] | None = None
    aspect: str | None = None


@dataclass(frozen=True)
class Blank:
    """``cases(random)`` yields (function, group, arguments); ``watched`` are the tensors of the
    first argument that the functions fill; the points of ``credit`` are ``points`` together. An exercise
    has 0 points and no credit."""

    name: str
    title: str
    notebook: str
    points: int
    functions: dict[str, list[str]]
    cases: Callable[[random.Random], list]
    credit: tuple[Credit, ...]
    mistakes: tuple[Mistake, ...]
    watched: tuple[str, ...] = ()

    @property
    def cell(self) -> str:
        """The id of the cell that holds it."""
        return f"{'blank' if self.points else 'exercise'}-{self.name}"


def declared(lab: Lab) -> dict[str, Blank]:
    """The lab's blanks and exercises by name, in the order of its file."""
    blanks = import_module(f"{__name__}.{lab.blanks}").BLANKS if lab.blanks else ()
    return {blank.name: blank for blank in blanks}


def of(lab: Lab) -> dict[str, Blank]:
    """The lab's graded blanks by name, in order."""
    return {name: blank for name, blank in declared(lab).items() if blank.points}


def named(name: str) -> Blank:
    """The blank or exercise of this name, whatever its lab. Raises ``LabError`` where there is none."""
    for lab in labs.LABS:
        if blank := declared(lab).get(name):
            return blank
    raise LabError(f"There is no blank {name!r}.")


def shaped(values: list, shape: tuple[int, ...]) -> list:
    """``values`` as nested lists of this shape."""
    if len(shape) == 1:
        return values
    step = len(values) // shape[0]
    return [shaped(values[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]


def quarters(rng: random.Random, count: int, low: int = -12, high: int = 12) -> list[float]:
    """Distinct non-zero multiples of a quarter: short to print, exact in float32."""
    return [k / 4 for k in rng.sample([k for k in range(low, high + 1) if k], count)]
