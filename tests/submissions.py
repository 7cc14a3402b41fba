"""Hand-ins for tests: the released notebooks, filled in and then spoilt by small changes, and zipped.

``submission("b1234567", {}, released)`` is perfect; ``{"kept_channels": "return mask"}`` gives one function
another body (None leaves it empty), and ``changes`` are functions that spoil a dictionary of notebooks in place.
"""

import base64
import copy
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable

import nbformat

from labkit.course import blanks, edition, labs
from labkit.course.answers import function_source, solution
from labkit.course.labs import Lab

Notebooks = dict[str, nbformat.NotebookNode]
Change = Callable[[Notebooks], None]
LAB = labs.named(1)  # where none is named
BLANKS = {name: blank for lab in labs.LABS for name, blank in blanks.of(lab).items()}
FUNCTIONS = {function: blank for blank in BLANKS.values() for function in blank.functions}
NOTHING = dict.fromkeys(FUNCTIONS)
RECORD = b'{"format": 1, "kind": "sparsity"}\n'
RECORDS = {1: {"records/sparsity-lambda0/record.json": RECORD}}
PDF = b"%PDF-1.7 a report"


def submission(student: str, bodies: dict[str, str | None], released: Notebooks, **options) -> bytes:
    """A hand-in as ``labkit submit`` packs it; ``changes`` spoil its notebooks, other ``options`` are ``files``'s."""
    notebooks = run(filled(released, bodies))
    for change in options.pop("changes", ()):
        change(notebooks)
    return zipped(files(student, notebooks, **options))


def perfect(student: str, released: Notebooks) -> bytes:
    return submission(student, {}, released)


def empty(student: str, released: Notebooks) -> bytes:
    """Nothing filled in, but everything run and packed."""
    return submission(student, NOTHING, released)


def files(
    student: str,
    notebooks: Notebooks,
    lab: Lab = LAB,
    names: dict[str, str | None] | None = None,
    extra: dict[str, bytes] | None = None,
    made: str = "2030-01-15T12:00:00+01:00",
    receipt: bool = True,
    after: dict[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The archive's files by path. ``names`` renames files (None leaves one out), ``extra`` adds some, ``after``
    adds or changes some once the receipt is written."""
    found = {f"notebooks/{name}.ipynb": nbformat.v4.writes(page).encode() for name, page in notebooks.items()}
    pdf = edition.current().report_name(student, lab)
    found |= {pdf: PDF, "labkit/models/vgg.py": b"# models\n"} | RECORDS.get(lab.number, {}) | (extra or {})
    found = {(names or {}).get(path, path): content for path, content in found.items()}
    found.pop(None, None)
    if receipt:
        hashes = {path: hashlib.sha256(content).hexdigest() for path, content in found.items()}
        content = {"student": student, "lab": lab.number, "edition": "", "labkit": "1", "made": made, "files": hashes}
        found["receipt.json"] = json.dumps(content).encode()
    return found | (after or {})


def zipped(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2030, 1, 15, 12, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def report(student: str) -> bytes:
    """Of a report no more than what says whose it is."""
    return PDF + b"<dc:creator><rdf:Seq><rdf:li>%s</rdf:li></rdf:Seq></dc:creator>" % student.encode()


# Notebooks


def filled(released: Notebooks, bodies: dict[str, str | None]) -> Notebooks:
    """The released notebooks with right answers, except for the functions in ``bodies``; plots and texts are there
    unless no function is filled in."""
    notebooks = copy.deepcopy(released)
    for cell in cells_of(notebooks):
        if cell.id.startswith("blank-"):
            cell.source = blank_source(cell.id.removeprefix("blank-"), cell.source, bodies)
        elif cell.id.startswith("manual-") and any(bodies.get(function, "") is not None for function in FUNCTIONS):
            answer = re.match(r'answers\["\w+"\] = ', cell.source)
            cell.source = f'{answer[0]}"""\nSeen.\n"""' if answer else f"print('work for {cell.id}')"
    return notebooks


def blank_source(name: str, stub: str, bodies: dict[str, str | None]) -> str:
    right, empty = functions_in(solution(name)), functions_in(stub)
    parts = []
    for function, parameters in BLANKS[name].functions.items():
        body = bodies.get(function, "")
        whole = (
            empty[function]
            if body is None
            else function_source(function, parameters, body)
            if body
            else right[function]
        )
        parts.append(whole.strip())
    return "\n\n\n".join(parts)


def functions_in(source: str) -> dict[str, str]:
    parts = re.split(r"^(?=def )", source, flags=re.MULTILINE)
    return {part[4 : part.index("(")]: part for part in parts if part.startswith("def ")}


def run(notebooks: Notebooks) -> Notebooks:
    """As if each notebook had been run top to bottom."""
    for notebook in notebooks.values():
        for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
            cell.execution_count = count
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"output of {cell.id}\n")]
    return notebooks


def cells_of(notebooks: Notebooks) -> Iterable[nbformat.NotebookNode]:
    return (cell for notebook in notebooks.values() for cell in notebook.cells)


def cell_of(notebooks: Notebooks, name: str) -> nbformat.NotebookNode:
    return next(cell for cell in cells_of(notebooks) if cell.id == name)


def code(source: str, count: int | None = None, name: str | None = None) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(
        source, id=name or f"own-{hashlib.sha256(source.encode()).hexdigest()[:8]}", execution_count=count
    )


# Changes, to be composed


def edited(name: str, source: str) -> Change:
    """Another source in the cell ``name``, whatever it is."""
    return lambda notebooks: cell_of(notebooks, name).update(source=source)


def edited_check(blank: str) -> Change:
    return edited(f"check-{blank}", "assert True")


def deleted(name: str) -> Change:
    def change(notebooks):
        for notebook in notebooks.values():
            notebook.cells = [cell for cell in notebook.cells if cell.id != name]

    return change


def added(below: str, *new: nbformat.NotebookNode) -> Change:
    """New cells below the cell ``below``."""

    def change(notebooks):
        for notebook in notebooks.values():
            for position, cell in enumerate(notebook.cells):
                if cell.id == below:
                    notebook.cells[position + 1 : position + 1] = copy.deepcopy(list(new))
                    return

    return change


def duplicated(name: str, **changes) -> Change:
    """The cell ``name`` a second time, copied as Jupyter does: a new id, the same metadata."""

    def change(notebooks):
        twin = copy.deepcopy(cell_of(notebooks, name))
        twin.update(id=f"twin-{name}", **changes)
        added(name, twin)(notebooks)

    return change


def without_id(name: str) -> Change:
    """The cell ``name`` as if typed anew: its id and metadata are gone."""
    return lambda notebooks: cell_of(notebooks, name).update(id=f"typed-{name[::-1]}", metadata={})


def without_metadata(notebooks: Notebooks) -> None:
    """No ids, no nbgrader metadata, as format 4.4 had it."""
    for notebook in notebooks.values():
        notebook.nbformat_minor = 4
        for cell in notebook.cells:
            del cell["id"]
            cell.metadata = nbformat.from_dict({})


def colab(notebooks: Notebooks) -> None:
    """Saved by Colab: format 4.0, ids in the metadata, with metadata of its own."""
    for notebook in notebooks.values():
        notebook.update(nbformat=4, nbformat_minor=0)
        notebook.metadata = nbformat.from_dict({"colab": {"provenance": []}, "widgets": {"application/x": {}}})
        for cell in notebook.cells:
            cell.metadata |= {"id": cell.pop("id"), "colab": {"base_uri": "https://localhost/"}}
            if cell.cell_type == "code":
                cell.metadata["outputId"] = "0f3a"


def large_outputs(name: str, megabytes: float = 50) -> Change:
    """A picture of so many megabytes in the cell ``name``."""
    picture = base64.b64encode(bytes(int(megabytes * 750_000))).decode()
    output = nbformat.v4.new_output("display_data", {"image/png": picture})
    return lambda notebooks: cell_of(notebooks, name).outputs.append(output)
