"""Call a student's function and say in plain values what it did.

The same in the student's kernel, at hand-in, and in the grading sandbox (``labkit.course.inmate``):
it imports nothing but torch and the standard library, and knows no expected value.

Arguments are plain data: a number, a list of arguments, ``{"float32": nested lists}`` for a tensor
(``"gradient": true`` beside it: one that gradients are asked for), ``{"BatchNorm2d": {name:
values}}`` for a layer with that state.
"""

import ast
import math

import torch
from torch import nn

DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
MOST_NUMBERS, MOST_LETTERS = 4096, 300
COPIED = "copied"
IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\nimport numpy as np"


def decode(argument):
    """The Python object that a piece of plain data stands for."""
    if isinstance(argument, list):
        return [decode(item) for item in argument]
    if not isinstance(argument, dict):
        return argument
    (kind, content), *options = argument.items()
    if kind in DTYPES:
        return torch.tensor(content, dtype=DTYPES[kind], requires_grad=bool(options))
    state = {name: torch.tensor(values) for name, values in content.items()}
    rows, *columns = state["weight"].shape
    layer = nn.BatchNorm2d(rows) if kind == "BatchNorm2d" else nn.Linear(columns[0], rows)
    layer.load_state_dict(state, strict=False)
    return layer.eval()


def observe(function, arguments: list, watched: list[str]) -> dict:
    """What ``function`` did with the decoded ``arguments``, by aspect.

    For a function that returns something, ``values`` (its numbers, flat) and ``form`` (its type and
    shape, in words). For one that fills its first argument, a layer: the ``watched`` tensors'
    numbers and ``form``, ``"copied"`` if that is what happened to them. A function that raises:
    ``raised`` and ``message``.
    """
    objects = [decode(argument) for argument in arguments]
    try:
        return _filled(function, objects, watched) if watched else _returned(function, objects)
    except (Exception, SystemExit) as error:
        return _raised(error)


def _returned(function, objects: list) -> dict:
    before = _numbers(objects)
    result = function(*objects)
    changed = "" if _numbers(objects) == before else ", its input changed"
    return {"values": _numbers(result), "form": _form(result) + changed}


def _filled(function, objects: list, watched: list[str]) -> dict:
    target, source = objects[0], objects[1]
    originals = {name: getattr(target, name) for name in watched}
    values, everything, others = (
        {n: _numbers(t) for n, t in originals.items()},
        _numbers(target),
        _numbers(objects[1:]),
    )
    function(*objects)
    now = {name: _numbers(getattr(target, name, None)) for name in watched}
    if _numbers(objects[1:]) != others:
        form = "the layer that is copied from has changed"
    elif now == values:
        form = "untouched" if _numbers(target) == everything else "untouched, other tensors are filled"
    else:
        form = _copying(target, originals, source)
    return now | {"form": form}


def _raised(error: BaseException) -> dict:
    try:
        message = str(error)[:MOST_LETTERS]
    except Exception:
        message = ""
    name = "no CUDA device" if "CUDA" in message or "NVIDIA" in message else type(error).__name__[:60]
    if name == "NotImplementedError" and message:  # torch's own: only a bare one marks an empty blank
        name = "RuntimeError"
    return {"raised": name, "message": message}


def _numbers(value) -> list:
    """All numbers in ``value``, in order; those that JSON has no sign for as words."""
    if isinstance(value, nn.Module):
        return [number for tensor in value.state_dict().values() for number in _numbers(tensor)]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().flatten()[: MOST_NUMBERS + 1].tolist()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        flat = []
        for item in value[: MOST_NUMBERS + 1]:
            flat += _numbers(item)
            if len(flat) > MOST_NUMBERS:
                raise ValueError(f"more than {MOST_NUMBERS} numbers came back")
        return flat
    if isinstance(value, (bool, int, float)):
        return [float(value) if math.isfinite(value) else str(float(value))]
    return []


def _form(value) -> str:
    if isinstance(value, torch.Tensor):
        kind = "float" if value.is_floating_point() else "bool" if value.dtype == torch.bool else "int"
        where = "" if value.device.type == "cpu" else f" on {value.device.type}"
        flows = ", gradients flow" if value.requires_grad else ""
        return f"{kind} tensor of shape {tuple(value.shape)}{where}{flows}"
    if isinstance(value, (bool, int, float)):
        return "a number"
    if type(value).__name__ == "ndarray":
        return f"a NumPy array of shape {value.shape}"
    return "nothing" if value is None else f"a {type(value).__name__}"[:60]


def _copying(target: nn.Module, originals: dict, source: nn.Module) -> str:
    """How the watched tensors of ``target`` came by their values."""
    sources = {tensor.untyped_storage().data_ptr() for tensor in [*source.parameters(), *source.buffers()]}
    for name, original in originals.items():
        now = getattr(target, name)
        if not isinstance(now, torch.Tensor):
            return f"{name} is no tensor any more"
        if now is getattr(source, name):
            return f"{name} is the same object in both layers"
        if now.untyped_storage().data_ptr() in sources:
            return f"{name} shares its memory with the layer that is copied from"
        if isinstance(original, nn.Parameter) and now is not original:
            return f"{name} is another object than before"
        if isinstance(original, nn.Parameter) and not now.requires_grad:
            return f"{name} asks for no gradient any more"
        if now.device.type != "cpu":
            return f"{name} is on {now.device.type}"
    return COPIED


def functions_in(sources: list[str], names: list[str]) -> dict:
    """The top-level functions called ``names`` in a notebook's code cells, later cells first.

    Only they are executed, and what they use: imports, other functions and classes, and constants.
    A name that is not defined, or does not parse, becomes a function that raises the reason.
    """
    bound, problems = {}, []
    for source in [IMPORTS, *sources]:
        try:
            statements = ast.parse(_without_magics(source)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problems.append((source, error))
            continue
        bound |= {name: statement for statement in statements for name in _binds(statement)}

    needed, namespace = _with_what_they_use(names, bound), {"__name__": "blank"}
    order = {id(statement): statement for statement in bound.values()}
    for statement in sorted(order.values(), key=lambda s: not isinstance(s, (ast.Import, ast.ImportFrom))):
        if id(statement) in needed:
            try:
                exec(compile(ast.Module([statement], []), "<blank>", "exec"), namespace)
            except (Exception, SystemExit) as error:
                problems.append((ast.unparse(statement), error))
    found = {}
    for name in names:
        reason = next((error for source, error in problems if name in source), NameError(f"{name} is not defined"))
        found[name] = namespace[name] if callable(namespace.get(name)) else _raiser(reason)
    return found


def _without_magics(source: str) -> str:
    return "\n".join("pass" if line.startswith(("%", "!", "?")) else line for line in source.splitlines())


def _binds(statement: ast.stmt) -> list[str]:
    """The names that a statement worth executing gives a meaning to."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
        case ast.FunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if not _calls(value) or isinstance(value, ast.Lambda):
            return [name]
    return []


def _calls(value: ast.expr) -> bool:
    return any(isinstance(node, (ast.Call, ast.Await, ast.Subscript, ast.Attribute)) for node in ast.walk(value))


def _with_what_they_use(names: list[str], bound: dict) -> set[int]:
    needed, waiting = set(), list(names)
    while waiting:
        statement = bound.get(waiting.pop())
        if statement is not None and id(statement) not in needed:
            needed.add(id(statement))
            waiting += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return needed


def _raiser(reason: BaseException):
    def raises(*_, **__):
        raise reason

    return raises
