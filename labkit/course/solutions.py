"""The worked solutions of one lab or of all, to be given out after the deadline: the complete notebooks as they
were executed and, below the check of each blank, the usual mistakes.

Not in the student edition: this module, which gives out the answers.
"""

import textwrap
from collections.abc import Iterable
from pathlib import Path

import nbformat

from labkit.course import answers, blanks
from labkit.course.blanks import Blank, Mistake
from labkit.course.edition import Edition
from labkit.course.labs import Lab
from labkit.course.release import (
    clear,
    complete_notebooks,
    course_at,
    packed,
    page,
    setup_cell,
    tidied,
    write_notebooks,
)
from labkit.files import write_text

PAGE = "solutions_readme.md"  # its first line tells worked solutions from any other folder
NOTE = "**Worked solutions**, for after you have handed in.\n\n"


def release(out: Path, labs: tuple[Lab, ...], repository: str = "", ref: str = "", this: Edition | None = None) -> Path:
    """Write the worked solutions of ``labs`` to the folder ``out`` and to ``out``.zip, replacing what was there; the
    zip's path. With the ``repository`` and ``ref`` of the student edition, notebooks have its set-up cell for Colab.
    ``this``: what the instructor sets (default: as ``edition.json`` says).

    Raises ``LabError`` for a repository that is not OWNER/NAME, a tag that is missing, or a folder that holds
    something else.
    """
    course, rows = course_at(repository, ref, this), []
    title = Path(__file__).with_name(PAGE).read_text(encoding="utf-8").partition("\n")[0]
    clear(out, "folder of worked solutions", _begins(out / "README.md", title))
    for lab in labs:
        notebooks = solved_notebooks(lab)
        if course.repository:
            for notebook in notebooks.values():
                notebook.cells.insert(1, setup_cell(course))
        write_notebooks(out, notebooks)
        rows += [f"## Lab {lab.number}: {lab.title}", "", *(f"- [{n}](notebooks/{n}.ipynb)" for n in notebooks), ""]
    write_text(out / "README.md", page(PAGE, course, rows))
    return packed(out)


def _begins(path: Path, line: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8").startswith(f"{line}\n")


def solved_notebooks(lab: Lab) -> dict[str, nbformat.NotebookNode]:
    """The lab's worked solutions by notebook, in order."""
    tasks = blanks.declared(lab).values()
    return {name: solved(notebook, tasks) for name, notebook in complete_notebooks(lab).items()}


def solved(notebook: nbformat.NotebookNode, tasks: Iterable[Blank]) -> nbformat.NotebookNode:
    """A copy with answers and outputs, without the marks and metadata of grading, and with a cell ``mistakes-NAME``
    below the cell ``check-NAME`` of each of the ``tasks`` that is in it."""
    notebook, cells = tidied(notebook), []
    checked = {f"check-{task.name}": task for task in tasks}
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader", None)
        cell.source = answers.unmarked(cell.source)
        cells.append(cell)
        if task := checked.get(cell.id):
            cells.append(nbformat.v4.new_markdown_cell(usual_mistakes(task), id=f"mistakes-{task.name}"))
    cells[0].source = NOTE + cells[0].source
    notebook.cells = cells
    return notebook


def usual_mistakes(task: Blank) -> str:
    """The known mistakes as Markdown, folded: the wrong lines and their sentence, by function."""
    parts = [f"<details><summary>Usual mistakes ({len(task.mistakes)})</summary>"]
    first = next(iter(task.functions))
    for function in task.functions:
        parts.append(f"In `{function}`:")
        parts += [_item(mistake) for mistake in task.mistakes if (mistake.function or first) == function]
    return "\n\n".join([*parts, "</details>"])


def _item(mistake: Mistake) -> str:
    return "- " + textwrap.indent(f"```python\n{mistake.body}\n```\n\n{mistake.sentence}", "  ").lstrip()
