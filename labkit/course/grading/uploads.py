"""An export of a learning-management system as uploads: which files one person handed in, and who that was.

Folders and zips of Moodle, Canvas and of those who sort by hand are understood; nothing is unpacked.
"""

import re
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from labkit.course.grading import archives
from labkit.course.grading.archives import Unreadable
from labkit.settings import LabError

MOST_UPLOAD = 1_000_000_000  # bytes of one hand-in
NUMBER = re.compile(r" ?\((\d{1,6})\)$|-(\d{1,6})$")
# How the systems name what they give out. Canvas: name, LATE, the person's number, the file's; Moodle: name, number.
# Where grading is anonymous Canvas leaves the name out; a team that nobody was sorted into has no number in Moodle.
CANVAS = re.compile(r"(?:(?:LATE_)?(?P<anonymous>anon_[A-Za-z0-9]+)|(?P<name>[^_/]+)(?:_LATE)?_(?P<id>\d+))_\d+_")
MOODLE = re.compile(r"(?P<name>[^_/]+)(?:_(?P<id>\d+))?_assignsubmission_(?:file|onlinetext)(?:_|(?=/))")


@dataclass(frozen=True)
class Uploader:
    """Who handed in, in the words of ``system``, "moodle" or "canvas": the number and name that it gives a person
    (one of them may be empty), and what it called their folder or file, by which feedback finds its way back."""

    system: str
    id: str
    name: str
    path: str

    @property
    def owner(self) -> str:
        return "_".join(filter(None, (self.name, self.id)))


@dataclass(frozen=True)
class Entry:
    """A file of the export: its path there, a number that grows with the time it was written, and how to open it."""

    path: str
    written: float
    opened: Callable[[], AbstractContextManager[BinaryIO]]

    @property
    def parts(self) -> list[str]:
        return self.path.split("/")

    @property
    def stem(self) -> str:
        """Its name without its ending and without what the system puts before it."""
        name = plain(self.parts[-1])
        ends = (*archives.ARCHIVES, ".ipynb")
        return next((name[: -len(end)] for end in ends if name.lower().endswith(end)), name)


@dataclass(frozen=True)
class Upload:
    """What one person uploaded: an archive, or loose files. ``owner`` is who, as far as the export says;
    ``uploader`` is None where no system wrote it."""

    owner: str
    archive: Entry | None
    loose: tuple[Entry, ...]
    path: str
    uploader: Uploader | None = None

    @property
    def name(self) -> str:
        return self.archive.stem if self.archive else self.loose[0].stem

    @property
    def number(self) -> int:
        """The 2 of ``name (2).zip`` and ``name-2.zip``."""
        found = NUMBER.search(self.name)
        return int(found[1] or found[2]) if found else 0

    @property
    def written(self) -> float:
        return max(entry.written for entry in (self.archive, *self.loose) if entry)


def plain(name: str) -> str:
    """A file's name as the student knew it: without what the system puts before it."""
    return MOODLE.sub("", CANVAS.sub("", name, count=1), count=1)


def uploader_of(path: str) -> Uploader | None:
    """Who handed in the file at ``path``, in an export as a system writes it."""
    top = path.split("/")[0]
    if found := MOODLE.match(path):
        return Uploader("moodle", found["id"] or "", found["name"], top)
    if found := CANVAS.match(top):
        return Uploader("canvas", found["anonymous"] or found["id"], found["name"] or "", top)
    return None


def entries_of(export: Path, course: Path) -> tuple[list[Entry], str]:
    """Every file of the export outside ``course``, and what their paths are relative to. A zip that is all
    there is and holds several hand-ins is looked into."""
    if not export.exists():
        raise LabError(f"{export} does not exist: give the folder of the export.")
    base = export if export.is_dir() else export.parent
    if export == course:
        raise LabError(f"{export} is the class folder itself: put the export into a folder of its own.")
    paths = [path for path in (sorted(export.rglob("*")) if export.is_dir() else [export]) if path.is_file()]
    if course.is_relative_to(export):
        paths = [path for path in paths if not path.is_relative_to(course)]
    named = [(unicodedata.normalize("NFC", path.relative_to(base).as_posix()), path) for path in paths]
    entries = [
        Entry(name, path.stat().st_mtime, lambda path=path: open(path, "rb"))
        for name, path in named
        if not (path.is_symlink() or archives.is_ignored(name))
    ]
    inside = zip_entries(base / dict(named)[entries[0].path]) if len(entries) == 1 else []
    by_person = any(MOODLE.match(entry.path) or CANVAS.match(entry.path) for entry in inside)
    own = {entry.parts[0] for entry in unwrapped(inside)} & {"receipt.json", "notebooks"}
    return (inside, f"{entries[0].path}/") if not own and (by_person or len(uploads_of(inside)) > 1) else (entries, "")


def zip_entries(path: Path) -> list[Entry]:
    """The files in a zip of the export, to be read one by one; none where it is no zip."""

    @contextmanager
    def opened(info):
        if info.file_size > MOST_UPLOAD:  # zipfile reads no more than that
            raise Unreadable(f"is larger than {MOST_UPLOAD // 10**6} MB")
        with zipfile.ZipFile(path) as archive, archive.open(info) as stream, tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stream, file)
            file.seek(0)
            yield file

    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except archives.DAMAGED:
        return []
    names = [unicodedata.normalize("NFC", archives.zip_name(info)).replace("\\", "/") for info in infos]
    entries = [
        Entry(name, int("".join(f"{n:02d}" for n in info.date_time)), lambda info=info: opened(info))
        for name, info in zip(names, infos)
    ]
    return [entry for entry in entries if not archives.is_ignored(entry.path)]


def unwrapped(entries: list[Entry]) -> list[Entry]:
    """The entries without folders around the whole class."""
    while entries and len({entry.parts[0] for entry in entries}) == 1 and not MOODLE.match(entries[0].path):
        inner = [replace(entry, path="/".join(entry.parts[1:])) for entry in entries]
        ours = [entry for entry in inner if archives.is_notebook(entry.path) or archives.is_archive(entry.path)]
        apart = [e.parts[0] for e in ours if len(e.parts) > 1 or archives.is_archive(e.path) or CANVAS.match(e.path)]
        if len(set(apart)) < 2:
            break
        entries = inner
    return entries


def uploads_of(entries: list[Entry], base: str = "") -> list[Upload]:
    """The hand-ins: each archive, and what lies loose in one folder or under one person's name."""
    inner = unwrapped(entries)
    base += entries[0].path.removesuffix(inner[0].path) if entries else ""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in inner:
        person = uploader_of(entry.path)
        owner = person.owner if person else entry.parts[0] if len(entry.parts) > 1 else ""
        groups.setdefault((owner, owner or NUMBER.sub("", entry.stem)), []).append(entry)
    uploads = []
    for (owner, _), files in sorted(groups.items()):
        loose = tuple(entry for entry in files if not archives.is_archive(entry.path))
        pages = tuple(entry for entry in loose if entry.path.lower().endswith(".pdf"))
        packed = [entry for entry in files if archives.is_archive(entry.path)]
        found = [Upload(owner, e, pages, base + e.path, uploader_of(e.path)) for e in packed]
        if any(archives.is_notebook(entry.path) for entry in loose):
            top = loose[0].parts[0] if len(loose[0].parts) > 1 or len(loose) == 1 else owner
            found.append(Upload(owner, None, loose, base + top, uploader_of(loose[0].path)))
        uploads += found
    return uploads
