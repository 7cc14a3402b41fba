"""Canvas's export of its gradebook, and the names of files in its zip of submissions with feedback.

Canvas reads headers in English only, whatever its users speak (lib/gradebook_importer.rb).

Not in the student edition: it is the staff's.
"""

import re
from pathlib import Path

from labkit.course.grading.sheet import Sheet
from labkit.course.grading.systems import Form, Held, value
from labkit.course.grading.uploads import Uploader
from labkit.course.labs import Lab
from labkit.course.practice.submit import zipped
from labkit.settings import LabError

ASSIGNMENT = re.compile(r"(.*)\s\((\d+)\)", re.DOTALL)
ADVICE = "Upload the zip once: Canvas makes a comment of each upload. Other assignments are left out of the file."
TOTALS = re.compile(r"(?:Current|Final) (?:Score|Points|Grade)|Override (?:Score|Grade|Status)")
CLOSED = {"EX": "is excused", "N/A": "is not assigned this work"}  # what Canvas has in the place of a score
MUTED = re.compile(r"\s*(?:Muted|Manual Posting.*)?\s*", re.IGNORECASE)


def form(sheet: Sheet, file: Path, lab: Lab, assignment: str | None = None) -> Form:
    """What the export asks for in the column of ``assignment``, a title or number; else of the one whose title says
    which lab it is. Raises ``LabError`` where ``sheet`` is no such export, or there is no such column or several."""
    header, *rest = sheet.rows
    at = next((at for at, name in enumerate(header[:3]) if name == "ID"), 0)
    if not at or "Section" not in header or not re.search("Student|LastName", header[0]):
        raise LabError(f"{file} is no export of Canvas's gradebook: it needs the columns Student, ID and Section.")
    rows = {number: row for number, row in enumerate(rest, 1) if not all(map(MUTED.fullmatch, row))}
    possible = {number for number, row in rows.items() if "Points Possible" in row[0]}
    if len(possible) != 1:
        raise LabError(f"{file} has no row Points Possible: download it from Canvas again.")
    points = rows.pop(possible.pop())
    section = header.index("Section")
    titles = {
        column: ASSIGNMENT.fullmatch(name)
        for column, name in enumerate(header)
        if column > section and not TOTALS.search(name) and value(points[column]) is not None
    }
    titles = {column: found for column, found in titles.items() if found}
    found = [column for column, title in titles.items() if is_meant(title, lab, assignment)]
    if len(found) != 1:
        raise LabError(
            f"{len(found) or 'None'} of the assignments in {file} can be {assignment or f'{lab.name}, {lab.title}'}: choose "
            f"with --assignment one of {', '.join(title[0] for title in titles.values()) or '(there is none)'}."
        )
    states = {number: row[found[0]].strip().upper() for number, row in rows.items()}
    if set(states.values()) == {"N/A"}:
        raise LabError(
            f"{file} has N/A for everyone in {titles[found[0]][0]}, as Canvas writes it of anonymous submissions: post the "
            f"grades or switch off anonymous grading, and download it again."
        )
    return Form(
        system="canvas",
        sheet=sheet,
        people={number: row[at].strip() for number, row in rows.items()},
        about={number: [*row[:at], *row[at + 1 : section]] for number, row in rows.items()},
        closed={number: CLOSED[state] for number, state in states.items() if state in CLOSED},
        grade=found[0],
        most=value(points[found[0]]),
        columns=(*range(section + 1), found[0]),
        advice=ADVICE,
        open_ended=True,
    )


def is_meant(title: re.Match, lab: Lab, assignment: str | None) -> bool:
    if assignment is not None:
        return assignment.casefold() in (title[0].casefold(), title[1].casefold(), title[2])
    named = re.search(rf"\blab\s*0*{lab.number}\b(?!\.\d)", title[1], re.IGNORECASE)
    return bool(named) or lab.title.casefold() in title[1].casefold()


def page_of(form: Form, student: str, uploaders: list[Uploader], row: int, page: bytes) -> tuple[str, bytes]:
    """How Canvas wants a page called: as the student's file in its zip of submissions, since it finds the submission by
    the numbers in it. It also gives the page that file's name (app/models/abstract_assignment.rb), so a page goes
    back as a zip, and only to whoever handed in one. Raises ``Held``."""
    found = [one.path for one in uploaders if one.system == "canvas" and one.path.lower().endswith(".zip")]
    if not found:
        raise Held("handed in no zip through Canvas, and Canvas takes a page only in a file's place")
    return found[0], zipped({"feedback.html": page})
