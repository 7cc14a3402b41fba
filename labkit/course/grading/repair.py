"""Handed-in notebooks put back into the form that grading needs, with a note on every guess.

The student's cells keep their order, outputs and execution counts; those that were found get the canonical id
and nbgrader metadata, what is missing is put back as it was released.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from nbformat import NotebookNode

from labkit.course.blanks import Blank
from labkit.course.grading.archives import Cell, Member, Unreadable, is_notebook, listed, read_notebook, shown
from labkit.course.grading.page import Page, Sheet, defined, heading, normal

MOST_OUTPUT, MOST_OUTPUTS, MOST_SHEETS = 2_000_000, 1000, 40


@dataclass
class Repaired:
    """The notebooks of a lab, the blanks as in ``submission.json``, every code cell as it was handed in, and notes."""

    notebooks: dict[str, NotebookNode]
    blanks: dict[str, dict]
    code: dict[str, list[str]]
    notes: list[str]


def repair(
    members: list[Member],
    released: dict[str, NotebookNode],
    declared: dict[str, Blank],
    bonus: tuple[str, ...] = (),
) -> Repaired:
    """The ``released`` notebooks with their ``declared`` blanks from the ``.ipynb`` files among ``members``, whatever
    state they are in. Those named in ``bonus`` need not be there."""
    sheets, notes = _read(members)
    chosen, choices = _assign(sheets, released)
    notes += choices
    notebooks, blanks, code = {}, {}, {}
    for name, notebook in released.items():
        page = Page(name, notebook.cells, chosen[name].cells if name in chosen else [])
        others = [sheet for sheet in sheets if sheet is not chosen.get(name)]
        page.place_ordinary()
        blanks |= {b.name: page.place_blank(b, others) for b in declared.values() if b.notebook == name}
        page.place_checks()
        page.place_manual()
        if page.cells:
            page.check_order()
            code[name] = [cell.source for cell in page.cells if cell.kind == "code"]
        else:
            page.notes[:0] = [] if name in bonus else [f"{name} is missing."]
            code[name] = []
        notebooks[name] = page.notebook(notebook)
        if page.guessed:
            page.notes.append(f"{name}: {', '.join(page.guessed)} found by content or place, not by id.")
        notes += page.notes
    return Repaired(notebooks, {name: blanks[name] for name in declared}, code, notes)


def _read(members: list[Member]) -> tuple[list[Sheet], list[str]]:
    sheets, notes = [], []
    files = sorted(
        (m for m in members if m.data is not None and is_notebook(m.path)), key=lambda m: (m.path.count("/"), m.path)
    )
    if len(files) > MOST_SHEETS:
        notes.append(
            f"Of {len(files)} notebooks only {MOST_SHEETS} are read, not {listed(m.path for m in files[MOST_SHEETS:])}."
        )
    for member in files[:MOST_SHEETS]:
        try:
            cells, odd = read_notebook(member.data)
        except Unreadable as reason:
            notes.append(f"{shown(member.path)} {reason}; it counts as missing.")
            continue
        notes += [f"{shown(member.path)} {sentence}." for sentence in odd]
        if dropped := drop_large_outputs(cells):
            notes.append(f"{shown(member.path)}: outputs too large to keep were left out ({dropped}).")
        sheets.append(Sheet(member.path, cells))
    return sheets, notes


def drop_large_outputs(cells: list[Cell]) -> int:
    """Leave out outputs, the largest first, until at most ``MOST_OUTPUT`` bytes and ``MOST_OUTPUTS`` outputs
    remain; where some are left out the cell says so. Returns how many."""
    sizes = [(_size(output), i, j) for i, cell in enumerate(cells) for j, output in enumerate(cell.outputs)]
    total, left, gone = sum(size for size, _, _ in sizes), len(sizes), {}
    for size, i, j in sorted(sizes, reverse=True):
        if total <= MOST_OUTPUT and left <= MOST_OUTPUTS:
            break
        gone.setdefault(i, {})[j] = size
        total, left = total - size, left - 1
    for i, sizes_gone in gone.items():
        text = f"[{len(sizes_gone)} outputs of {sum(sizes_gone.values()) / 1e6:.1f} MB were left out when collecting]\n"
        kept = [output for j, output in enumerate(cells[i].outputs) if j not in sizes_gone]
        cells[i].outputs = [*kept, {"output_type": "stream", "name": "stderr", "text": text}]
    return sum(map(len, gone.values()))


def _size(value) -> int:
    """About how many bytes JSON takes."""
    if isinstance(value, (dict, list)):
        return 2 + sum(map(_size, value)) + (sum(map(_size, value.values())) if isinstance(value, dict) else 0)
    return len(value) + 4 if isinstance(value, str) else 8


def _traces(cells: Iterable[Cell]) -> set[str]:
    """What a notebook can be recognised by."""
    traces = set()
    for cell in cells:
        code = cell.kind == "code"
        traces |= cell.keys | ({f"def {name}" for name in defined(cell.source)} if code else {heading(cell)})
        if code and len(source := normal(cell.source)) > 30:
            traces.add(source)
    return traces - {""}


def as_cell(cell: NotebookNode) -> Cell:
    """A released cell."""
    return Cell(cell.cell_type, cell.source, cell.id, frozenset({cell.id}))


def _assign(sheets: list[Sheet], released: dict) -> tuple[dict[str, Sheet], list[str]]:
    """The sheet for each notebook's name: by name, unless the content is clearly another's."""
    known = {name: _traces(map(as_cell, notebook.cells)) for name, notebook in released.items()}
    known = {name: traces.difference(*(t for n, t in known.items() if n != name)) for name, traces in known.items()}
    ranked, notes = {name: [] for name in released}, []
    for sheet in sheets:
        traces, stem = _traces(sheet.cells), unicodedata.normalize("NFC", PurePosixPath(sheet.path).stem)
        scores = {name: len(traces & known[name]) for name in released}
        best = max(scores, key=scores.get)
        flat = re.sub(r"\W+", "_", stem.lower())
        name = next((name for name in released if name in flat), None)
        how = "content" if name is None or (scores[best] and not scores[name]) else "exact" if stem == name else "name"
        name = best if how == "content" else name
        if how == "content" and not scores[best]:
            notes.append(f"{shown(sheet.path)} is none of the course's notebooks.")
        else:
            ranked[name].append((how != "exact", -sheet.executed, sheet.path.count("/"), sheet.path, how, sheet))
    chosen = {}
    for name, rows in ranked.items():
        rows.sort(key=lambda row: row[:4])
        for *_, how, sheet in rows[:1]:
            chosen[name] = sheet
            if how != "exact":
                notes.append(f"{shown(sheet.path)} is taken for {name}, by its {how}.")
        if others := [sheet.path for *_, sheet in rows[1:]]:
            notes.append(f"{name}: {shown(chosen[name].path)} counts, other versions do not: {listed(others)}.")
    return chosen, notes
