"""Quick questions between the cells: ``ask("zero-gamma")`` shows one of ``questions/``, a file a lab.

Nothing here counts as a grade, and nothing of it is kept.
"""

import tomllib
from functools import cache
from pathlib import Path

from labkit.settings import LabError
from labkit.view import quiz

QUESTIONS = Path(__file__).with_name("questions")


@cache
def questions() -> dict[str, quiz.Question]:
    """The questions of all labs that are here, by name. Raises ``LabError`` for one that has not exactly one
    right option."""
    return {
        name: _question(file.name, name, entry)
        for file in sorted(QUESTIONS.glob("*.toml"))
        for name, entry in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }


def _question(file: str, name: str, entry: dict) -> quiz.Question:
    options = tuple(quiz.Option(**option) for option in entry["options"])
    if (right := sum(option.right for option in options)) != 1:
        raise LabError(f"{file}, question {name!r}: {right} options say right = true; mark exactly one.")
    return quiz.Question(entry["text"], options)


def ask(name: str) -> None:
    """Show the quick question ``name``. Raises ``LabError`` for a name that no question has."""
    if name not in questions():
        raise LabError(f"There is no question {name!r}: choose one of {', '.join(questions())}.")
    quiz.ask(questions()[name])
