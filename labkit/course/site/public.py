"""What the public site shows of a notebook: the student edition's text and code, and of the outputs those that give no
graded answer away. Not in the student edition: it reads the answers.
"""

import ast
import re

import nbformat

from labkit.course.release import emptied

# How the ids of cells begin that hold a graded answer or bring one in: what is graded by hand, the open tasks of
# notebooks 04 and 10, a file (notebook 02's figure), records (notebook 08's policies).
ANSWERS = ("manual-", "04-21", "10-51", "05-07", "09-r5", "09-r6")
CUTS = "10-40"  # shows how a policy of notebook 08 cuts; what later cells say of it is what it reached, which is public
LEFT_OUT = "Left out on this page: it shows a graded answer.\n"


def published(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy as in the student edition, with outputs; in the place of those that are ``telling`` stands a line."""
    page, told = emptied(notebook), telling(notebook)
    for cell, complete in zip(page.cells, notebook.cells):
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = complete.execution_count, complete.outputs
            if complete.outputs and cell.id in told:
                cell.outputs = [nbformat.v4.new_output("stream", text=LEFT_OUT)]
    return page


def telling(notebook: nbformat.NotebookNode) -> set[str]:
    """The ids of the cells whose outputs may show a graded answer: those of ``ANSWERS``, ``CUTS``, and those that read a name
    which one of these leaves, or a name computed from it. Once a name is assigned anew, it says nothing any more.

    What a blank defines does not count: what a right function returns is no secret. Not followed are a loop's variable
    after the loop, and what a method or a function changes in its arguments.
    """
    found, answers = {cell.id for cell in notebook.cells if cell.id == CUTS}, set()
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        for statement in _statements(cell.source):
            if cell.id.startswith(ANSWERS) or answers & _read(statement):
                found.add(cell.id)
                answers |= _left(statement)
            elif isinstance(statement, ast.Assign):
                answers -= {name.id for target in statement.targets for name in _names(target, ast.Store)}
    return found


def _statements(source: str) -> list[ast.stmt]:
    """A cell's statements; of one that is not plain Python (a magic) its words, as if they were read."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        words = re.findall(r"[^\W\d]\w*", source)
        return [ast.Expr(ast.Name(word, ast.Load())) for word in words]


def _names(tree: ast.AST, use: type) -> list[ast.Name]:
    """The places where code reads (``ast.Load``) or binds (``ast.Store``) a name."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, use)]


def _loops(tree: ast.AST) -> list[ast.Name]:
    """The places where loops and comprehensions name what they go through."""
    targets = (node.target for node in ast.walk(tree) if isinstance(node, (ast.For, ast.comprehension)))
    return [name for target in targets for name in _names(target, ast.Store)]


def _read(tree: ast.AST) -> set[str]:
    """The names that code reads, without those that its own loops go through and its functions are given."""
    own = {name.id for name in _loops(tree)} | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return {name.id for name in _names(tree, ast.Load)} - own


def _left(tree: ast.AST) -> set[str]:
    """The names that code leaves for later: what it assigns, defines, or sets items or attributes of."""
    nodes, loops = list(ast.walk(tree)), set(map(id, _loops(tree)))
    defined = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    parts = [node for node in nodes if isinstance(node, (ast.Subscript, ast.Attribute))]
    changed = {name.id for part in parts if isinstance(part.ctx, ast.Store) for name in _names(part.value, ast.Load)}
    return defined | changed | {name.id for name in _names(tree, ast.Store) if id(name) not in loops}
