"""The class's gradebook: nbgrader's database and folders, filled without running a student's code.

``nbgrader autograde`` would execute every notebook outside the sandbox, so points and sentences go from
``graded/`` straight into ``gradebook.db``, and what formgrader shows are copies that ``pages.harmless``
made. A cell is *ungraded* as long as nobody gave it points; ungraded is never the same as 0.
"""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat

from labkit.course import blanks, release
from labkit.course.grading import pages
from labkit.course.grading.uploads import Uploader
from labkit.course.labs import Lab
from labkit.files import write_text
from labkit.settings import LabError

CONFIG = '''"""Written by labkit: nbgrader's settings for this class."""

from pathlib import Path

from nbconvert.exporters import Exporter


class SwitchedOff(Exporter):
    """nbgrader's own autograding runs students' code on this machine; labkit's runs it in a sandbox."""

    def __init__(self, **_):
        raise RuntimeError("switched off for this class: use labkit grade and labkit feedback")


root = Path(__file__).resolve().parent
(root / "exchange").mkdir(exist_ok=True)  # stays empty; nbgrader complains where there is none
c = get_config()  # noqa: F821
c.CourseDirectory.root = str(root)
c.Exchange.root = str(root / "exchange")
c.BaseConverter.exporter_class = SwitchedOff
c.FormgradeExtension.debug = False
'''


@dataclass(frozen=True)
class HandIn:
    """A student's hand-in as collected and graded: ``archive`` is its sha256, ``points`` are by
    ``check-…`` cell, ``comments`` by the cell of the answer, ``without`` the bonus notebooks that are not in it."""

    student: str
    archive: str
    refused: str | None
    points: dict[str, float]
    comments: dict[str, str]
    without: tuple[str, ...] = ()


def fill(course: Path, lab: Lab) -> list[str]:
    """Bring ``gradebook.db`` and nbgrader's folders up to date with the lab's ``collected/`` and ``graded/``.
    Returns what changed since the last time, in sentences for the TA.

    Only automatic scores and comments are written. What was given by hand (scores, extra credit,
    comments) stays; where the hand-in or the code points have changed since, the cell is marked for review,
    formgrader's "Resolve". Raises ``LabError`` if nothing was collected, or if the gradebook was made for
    other notebooks."""
    course, released = Path(course), release.released_notebooks(lab)
    work = _hand_ins(course, lab)
    if not work:
        raise LabError(f"{course / 'collected' / lab.name} holds no submissions: run labkit collect first.")
    write_text(course / "nbgrader_config.py", CONFIG)
    for name, notebook in released.items():
        _write(course / "source" / lab.name / f"{name}.ipynb", nbformat.writes(notebook))
    changes = []
    with _gradebook(course) as book:
        _prepare(book, lab, released, work)
        grades, comments = _rows(book, lab)
        for hand_in in work:
            archive = _archive_file(course, hand_in.student, lab)
            again = archive.exists() and archive.read_text(encoding="utf-8") != hand_in.archive
            changes += [f"{hand_in.student} has handed in again."] if again else []
            points = dict.fromkeys((cell.id for name in hand_in.without for cell in released[name].cells), 0.0)
            points |= hand_in.points
            for cell, grade in grades[hand_in.student].items():
                changes += _update(grade, points.get(cell), again, f"{hand_in.student}: {cell}")
            for cell, comment in comments[hand_in.student].items():
                comment.auto_comment = hand_in.comments.get(cell)
        book.db.commit()
    for hand_in in work:
        _write_notebooks(course, hand_in.student, lab, released)
        _write(_archive_file(course, hand_in.student, lab), hand_in.archive)  # last, so that a new hand-in is seen
    return changes


def _update(grade, new: float | None, again: bool, where: str) -> list[str]:
    """Set the automatic score of a row of nbgrader's; what the TA should know of it."""
    old, grade.auto_score = grade.auto_score, new
    changed = [f"{where} went from {old:g} to {new:g} points."] if None not in (old, new) and old != new else []
    if grade.manual_score is None:
        grade.needs_manual_grade = new is None
    elif again or old != new:
        grade.needs_manual_grade = True
        changed.append(f"{where} keeps its {grade.manual_score:g} points given by hand; look at it again.")
    return changed


def _hand_ins(course: Path, lab: Lab) -> list[HandIn]:
    files = sorted((course / "collected" / lab.name).glob("*/submission.json"))
    return [_hand_in(file, course / "graded" / lab.name, lab) for file in files]


def _hand_in(file: Path, graded: Path, lab: Lab) -> HandIn:
    """Marks count only if they are those of this very submission."""
    submission, student, result = _json(file), file.parent.name, {}
    if submission.get("student") != student or not re.fullmatch(r"\w[\w.@+-]*", student):
        raise LabError(f"{file} does not name the student {student!r} it is kept for: run labkit collect again.")
    if (graded / f"{student}.json").exists():
        result = _json(graded / f"{student}.json")
    if result.get("submission") != hashlib.sha256(file.read_bytes()).hexdigest():
        result = {}
    refused = submission["refused"] or result.get("refused")
    marks = {} if refused else result.get("blanks", {})
    unmarked = f"Refused: {refused}" if refused else "Not graded yet."
    comments = {f"blank-{name}": [unmarked] for name in blanks.of(lab)}
    comments |= {f"blank-{name}": mark["sentences"] for name, mark in marks.items()}
    for finding in result.get("findings", []):
        comments.setdefault(finding["cell"], []).append(f"{'✓' if finding['well'] else '✗'} {finding['text']}")
    return HandIn(
        student,
        submission["sha256"],
        refused,
        {f"check-{name}": float(mark["points"]) for name, mark in marks.items()},
        {cell: pages.text_of("\n".join(lines)) for cell, lines in comments.items() if lines},
        () if refused else tuple(name for name in lab.bonus_notebooks if not submission["code"].get(name)),
    )


def _json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabError(f"{file} cannot be read ({error}): run labkit collect and labkit grade again.") from None
    if not isinstance(content, dict):
        raise LabError(f"{file} holds no JSON object: run labkit collect and labkit grade again.")
    return content


def _write(file: Path, text: str) -> None:
    """Write what is not there yet: filling again is quick."""
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)


def _archive_file(course: Path, student: str, lab: Lab) -> Path:
    """Where the sha256 of the hand-in that the gradebook shows is kept. It is the only file in nbgrader's
    ``submitted/``: the folder makes a student count as having submitted, notebooks in it could be autograded."""
    return course / "submitted" / student / lab.name / "sha256.txt"


def _write_notebooks(course: Path, student: str, lab: Lab, released: dict) -> None:
    """The notebooks as handed in, made harmless, where formgrader looks for autograded ones."""
    for name, notebook in released.items():
        handed_in = course / "collected" / lab.name / student / "notebooks" / f"{name}.ipynb"
        shown = course / "autograded" / student / lab.name / f"{name}.ipynb"
        if handed_in.exists():
            _write(shown, nbformat.writes(pages.harmless(_json(handed_in), notebook)))
        else:
            shown.unlink(missing_ok=True)


@contextmanager
def _gradebook(course: Path):
    """nbgrader's open ``Gradebook`` of this class; its errors as ``LabError``."""
    try:
        from nbgrader.api import Gradebook
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise LabError('The gradebook needs nbgrader, which is not installed: pip install "labkit[grading]".') from None
    file, path = course.resolve() / "gradebook.db", os.environ.get("PATH", "")
    # nbgrader asks the command alembic for the version of a new database, also where the environment is not activated
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        with Gradebook(f"sqlite:///{file}", "") as book:
            yield book
    except SQLAlchemyError as error:
        problem = str(error).splitlines()[0]
        raise LabError(f"{file} cannot be used ({problem}): stop labkit formgrader and run this again.") from error
    finally:
        os.environ["PATH"] = path


def _prepare(book, lab: Lab, released: dict, work: list[HandIn]) -> None:
    """Make the assignment, its notebooks and cells, and each student's empty submission, where missing."""
    book.update_or_create_assignment(lab.name)
    for name, notebook in released.items():
        row = book.update_or_create_notebook(name, lab.name)
        marked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
        graded = {cell.id: cell for cell in marked if cell.metadata.nbgrader.grade}
        if row.submissions and {cell.name for cell in row.grade_cells} != set(graded):
            raise LabError(
                f"The gradebook was made for another {name}, with other graded cells: start a new class folder, "
                "or use the labkit that it was made with."
            )
        for cell_id, cell in graded.items():
            points = float(cell.metadata.nbgrader.points)
            book.update_or_create_grade_cell(cell_id, name, lab.name, max_score=points, cell_type=cell.cell_type)
        for cell in marked:
            if cell.metadata.nbgrader.solution:
                book.update_or_create_solution_cell(cell.id, name, lab.name)
    known = {submission.student_id for submission in book.assignment_submissions(lab.name)}
    for hand_in in work:
        if hand_in.student not in known:
            book.update_or_create_student(hand_in.student)
            with book.db.no_autoflush:  # what nbgrader adds is whole only at the end, and SQLAlchemy would warn
                book.add_submission(lab.name, hand_in.student)


def _rows(book, lab: Lab) -> tuple[dict, dict]:
    """nbgrader's rows of grades and of comments for a lab, by student and cell."""
    from nbgrader import api

    found = []
    for table in (api.Grade, api.Comment):
        rows = (
            book.db.query(table, api.BaseCell.name, api.SubmittedAssignment.student_id)
            .join(api.BaseCell, table.cell_id == api.BaseCell.id)
            .join(api.SubmittedNotebook, table.notebook_id == api.SubmittedNotebook.id)
            .join(api.SubmittedAssignment, api.SubmittedNotebook.assignment_id == api.SubmittedAssignment.id)
            .join(api.Assignment, api.SubmittedAssignment.assignment_id == api.Assignment.id)
            .filter(api.Assignment.name == lab.name)
        )
        found.append(defaultdict(dict))
        for row, cell, student in rows:
            found[-1][student][cell] = row
    return tuple(found)


def items(course: Path, lab: Lab) -> dict[str, list[pages.Item]]:
    """What every graded cell stands at, by student, in the notebooks' order. Raises ``LabError`` where the
    gradebook does not hold every collected student and cell yet."""
    course = Path(course)
    if not (course / "gradebook.db").exists() or not _hand_ins(course, lab):
        raise LabError(f"{course} has no filled gradebook yet: run labkit grade first.")
    cells = [
        (name, pages.heading(notebook.cells[:index]), cell)
        for name, notebook in release.released_notebooks(lab).items()
        for index, cell in enumerate(notebook.cells)
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    with _gradebook(course) as book:
        grades, comments = _rows(book, lab)
        for student in {hand_in.student for hand_in in _hand_ins(course, lab)} | set(grades):
            if not {cell.id for *_, cell in cells} <= set(grades[student]):
                raise LabError(f"The gradebook does not hold all cells of {student} yet: run labkit grade first.")
        return {
            student: [_item(*place, cell, grades[student][cell.id], comments[student]) for *place, cell in cells]
            for student in sorted(grades)
        }


def _item(notebook: str, title: str, cell, grade, comments: dict) -> pages.Item:
    code = cell.id.startswith("check-")
    answer = cell.id.replace("check-", "blank-", 1) if code else cell.id
    points = grade.auto_score if grade.manual_score is None else grade.manual_score
    return pages.Item(
        cell=answer,
        notebook=notebook,
        title=title,
        of=float(cell.metadata.nbgrader.points),
        points=None if points is None else points + (grade.extra_credit or 0),
        review=grade.needs_manual_grade and points is not None,
        sentences=comments[answer].auto_comment or "" if code and grade.auto_score is not None else "",
        comment=comments[answer].manual_comment or "",
    )


def table(course: Path, lab: Lab) -> list[dict]:
    """One row per student: points by cell, their sums, and where the student stands (``pages.csv_row``)."""
    refused = {hand_in.student: hand_in.refused for hand_in in _hand_ins(Path(course), lab)}
    graded = items(course, lab).items()
    return [pages.csv_row(student, marks, refused.get(student), lab.points) for student, marks in graded]


def uploaders(course: Path, lab: Lab) -> dict[str, list[Uploader]]:
    """Who handed in, by student, as learning-management systems know them; nobody where it was sorted by hand.
    Raises ``LabError`` where ``submission.json`` holds anything else."""
    found = {}
    for file in sorted((Path(course) / "collected" / lab.name).glob("*/submission.json")):
        people = _json(file).get("uploaders", [])
        try:
            found[file.parent.name] = [Uploader(**{key: str(value) for key, value in one.items()}) for one in people]
        except (AttributeError, TypeError):
            raise LabError(f"{file} does not say who handed in: run labkit collect again.") from None
    return found


def export(course: Path, lab: Lab, file: Path) -> list[dict]:
    """Write one row per student to ``file`` as CSV, and return the rows. Ungraded cells are empty, and so is
    ``total`` while there are any. UTF-8 with a byte order mark: Excel shows umlauts only with it, and Moodle
    takes it off. Text that a spreadsheet would take for a formula begins with an apostrophe."""
    rows, text = table(course, lab), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: pages.spreadsheet(value) for column, value in row.items()} for row in rows)
    write_text(Path(file), "\ufeff" + text.getvalue())
    return rows


def feedback(course: Path, lab: Lab, students: Collection[str] | None = None) -> list[Path]:
    """Write ``feedback/<lab>/<student>.html`` for every student, or for ``students``, as the gradebook stands; the
    files."""
    course, files = Path(course), []
    refused = {hand_in.student: hand_in.refused for hand_in in _hand_ins(course, lab)}
    found = items(course, lab)
    for student, marks in found.items() if students is None else [(student, found[student]) for student in students]:
        folder = course / "autograded" / student / lab.name
        notebooks = {file.stem: nbformat.read(file, as_version=4) for file in sorted(folder.glob("*.ipynb"))}
        row = pages.csv_row(student, marks, refused.get(student), lab.points)
        waiting = sum(item.points is None for item in marks)
        if refused.get(student) and waiting:
            opening = "**Not graded:** your archive could not be read. Please hand in again."
        elif waiting:
            so_far = row["points so far"] or 0
            opening = f"{so_far:g} points so far; {waiting} of {len(marks)} items are not graded yet."
        else:
            opening = f"{row['points so far']:g} of {row['max']:g} points"
        files.append(course / "feedback" / lab.name / f"{student}.html")
        _write(files[-1], pages.feedback_page(student, opening, marks, notebooks))
    return files


def formgrader_command(course: Path, lab: Lab) -> list[str]:
    """What starts JupyterLab in the class folder, at formgrader's list of submissions."""
    options = {
        "ServerApp.root_dir": course,
        "LabApp.default_url": f"/formgrader/manage_submissions/{lab.name}",
        "IdentityProvider.cookie_options": "path=/",  # logged in on one page of formgrader, logged in on all
    }
    return [sys.executable, "-m", "jupyter", "lab", *(f"--{name}={value}" for name, value in options.items())]


def open_formgrader(course: Path, lab: Lab) -> None:
    """Show formgrader in the browser until the server is stopped with Ctrl-C."""
    course = Path(course).resolve()
    items(course, lab)
    server = subprocess.Popen(formgrader_command(course, lab), cwd=course)
    while server.poll() is None:
        try:
            server.wait()
        except KeyboardInterrupt:
            pass  # Jupyter has heard it too, and asks whether to stop
