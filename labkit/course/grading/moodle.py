"""Moodle's offline grading worksheet, and the names of files in its zip of feedback.

Its headers are in the language of whoever downloaded it, so columns are known by what Moodle writes into them and in
which order (mod/assign/gradingtable.php): the first holds a word and the person's number; the grade stands just left of
the maximum, which is the same in all rows; right of the maximum is whether it can be changed, then one date or two, that of
the grade last, and then come comments, if the assignment has them, other feedback and outcomes.

Not in the student edition: it is the staff's.
"""

import re
from collections import Counter
from pathlib import Path

from labkit.course.grading.archives import shown
from labkit.course.grading.sheet import Sheet
from labkit.course.grading.systems import Form, value
from labkit.course.grading.uploads import Uploader
from labkit.settings import LabError

PERSON = re.compile(r"(\D+?)(\d+)")
YEAR = re.compile(r"\d{4}")
ADVICE = (
    "Upload the grades before the feedback, and compare the number that Moodle says it updated with this one: it passes "
    'over records that it takes for newer. After --force, or where Moodle is not in English, tick "Allow updating '
    'records that have been modified more recently in Moodle than in the spreadsheet".'
)


def form(sheet: Sheet, file: Path) -> Form:
    """What the worksheet asks for. Raises ``LabError`` where ``sheet`` is none."""
    rows = {number: row for number, row in enumerate(sheet.rows) if number and row != [""]}
    people = {number: PERSON.fullmatch(row[0].strip()) for number, row in rows.items()}
    if not rows or None in people.values() or len({found[1] for found in people.values()}) > 1:
        raise LabError(
            f"{file} is no grading worksheet of Moodle: its first column does not hold the participants' numbers."
        )
    columns = list(zip(*rows.values()))
    maxima = [at for at in range(1, len(columns)) if is_maximum(columns[at]) and is_grade(columns[at - 1])]
    if not maxima:
        raise LabError(
            f"{file} has no column of grades beside one of the maximum: the assignment has to be graded in points."
        )
    grade = maxima[-1] - 1
    dated = [at for at in range(grade + 2, min(grade + 5, len(columns))) if is_dates(columns[at])]
    return Form(
        system="moodle",
        sheet=sheet,
        people={number: found[2] for number, found in people.items()},
        about={number: row[1:grade] for number, row in rows.items()},
        closed=locked(rows, grade + 2) if dated and grade + 2 not in dated else {},
        grade=grade,
        most=value(columns[grade + 1][0]),
        columns=tuple(range(len(sheet.cells[0]))),
        advice=ADVICE,
        comment=dated[-1] + 1 if dated and dated[-1] + 1 < len(columns) else None,
        named=True,
        nobody=people[min(people)][1],
    )


def locked(rows: dict[int, list[str]], column: int) -> dict[int, str]:
    """Whose grade cannot be changed, by row: whoever has not what most have there, a yes in any language."""
    (usual, _), *_ = Counter(row[column] for row in rows.values()).most_common()
    others = {number: row[column] for number, row in rows.items() if row[column] != usual}
    return {
        number: f"has {shown(text)} where most have {shown(usual)}: Moodle passes over locked grades"
        for number, text in others.items()
    }


def is_maximum(column: tuple[str, ...]) -> bool:
    return len(set(column)) == 1 and bool(value(column[0]))


def is_grade(column: tuple[str, ...]) -> bool:
    return all(not text.strip() or value(text) is not None for text in column)


def is_dates(column: tuple[str, ...]) -> bool:
    """A date has a year; what has none yet is a dash."""
    return all(text.strip() == "-" or YEAR.search(text) for text in column)


def page_of(form: Form, student: str, uploaders: list[Uploader], row: int, page: bytes) -> tuple[str, bytes]:
    """How Moodle wants a page called: ``Name_number_assignfeedback_file/feedback.html``. The number alone counts, the
    name must not hold an underscore (mod/assign/feedback/file/importziplib.php)."""
    name = next((one.name for one in uploaders if one.name), student)
    name = re.sub(r"[^\w .-]|_", " ", name).strip(" .") or "student"
    return f"{name}_{form.people[row]}_assignfeedback_file/feedback.html", page
