"""Marks and feedback into a learning-management system: its own file filled in, and zips of pages to upload.

One way for every system: ``moodle`` and ``canvas`` say what their file asks for (``Form``) and what they call a page of
feedback; who stands in which row, and what may be written there, is decided here. A student whose row is not certain,
or whose marks are not complete, is held back and said: nobody gets another's marks, and nobody 0 by silence.

Not in the student edition: it reads the gradebook.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from html import escape
from pathlib import Path

from labkit.course.grading import gradebook
from labkit.course.grading.archives import listed, shown
from labkit.course.grading.pages import spreadsheet
from labkit.course.grading.sheet import Sheet
from labkit.course.grading.uploads import Uploader
from labkit.course.labs import Lab
from labkit.course.practice.submit import zipped
from labkit.files import replacing, write_text
from labkit.settings import LabError

NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


class Held(Exception):
    """Why a student's marks are held back: half a sentence that goes on after the student's id."""


@dataclass(frozen=True)
class Form:
    """What a system's file asks for. By row, ``people`` has the system's number of a person, ``about`` the cells that
    describe them, and ``closed`` why the system takes no grade, half a sentence like ``Held``. ``grade`` and
    ``comment`` are columns, ``most`` is the maximum grade, which the system lets a grade exceed where ``open_ended``.
    Only ``columns`` go into the filled file. Where ``named``, a number counts only beside the name that came with it, or
    beside ``nobody``, the word for everyone where names are hidden. ``advice`` is what to mind when uploading."""

    system: str
    sheet: Sheet
    people: dict[int, str]
    about: dict[int, list[str]]
    closed: dict[int, str]
    grade: int
    most: float
    columns: tuple[int, ...]
    advice: str
    comment: int | None = None
    open_ended: bool = False
    named: bool = False
    nobody: str = ""

    @cached_property
    def comma(self) -> bool:
        """Whether numbers in this file have a decimal comma."""
        texts = [row[self.grade : self.grade + 2] for row in self.sheet.rows]
        return any(re.fullmatch(r"\d+,\d+", text.strip()) for row in texts for text in row)

    @cached_property
    def names(self) -> dict[tuple[str, ...], list[int]]:
        return rows_by(self.about, words)

    @property
    def title(self) -> str:
        return shown(self.sheet.rows[0][self.grade])


@dataclass(frozen=True)
class Filled:
    """``rows`` are where students' grades stand now, by student; ``held`` says why others' do not. ``written`` counts
    the cells that are new, by column of the form."""

    sheet: Sheet
    rows: dict[str, int]
    held: dict[str, str]
    written: Counter


def checked(form: Form, lab: Lab, force: bool = False) -> Form:
    """The form. Raises ``LabError`` where its grades are not counted as the lab's are; a larger maximum is taken with
    ``force``."""
    if form.most < lab.points or form.most > lab.points and not force:
        raise LabError(
            f"The maximum in this file is {form.most:g} points, and {lab.name} has {lab.points}: set the assignment's "
            f"maximum in {form.system.title()} to {lab.points}, and download the file again (a larger one: or --force)."
        )
    return form


def fill(form: Form, marks: list[dict], uploaders: dict[str, list[Uploader]], force: bool = False) -> Filled:
    """The form's sheet with the grades of ``marks`` (rows of ``gradebook.table``), each in its student's row. What
    stands there already is changed only with ``force``. Raises ``LabError`` where no student stands in the sheet."""
    places, held, ids = {}, {}, rows_by_id(form, [mark["Student ID"] for mark in marks])
    for mark in marks:
        student = mark["Student ID"]
        try:
            places[student] = row_of(form, ids.get(student.casefold(), []), uploaders.get(student, []))
        except Held as reason:
            held[student] = str(reason)
    if not places:
        reasons = "; ".join(f"{student} {why}" for student, why in [*held.items()][:3])
        raise LabError(
            f"None of the {len(marks)} students of this class has a row in the file for certain ({reasons}"
            f"{'; …' * (len(held) > 3)}): download the file of this lab's assignment in the language of the submissions, "
            f"and type the grades of a team assignment by hand."
        )
    claims, cells, rows = Counter(places.values()), {}, {}
    for mark in marks:
        student = mark["Student ID"]
        if student in places:
            try:
                if claims[places[student]] > 1:
                    others = [name for name, row in places.items() if row == places[student] and name != student]
                    raise Held(f"stands in the same row as {listed(others)}: one person, handed in under several ids")
                cells |= entries(form, places[student], mark, force)
                rows[student] = places[student]
            except Held as reason:
                held[student] = str(reason)
    written = Counter(column for _, column in cells)
    return Filled(form.sheet.changed(cells).only(form.columns), rows, held, written)


def rows_by(about: dict[int, list[str]], key: Callable) -> dict:
    """In which rows a cell about a person is what, in the spelling of ``key``."""
    found = {}
    for row, cells in about.items():
        for text in {key(cell) for cell in cells}:
            found.setdefault(text, []).append(row)
    return found


def rows_by_id(form: Form, students: list[str]) -> dict[str, list[int]]:
    """Rows by what is a cell of its own in them, in small letters. Where that is no student's id, by what e-mail
    addresses begin with, if all of them are of one domain: elsewhere anybody may have an address with another's id."""
    cells = rows_by(form.about, lambda cell: cell.strip().casefold())
    if any(student.casefold() in cells for student in students):
        return cells
    addresses = {cell.rpartition("@")[::2]: rows for cell, rows in cells.items() if "@" in cell}
    return {begin: rows for (begin, _), rows in addresses.items()} if len({end for _, end in addresses}) == 1 else {}


def row_of(form: Form, with_id: list[int], uploaders: list[Uploader]) -> int:
    """The row of a student: by the number of whoever uploaded, where the system told one; else by the student's id, which
    stands in the rows ``with_id``; else by the name. Raises ``Held`` where that is no row, more than one, or
    contradicted by another."""
    people = [one for one in uploaders if one.system == form.system]
    if len(people) > 1:
        raise Held(f"was handed in by several people: {listed(one.owner for one in people)}")
    person = people[0] if people else None
    name = words(person.name) if person else ()
    with_name = form.names.get(name, []) if name else []
    if person and person.id.isdecimal():
        found = [row for row, number in form.people.items() if number == person.id]
        sure = found if name == words(form.nobody) else [*with_id, *with_name]
        if form.named and len(found) == 1 and found[0] not in sure:
            raise Held(f"was handed in by {shown(person.owner)}, and the row with this number has neither name nor id")
        if set(with_id) - set(found):
            raise Held(f"was handed in by {shown(person.owner)}, but the id stands in another row")
    else:
        found = with_id or with_name
    if not found:
        raise Held("is not in the file")
    if len(found) > 1:
        raise Held(f"stands in {len(found)} rows of the file")
    return found[0]


@cache
def words(name: str) -> tuple[str, ...]:
    """What is left of a name in every spelling that a system uses: its words in any order, letters and digits only."""
    plain = unicodedata.normalize("NFC", name).casefold().replace("_", " ")
    return tuple(sorted(re.sub(r"[^\w\s]", "", plain).split()))


def entries(form: Form, row: int, mark: dict, force: bool) -> dict[tuple[int, int], str]:
    """What to write for one student, by cell. Raises ``Held``."""
    old, total = form.sheet.rows[row], mark["total"]
    if mark["status"] != "graded":
        raise Held(f"has no final total: {mark['status']}")
    if total > form.most and not form.open_ended:
        raise Held(f"has {total:g} points, and {form.system.title()} takes {form.most:g} at most")
    if row in form.closed:
        raise Held(form.closed[row])
    new = {}
    if value(old[form.grade]) != round(total, 2):
        new[form.grade] = f"{round(total, 2):g}".replace(".", "," if form.comma else ".")
    if form.comment is not None and mark["comments"]:
        comment = spreadsheet(escaped(mark["comments"]))
        new |= {form.comment: comment} if comment != old[form.comment] else {}
    there = [old[column] for column in new if old[column].strip() not in ("", "-")]
    if there and not force:
        raise Held(f"has {listed(there)} in the file already, and not {listed(new.values())}; --force overwrites it")
    return {(row, column): text for column, text in new.items()}


def escaped(text: str) -> str:
    """Text as Moodle wants a comment, in HTML. A backslash before a quote would end neither cell nor row (PHP's fgetcsv)."""
    return escape(text).replace("\\", "&#92;")


def value(text: str) -> float | None:
    """The number that a cell holds, with a decimal point or comma."""
    text = text.strip()
    return float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None


def packed(pages: dict[str, bytes], most: int) -> list[bytes]:
    """Zips of the pages by path, each of at most ``most`` bytes; no page is larger."""
    groups, size = [{}], 0
    for path, page in pages.items():
        if size + len(page) > most:
            groups, size = [*groups, {}], 0
        groups[-1][path], size = page, size + len(page)
    return [zipped(group) for group in groups if group]


def export(
    course: Path, lab: Lab, form: Form, page_of: Callable, out: Path, most: int, force: bool = False
) -> list[str]:
    """Write the filled sheet to ``out``, the pages of feedback to zips beside it, and what was held back to notes.
    ``page_of(form, student, uploaders, row, page)`` gives path and content by which the system takes a page, or raises
    ``Held``. ``most`` is how many bytes it takes at once. Returns what the TA should know, in sentences."""
    course, out = Path(course), Path(out)
    uploaders = gradebook.uploaders(course, lab)
    filled = fill(checked(form, lab, force), gradebook.table(course, lab), uploaders, force)
    pages, left_out = {}, {}
    for file in gradebook.feedback(course, lab, filled.rows):
        student = file.stem
        try:
            path, page = page_of(form, student, uploaders.get(student, []), filled.rows[student], file.read_bytes())
            if len(page) > most:
                raise Held(f"has a page of {len(page) / 1e6:.1f} MB, and at most {most / 1e6:g} are taken")
            pages[path] = page
        except Held as reason:
            left_out[student] = str(reason)
    with replacing(out) as temporary:
        temporary.write_bytes(filled.sheet.bytes())
    stem, zips = f"feedback_{lab.name}_{form.system}", []
    for old in out.parent.glob(f"{stem}*.zip"):
        if re.fullmatch(rf"{stem}(_\d+)?\.zip", old.name):
            old.unlink()
    for number, content in enumerate(packed(pages, most), 1):
        zips.append(out.with_name(f"{stem}{f'_{number}' * (number > 1)}.zip"))
        with replacing(zips[-1]) as temporary:
            temporary.write_bytes(content)
    new, column = filled.written[form.grade], form.comment
    said = [f"{new} grades written under {form.title} in {out} ({form.sheet.format})"]
    said += [f"{len(filled.rows) - new} grades stood there already"] if new < len(filled.rows) else []
    if form.most > lab.points:
        said.append(f"{form.title} has {form.most:g} points and {lab.name} {lab.points}: grades count for less there")
    if column is None:
        said.append("the file has no column for comments: they stand on the pages of feedback only")
    else:
        said.append(f"{filled.written[column]} comments written under {shown(form.sheet.rows[0][column])}")
    said += [f"{len(pages)} pages of feedback in {', '.join(map(str, zips))}"] if pages else []
    others = len(form.people) - len(set(filled.rows.values()))
    said.append(f"{others} rows of the file stay as they are")
    said.append(form.advice)
    sections = {"Held back, grade and feedback": filled.held, "Without feedback": left_out}
    for title, students in sections.items():
        said += [f"{title}:", *(f"- {student} {why}." for student, why in sorted(students.items()))] if students else []
    notes = out.with_name(f"grades_{lab.name}_{form.system}.md")
    write_text(notes, "\n\n".join([f"# {lab.name} for {form.system.title()}", "\n".join(said)]) + "\n")
    return [*said, f"the same list: {notes}"]
