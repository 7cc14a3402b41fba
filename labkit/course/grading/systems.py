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
CLOSED = {"EX": "is excused", "N/A": "is not assigned this work"}  # what Canvas has in the place of a score


class Held(Exception):
    """Why a student's marks are held back: half a sentence that goes on after the student's id."""


@dataclass(frozen=True)
class Form:
    """What a system's file asks for. ``people`` has the system's number of a person by row; the first ``who`` columns
    describe them. ``grade`` and ``comment`` are columns, ``most`` is the maximum grade, which the system lets a
    grade exceed where ``open_ended``. Where ``named``, a number counts only beside the name that came with it, or beside
    ``nobody``, the word for everyone where names are hidden."""

    system: str
    sheet: Sheet
    people: dict[int, str]
    who: int
    grade: int
    most: float
    comment: int | None = None
    open_ended: bool = False
    named: bool = False
    nobody: str = ""

    @cached_property
    def comma(self) -> bool:
        """Whether numbers in this file have a decimal comma."""
        texts = [row[self.grade : self.grade + 2] for row in self.sheet.rows]
        return any(re.fullmatch(r"\d+,\d+", text.strip()) for row in texts for text in row)


@dataclass(frozen=True)
class Filled:
    """``rows`` are where students' grades stand now, by student; ``held`` says why others' do not."""

    sheet: Sheet
    rows: dict[str, int]
    held: dict[str, str]


def checked(form: Form, lab: Lab) -> Form:
    """The form. Raises ``LabError`` where its grades are not counted as the lab's are."""
    if form.most < lab.points:
        raise LabError(
            f"This file takes {form.most:g} points at most, and {lab.name} has {lab.points}: set the assignment's maximum "
            f"in {form.system.title()} to {lab.points}, and download the file again."
        )
    return form


def fill(form: Form, marks: list[dict], uploaders: dict[str, list[Uploader]], force: bool = False) -> Filled:
    """The form's sheet with the grades of ``marks`` (rows of ``gradebook.table``), each in its student's row. What
    stands there already is changed only with ``force``. Raises ``LabError`` where no student stands in the sheet."""
    places, held = {}, {}
    for mark in marks:
        student = mark["Student ID"]
        try:
            places[student] = row_of(form, student, uploaders.get(student, []))
        except Held as reason:
            held[student] = str(reason)
    if not places:
        raise LabError(
            f"None of the {len(marks)} students of this class stands in the file: download that of this lab's assignment."
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
    return Filled(form.sheet.changed(cells), rows, held)


def row_of(form: Form, student: str, uploaders: list[Uploader]) -> int:
    """The row of a student: by the number of whoever uploaded, where the system told one; else by the student's id in
    it; else by the name. Raises ``Held`` where that is no row, more than one, or contradicted by another."""
    people = [one for one in uploaders if one.system == form.system]
    if len(people) > 1:
        raise Held(f"was handed in by several people: {listed(one.owner for one in people)}")
    person = people[0] if people else None
    about = {row: form.sheet.rows[row][: form.who] for row in form.people}
    with_id = [row for row, cells in about.items() if any(is_id(cell, student) for cell in cells)]
    name = words(person.name) if person else ()
    with_name = [row for row, cells in about.items() if name and name in map(words, cells)]
    if person and person.id.isdecimal():
        found = [row for row, number in form.people.items() if number == person.id]
        sure = found if name == words(form.nobody) else [*with_id, *with_name]
        if form.named and len(found) == 1 and found[0] not in sure:
            raise Held(f"was handed in by {shown(person.owner)}, but the row with this number names somebody else")
        if set(with_id) - set(found):
            raise Held(f"was handed in by {shown(person.owner)}, but the id stands in another row")
    else:
        found = with_id or with_name
    if not found:
        raise Held("is not in the file")
    if len(found) > 1:
        raise Held(f"stands in {len(found)} rows of the file")
    return found[0]


def is_id(cell: str, student: str) -> bool:
    """Whether a cell is a student's id, or an e-mail address that begins with it."""
    return cell.strip().casefold().split("@")[0] == student.casefold()


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
    if why := CLOSED.get(old[form.grade].strip().upper()):
        raise Held(why)
    new = {}
    if value(old[form.grade]) != round(total, 2):
        new[form.grade] = f"{round(total, 2):g}".replace(".", "," if form.comma else ".")
    if form.comment is not None and mark["comments"]:
        comment = spreadsheet(escape(mark["comments"], quote=False))  # Moodle shows it as HTML
        new |= {form.comment: comment} if comment != old[form.comment] else {}
    there = [old[column] for column in new if old[column].strip() not in ("", "-")]
    if there and not force:
        raise Held(f"has {listed(there)} in the file already, and not {listed(new.values())}; --force overwrites it")
    return {(row, column): text for column, text in new.items()}


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
    filled = fill(checked(form, lab), gradebook.table(course, lab), uploaders, force)
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
        old.unlink()
    for number, content in enumerate(packed(pages, most), 1):
        zips.append(out.with_name(f"{stem}{f'_{number}' * (number > 1)}.zip"))
        with replacing(zips[-1]) as temporary:
            temporary.write_bytes(content)
    comments = "with comments" if form.comment is not None else "which has no column for comments"
    said = [f"{len(filled.rows)} grades in {out} ({form.sheet.format}), {comments}"]
    said += [f"{len(pages)} pages of feedback in {', '.join(map(str, zips))}"] if pages else []
    others = len(form.people) - len(set(filled.rows.values()))
    said.append(f"{others} rows of the file stay as they are")
    sections = {"Held back": filled.held, "Without feedback": left_out}
    for title, students in sections.items():
        said += [f"{title}:", *(f"- {student} {why}." for student, why in sorted(students.items()))] if students else []
    write_text(out.with_suffix(".md"), "\n\n".join([f"# {lab.name} for {form.system.title()}", "\n".join(said)]) + "\n")
    return said
