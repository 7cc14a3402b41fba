"""``labkit slides``: the slides of lab 4, from the records of one's runs and a file of texts."""

from pathlib import Path

from labkit import settings
from labkit.methods import learned

LAB = 4


def add_commands(commands) -> None:
    slides = commands.add_parser("slides", help="make the slides (PDF) of lab 4 from your records and your texts")
    slides.add_argument("student", metavar="STUDENT_ID")
    slides.add_argument("texts", type=Path, metavar="TEXTS", help="a TOML file: title, method, equation, seen")
    slides.set_defaults(command=make)


def make(options) -> None:
    here = settings.current(lab=LAB)
    print(learned.present(here, options.student, learned.read_texts(options.texts)))
