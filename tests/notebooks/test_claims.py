"""The notebooks' text is held to the runs that ship, as README's tables are: each number in it is one that a claim
computes from the records, or one that no run can change."""

import re

import nbformat
import pytest
from claims import CLAIMS, EXACT

from labkit.settings import REPOSITORY

CELLS = {
    cell.id: cell
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    for cell in nbformat.read(path, 4).cells
}
MEASURED = re.compile(
    r"\d+(?:\.\d+)?(?: (?:to|and) \d+(?:\.\d+)?)* ?(?:%|points\b|times\b|ms\b|MB\b|kB\b|GFLOP\b|million\b)"
)
NO_PROSE = re.compile(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\{[^}]*\}", re.DOTALL)

POINTS = re.compile(r"\(\d+(?: and \d+)? points\)|has 100 points")


def words(cell) -> str:
    """What a reader reads as text: of a code cell the answers in triple quotes, on one line."""
    if cell.cell_type == "markdown":
        return cell.source
    return "\n".join(re.findall(r'"""\n(.*?)"""', cell.source, re.DOTALL))


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("cell, function", CLAIMS, ids=lambda value: getattr(value, "__name__", value))
def test_a_claim_follows_from_the_records_and_stands_in_its_cell(cell, function):
    text = flat(words(CELLS[cell]))
    for piece in function():
        assert piece in text, f"{cell} should say: {piece}"


def unclaimed() -> list[str]:
    claimed = {}
    for cell, function in CLAIMS:
        claimed.setdefault(cell, []).extend(function())
    found = []
    for name, cell in CELLS.items():
        if cell.cell_type == "code" and not name.startswith("manual-report"):
            continue
        text = flat(NO_PROSE.sub(" ", words(cell)))
        for piece in claimed.get(name, ()):
            text = text.replace(flat(NO_PROSE.sub(" ", piece)), " ")
        known = EXACT.get(name, ())
        found += [f"{name}: {number}" for number in MEASURED.findall(POINTS.sub(" ", text)) if number not in known]
    return found


def test_every_number_in_the_text_is_claimed_or_exact():
    assert unclaimed() == []


def test_a_number_that_no_claim_knows_is_found(monkeypatch):
    cell = next(cell for name, cell in CELLS.items() if name == "02-19")
    monkeypatch.setitem(CELLS, "02-19", nbformat.v4.new_markdown_cell(cell.source + " It loses 3.7 points."))
    assert unclaimed() == ["02-19: 3.7 points"]
