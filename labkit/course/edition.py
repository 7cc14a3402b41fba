"""What the instructor sets for a class, in ``edition.json``: names of archives and students, and where the edition lives."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from labkit.course.labs import Lab
from labkit.settings import LabError

FILE = Path(__file__).with_name("edition.json")


@dataclass(frozen=True)
class Edition:
    """``archive`` is the hand-in's name without ``.zip``, with ``{student}`` in it and, where the class has several
    labs, ``{lab}``; ``student`` is a regular expression for a whole student id, ``looks`` says the same in words;
    ``repository`` (OWNER/NAME) and ``ref`` (a tag) are empty in the staff's own copy."""

    archive: str
    student: str
    repository: str = ""
    ref: str = ""
    looks: str = ""

    def archive_stem(self, student: str, lab: Lab) -> str:
        """The name of an archive without its ending, for any text in the student's place."""
        return self.archive.format(student=student, lab=lab.number)

    def archive_name(self, student: str, lab: Lab) -> str:
        """The name of a student's archive. Raises ``LabError`` for an id that the class does not use."""
        if not re.fullmatch(self.student, student):
            raise LabError(f"{student!r} is no student id of this class: it has {self.looks or self.student}.")
        return self.archive_stem(student, lab) + ".zip"

    def report_name(self, student: str, lab: Lab) -> str:
        """The name of a student's report, for any text in the student's place; empty where the lab has none."""
        return lab.report.format(archive=self.archive_stem(student, lab))


def current() -> Edition:
    return Edition(**json.loads(FILE.read_text(encoding="utf-8")))
