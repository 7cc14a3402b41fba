"""The lab report as one PDF: titles, answers, figures and tables, typeset by Typst.

What a student wrote reaches the template ``report.typ`` as data, never as markup: ``#import`` or
``$x$`` in an answer comes out as these very signs. Equal input gives an equal file.
"""

import datetime
import html
import io
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typst
from matplotlib.figure import Figure
from PIL import Image

import labkit
from labkit.files import replacing
from labkit.settings import LabError

TEMPLATE = Path(__file__).with_name("report.typ")
RESOLUTION = 200  # dots per inch at which a matplotlib figure is printed


@dataclass
class Section:
    """One task of the report: its answer, then its figure, then its table.

    In ``text`` a blank line starts a new paragraph, and a line that begins with ``"- "`` is a list
    item; empty text is marked "not written yet", ``None`` says that no answer is asked for.
    ``figure`` is a matplotlib figure (its label is the alt text) or a PNG, as bytes or as a path.
    ``table`` has its header first. ``caption`` belongs to the figure, or to the table if alone.
    """

    title: str
    points: int
    text: str | None = ""
    figure: Figure | bytes | Path | None = None
    caption: str = ""
    table: list[list[str]] | None = None


def export(path: Path, *, title: str, student: str, sections: list[Section], date: datetime.date | None = None) -> Path:
    """Write the report to ``path`` in one step and return it; a report that was there is replaced.

    ``date`` is printed in the title block: today's, if it is not given. Raises ``LabError`` for a
    figure that is missing or no PNG and for a place that takes no file.
    """
    prepared = [_prepared(section, f"{number}.png") for number, section in enumerate(sections)]
    drawn = {f"{n}.png": s for n, s in enumerate(sections) if s.figure is not None}
    pictures = {name: png(section.figure, section.title) for name, section in drawn.items()}
    return typeset(path, TEMPLATE, cover(title, student, date) | {"sections": prepared}, pictures)


def cover(title: str, student: str, date: datetime.date | None = None) -> dict:
    """What every document says of itself."""
    day = date or datetime.date.today()
    return {"title": title, "student": student.strip(), "date": day.isoformat(), "version": labkit.__version__}


def typeset(path: Path, template: Path, content: dict, pictures: dict[str, bytes]) -> Path:
    """Write the PDF that ``template`` makes of ``content`` and of ``pictures``, by file name, to ``path``, in one step."""
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, picture in pictures.items():
            (root / name).write_bytes(picture)
        # "replace": half a surrogate pair, as a broken paste leaves it, becomes a question mark.
        (root / "data.json").write_bytes(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
        (root / template.name).write_bytes(template.read_bytes())
        pdf = typst.compile(root / template.name, root=root)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(pdf)
    except (OSError, LabError) as error:
        raise LabError(
            f"The PDF could not be written to {path} ({error.__cause__ or error}): "
            "close it if a viewer holds it open, or choose another folder."
        ) from error
    return path


def student_of(pdf: bytes) -> str | None:
    """The student id that ``export`` was given for this PDF, or None where it holds none."""
    found = re.search(rb"<dc:creator><rdf:Seq><rdf:li>(.*?)</rdf:li>", pdf, re.DOTALL)
    return html.unescape(found[1].decode("utf-8", "replace")) if found else None


def _prepared(section: Section, picture: str) -> dict:
    """The section as the template reads it; its figure lies in the file ``picture``."""
    return {
        "title": section.title,
        "points": section.points,
        "answer": (answer := blocks(str(section.text or ""))),
        "unwritten": not answer and section.text is not None,
        "figure": picture if section.figure is not None else None,
        "alt": alternative(section.figure) or section.caption or f"Figure of {section.title}",
        "caption": section.caption,
        "table": rectangular(section.table or []),
    }


def alternative(figure: Figure | bytes | Path | None) -> str:
    """A matplotlib figure's text for those who do not see it."""
    return figure.get_label() if isinstance(figure, Figure) else ""


def rectangular(rows: list[list[str]]) -> list[list[str]]:
    """The rows as text, of equal length."""
    columns = max(map(len, rows), default=0)
    return [[str(cell) for cell in row] + [""] * (columns - len(row)) for row in rows if columns]


def blocks(text: str) -> list[str | list[str]]:
    """Paragraphs as strings and lists as lists of strings, in order.

    >>> blocks("Two\\nlines.\\n- one\\n- two")
    ['Two lines.', ['one', 'two']]
    """
    blocks = []
    for part in re.split(r"\n\s*\n", "\n".join(text.splitlines())):
        pieces = re.split(r"^\s*- ", part, flags=re.MULTILINE)
        first, *items = (" ".join(map(str.strip, piece.strip().splitlines())) for piece in pieces)
        blocks += [first, list(filter(None, items))]
    return list(filter(None, blocks))


def png(figure: Figure | bytes | Path, title: str) -> bytes:
    """A figure as the bytes of a whole PNG; ``title`` is that of the section in which it stands."""
    where = f"The figure of section {title!r}"
    if isinstance(figure, Figure):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
        return buffer.getvalue()
    if not isinstance(figure, bytes):
        where += f", {figure},"
        try:
            figure = Path(figure).read_bytes()
        except OSError as error:
            raise LabError(f"{where} cannot be read ({error.strerror}): run the notebook that draws it.") from error
    try:
        with Image.open(io.BytesIO(figure), formats=["PNG"]) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError) as error:
        raise LabError(f"{where} is not a whole PNG file: save it again with figure.savefig('name.png').") from error
    return figure
