"""One notebook of a hand-in under repair: its cells are matched with the released ones, and it is built anew.

Each released cell is looked for by its id, then by what it holds, then by its place. Student code is searched as
text and never parsed.
"""

import re
from dataclasses import dataclass, field

import nbformat
from nbformat import NotebookNode

from labkit.course.blanks import Blank
from labkit.course.grading.archives import Cell, shown


@dataclass(frozen=True)
class Sheet:
    """A notebook as it was handed in."""

    path: str
    cells: list[Cell]

    @property
    def executed(self) -> int:
        return sum(cell.count is not None for cell in self.cells)


def normal(source: str) -> str:
    """A source without what nobody sees: blanks at line ends, empty lines around."""
    return "\n".join(line.rstrip() for line in source.splitlines()).strip()


def heading(cell) -> str:
    """A markdown cell's first line where it is a heading."""
    first = normal(cell.source).partition("\n")[0]
    return first if first.startswith("#") else ""


def defined(source: str) -> list[str]:
    return re.findall(r"^def[ \t]+(\w+)[ \t]*\(", source, re.MULTILINE)


def unfilled(source: str, function: str) -> bool:
    """Whether a function is still the released stub: its text holds ``raise NotImplementedError``."""
    text = re.search(rf"^def[ \t]+{function}[ \t]*\(.*?(?=^(?:def|class|@)|\Z)", source, re.MULTILINE | re.DOTALL)
    return bool(text and re.search(r"^[ \t]*raise NotImplementedError", text[0], re.MULTILINE))


@dataclass
class Page:
    """One notebook under repair. ``places`` are, for each released cell by its id, the positions of the student's
    cells that make it up; ``sources`` what it holds where that is not those cells' text; ``guessed`` the
    cells that were not found by their id."""

    name: str
    released: list[NotebookNode]
    cells: list[Cell]
    places: dict[str, list[int]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def special(self, prefix: str = "") -> list[NotebookNode]:
        return [cell for cell in self.released if "nbgrader" in cell.metadata and cell.id.startswith(prefix)]

    def keyed(self, cell: NotebookNode) -> list[int]:
        """Free cells that say by their ids that they are this released cell."""
        return [i for i in self.free() if cell.id in self.cells[i].keys and self.cells[i].kind == cell.cell_type]

    def free(self) -> list[int]:
        taken = {i for positions in self.places.values() for i in positions}
        return [i for i in range(len(self.cells)) if i not in taken]

    def same(self, cell: NotebookNode) -> list[int]:
        """Free cells that hold what the released cell holds, or at least its heading."""
        title = heading(cell) if cell.cell_type == "markdown" else ""
        alike = [i for i in self.free() if self.cells[i].kind == cell.cell_type]
        whole = [i for i in alike if normal(self.cells[i].source) == normal(cell.source)]
        return whole or [i for i in alike if title and heading(self.cells[i]) == title]

    def last_run(self, positions: list[int], empty) -> int:
        """The one of several cells that counts: filled in, run last, last in the notebook."""
        return max(positions, key=lambda i: (not empty(i), -1 if (n := self.cells[i].count) is None else n, i))

    def why(self, positions: list[int], empty) -> str:
        if sum(not empty(i) for i in positions) == 1:
            return "the one that is filled in"
        counts = [self.cells[i].count for i in positions if not empty(i)] or [self.cells[i].count for i in positions]
        return "the one that was run last" if len(set(counts)) > 1 else "the last one"

    def place_ordinary(self) -> None:
        """Cells that are not graded: landmarks for those that are."""
        ordinary = [cell for cell in self.released if "nbgrader" not in cell.metadata]
        for find in (self.keyed, self.same):
            for cell in ordinary:
                if cell.id not in self.places and (found := find(cell)):
                    self.places[cell.id] = found[:1]

    def place_blank(self, blank: Blank, others: list[Sheet]) -> dict:
        """Find a blank, function by function; what ``submission.json`` says of it."""
        (cell,) = (cell for cell in self.special("blank-") if cell.id == f"blank-{blank.name}")
        name, keyed, own, foreign, lost = cell.id, self.keyed(cell), {}, {}, []
        for function in blank.functions:
            holders = [i for i, c in enumerate(self.cells) if c.kind == "code" and function in defined(c.source)]

            def empty(i, function=function):
                return unfilled(self.cells[i].source, function)

            best = self.last_run(holders, empty) if holders else None
            if (best is None or empty(best)) and (found := _elsewhere(function, others)):
                foreign[function] = found
                self.notes.append(f"{name}: {function} is taken from {shown(found[0])}.")
            elif best is None:
                lost.append(function)
            else:
                own[function] = best
                if len(holders) > 1:
                    which = self.why(holders, empty)
                    self.notes.append(f"{name}: {len(holders)} cells define {function}; {which} is taken.")
        if lost and keyed:
            self.notes.append(f"{name}: its cell does not define {' or '.join(lost)}.")
            own[lost[0]] = keyed[-1]
        elif lost and self.cells:
            self.notes.append(f"{name}: no cell defines {' or '.join(lost)}.")

        def outdated(i):
            return sum(own.get(f) != i for f in defined(self.cells[i].source) if f in blank.functions)

        # What is joined is executed in this order, so the cell that counts for a function must come last.
        picked = sorted(set(own.values()), key=lambda i: (-outdated(i), i))
        if len(picked) > 1:
            self.notes.append(f"{name}: its functions stand in {len(picked)} cells, which are joined.")
        claimed = {i for other in self.special() if other is not cell for i in self.keyed(other)}
        if mine := [i for i in picked if i in self.free() and i not in claimed] or keyed[:1]:
            self.places[name] = mine
        if not picked and not foreign:
            return {"source": None, "found": "missing"}
        elsewhere = dict.fromkeys(source for _, source in foreign.values())
        self.sources[name] = "\n\n\n".join([*(self.cells[i].source for i in picked), *elsewhere])
        by_id = not foreign and set(picked) <= set(keyed)
        if not by_id and not foreign:
            if keyed:
                self.notes.append(f"{name}: not the cell with this id counts, but one that defines its function.")
            else:
                self.guessed.append(name)
        return {"source": self.sources[name], "found": "id" if by_id else "name"}

    def place_checks(self) -> None:
        """Checks are put back as they were released."""
        for cell in self.special("check-"):
            keyed = self.keyed(cell)
            unchanged = [i for i in keyed if normal(self.cells[i].source) == normal(cell.source)]
            found = (unchanged or keyed or self.same(cell))[:1]
            if found:
                self.places[cell.id], self.sources[cell.id] = found, cell.source
            if not keyed and found:
                self.guessed.append(cell.id)
            elif keyed and not unchanged:
                self.notes.append(f"{cell.id} was edited; it is put back as it was released.")
            elif not found and self.cells:
                self.notes.append(f"{cell.id} was deleted; it is put back below its blank.")
            if len(keyed) > 1:
                self.notes.append(f"{cell.id} stands in {len(keyed)} cells; one of them is taken.")

    def place_manual(self) -> None:
        """What people grade: by id, else by the answer's name, else by place."""
        stubs = {normal(cell.source) for cell in self.special("manual-")} | {""}
        lost = []

        def empty(i):
            return normal(self.cells[i].source) in stubs

        for cell in self.special("manual-"):
            keyed = self.keyed(cell)
            answer = re.match(r'answers\["(\w+)"\]', cell.source)
            pattern = rf"""^answers\[["']{answer[1]}["']\][ \t]*=""" if answer else r"(?!)"
            holders = [i for i, c in enumerate(self.cells) if c.kind == "code" and re.search(pattern, c.source, re.M)]
            named = [i for i in holders if i in self.free() and not empty(i)]
            candidates = [i for i in keyed if not empty(i)] or named
            if candidates:
                self.places[cell.id] = [best := self.last_run(candidates, empty)]
                if len(candidates) > 1:
                    which = self.why(candidates, empty)
                    self.notes.append(f"{cell.id} stands in {len(candidates)} cells; {which} is taken.")
                if best not in keyed:
                    self.guessed.append(cell.id)
            elif taken := [
                n for n, places in self.places.items() if set(places) & {i for i in holders if not empty(i)}
            ]:
                self.notes.append(f"{cell.id} has no cell of its own: its answer stands in the cell of {taken[0]}.")
                self.places |= {cell.id: keyed[:1]} if keyed else {}
            else:
                lost.append((cell, keyed))
        self._place_by_gap(lost, empty)

    def _place_by_gap(self, lost: list, empty) -> None:
        """Cells that no id and no name leads to: the code between the nearest cells that were found."""
        gaps: dict[tuple[int, int], list] = {}
        for cell, keyed in lost:
            gaps.setdefault(self._gap(cell), []).append((cell, keyed))
        keys = {i for _, keyed in lost for i in keyed}
        for (above, below), wanting in gaps.items():
            inside = [i for i in self.free() if above < i < below and self.cells[i].kind == "code"]
            work = [i for i in inside if not empty(i)] or [i for i in inside if i not in keys and self.cells[i].source]
            for number, (cell, keyed) in enumerate(wanting):
                mine = work[number:] if number == len(wanting) - 1 else work[number : number + 1]
                keyed = [i for i in keyed if i in self.free()]
                if mine or keyed:
                    self.places[cell.id] = sorted({*mine, *keyed[:1]})
                if mine:
                    self.sources[cell.id] = "\n\n".join(self.cells[i].source for i in mine)
                    self.guessed.append(cell.id)
                elif not keyed and self.cells:
                    self.notes.append(f"{cell.id} was deleted; it is put back empty.")
                if len(mine) > 1:
                    self.notes.append(f"{cell.id}: the {len(mine)} cells in its place are joined.")

    def _gap(self, cell: NotebookNode) -> tuple[int, int]:
        """Positions of the student's cells between which a released cell should stand."""
        names = [c.id for c in self.released]
        at = names.index(cell.id)
        above = [max(self.places[name]) for name in names[:at] if name in self.places]
        below = [min(self.places[name]) for name in names[at + 1 :] if name in self.places]
        return (above[-1] if above else -1, below[0] if below else len(self.cells))

    def check_order(self) -> None:
        code = [cell for cell in self.cells if cell.kind == "code" and cell.source.strip()]
        last = next((i for i, cell in enumerate(code) if "hand_in(" in cell.source), len(code))  # saved before it runs
        counts = [cell.count for cell in code[:last]]
        run = [count for count in counts if count is not None]
        if len(run) < len(counts):
            self.notes.append(f"{self.name}: {len(counts) - len(run)} of {len(counts)} code cells were not run.")
        if run != sorted(set(run)):
            self.notes.append(f"{self.name}: its cells were not run in order.")

    def notebook(self, released: NotebookNode) -> NotebookNode:
        """The repaired notebook, valid in format 4.5."""
        first = {min(positions): name for name, positions in self.places.items()}
        merged = {i for positions in self.places.values() for i in positions} - set(first)
        canonical = {cell.id: cell for cell in self.released}
        used, rows = set(canonical), []
        for i, cell in enumerate(self.cells):
            if name := first.get(i):
                rows.append(self._canonical(canonical[name], [self.cells[k] for k in self.places[name]]))
            elif i not in merged:
                usable = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cell.id) and cell.id not in used
                name = cell.id if usable else next(n for k in range(10**6) if (n := f"extra-{i}-{k}") not in used)
                used.add(name)
                rows.append(_node(name, cell.kind, cell.source, [cell], {}))
        for position, cell in enumerate(self.released):
            if cell.id not in self.places and ("nbgrader" in cell.metadata or not self.cells):
                ids = [row.id for row in rows]
                above = next((c.id for c in reversed(self.released[:position]) if c.id in ids), None)
                rows.insert(ids.index(above) + 1 if above else 0, self._canonical(cell, []))
        result = nbformat.from_dict({**released, "cells": rows, "nbformat": 4, "nbformat_minor": 5})
        nbformat.validate(result)
        return result

    def _canonical(self, cell: NotebookNode, parts: list[Cell]) -> NotebookNode:
        source = self.sources.get(cell.id, parts[0].source if parts else cell.source)
        return _node(cell.id, cell.cell_type, source, parts, cell.metadata)


def _node(name: str, kind: str, source: str, parts: list[Cell], metadata: dict) -> NotebookNode:
    """A cell made of ``parts`` of the student's notebook."""
    node = {"id": name, "cell_type": kind, "source": source, "metadata": metadata}
    if kind == "code":
        node["outputs"] = [output for part in parts for output in part.outputs]
        node["execution_count"] = max((part.count for part in parts if part.count is not None), default=None)
    elif attachments := {name: data for part in parts for name, data in part.attachments.items()}:
        node["attachments"] = attachments
    return nbformat.from_dict(node)


def _elsewhere(function: str, others: list[Sheet]) -> tuple[str, str] | None:
    """Path and source of a filled-in function in another notebook, the cell that was run last."""
    found = [
        (-1 if cell.count is None else cell.count, position, sheet.path, cell.source)
        for position, sheet in enumerate(others)
        for cell in sheet.cells
        if cell.kind == "code" and function in defined(cell.source) and not unfilled(cell.source, function)
    ]
    return max(found)[2:] if found else None
