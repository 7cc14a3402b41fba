"""What people see of the gradebook: harmless copies of notebooks, CSV rows, feedback pages.

nbconvert, and with it formgrader, puts ``text/html``, JavaScript, widgets and raw HTML in Markdown into
the page as they are, and formgrader's page holds the TA's cookies: a submission could give itself points.
"""

import copy
import re
from dataclasses import dataclass
from functools import cache
from html import escape

from nbformat import NotebookNode, from_dict, v4

from labkit.course.grading.archives import as_list

MOST_LETTERS, MOST_IMAGE = 50_000, 4_000_000  # of one text, of one picture in base64
MOST_MARKDOWN = 5_000  # of a student's text cell: nbconvert needs seconds for some longer ones
IMAGES = {"image/png": "iVBORw0KGgo", "image/jpeg": "/9j/"}  # how their base64 begins
HEADING = re.compile(r"^#+ (.*?)(?: \(\d+ points\))?$", re.MULTILINE)
ESCAPES = re.compile(r"\x1b\[[^@-~]*[@-~]")

# In a feedback page no script runs and nothing is fetched, whatever a notebook holds.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; margin: 0 }
.input_area, .output_subarea { border-left: 3px solid #ccd; padding: .4rem .8rem; margin: .4rem 0 }
.input_area { background: #f6f6f9 }
.prompt { display: none }
.text_cell pre, .text_cell code { font: inherit }
img { max-width: 100% }
td, th { padding: .15rem .8rem; text-align: left; border-bottom: 1px solid #dde }
h2 { margin-top: 2.5rem }
"""


@dataclass(frozen=True)
class Item:
    """What one graded cell stands at. ``cell`` is the answer; ``points`` is None while it is ungraded;
    ``review``: it was graded by hand, and then the hand-in or its code points changed; ``sentences`` are
    those from grading the code, ``comment`` is the TA's."""

    cell: str
    notebook: str
    title: str
    of: float
    points: float | None
    review: bool
    sentences: str
    comment: str


def harmless(handed_in: dict, released: NotebookNode) -> NotebookNode:
    """A copy of a handed-in notebook, built anew from what is known to be safe to show: code, text, PNG
    and JPEG. Text cells are kept as they are only where they are the course's own; a student's are shown
    verbatim. Metadata comes from the released notebook; its graded cells that are lost are put back.

    Built anew, since leaving out what is known to be bad would miss the next trick: scripts and HTML
    outputs, ``javascript:`` links in Markdown, pictures that fetch an address, HTML as execution count.
    """
    course = {cell.id: cell for cell in released.cells}
    cells, found = [], set()
    for index, cell in enumerate(as_list(handed_in.get("cells"))):
        if not isinstance(cell, dict):
            continue
        name, kind, source = cell.get("id"), cell.get("cell_type"), text_of(cell.get("source"))
        own = course.get(name) if isinstance(name, str) and name not in found else None
        if own is not None and (own.cell_type != kind or kind != "code" and own.source != source):
            own = None
        copied = {"id": own.id if own else f"extra-{index}", "metadata": own.metadata if own else {}}
        if kind == "code":
            count = cell.get("execution_count")
            copied |= {"cell_type": "code", "source": source, "execution_count": count if type(count) is int else None}
            copied["outputs"] = [safe for output in as_list(cell.get("outputs")) if (safe := _output(output))]
        else:
            copied |= {"cell_type": "markdown", "source": source if own else verbatim(source)}
        found.add(copied["id"])
        cells.append(copied)
    lost = [cell for cell in released.cells if "nbgrader" in cell.metadata and cell.id not in found]
    return from_dict(copy.deepcopy({**released, "cells": cells + lost}))


def verbatim(text: str) -> str:
    """Markdown that shows ``text`` letter for letter: a code block whose fence is longer than any in it."""
    text = text if len(text) <= MOST_MARKDOWN else f"{text[:MOST_MARKDOWN]}\n… {len(text) - MOST_MARKDOWN} more letters"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def text_of(value) -> str:
    """Text as notebooks hold it, a string or a list of them: without terminal codes (nbconvert stops at
    some), encodable, and of limited length."""
    text = value if isinstance(value, str) else "".join(part for part in as_list(value) if isinstance(part, str))
    rest = len(text) - MOST_LETTERS
    text = text[:MOST_LETTERS] + (f"\n… {rest} more letters" if rest > 0 else "")
    return ESCAPES.sub("", text).replace("\x1b", "").encode("utf-8", "replace").decode("utf-8")


def _output(output) -> dict | None:
    match output:
        case {"output_type": "stream", "text": text}:
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": text_of(text)}
        case {"output_type": "error", "traceback": lines}:
            lines = [text_of(line) for line in as_list(lines)[:200]]
            return {"output_type": "error", "ename": "error", "evalue": "", "traceback": lines}
        case {"output_type": "display_data" | "execute_result", "data": dict(data)}:
            return {"output_type": "display_data", "metadata": {}, "data": _shown(data)}
    return None


def _shown(data: dict) -> dict:
    """The one form of an output that is shown: a picture, else text, else that there was something else."""
    for kind, beginning in IMAGES.items():
        image = data.get(kind)
        if isinstance(image, str) and len(image) <= MOST_IMAGE:
            image = "".join(image.split())
            if image.startswith(beginning) and re.fullmatch(r"[A-Za-z0-9+/]+=*", image):
                return {kind: image}
    if "text/plain" in data:
        return {"text/plain": text_of(data["text/plain"])}
    return {"text/plain": "(an output that is not shown here)"}


def heading(cells: list[NotebookNode]) -> str:
    """The last heading in the cells above a graded one, without its points."""
    found = [line for cell in cells if cell.cell_type == "markdown" for line in HEADING.findall(cell.source)]
    return found[-1] if found else "without a heading"


def csv_row(student: str, marks: list[Item], refused: str | None, of: int) -> dict:
    """One row of the class's CSV: numbers, None where something is ungraded, and text. ``of`` are the lab's points
    without its bonus, so a total can be more."""
    given = [item.points for item in marks if item.points is not None]
    ungraded, review = len(marks) - len(given), sum(item.review for item in marks)
    code = [item.points for item in marks if item.cell.startswith("blank-")]
    comments = [f"Refused: {refused}"] if refused else []
    comments += [f"{item.title}: {item.sentences}" for item in marks if item.sentences]
    comments += [f"{item.title}: {item.comment}" for item in marks if item.comment]
    return {
        "Student ID": student,
        **{item.cell: item.points for item in marks if item.cell.startswith("blank-")},
        "code": None if None in code else sum(code),
        **{item.cell: item.points for item in marks if not item.cell.startswith("blank-")},
        "points so far": sum(given) if given else None,
        "total": None if ungraded else sum(given),
        "max": of,
        "status": _status(ungraded, review, refused),
        "comments": " | ".join(" ".join(line.split()) for line in comments),
    }


def _status(ungraded: int, review: int, refused: str | None) -> str:
    def count(number, what):
        return [f"{number} cell{'s' * (number > 1)} {what}"] if number else []

    standing = ["refused"] if refused and ungraded else count(ungraded, "ungraded")
    return ", ".join(standing + count(review, "to review")) or "graded"


def spreadsheet(value) -> str:
    if isinstance(value, str):
        return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return "" if value is None else f"{value:g}"


def feedback_page(student: str, opening: str, items: list[Item], notebooks: dict[str, NotebookNode]) -> str:
    """One student's feedback as a page of HTML that needs no network: every item with its
    points, sentences and comment, and the answer it is about from the harmless ``notebooks``."""
    table = ["| | points | of |", "|---|---|---|"]
    table += [f"| {item.title} | {spreadsheet(item.points) or 'not graded yet'} | {item.of:g} |" for item in items]
    cells = [v4.new_markdown_cell(f"# {student}\n\n{opening}\n\n" + "\n".join(table))]
    for item in items:
        standing = "not graded yet" if item.points is None else f"{item.points:g} of {item.of:g}"
        cells.append(v4.new_markdown_cell(f"## {item.title}: {standing}"))
        cells += [v4.new_markdown_cell(verbatim(item.sentences))] if item.sentences else []
        cells += [v4.new_markdown_cell(item.comment)] if item.comment else []
        answer = notebooks.get(item.notebook, v4.new_notebook()).cells
        cells += [copy.deepcopy(cell) for cell in answer if cell.id == item.cell]
    body, _ = _exporter().from_notebook_node(v4.new_notebook(cells=cells))
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f"<title>{escape(student)}</title><style>{STYLE}</style>"
    return f"<!DOCTYPE html><html><head>{head}</head>\n<body>{body}</body></html>\n"


@cache
def _exporter():
    from nbconvert.exporters import HTMLExporter

    return HTMLExporter(template_name="basic", exclude_anchor_links=True)
