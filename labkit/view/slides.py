"""A presentation as one PDF: title, method with its equation, figure, table, what was seen; typeset by Typst, as the
report is. What a student wrote is data, never markup."""

import datetime
import io
from pathlib import Path

from matplotlib import mathtext
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from labkit.settings import LabError
from labkit.view import report

TEMPLATE = Path(__file__).with_name("slides.typ")
EQUATION_SIZE, RESOLUTION = 26, 300  # points, dots per inch


def export(
    path: Path,
    *,
    title: str,
    student: str,
    method: str,
    equation: str,
    figure: Figure,
    table: list[list[str]],
    seen: str,
    date: datetime.date | None = None,
) -> Path:
    """Write the slides to ``path`` in one step and return it; slides that were there are replaced.

    ``method`` says in words what was done, ``equation`` is TeX without dollar signs, a line an equation, ``table`` has
    its header first, ``seen`` is what was found. In texts a blank line starts a paragraph, a line that begins with
    ``"- "`` is a list item, and an empty one is marked "not written yet". ``date`` is today's if it is not given. Raises
    ``LabError`` for an equation that cannot be read and for a place that takes no file.
    """
    lines = [line.strip() for line in equation.strip().splitlines() if line.strip()]
    pictures = {f"equation{number}.png": _drawn(line) for number, line in enumerate(lines)}
    content = report.cover(title, student, date) | {
        "method": report.blocks(method),
        "equations": [{"file": name, "alt": line} for name, line in zip(pictures, lines)],
        "figure": "figure.png",
        "alt": report.alternative(figure) or f"Figure of {title}",
        "table": report.rectangular(table),
        "seen": report.blocks(seen),
    }
    return report.typeset(path, TEMPLATE, content, pictures | {"figure.png": report.png(figure, title)})


def _drawn(equation: str) -> bytes:
    """A line of TeX as the bytes of a PNG."""
    buffer = io.BytesIO()
    try:
        mathtext.math_to_image(f"${equation}$", buffer, FontProperties(size=EQUATION_SIZE), RESOLUTION, "png")
    except ValueError as error:
        problem = str(error).strip().splitlines()[-1]
        raise LabError(f"The equation {equation!r} cannot be read ({problem}): write it as TeX without $.") from None
    return buffer.getvalue()
