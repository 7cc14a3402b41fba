"""Learning-management systems as far as marks go: their files as they write them, and what they read from one.

Both are made anew from the systems' sources, file and rule named at each, so that what labkit fills in is read as they do.
"""

import csv
import io
import re
import zipfile
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Person:
    """``number`` is Moodle's participant or Canvas's user, ``login`` the student's id."""

    number: int
    name: str
    login: str
    grade: float | None = None
    comment: str = ""
    locked: bool = False

    @property
    def sortable(self) -> str:
        first, _, last = self.name.rpartition(" ")
        return f"{last}, {first}" if first else last


# ---------------------------------------------------------------------- Moodle


@dataclass(frozen=True)
class Language:
    """Of a language pack: headers in the order of mod/assign/gradingtable.php, and what stands in cells."""

    headers: tuple[str, ...]
    person: str  # hiddenuser, with the space that English has
    status: str
    yes: str
    no: str
    date: str
    comma: bool = False


LANGUAGES = {
    "en": Language(
        ("Identifier", "Full name", "ID number", "Email address", "Status", "Grade", "Maximum grade",
         "Grade can be changed", "Last modified (submission)", "Last modified (grade)", "Feedback comments"),
        "Participant ", "Submitted for grading", "Yes", "No", "Monday, 3 March 2025, 4:05 PM",
    ),
    "de": Language(
        ("ID", "Vollständiger Name", "ID-Nummer", "E-Mail-Adresse", "Status", "Bewertung", "Bestwertung",
         "Bewertung kann geändert werden", "Zuletzt geändert (Abgabe)", "Zuletzt geändert (Bewertung)",
         "Feedback als Kommentar"),
        "Teilnehmer/in", "Zur Bewertung abgegeben", "Ja", "Nein", "Montag, 3. März 2025, 16:05", comma=True,
    ),
    "zh_cn": Language(
        ("识别码", "全名", "学号", "电子邮件地址", "状态", "成绩", "最高成绩", "允许更改成绩", "最后修改（学生）",
         "最后修改（教师）", "反馈评语"),
        "参与者", "已经提交等待评分", "是", "否", "2025年03月3日 星期一 16:05",
    ),
}  # fmt: skip
IDENTIFIER, FULL_NAME, ID_NUMBER, GRADE, MODIFIED, COMMENTS = 0, 1, 2, 5, 9, 10


def worksheet(people, language="en", most=100, blind=False, without=(), delimiter=",", codec="utf-8-sig", end="\n"):
    """The bytes of a grading worksheet; ``without`` are columns that this course does not have."""
    words = LANGUAGES[language]

    def number(value):
        return "" if value is None else f"{value:.2f}".replace(".", "," if words.comma else ".")

    rows = [words.headers]
    for one in people:
        row = (f"{words.person}{one.number}", one.name, one.login, f"{one.login}@example.org", words.status,
               number(one.grade), number(most), words.no if one.locked else words.yes, words.date, "-" if one.grade is None else words.date,
               one.comment)  # fmt: skip
        rows.append(row)
    left = {*without, *((1, 2, 3) if blind else ())}
    lines = [delimiter.join(php(cell, delimiter) for at, cell in enumerate(row) if at not in left) for row in rows]
    return (end.join(lines) + end).encode(codec)


def php(cell: str, delimiter: str) -> str:
    """A cell as PHP's fputcsv writes it: in quotes also for a space."""
    quotes = any(letter in cell for letter in (delimiter, '"', "\n", "\r", "\t", " "))
    return '"' + cell.replace('"', '""') + '"' if quotes else cell


def cells(data: bytes, codec="utf-8-sig", delimiter=",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(codec), newline=""), delimiter=delimiter))


@dataclass
class Moodle:
    """An assignment in Moodle: what its importers make of uploads. ``modified`` is when a person's grade was changed
    last; who has none there has no record of a grade."""

    people: list[Person]
    language: str = "en"
    most: float = 100
    grades: dict[int, float] = field(default_factory=dict)
    comments: dict[int, str] = field(default_factory=dict)
    modified: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        graded = [one.number for one in self.people if one.grade is not None or one.comment]
        self.modified |= dict.fromkeys(graded, strtotime(LANGUAGES["en"].date))

    def read(self, data: bytes, codec="utf-8", delimiter=",", ignore_modified=False) -> int:
        """The worksheet, as mod/assign/feedback/offline reads it (importgradeslib.php, locallib.php); how many grades
        Moodle says it updated. PHP's fgetcsv takes a backslash for an escape, as escapechar does (which drops it)."""
        words, numbers = LANGUAGES[self.language], {str(one.number): one for one in self.people}
        text = data.decode(codec).removeprefix("\ufeff")  # csvlib.class.php takes the mark off and mends line ends
        lines = io.StringIO(re.sub("\r\n?", "\n", text).strip(" \n"))
        header, *rows = csv.reader(lines, delimiter=delimiter, escapechar="\\")
        assert all(len(row) == len(header) for row in rows)  # csvweirdcolumns
        at = {name: column for column, name in enumerate(header)}
        identifier, grade, modified = (at[words.headers[column]] for column in (IDENTIFIER, GRADE, MODIFIED))
        comments, updated = at.get(words.headers[COMMENTS]), 0
        for row in rows:
            person = numbers.get(row[identifier][len(words.person) :])  # next(): cuts the word off by its length
            if person is None:
                continue
            if not ignore_modified and self.modified.get(person.number, 0) > strtotime(row[modified]) + 60:
                continue  # $stalemodificationdate
            value = self.unformat_float(row[grade])
            # $skip: no value, out of range, as it was, or grading_disabled
            if (
                value is not None
                and 0 <= value <= self.most
                and not person.locked
                and value != self.grades.get(person.number)
            ):
                self.grades[person.number] = value
                updated += 1
            if comments is not None and row[comments] != self.comments.get(person.number, ""):
                self.comments[person.number] = row[comments]
        return updated

    def unformat_float(self, text: str) -> float | None:
        """lib/moodlelib.php: the language's decimal sign becomes a point; PHP reads as far as it is a number."""
        text = text.strip().replace(" ", "")
        if text == "":
            return None
        text = text.replace(",", ".") if LANGUAGES[self.language].comma else text
        found = re.match(r"-?\d*\.?\d+", text)
        return float(found[0]) if found else 0.0

    def read_feedback(self, data: bytes) -> dict[int, dict[str, bytes]]:
        """The zip, as mod/assign/feedback/file reads it (is_valid_filename_for_import in importziplib.php)."""
        numbers, found = {one.number for one in self.people}, {}
        now = max([0, *self.modified.values()]) + 3600
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for path in archive.namelist():
                parts = path.split("/")
                while parts:
                    info = parts.pop(0).split("_", 4)
                    if len(info) < 4 or not info[1].isdecimal() or int(info[1]) not in numbers:
                        continue
                    assert info[2:4] == ["assignfeedback", "file"]  # get_plugin_by_type
                    name = "/".join([info[4] if len(info) > 4 else "", *parts])
                    found.setdefault(int(info[1]), {})[name] = archive.read(path)
                    self.modified[int(info[1])] = now  # get_user_grade(…, true) makes a record of a grade
                    break
        return found


def strtotime(text: str) -> float:
    """PHP's: 0 (false) of a date in another language than English."""
    try:
        return datetime.strptime(text, "%A, %d %B %Y, %I:%M %p").timestamp()
    except ValueError:
        return 0


def moodle_path(person: Person, file: str, folders=True, trailing=False) -> str:
    """Where mod/assign/classes/downloader.php puts a file: clean_filename() takes some letters out; before Moodle 4.1 a
    folder's name ended in an underscore, before 3.1 (and still by choice) there were none."""
    name = re.sub(r"[\x00-\x1f&<>\"`|':\\/]", "", person.name.replace("_", " "))
    return f"{name}_{person.number}_assignsubmission_file" + ("_" * (trailing or not folders)) + "/" * folders + file


# ---------------------------------------------------------------------- Canvas


@dataclass(frozen=True)
class Column:
    """An assignment in Canvas's gradebook; ``scores`` by user."""

    title: str
    id: int
    points: float
    scores: dict[int, str] = field(default_factory=dict)

    @property
    def header(self) -> str:
        return f"{self.title} ({self.id})"


def gradebook_export(people, columns, comma=False, delimiter=",", sis=True, muted=False, mark=True, split=False):
    """The bytes of an export, as lib/gradebook_exporter.rb writes it; ``split``: last and first names apart."""

    def number(value):
        return f"{value:.2f}".replace(".", "," if comma else ".")

    who = [
        *(["LastName", "FirstName"] if split else ["Student"]),
        "ID",
        *["SIS User ID"] * sis,
        "SIS Login ID",
        "Section",
    ]
    totals = ["Current Score", "Final Score"]
    rows = [[*who, *(column.header for column in columns), *totals]]
    if muted:
        rows.append([""] * len(who) + ["Manual Posting"] + [""] * (len(columns) - 1 + len(totals)))
    points = ["    Points Possible", *[""] * (len(who) - 1), *(number(column.points) for column in columns)]
    rows.append([*points, "(read only)", "(read only)"])
    student_view = Person(9999, "Test Student", "")
    for one in [*people, student_view]:
        last, _, first = one.sortable.partition(", ")
        name = [last, first] if split else [one.sortable]
        scores = [column.scores.get(one.number, "") for column in columns]
        rows.append([*name, str(one.number), *[f"sis{one.login}"] * sis, one.login, "Lab A", *scores, "87.00", "87.00"])
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8-sig" if mark else "utf-8")


def canvas_path(person: Person, file_id: int, file: str, late=False, anonymous="") -> str:
    """What lib/content_zipper.rb calls a file: get_filename, sanitize_user_name."""
    name = re.sub(r"\W", "", re.sub(r"_(\d+)_", r"\1", person.sortable).lower())
    who = [f"anon_{anonymous}"] if anonymous else [str(person.number)]
    return "_".join([*([] if anonymous else [name]), *["LATE"] * late, *who, str(file_id), file])


def owner_of(person: Person, system: str) -> str:
    """What labkit keeps of the name that the system gives a file."""
    path = moodle_path(person, "") if system == "moodle" else canvas_path(person, 1, "").removesuffix("_1_")
    return path.split("_assignsubmission")[0].replace("_LATE", "")


def only_file(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = archive.namelist()
        return archive.read(name)


@dataclass
class Canvas:
    """A course in Canvas; ``attachments`` are the submissions' files: number -> user and name."""

    people: list[Person]
    columns: list[Column]
    attachments: dict[int, tuple[int, str]] = field(default_factory=dict)

    def read(self, data: bytes) -> dict[int, dict[int, str]]:
        """New scores by assignment and user, as lib/gradebook_importer.rb reads the file."""
        lines = data.decode("utf-8-sig").splitlines()[:3]
        fields = {}
        for sign in ";,":  # identify_delimiter
            counts = {len(next(csv.reader([line], delimiter=sign))) for line in lines}
            fields[sign] = counts.pop() if len(counts) == 1 else 0
        delimiter = ";" if fields[";"] > fields[","] else ","
        header, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)
        assert len(header) > 3 and "Student" in header[0] and "ID" in header[1]  # row_has_student_headers?
        known = {column.header: column for column in self.columns}
        at, found = {}, {}
        for index, name in enumerate(header[header.index("Section") + 1 :], header.index("Section") + 1):
            if not re.search("(Current|Final) (Score|Points|Grade)", name):
                at[index] = known[name].id  # an unknown title would make a new assignment
        users = {str(one.number) for one in self.people}
        for row in rows:
            muted = all(re.fullmatch(r"\s*(Muted|Manual Posting.*)?\s*", cell, re.IGNORECASE) for cell in row)
            if "Points Possible" in row[0] or muted or row[1] not in users:
                continue
            for index, assignment in at.items():
                cell = row[index].strip()
                if re.fullmatch(r"-?[0-9.,]+%?", cell):  # decimal_comma_to_period
                    *whole, last = re.split("[,.]", cell)
                    cell = f"{''.join(whole)}.{last}" if whole else last
                found.setdefault(assignment, {})[int(row[1])] = cell
        return found

    def read_feedback(self, data: bytes) -> dict[int, dict[str, bytes]]:
        """Files of comments by user and name, as infer_comment_context_from_filename in
        app/models/abstract_assignment.rb finds them: a comment's file is called as the attachment was."""
        found, ignored = {}, []
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for path in archive.namelist():
                parts = [part for part in path.split("/")[-1].split("_") if part != "LATE"]
                if parts[0] == "anon":
                    attachment = int(parts[2])
                    user = self.attachments[attachment][0]  # whose anonymous_id it is
                else:
                    user, attachment = map(int, [part for part in parts if part.isdecimal()][:2])
                owner, name = self.attachments.get(attachment, (None, None))
                if owner != user:
                    ignored.append(path)
                    continue
                found.setdefault(user, {})[name] = archive.read(path)
        assert not ignored
        return found
