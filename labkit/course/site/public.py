"""What the public site shows of a notebook: the student edition's text and code, and of the outputs those that give no
graded answer away. Not in the student edition: it reads the answers.
"""

import ast
import re
import textwrap
from collections.abc import Iterator

import nbformat

from labkit.course.release import REGION, emptied

# Cells whose answer comes from elsewhere: from a file (notebook 02's figure), from records (notebook 08's policies), or
# from a cell that is graded with another one (the search of notebook 10).
SHOW_ANSWERS = ("05-07", "09-r5", "09-r6", "10-40", "10-49")
LEFT_OUT = "Left out on this page: it shows a graded answer.\n"

# Statements that always bind their names anew, so that a name no longer stands for an answer.
BINDING = (ast.Assign, ast.AnnAssign, ast.For, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def published(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy as in the student edition, with the outputs of every cell that neither holds nor shows an answer."""
    page, told = emptied(notebook), telling(notebook)
    for cell, complete in zip(page.cells, notebook.cells):
        if cell.cell_type == "code" and not REGION.search(complete.source):
            cell.execution_count = complete.execution_count
            cell.outputs = complete.outputs
            if complete.outputs and cell.id in told:
                cell.outputs = [nbformat.v4.new_output("stream", text=LEFT_OUT)]
    return page


def telling(notebook: nbformat.NotebookNode) -> set[str]:
    """The ids of the cells whose outputs may show what a cell graded by hand asks for.

    They read a name that such a cell's solution binds, or one that was computed from it; or they are in
    ``SHOW_ANSWERS``. Names that a blank defines do not count: what a right function returns is no secret.
    """
    found, answers = set(SHOW_ANSWERS), set()
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        for region in REGION.finditer(cell.source) if cell.id.startswith("manual-") else ():
            answers |= set(_bound(ast.parse(textwrap.dedent(region[0]))))
        for statement in _statements(cell.source) if not REGION.search(cell.source) else ():
            if answers & _read(statement):
                found.add(cell.id)
                answers |= set(_bound(statement))
            elif isinstance(statement, BINDING):
                answers -= set(_bound(statement))
    return found


def _statements(source: str) -> list[ast.stmt]:
    """A cell's statements; of one that is not plain Python (a magic) its words, as if they were read."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        words = re.findall(r"[^\W\d]\w*", source)
        return [ast.Expr(ast.Name(word, ast.Load())) for word in words]


def _bound(tree: ast.AST) -> Iterator[str]:
    """The names that code binds, or whose items or attributes it sets; not those of comprehensions."""
    inner = {
        id(name) for part in ast.walk(tree) if isinstance(part, ast.comprehension) for name in ast.walk(part.target)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            while isinstance(node, (ast.Subscript, ast.Attribute)):
                node = node.value
            if isinstance(node, ast.Name) and id(node) not in inner:
                yield node.id


def _read(tree: ast.AST) -> set[str]:
    """The names that code reads, without those that its own loops go through and its functions are given."""
    nodes = list(ast.walk(tree))
    loops = (node.target for node in nodes if isinstance(node, (ast.For, ast.comprehension)))
    own = {name.id for target in loops for name in ast.walk(target) if isinstance(name, ast.Name)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)} - own
