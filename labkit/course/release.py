"""The student edition of one lab or of all, written from the complete notebooks: blanks empty, outputs gone,
answers left behind.

What ships of labkit: every file but for modules and packages whose docstring says ``WITHHELD`` and why, and of
the course only ``COURSE``. A module that holds an answer, or a wrong answer from which the right one could be
read, has to say so. Not in the student edition: this module, which reads them.
"""

import ast
import copy
import html
import re
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat

from labkit.course import answers, edition
from labkit.course.labs import Lab
from labkit.course.practice import ask, check
from labkit.course.practice.submit import zipped
from labkit.course.practice.variant import PLACEHOLDER
from labkit.settings import REPOSITORY, LabError

REGION = re.compile(r"^([ ]*)### BEGIN SOLUTION\n.*?^[ ]*### END SOLUTION$", re.DOTALL | re.MULTILINE)
WITHHELD = "Not in the student edition"  # so begins the sentence in a docstring
COURSE = ("__init__.py", "labs.py", "edition.py", "practice")
TOP = (".gitattributes", "LICENSE", "environment.yml", "pyproject.toml", "requirements.txt")
BINDER = {  # where repo2docker and docker look for them
    "containers/hub.Dockerfile": "binder/Dockerfile",
    "containers/hub.dockerignore": ".dockerignore",
}
COLAB_LACKS = ("torch-pruning", "typst", "torchao", "onnx", "onnxscript", "onnx-ir", "onnxruntime")  # or has too old
COLAB_TAKES = {"onnx": ",<1.23"}  # newer ones are made for a newer protobuf than Colab's, and refuse it when imported
SAYS_NOTHING = re.compile(r'###|answers\["\w+"\] = f?"""$|with torch\.no_grad\(\):$')
TEXT = (".py", ".ipynb", ".md", ".json", ".toml", ".txt", ".typ", ".html", ".js", ".css")  # files that leaks reads
TRIVIAL = 11  # letters; a statement as short as `plt.show()` gives nothing away

BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/{ref}/notebooks/{name}.ipynb)\n\n"
)
SETUP = """\
# @title Set-up: run this first in Colab; elsewhere it has nothing to do
KEEP_IN_DRIVE = True  # @param {{type: "boolean"}}
import sys

if "google.colab" not in sys.modules:
    print("Nothing to set up: this is not Colab.")
else:
    import os
    import subprocess

    folder, kept = "/content/{folder}", "end with this session"
    if KEEP_IN_DRIVE:
        from google.colab import drive

        drive.mount("/content/drive")
        os.environ["LABKIT_RUNS"] = "/content/drive/MyDrive/{folder}/runs"
        kept = "stay in your Drive"
    if not os.path.exists(folder):
        # --no-deps: Colab's own torch, IPython and ipywidgets stay as they are
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        lacking = [
            {lacking},
        ]
        subprocess.run([*install, *lacking], check=True)
        clone = ["git", "clone", "--quiet", "--config", "advice.detachedHead=false"]
        clone += ["--depth", "1", "--branch", "{ref}"]
        clone += ["https://github.com/{repository}", folder]
        subprocess.run(clone, check=True)
        subprocess.run([*install, "--editable", folder], check=True)
    sys.path.insert(0, folder)
    print(f"Set up: the course is in {{folder}}, your runs {{kept}}.")"""
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # in Colab, in JupyterLab
WRITE_ID = "Write your student id into `STUDENT` at the top, run this notebook again"
STUDENT_CELL = f"""\
# Your id gives you a seed and images of your own. Write it here once: the other
# notebooks find it beside your runs.
from labkit.course import begin

STUDENT = begin("{PLACEHOLDER}")"""


def complete_notebooks(lab: Lab) -> dict[str, nbformat.NotebookNode]:
    """The lab's complete notebooks by name, in order."""
    return {name: nbformat.read(answers.NOTEBOOKS / f"{name}.ipynb", as_version=4) for name in lab.notebooks}


def tidied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without what executing and testing the notebook has put there."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.source = cell.source.removeprefix("# NBVAL_CHECK_OUTPUT\n")
    return notebook


def emptied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without solutions, outputs and execution counts; cells and ids stay."""
    notebook = tidied(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = REGION.sub(lambda region, name=cell.id: _stub(name, region), cell.source)
            cell.outputs, cell.execution_count = [], None
        if cell.id.startswith("check-"):
            cell.metadata |= {"editable": False, "deletable": False}
    return notebook


def _stub(name: str, region: re.Match) -> str:
    """What stands in a solution's place, by the kind of cell."""
    if name.startswith(("blank-", "exercise-")):
        return f"{region[1]}raise NotImplementedError"
    if answer := re.search(r'^answers\["\w+"\] = ', region[0], re.MULTILINE):
        return f'{answer[0]}"""\n\n"""'
    return f"{region[1]}# Your code here."


def released_notebooks(lab: Lab, course: edition.Edition | None = None) -> dict[str, nbformat.NotebookNode]:
    """The student edition's notebooks by name: what a submission is compared with. With the
    ``course``'s repository, each has a badge and a set-up cell for Colab."""
    notebooks = {name: emptied(notebook) for name, notebook in complete_notebooks(lab).items()}
    if course and course.variants:
        for notebook in notebooks.values():
            add_student_cell(notebook)
    if course and course.repository:
        for name, notebook in notebooks.items():
            badge = BADGE.format(repository=course.repository, ref=course.ref, name=name)
            notebook.cells[0].source = badge + notebook.cells[0].source
            notebook.cells.insert(1, setup_cell(course))
    return notebooks


def add_student_cell(notebook: nbformat.NotebookNode) -> None:
    """The cell in which a student writes the id that gives a seed and images of one's own; the notebook's own line, for
    the report, goes, and what it says of it."""
    for cell in notebook.cells:
        cell.source = cell.source.replace(f'STUDENT = "{PLACEHOLDER}"\n', "")
        cell.source = cell.source.replace(WRITE_ID, "Run this notebook again")
    notebook.cells.insert(1, nbformat.v4.new_code_cell(STUDENT_CELL, id="student"))


def setup_cell(course: edition.Edition) -> nbformat.NotebookNode:
    """The cell that brings labkit from the ``course``'s repository to Colab."""
    facts = {"repository": course.repository, "ref": course.ref, "folder": course.repository.partition("/")[2]}
    lacking = ",\n            ".join(f'"{line}"' for line in lacking_in_colab())
    return nbformat.v4.new_code_cell(SETUP.format(**facts, lacking=lacking), id="setup", metadata=FOLDED)


def lacking_in_colab() -> list[str]:
    """What the set-up cell installs beside labkit, as lines of requirements.txt and within what Colab takes."""
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {re.match(r"[\w-]*", line)[0]: line.partition("#")[0].strip() for line in lines}
    return [wanted[name] + COLAB_TAKES.get(name, "") for name in COLAB_LACKS]


def release(
    out: Path, labs: tuple[Lab, ...], repository: str = "", ref: str = "", this: edition.Edition | None = None
) -> Path:
    """Write the edition of ``labs`` to the folder ``out`` and to ``out``.zip, replacing what was there; the
    zip's path. ``this``: what the instructor sets (default: as ``edition.json`` says).

    Raises ``LabError`` for a repository that is not OWNER/NAME, a tag that is missing, a folder that
    holds something else, or an answer that would have gone out.
    """
    course = course_at(repository, ref, this)
    clear(out, "student edition", (out / "labkit" / "course" / "edition.json").exists())
    for name in TOP:
        _copy(REPOSITORY / name, out / name)
    for source, target in BINDER.items():
        _copy(REPOSITORY / source, out / target)
    for path in shipped_files(labs):
        _copy(REPOSITORY / path, out / path)
    _write(out / "labkit" / "course" / "edition.json", edition.written(course))
    _write(out / "README.md", _readme(course, labs))
    for lab in labs:
        write_notebooks(out, released_notebooks(lab, course))
    if found := leaks(out, labs):
        raise LabError(f"The edition would give {len(found)} answers away, the first in {found[0]}: mend that first.")
    return packed(out)


def course_at(repository: str, ref: str, this: edition.Edition | None = None) -> edition.Edition:
    """What the instructor sets (default: as ``edition.json`` says), for an edition that lives in ``repository`` under
    ``ref``, or nowhere where both are empty. Raises ``LabError`` for a repository that is not OWNER/NAME or a tag that
    is missing."""
    if repository and not (re.fullmatch(r"[\w.-]+/[\w.-]+", repository) and re.fullmatch(r"[\w./-]+", ref)):
        raise LabError(f"--repo {repository!r} --ref {ref!r}: give OWNER/NAME and the tag or branch that students use.")
    return replace(this or edition.current(), repository=repository, ref=ref)


def clear(out: Path, what: str, is_one: bool) -> None:
    """Remove the folder ``out``, an earlier ``what``. Raises ``LabError`` where it holds something and is none."""
    refuse_other(out, what, is_one)
    shutil.rmtree(out, ignore_errors=True)


def refuse_other(out: Path, what: str, is_one: bool) -> None:
    """Raise ``LabError`` where the folder ``out`` holds something and is no earlier ``what``."""
    if out.exists() and any(out.iterdir()) and not is_one:
        raise LabError(f"{out} holds something that is no {what}: give an empty or new folder.")


def write_notebooks(out: Path, notebooks: dict[str, nbformat.NotebookNode]) -> None:
    """Put notebooks, given by name, into the folder ``out``/notebooks."""
    for name, notebook in notebooks.items():
        _write(out / "notebooks" / f"{name}.ipynb", nbformat.writes(notebook) + "\n")


def packed(out: Path) -> Path:
    """The folder as a zip beside it; equal folders give equal zips."""
    target, files = out.with_name(out.name + ".zip"), (path for path in sorted(out.rglob("*")) if path.is_file())
    target.write_bytes(zipped({path.relative_to(out.parent).as_posix(): path.read_bytes() for path in files}))
    return target


def shipped_files(labs: tuple[Lab, ...]) -> list[Path]:
    """What goes out as it is, relative to the repository: labkit, and the reference runs of ``labs``."""
    labkit = REPOSITORY / "labkit"
    files = [path for path in _unwithheld(labkit) if not path.is_relative_to(labkit / "course")]
    for path in (labkit / "course" / name for name in COURSE):
        files += _unwithheld(path) if path.is_dir() else [path]
    names = {lab.name for lab in labs}
    files = [path for path in files if path.parent not in (check.VISIBLE, ask.QUESTIONS) or path.stem in names]
    for lab in labs:
        for run in lab.reference_runs():
            files += [] if run.name in lab.answers else run.iterdir()
    return sorted(path.relative_to(REPOSITORY) for path in files)


def _unwithheld(folder: Path) -> list[Path]:
    """The files below a folder, without packages and modules that are withheld."""
    found = []
    for path in folder.iterdir():
        module = path / "__init__.py" if path.is_dir() else path
        if path.name == "__pycache__" or (module.suffix == ".py" and module.exists() and _withheld(module)):
            continue
        found += _unwithheld(path) if path.is_dir() else [path]
    return found


def _withheld(module: Path) -> bool:
    return WITHHELD in (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8", newline="\n")


def _readme(course: edition.Edition, labs: tuple[Lab, ...]) -> str:
    rows = []
    for lab in labs:
        option = f" --lab {lab.number}" if lab.number != 1 else ""
        rows += [f"## Lab {lab.number}: {lab.title}", "", lab.summary, ""]
        for name in lab.notebooks:
            badge = BADGE.format(repository=course.repository, ref=course.ref, name=name).strip()
            row = f"- {name}: {badge}" if course.repository else f"- [{name}](notebooks/{name}.ipynb)"
            rows.append(f"{row} (bonus)" if name in lab.bonus_notebooks else row)
        command, archive = f"labkit submit YOUR_STUDENT_ID{option}", course.archive_stem("YOUR_STUDENT_ID", lab)
        rows += ["", f"Hand in with `{command}`, which makes `{archive}.zip`.", ""]
    return page("student_readme.md", course, rows)


def page(name: str, course: edition.Edition, rows: list[str]) -> str:
    """The page ``name`` of this folder, with ``rows`` in the place of the labs, and with what it says of Colab only
    where there is a repository, of variants, or of the usual way, only where students have them or have not."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    for mark, stays in (("colab", course.repository), ("variants", course.variants), ("usual", not course.variants)):
        part = rf"<!-- {mark} -->\n(.*?)<!-- end -->\n"
        text = re.sub(part, r"\1" if stays else "", text, flags=re.DOTALL)
    return text.replace("<!-- labs -->\n", "\n".join(rows))


def solution_pieces(labs: tuple[Lab, ...]) -> set[str]:
    """What the notebooks' solution regions say, ``bare``: every statement, and every line of a longer text or comment."""
    sources = [cell.source for lab in labs for page in complete_notebooks(lab).values() for cell in page.cells]
    regions = [region[0] for source in sources for region in REGION.finditer(source)]
    pieces = {piece for region in regions for piece in _pieces(textwrap.dedent(region))}
    pieces = {bare(piece) for piece in pieces if not SAYS_NOTHING.match(piece)}
    return {piece for piece in pieces if len(piece) >= TRIVIAL}


def _pieces(source: str) -> Iterator[str]:
    lines = source.splitlines()
    yield from (line.strip() for line in lines if line.lstrip().startswith("#"))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            inner = getattr(node, "body", None)  # of what has a body the head is a piece
            piece = "\n".join(lines[node.lineno - 1 : inner[0].lineno - 1 if inner else node.end_lineno]).strip()
            yield from map(str.strip, piece.splitlines()) if '"""' in piece else (piece,)


def bare(text: str) -> str:
    """Text without spaces and line ends, and without the commas that only formatting asks for."""
    return re.sub(r",(?=[)\]}])", "", "".join(text.split()))


def leaks(folder: Path, labs: tuple[Lab, ...]) -> list[str]:
    """``file: piece`` for every piece of a solution of ``labs`` that occurs in a file of the edition or of the web site."""
    found, pieces = [], solution_pieces(labs)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in TEXT:
            text = bare(_read(path))
            found += [f"{path.relative_to(folder)}: {piece}" for piece in sorted(pieces) if piece in text]
    return found


def _read(path: Path) -> str:
    """The text of a file; of a notebook its cells, of a web page what a reader sees and what its tags hold."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    if path.suffix == ".html":
        return html.unescape(f"{re.sub(r'<[^>]*>', '', text)}\n{text}")
    return text
