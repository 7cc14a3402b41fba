"""What the instructor sets for a class, in ``edition.json``: names of archives and students, and where the edition lives."""

import hashlib
import json
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.course.labs import Lab
from labkit.files import write_text
from labkit.settings import SEEDS, LabError

FILE = Path(__file__).with_name("edition.json")
VARIANTS = range(10**8, len(SEEDS))  # seeds of nine digits: far from those that ship


@dataclass(frozen=True)
class Edition:
    """``archive`` is the hand-in's name without ``.zip``, with ``{student}`` in it and, where the class has several
    labs, ``{lab}``; ``student`` is a regular expression for a whole student id, ``looks`` says the same in words;
    ``repository`` (OWNER/NAME) and ``ref`` (a tag) are empty in the staff's own copy. ``variants`` is empty where all
    have the same seed and images; else a word of the class, such as "autumn 2026", which with a student's id gives this
    student's (another word gives others)."""

    archive: str
    student: str
    repository: str = ""
    ref: str = ""
    looks: str = ""
    variants: str = ""

    def archive_stem(self, student: str, lab: Lab) -> str:
        """The name of an archive without its ending, for any text in the student's place."""
        return self.archive.format(student=student, lab=lab.number)

    def archive_name(self, student: str, lab: Lab) -> str:
        """The name of a student's archive. Raises ``LabError`` for an id that the class does not use."""
        return self.archive_stem(self.known(student), lab) + ".zip"

    def known(self, student: str) -> str:
        """The id itself. Raises ``LabError`` for one that the class does not use."""
        if not re.fullmatch(self.student, student):
            raise LabError(f"{student!r} is no student id of this class: it has {self.looks or self.student}.")
        return student

    def seed_of(self, student: str) -> int | None:
        """The seed of a student's variant: of initial weights, batches and split; None where all have the same. Small and
        capital letters are alike, as in collecting."""
        if not self.variants:
            return None
        digest = hashlib.sha256(f"{self.variants}\n{same(student)}".encode()).digest()
        return VARIANTS[int.from_bytes(digest) % len(VARIANTS)]

    def with_variants(self, word: str) -> "Edition":
        """This edition with variants by ``word``; without one by the word that it has, or the first. Raises ``LabError``
        for another word than it has, which would orphan the runs of a class."""
        if word and self.variants not in ("", word):
            raise LabError(
                f"{FILE} has the word {self.variants!r}, and {word!r} would give every student another seed: empty "
                "`variants` there first, if no class works with it any more."
            )
        return replace(self, variants=word or self.variants or "1")

    def report_name(self, student: str, lab: Lab) -> str:
        """The name of a student's report, for any text in the student's place; empty where the lab has none."""
        return lab.report.format(archive=self.archive_stem(student, lab))


def same(student: str) -> str:
    """An id in the form in which two are compared."""
    return unicodedata.normalize("NFC", student).strip().casefold()


def current() -> Edition:
    return Edition(**json.loads(FILE.read_text(encoding="utf-8")))


def written(edition: Edition) -> str:
    """The content of ``edition.json``."""
    return json.dumps(asdict(edition), indent=1) + "\n"


def keep(edition: Edition) -> None:
    """Make ``edition`` the one of this copy of the course."""
    write_text(FILE, written(edition))
