"""The sources of the site's pages, laid out as the repository is, so that links between notebooks, docs and pictures
stay as they are. Not in the student edition: it reads the answers.
"""

import copy
import posixpath
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import nbformat

from labkit.course.edition import Edition
from labkit.course.labs import Lab
from labkit.course.release import TOP, complete_notebooks, page, shipped_files
from labkit.course.site.public import published
from labkit.course.solutions import NOTE, solved_notebooks
from labkit.settings import REPOSITORY, LabError

DOCS = {"The course": ("course", "results", "cluster")}
STAFF_DOCS = DOCS | {"For instructors": ("ta", "site", "decisions")}

# The picture that stands for a notebook on the front page, by its cell; where none is named, the first.
FACES = {
    "01_sparsity_training": "01-06",
    "02_scaling_factors": "02-12c",
    "03_channel_pruning": "03-13e",
    "04_fine_tuning": "04-17",
    "05_report": "05-11",
    "06_granularity": "06-05",
    "07_criteria": "07-42",
    "08_front": "08-28",
    "09_ratios": "09-10",
    "10_amc": "10-20",
    "11_pruning_while_training": "11-50",
    "12_quantization": "12-41",
}
COLAB = (
    "[Open {number} in Colab](https://colab.research.google.com/github/{repository}/blob/{ref}/notebooks/{name}.ipynb)"
)
WIDGET = "application/vnd.jupyter.widget-view+json"
STILL = "Sliders stand here while the notebook runs."  # instead of the code that makes them
MADE_WITH = "*Answers and guesses are left out; the outputs below were made with those of the course.*\n\n"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def sources(labs: tuple[Lab, ...], course: Edition, solutions: bool) -> dict[str, bytes]:
    """Every file that Sphinx reads, by its path: the front page, notebooks, docs and pictures.

    Raises ``LabError`` for a notebook that was not executed, or that shows a picture without words.
    """
    docs = STAFF_DOCS if solutions else DOCS
    texts = [f"docs/{name}.md" for names in docs.values() for name in names]
    notebooks = {name: notebook for lab in labs for name, notebook in shown(lab, solutions).items()}
    site = Site(course, frozenset([*texts, *(f"notebooks/{name}.ipynb" for name in notebooks)]), edition_files(labs))

    files = {"index.md": front(labs, notebooks, docs, site).encode()}
    for path in texts:
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        files[path] = site.kept(text, path).encode()
        for target in (posixpath.normpath(f"docs/{target}") for bang, _, target in LINK.findall(text) if bang):
            files[target] = (REPOSITORY / target).read_bytes()
    for name, notebook in notebooks.items():
        files |= {f"pictures/{picture}": png for picture, _, png in pictures(notebook)}
        files[f"notebooks/{name}.ipynb"] = nbformat.writes(as_page(name, notebook, site)).encode()
    return files


def edition_files(labs: tuple[Lab, ...]) -> frozenset[str]:
    """The files and folders of the student edition, but for those that are written for it."""
    files = [PurePosixPath(name) for name in (*TOP, *shipped_files(labs))]
    return frozenset(path.as_posix() for file in files for path in (file, *file.parents[:-1]))


def shown(lab: Lab, solutions: bool) -> dict[str, nbformat.NotebookNode]:
    """The lab's notebooks by name, with what the site's readers may see."""
    complete = complete_notebooks(lab)
    for name, notebook in complete.items():
        refuse_unexecuted(name, notebook)
    return solved_notebooks(lab) if solutions else {name: published(page) for name, page in complete.items()}


def refuse_unexecuted(name: str, notebook: nbformat.NotebookNode) -> None:
    """Raise ``LabError`` unless all code cells were executed, in order, without an error."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(cells, 1):
        failed = any(output.output_type == "error" for output in cell.outputs)
        if cell.execution_count != number or failed:
            what = "stopped with an error" if failed else "was not executed in its place"
            raise LabError(
                f"{name}.ipynb cannot be shown: cell {cell.id} {what}. Execute the notebook from top to bottom "
                "(labkit run) and put it into notebooks/ again."
            )


def pictures(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, str, bytes]]:
    """Of each picture in the outputs: its file's name, what it shows in words, and the PNG. Raises ``LabError`` for
    one without words."""
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        for number, output in enumerate(cell.outputs):
            if "image/png" in output.get("data", {}):
                words = output.metadata.get("image/png", {}).get("alt", "")
                if not words.strip():
                    raise LabError(f"Cell {cell.id} shows a picture without words: show it with plots.show.")
                yield f"{cell.id}-{number}.png", " ".join(words.split()), b64decode(output.data["image/png"])


def as_page(name: str, notebook: nbformat.NotebookNode, site: "Site") -> nbformat.NotebookNode:
    """A copy as Sphinx takes it: pictures as files with their words, links that lead somewhere, no widgets."""
    notebook, words = copy.deepcopy(notebook), {picture: words for picture, words, _ in pictures(notebook)}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = site.kept(cell.source, f"notebooks/{name}.ipynb")
            continue
        for number, output in enumerate(cell.outputs):
            data = output.get("data", {})
            if picture := words.get(file := f"{cell.id}-{number}.png"):
                output.data = {"text/markdown": image(picture, f"../pictures/{file}")}
            elif WIDGET in data:
                said = data["text/plain"]
                output.data = {"text/markdown": f"*{STILL if re.match(r'[A-Z][A-Za-z]+[(]', said) else said}*"}
    title, _, text = notebook.cells[0].source.removeprefix(NOTE).partition("\n")
    note = NOTE if notebook.cells[0].source.startswith(NOTE) else MADE_WITH
    notebook.cells[0].source = f"{title}\n\n{site.colab(name)}\n\n{note}{text}"
    return notebook


def image(words: str, file: str) -> str:
    """A picture in Markdown, with any words."""
    escaped = re.sub(r"([!-/:-@[-`{-~])", r"\\\1", words)
    return f"![{escaped}]({file})"


def front(labs: tuple[Lab, ...], notebooks: dict[str, nbformat.NotebookNode], docs: dict, site: "Site") -> str:
    """The front page: the labs with their notebooks, and, for the bar at the side, every page there is."""
    rows, lists = [], []
    for lab in labs:
        rows += [f"## Lab {lab.number}: {lab.title}", "", lab.summary, "", "`````{container} tiles"]
        rows += [card(name, notebooks[name], site) for name in lab.notebooks] + ["`````", ""]
        entries = [f"{title_of(notebooks[name]).partition(':')[0]} <notebooks/{name}>" for name in lab.notebooks]
        lists.append(contents(f"Lab {lab.number}: {lab.title}", entries))
    lists += [contents(caption, [f"docs/{name}" for name in names]) for caption, names in docs.items()]
    return page("site_front.md", site.course, [*rows, *lists])


def card(name: str, notebook: nbformat.NotebookNode, site: "Site") -> str:
    """What the front page shows of a notebook: its title, a picture, and what the README says of it."""
    seen = {file: image(words, f"pictures/{file}") for file, words, _ in pictures(notebook)}
    face = next((file for file in seen if file.rpartition("-")[0] == FACES.get(name)), next(iter(seen), None))
    title = f"**[{title_of(notebook)}](notebooks/{name}.ipynb)**"
    parts = [title, seen.get(face, ""), sentence_on(name), site.colab(name)]
    return "\n\n".join(["````{container} tile", *filter(None, parts), "````"])


def sentence_on(name: str) -> str:
    """What happens in a notebook, by the README's table. Raises ``LabError`` where the table does not have it."""
    table = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    if not (row := re.search(rf"\(notebooks/{name}\.ipynb\)[^|]*\| ([^|]+) \|$", table, re.MULTILINE)):
        raise LabError(f"README.md's table of notebooks does not say what happens in {name}: add its row.")
    return f"{row[1][0].upper()}{row[1][1:]}."


def title_of(notebook: nbformat.NotebookNode) -> str:
    return notebook.cells[0].source.removeprefix(NOTE).partition("\n")[0].removeprefix("# ")


def contents(caption: str, entries: list[str]) -> str:
    """A table of contents, for the bar at the side only."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: '{caption}'", "", *entries, "```", ""])


@dataclass(frozen=True)
class Site:
    """Where a link may lead: to the site's ``pages``, by their files, or into the repository of the student edition,
    ``course``, which has the files and folders ``shipped``."""

    course: Edition
    pages: frozenset[str]
    shipped: frozenset[str]

    def kept(self, text: str, path: str) -> str:
        """The Markdown of the file ``path``; of a link that leads nowhere only its words stay."""

        def follow(link: re.Match) -> str:
            bang, words, target = link.groups()
            address = target if bang or "://" in target or target.startswith("#") else self.address(target, path)
            return f"{bang}[{words}]({address})" if address else words

        return LINK.sub(follow, text)

    def address(self, target: str, path: str) -> str:
        """Where the relative link ``target`` of the file ``path`` leads, or nothing."""
        file = posixpath.normpath(posixpath.join(posixpath.dirname(path), target.partition("#")[0]))
        if file in self.pages:
            return target
        if not self.course.repository or file not in self.shipped:
            return ""
        kind = "blob" if PurePosixPath(file).suffix else "tree"
        return f"https://github.com/{self.course.repository}/{kind}/{self.course.ref}/{file}"

    def colab(self, name: str) -> str:
        """The link that opens a notebook of the student edition, or nothing without its repository."""
        course = self.course
        facts = {"repository": course.repository, "ref": course.ref, "name": name, "number": name.partition("_")[0]}
        return COLAB.format(**facts) if course.repository else ""
