"""The student edition, written from the complete notebooks: blanks empty, outputs gone, answers left behind."""

import copy
import re

import nbformat

from labkit.course import blanks

REGION = re.compile(r"^([ ]*)### BEGIN SOLUTION\n.*?^[ ]*### END SOLUTION$", re.DOTALL | re.MULTILINE)


def complete_notebooks() -> dict[str, nbformat.NotebookNode]:
    """The complete notebooks by name, such as ``01_sparsity_training``, in order."""
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(blanks.NOTEBOOKS.glob("*.ipynb"))}


def emptied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without solutions, outputs and execution counts; cells, ids and metadata stay."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.source = REGION.sub(lambda region, name=cell.id: _stub(name, region), cell.source)
            cell.outputs, cell.execution_count = [], None
    return notebook


def _stub(name: str, region: re.Match) -> str:
    """What stands in a solution's place, by the kind of cell."""
    if name.startswith("blank-"):
        return f"{region[1]}raise NotImplementedError"
    if answer := re.search(r'^answers\["\w+"\] = ', region[0], re.MULTILINE):
        return f'{answer[0]}"""\n\n"""'
    return f"{region[1]}# Your code here."


def released_notebooks() -> dict[str, nbformat.NotebookNode]:
    """The student edition's notebooks by name: what a submission is compared with."""
    return {name: emptied(notebook) for name, notebook in complete_notebooks().items()}
