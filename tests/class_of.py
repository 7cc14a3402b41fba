"""A class of generated students, from a folder of zips to a CSV, with the marks that each deserves.

``python tests/class_of.py 100`` prints how long each command took, the marks and the TA's list; ``… 3 2`` does so
for lab 2. ``… 100 1 moodle`` (or ``canvas``) goes the whole way: from the system's export, with points by hand, to
the file and the feedback that it reads back.
"""

import csv
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import fronts
import submissions as made
import systems
from hostile import HOSTILE

from labkit import cli
from labkit.course import blanks, edition, labs, release
from labkit.course.labs import Lab

LAB, ALL = labs.named(1), 35
ENDLESS = "def guarded_mask(scores, ratio, at_least):\n    while True: pass"


Archive = Callable[[str], bytes]
"""A student id -> the archive that this student hands in."""


@dataclass(frozen=True)
class Student:
    """``points`` for the blanks, None if the archive is refused; ``noted`` must be on the TA's list."""

    archive: str
    content: bytes
    name: str
    points: float | None
    noted: str = ""


def cleared(name: str) -> str:
    """A student id for a row of the tables: letters and digits only."""
    return "".join(letter for letter in name.title() if letter.isalnum())[:16]


def usual(build) -> Iterator[tuple[str, Archive, float | None, str]]:
    """Students who did their work, more or less: kind, archive, points, and what is noted."""
    yield "perfect", build({}), ALL, ""
    yield "empty", build(made.NOTHING), 0, ""
    mistakes = {
        "gamma, not its sign": ({"penalty_gradient": "return lam * gamma"}, 30),
        "minus at zero": ({"penalty_gradient": "return lam * torch.where(gamma > 0, 1.0, -1.0)"}, 33),
        "squeeze": ({"kept_channels": "return mask.nonzero().squeeze()"}, 33),
        "scale, no shift": ({"copy_batchnorm_affine": "thin_norm.weight.data.copy_(norm.weight.data[kept])"}, 32),
        "rows": ({"copy_linear_weight": "thin_linear.weight.data = linear.weight.data[kept]"}, 30),
        "a view": ({"copy_linear_bias": "thin_linear.bias.data = linear.bias.data"}, 33),
        "one of two": ({"lambda_for": None}, 33),
        "three things": (
            {"kept_channels": None, "sparsity_penalty": "return lam", "copy_linear_bias": "pass"},
            ALL - 5 - 3 - 5,
        ),
        "does not parse": ({"penalty_gradient": "return lam *"}, 30),
    }
    for kind, (bodies, points) in mistakes.items():
        yield kind, build(bodies), points, ""
    changes = {
        "edited check": (made.edited_check("penalty"), "check-penalty"),
        "deleted check": (made.deleted("check-linear-bias"), "check-linear-bias"),
        "deleted text": (made.deleted("manual-report-problem"), "manual-report-problem"),
        "a cell twice": (made.duplicated("blank-subgradient"), "penalty_gradient"),
        "metadata lost": (made.without_metadata, "blank-kept-channels"),
        "50 MB of output": (made.large_outputs("01-27"), "output"),
    }
    for kind, (change, noted) in changes.items():
        yield kind, build({}, changes=[change]), ALL, noted
    unmarked = [made.edited("exercise-guard", ENDLESS), made.deleted("exercise-convolution-weight")]
    yield "exercises wrong", build({}, changes=unmarked), ALL, ""
    yield "colab", build({}, changes=[made.colab]), ALL, ""
    copy = {"notebooks/01_sparsity_training.ipynb": "notebooks/Copy of 01_sparsity_training (1).ipynb"}
    yield "renamed", build({}, names=copy), ALL, "Copy of 01_sparsity_training (1)"
    page = {"notebooks/03_channel_pruning.ipynb": b"<html>Sign in to continue</html>"}
    yield "no notebook", build({}, after=page), 10, "03_channel_pruning"


def hostile(build) -> Iterator[tuple[str, Archive, float | None, str]]:
    for kind in ("never ends, deaf to signals", "ends the process", "fork bomb", "fills the memory", "network",
                 "an object equal to everything", "kills everything", "changes torch",
                 "writes a result to every channel", "names its exception after the inputs"):  # fmt: skip
        body = HOSTILE[kind][0].replace("PORT", "9")
        yield kind, build({"kept_channels": body}), ALL - 5, ""
    probe = "raise KeyError(str(mask.tolist()))"
    for number in ("one", "two"):
        copied = {"report.pdf": made.PDF}
        yield f"same probe {number}", build({"kept_channels": probe}, extra=copied), ALL - 5, ""
    yield "zip slip", lambda student: made.zipped({"../../escaped.ipynb": b"{}"}), None, "refused"
    bomb = {"notebooks/01_sparsity_training.ipynb": bytes(300 * 2**20)}
    yield "zip bomb", lambda student: made.zipped(bomb), None, "refused"


def of_the_front(build) -> Iterator[tuple[str, Archive, float | None, str]]:
    """Three students of lab 2; their records are those of ``fronts``."""
    lab = labs.named(2)
    of = sum(blank.points for blank in blanks.of(lab).values())
    yield "perfect", build({}), of, ""
    bodies = {"lp_norm": None, "filter_scores": "return weight.abs().flatten(1).sum(1)"}
    yield "careless", build(bodies, lambda s: fronts.archived(fronts.careless(), s), "report.pdf"), of - 6, "No PDF is"

    def own(student: str) -> dict[str, bytes]:
        odd = {"records/policy-a;b/record.json": b"{}", "board/policy.json": b'{"gained": 1}'}
        pdf = {edition.current().report_name(student, lab): made.report("another")}
        return fronts.archived(fronts.forged(), student) | odd | pdf

    bodies = {"lp_norm": "import os\nos._exit(0)", "filter_scores": HOSTILE["changes torch"][0]}
    bodies["average_percentage_of_zeros"] = HOSTILE["an object equal to everything"][0]
    yield "hostile", build(bodies, own), of - 9, "carries the id"


def one_run(student: str) -> dict[str, bytes]:
    return {path: made.RECORD.replace(b"{", b'{"of": "%s", ' % student.encode()) for path in made.RECORDS[1]}


ROWS = {1: lambda build: [*usual(build), *hostile(build)], 2: of_the_front}
OWN = {1: one_run, 2: lambda student: fronts.archived(fronts.honest(), student)}


def students(count: int | None = None, lab: Lab = LAB, kinds: tuple[str, ...] = ()) -> list[Student]:
    """Every row once; then, up to ``count``, more of those who did their work. ``kinds``: these rows only."""
    notebooks, course = release.released_notebooks(lab), edition.current()

    def build(bodies: dict, own=OWN[lab.number], report: str | None = None, **options) -> Archive:
        """``own``: a student's own files; ``report``: what the PDF is called, if not what it has to be."""

        def archive(student: str) -> bytes:
            pdf = course.report_name(student, lab)
            files = {pdf: made.report(student)} | own(student) | options.get("extra", {})
            names = {pdf: report or pdf} | options.get("names", {})
            return made.submission(student, bodies, notebooks, **options | {"extra": files, "names": names, "lab": lab})

        return archive

    rows = [row for row in ROWS[lab.number](build) if not kinds or row[0] in kinds]
    more = cycle(row for row in rows if row[0] not in ("50 MB of output", "zip bomb", "never ends, deaf to signals"))
    rows = [*rows, *islice(more, max(0, (count or 0) - len(rows)))]
    found = []
    for number, (kind, archive, points, noted) in enumerate(rows, 1):
        name = f"s{number:03d}{cleared(kind)}"[:16]
        found.append(Student(course.archive_name(name, lab), archive(name), name, points, noted))
    return found


def export_folder(folder: Path, people: list[Student]) -> None:
    """As a learning-management system leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for person in people:
        (folder / person.archive).write_bytes(person.content)


NAMES = ("Ada Lovelace", "Jürgen Groß", "王小明", "Sinéad O'Connor", "Nguyễn Thị Mai", "María de la Cruz", "=SUM(A1) X")
TITLE = "Lab {0.number}: {0.title}"


def persons(people: list[Student]) -> list[systems.Person]:
    """The same people as a system knows them; several have one name, as in any large class."""
    names = cycle(NAMES)
    return [systems.Person(2001 + n, next(names), person.name) for n, person in enumerate(people)]


def moodle_export(folder: Path, people: list[Student], lab: Lab = LAB) -> tuple[Path, systems.Moodle]:
    """The submissions as Moodle packs them, the worksheet, and the site that takes it back."""
    known = persons(people)
    for person, one in zip(people, known):
        path = folder / systems.moodle_path(
            one, person.archive, folders=one.number % 5 > 0, trailing=one.number % 2 > 0
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(person.content)
    worksheet = folder.with_name("Bewertungen.csv")
    worksheet.write_bytes(systems.worksheet(known, "de", most=lab.points))
    return worksheet, systems.Moodle(known, "de", most=lab.points)


def canvas_export(folder: Path, people: list[Student], lab: Lab = LAB) -> tuple[Path, systems.Canvas]:
    """The submissions as Canvas packs them, the gradebook, and the site that takes it back."""
    known, folder = persons(people), folder / "submissions"
    folder.mkdir(parents=True, exist_ok=True)
    columns = [systems.Column("Quiz", 5, 10), systems.Column(TITLE.format(lab), 6, lab.points)]
    attachments = {}
    for person, one in zip(people, known):
        attachments[one.number + 50_000] = (one.number, person.archive)
        name = systems.canvas_path(one, one.number + 50_000, person.archive, late=one.number % 5 == 0)
        (folder / name).write_bytes(person.content)
    gradebook = folder.parent.with_name("grades.csv")
    gradebook.write_bytes(systems.gradebook_export(known, columns))
    return gradebook, systems.Canvas(known, columns, attachments)


SYSTEMS = {"moodle": moodle_export, "canvas": canvas_export}


def by_hand(course: Path, lab: Lab = LAB) -> float:
    """Give every manual cell of a readable hand-in its full points, as formgrader does; how many seconds it took."""
    from nbgrader.api import Gradebook

    started = time.perf_counter()
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "") as book:
        for submission in book.assignment_submissions(lab.name):
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            if any(grade.auto_score is not None for grade in grades):
                for grade in grades:
                    if grade.auto_score is None:
                        grade.manual_score, grade.needs_manual_grade = grade.max_score, False
        book.db.commit()
    return time.perf_counter() - started


def back(system: str, course: Path, site, lab: Lab = LAB) -> tuple[dict[str, float], dict[str, bytes]]:
    """What the site reads of what was exported, grades first: grades and pages by student."""
    filled = (course / f"grades_{lab.name}_{system}.csv").read_bytes()
    zips = sorted(course.glob(f"feedback_{lab.name}_{system}*.zip"))
    if system == "moodle":
        site.read(filled)
        grades = site.grades
    else:
        scores = site.read(filled)[site.columns[-1].id]
        grades = {number: float(score) for number, score in scores.items() if score}
    files = {number: found for file in zips for number, found in site.read_feedback(file.read_bytes()).items()}
    logins = {one.number: one.login for one in site.people}
    pages = {logins[number]: next(iter(found.values())) for number, found in files.items()}
    return {logins[number]: grade for number, grade in grades.items()}, pages


def command(*words: str) -> float:
    """Run ``labkit`` with these words; how many seconds it took."""
    started = time.perf_counter()
    assert cli.main(list(words)) == 0, words
    return time.perf_counter() - started


def marks(csv_file: Path) -> dict[str, dict[str, str]]:
    with open(csv_file, encoding="utf-8-sig", newline="") as file:
        return {row["Student ID"]: row for row in csv.DictReader(file)}


def graded(course: Path, lab: Lab = LAB) -> dict[str, dict]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (course / "graded" / lab.name).glob("*.json")
    }


def whole_way(count: int, number: str, system: str) -> None:
    lab = labs.named(number)
    with tempfile.TemporaryDirectory() as scratch:
        export, course, people = Path(scratch, "export"), Path(scratch, "class"), students(count, lab)
        file, site = SYSTEMS[system](export, people, lab)
        options = (f"--lab={number}", f"--course={course}")
        seconds = {name: command(*words, *options) for name, words in {
            "collect": ("collect", str(export)), "grade": ("grade",)}.items()}  # fmt: skip
        seconds["by hand"] = by_hand(course, lab)
        seconds["export"] = command("export", f"--{system}", str(file), *options)
        grades, pages = back(system, course, site, lab)
        manual = lab.points - sum(blank.points for blank in blanks.of(lab).values())
        deserved = {person.name: person.points + manual for person in people if person.points is not None}
        print(f"{len(people)} students, {len(grades)} grades and {len(pages)} pages read back by {system.title()}; "
              f"wrong: {sorted(name for name in deserved | grades if deserved.get(name) != grades.get(name)) or 'none'}")  # fmt: skip
        print(", ".join(f"{name} {value / 60:.1f} min" for name, value in seconds.items()))


def main(count: int, number: int = 1) -> None:
    lab = labs.named(number)
    with tempfile.TemporaryDirectory() as scratch:
        export, course = Path(scratch, "export"), Path(scratch, "class")
        people = students(count, lab)
        export_folder(export, people)
        seconds = {
            words[0]: command(*words, f"--lab={number}", f"--course={course}")
            for words in (("collect", str(export)), ("grade",), ("export",))
        }
        results, rows = graded(course, lab), marks(course / f"grades_{lab.name}.csv")
        print((course / "collected" / lab.name / "notes.md").read_text(encoding="utf-8"))
        wrong = [person.name for person in people if results[person.name]["points"] != person.points]
        noted = [person.name for person in people if person.noted not in json.dumps(results[person.name])]
        print(
            f"{len(people)} students, {len(rows)} rows in the CSV; wrong marks: {wrong or 'none'}; not noted: {noted or 'none'}"
        )
        print(", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        whole_way(int(sys.argv[1]), *sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:]))
