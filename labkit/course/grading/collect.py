"""From a learning-management export to one folder a student, in one form, whatever was handed in.

``CLASS/collected/<lab>/<student>/`` holds the repaired notebooks, the records, the report and
``submission.json``; ``CLASS/collected/<lab>/notes.md`` says what had to be guessed, by student.
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from labkit.course import blanks
from labkit.course.edition import Edition
from labkit.course.grading import archives
from labkit.course.grading.archives import Member, Unreadable, listed, shown
from labkit.course.grading.repair import repair
from labkit.course.grading.uploads import NUMBER, Upload, entries_of, plain, uploads_of
from labkit.course.labs import Lab
from labkit.course.release import released_notebooks
from labkit.files import replacing, write_text
from labkit.settings import LabError
from labkit.view.report import student_of as whose

MOST_RECORD = 5_000_000  # bytes


@dataclass(frozen=True)
class Handin:
    """What an upload holds. ``made`` is the receipt's time in seconds; ``refused`` why it was not read."""

    upload: Upload
    student: str
    sha256: str
    notes: tuple[str, ...]
    made: float | None = None
    refused: str | None = None
    members: tuple[Member, ...] = ()


def collect(export: Path, course: Path, edition: Edition, lab: Lab) -> list[dict]:
    """Write ``course/collected/<lab>`` from ``export``, a folder or a zip; what ``submission.json`` holds, by
    student. The same export gives the same bytes; students of earlier exports stay. Raises ``LabError``
    where there is no hand-in."""
    uploads = uploads_of(*entries_of(Path(export).resolve(), Path(course).resolve()))
    if not uploads:
        raise LabError(f"{export} holds no archive and no notebook: give the folder of the export.")
    by_student: dict[str, list[Handin]] = {}
    for upload in uploads:  # one at a time in memory
        handin = replace(read(upload, edition, lab), members=())
        by_student.setdefault(handin.student.casefold(), []).append(handin)
    folder, released, submissions = Path(course) / "collected" / lab.name, released_notebooks(lab, edition), []
    for _, handins in sorted(by_student.items()):
        handin, notes = latest(handins)
        report = edition.report_name(handin.student, lab)
        submission, files = submitted(read(handin.upload, edition, lab), notes, released, lab, report)
        submission["uploaders"] = uploaders([handin, *handins])
        mirror(folder / handin.student, files | {"submission.json": as_json(submission)})
        submissions.append(submission)
    write_notes(folder)
    return submissions


def read(upload: Upload, edition: Edition, lab: Lab) -> Handin:
    """Everything an upload holds, and whose it is. What cannot be read is refused, not raised."""
    members, notes, refused, digest, budget = [], [], None, hashlib.sha256(), archives.Budget()
    try:
        if upload.archive:
            with upload.archive.opened() as file:
                while chunk := file.read(archives.CHUNK):
                    digest.update(chunk)
                members, notes = archives.read_archive(file)
        for entry in upload.loose:
            path = "/".join([*entry.parts[:-1], plain(entry.parts[-1])])
            with entry.opened() as file:
                heavy = path.lower().endswith(archives.HEAVY)
                members.append(Member(path) if heavy else budget.member(path, file))
            if not upload.archive:
                digest.update(f"{members[-1].sha256} {path}\n".encode())
    except Unreadable as reason:
        members, refused = [], f"{shown(upload.path)} {reason}: nothing of it was read; ask for the hand-in again."
    except archives.DAMAGED as error:
        reason = f"cannot be opened ({type(error).__name__})"
        members, refused = [], f"{shown(upload.path)} {reason}: nothing of it was read; ask for the hand-in again."
    if heavy := [member.path for member in members if member.sha256 is None]:
        notes = [*notes, f"Weights, data and archives inside the hand-in were left there: {listed(heavy)}."]
    receipt, of_receipt = receipt_of(members, lab)
    student, guessed = student_of(upload, receipt, edition, lab)
    notes = guessed if refused else [*guessed, *notes, *of_receipt]
    made = seconds(receipt.get("made"))
    return Handin(upload, student, digest.hexdigest(), tuple(notes), made, refused, tuple(members))


def receipt_of(members: list[Member], lab: Lab) -> tuple[dict, list[str]]:
    """The receipt, and notes: also on files that are not those that it was written for."""
    found = sorted((m for m in members if m.name == "receipt.json"), key=place)
    if not found:
        return {}, ["It holds no receipt.json: it was not made by labkit submit."]
    try:
        receipt = archives.plain_json(found[0].data)
        if not isinstance(receipt, dict) or not isinstance(receipt.get("files"), dict):
            raise Unreadable("is no receipt")
    except Unreadable as reason:
        return {}, [f"{shown(found[0].path)} {reason}."]
    root, hashes = found[0].path.removesuffix("receipt.json"), {member.path: member.sha256 for member in members}
    files = {unicodedata.normalize("NFC", root + path): sha256 for path, sha256 in receipt["files"].items()}
    changed = [path for path, sha256 in files.items() if hashes.get(path, sha256) not in (sha256, None)]
    gone = [path for path in files if path not in hashes]
    notes = [f"Changed after the receipt was written: {listed(changed)}."] if changed else []
    notes += [f"On the receipt, but not there: {listed(gone)}."] if gone else []
    if (number := receipt.get("lab", lab.number)) != lab.number:
        notes.append(f"Its receipt is of lab {shown(str(number))}, not of lab {lab.number}.")
    return receipt, notes


def seconds(made) -> float | None:
    """A receipt's time in seconds since 1970."""
    try:
        time = datetime.fromisoformat(made.replace("Z", "+00:00"))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (AttributeError, ValueError, OverflowError):
        return None


def student_of(upload: Upload, receipt: dict, edition: Edition, lab: Lab) -> tuple[str, list[str]]:
    """The student's id, from the upload's name or else the receipt; else a name that is safe as a folder's."""

    def usable(name) -> bool:
        safe = isinstance(name, str) and re.fullmatch(r"\w[\w.@+-]{0,59}", name) and name.lower() != "notes.md"
        return bool(safe and re.fullmatch(edition.student, name))

    before, after = map(re.escape, edition.archive_stem("\n", lab).split("\n"))
    pattern = re.compile(rf"{before}(?P<student>{edition.student}){after}(?!\w)")
    names = [NUMBER.sub("", upload.name), upload.name, upload.owner]
    found = [m["student"] for name in names if (m := (pattern.search if before + after else pattern.fullmatch)(name))]
    by_name, by_receipt, notes = next(filter(usable, found), None), receipt.get("student"), []
    by_receipt = unicodedata.normalize("NFC", by_receipt) if isinstance(by_receipt, str) else by_receipt
    if by_receipt is not None and not usable(by_receipt):
        notes.append(f"The receipt's student id {shown(str(by_receipt))} is none of this class.")
    elif by_name and by_receipt and by_name.casefold() != by_receipt.casefold():
        notes.append(f"The name says {shown(by_name)}, the receipt says {shown(by_receipt)}; the name counts.")
    elif by_receipt and not by_name:
        notes.append(f"The name {shown(upload.path)} holds no student id; the receipt's is taken.")
    if by_name or usable(by_receipt):
        return by_name or by_receipt, notes
    slug = re.sub(r"\W+", "-", upload.owner or NUMBER.sub("", upload.name)).strip("-_")[:60] or "unnamed"
    return slug, [*notes, f"No student id was found; the folder is called {shown(slug)} after the upload."]


def latest(handins: list[Handin]) -> tuple[Handin, list[str]]:
    """The hand-in that counts among those of one student: the latest that can be read."""
    if len(handins) == 1:
        return handins[0], []
    readable = [handin for handin in handins if not handin.refused] or handins
    chosen, reason = max(readable, key=lambda handin: handin.upload.path), "the last by name"
    for why, key in (
        ("its receipt is the latest", lambda handin: handin.made),
        ("its name has the highest number", lambda handin: handin.upload.number),
        ("it is the newest file", lambda handin: handin.upload.written),
    ):
        values = [key(handin) for handin in readable]
        if None not in values and values.count(max(values)) == 1:
            chosen, reason = readable[values.index(max(values))], why
            break
    if len(readable) == 1:
        reason = "the only one that can be read"
    others = [handin.upload.path for handin in handins if handin is not chosen]
    notes = [f"{len(handins)} hand-ins: {shown(chosen.upload.path)} counts, {reason}; left out: {listed(others)}."]
    if len(owners := {handin.upload.owner for handin in handins} - {""}) > 1:
        notes.append(f"They were uploaded by different people: {listed(sorted(owners))}.")
    return chosen, notes


def uploaders(handins: list[Handin]) -> list[dict]:
    """Who handed in, each person once, as the learning-management system knows them: export finds by it whose marks
    these are. Whoever uploaded what counts comes first."""
    found = {}
    for uploader in filter(None, (handin.upload.uploader for handin in handins)):
        found.setdefault(uploader.owner, asdict(uploader))
    return list(found.values())


def submitted(handin: Handin, notes: list[str], released: dict, lab: Lab, report: str) -> tuple[dict, dict[str, bytes]]:
    """The content of ``submission.json``, and the files beside it by path; ``report`` is what the PDF has to be
    called."""
    refused, repaired, kept, of_files, declared = handin.refused, None, {}, [], blanks.of(lab)
    if not refused:
        try:
            repaired = repair(list(handin.members), released, declared, lab.bonus_notebooks)
            kept, of_files = records_of(handin.members)
            found, of_report = report_of(handin.members, report, handin.student, lab)
            kept, of_files = kept | found, of_files + of_report
        except Exception as error:  # one hostile hand-in must not keep the class from being collected
            refused = f"{shown(handin.upload.path)} could not be repaired ({type(error).__name__}): look at it by hand."
    if refused:
        repaired, kept, of_files = replace(repair([], released, declared), notes=[]), {}, []
    submission = {
        "student": handin.student,
        "archive": handin.upload.path,
        "sha256": handin.sha256,
        "refused": refused,
        "notes": [*notes, *handin.notes, *repaired.notes, *of_files],
        "blanks": repaired.blanks,
        "code": repaired.code,
        "records": sorted(path.split("/")[1] for path in kept if path.startswith("records/")),
        "report": report in kept,
    }
    texts = {f"notebooks/{name}.ipynb": nbformat.v4.writes(page) + "\n" for name, page in repaired.notebooks.items()}
    return submission, {path: text.encode("utf-8", "replace") for path, text in texts.items()} | kept


def records_of(members: tuple[Member, ...]) -> tuple[dict[str, bytes], list[str]]:
    """The records among the members, by the path that they get, and notes."""
    kept, notes = {}, []
    for member in sorted(members, key=place):
        if found := re.search(r"(?:^|/)records/([^/]+)/record\.json$", member.path):
            path = f"records/{found[1]}/record.json"
            try:
                if not re.fullmatch(r"\w[\w.+-]{0,99}", found[1]) or path in kept:
                    raise Unreadable("has a name that no run has, or that occurs twice")
                if len(member.data) > MOST_RECORD or not isinstance(archives.plain_json(member.data), dict):
                    raise Unreadable("is no record")
                kept[path] = member.data
            except Unreadable as reason:
                notes.append(f"{shown(member.path)} {reason}; it is left out.")
    if extra := [member.path for member in members if is_extra(member)]:
        notes.append(f"Extra files are in the archive only: {listed(extra)}.")
    return kept, notes


def is_extra(member: Member) -> bool:
    return bool(re.search(r"(?:^|/)extra/", member.path))


def report_of(members: tuple[Member, ...], name: str, student: str, lab: Lab) -> tuple[dict[str, bytes], list[str]]:
    """The report among the members by ``name``, what it has to be called, and notes. Where this name is the
    student's own, no other counts."""
    if not name:
        return {}, []
    pages = [m for m in sorted(members, key=place) if m.name.lower().endswith(".pdf") and not is_extra(m)]
    named = [member for member in pages if member.name == name]
    if lab.report_is_personal and not named:
        found = f"; there is {listed(page.path for page in pages)}, left in the archive" if pages else ""
        return {}, [f"No PDF is called {shown(name)}, and under another name no report is graded{found}."]
    pages, notes = named or pages, []
    if len(pages) > 1 or (pages and pages[0].name != name):
        notes.append(f"{shown(pages[0].path)} is taken for the report, of {len(pages)} PDF files.")
    if not pages:
        return {}, notes
    page = pages[0]
    if not page.data.startswith(b"%PDF"):
        return {}, [*notes, f"{shown(page.path)} is no PDF; it is left out."]
    if (typed := whose(page.data)) is not None and typed.casefold() != student.casefold():
        notes.append(f"The report {shown(page.path)} carries the id {shown(typed)}.")
    return {name: page.data}, notes


def place(member: Member) -> tuple[int, str]:
    """By which members are sorted: those that lie higher come first."""
    return member.path.count("/"), member.path


def as_json(content) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def mirror(folder: Path, files: dict[str, bytes]) -> None:
    """Make ``folder`` hold exactly ``files``; those that are the same already stay untouched."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif not path.is_dir() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = folder / name
        if not (path.is_file() and path.read_bytes() == data):
            with replacing(path) as temporary:
                temporary.write_bytes(data)


def write_notes(folder: Path) -> None:
    """``notes.md``: a section for each student with notes, refused ones first; the others are counted."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/submission.json"))]
    noted = sorted((s for s in found if s["refused"] or s["notes"]), key=lambda s: (not s["refused"], s["student"]))
    refused = sum(bool(submission["refused"]) for submission in noted)
    lines = [
        "# Notes on the hand-ins",
        "",
        f"{len(found)} hand-ins: {refused} refused, {len(noted) - refused} with notes, "
        f"{len(found) - len(noted)} without notes.",
    ]
    for submission in noted:
        lines += ["", f"## {submission['student']}{' (refused)' * bool(submission['refused'])}", ""]
        lines += [f"- {sentence}" for sentence in filter(None, [submission["refused"], *submission["notes"]])]
    write_text(folder / "notes.md", "\n".join(lines) + "\n")
