"""Call a student's function and say in plain values what it did.

The same in the student's kernel, at hand-in, and in the grading sandbox, where this file lies alone:
it imports nothing but torch and the standard library, and knows no expected value.

Arguments are plain data: a number, a list of arguments, ``{"float32": nested lists}`` for a tensor
(``"gradient": true`` beside it: one that gradients are asked for), ``{"dict": {name: argument}}`` for a
dictionary, ``{"BatchNorm2d": {name: values}}`` for a layer with that state (``"weight_mask"`` in it: one that
``torch.nn.utils.prune`` has put this mask on), ``{"Machine": {...}}`` for a ``Machine``, ``{"Falling": {...}}`` for a
``Falling`` function.
"""

import ast
import math

import torch
from torch import nn
from torch.nn.utils import prune

DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
LAYERS = {  # by kind, an empty layer for a weight
    "BatchNorm2d": lambda weight: nn.BatchNorm2d(len(weight)),
    "Linear": lambda weight: nn.Linear(weight.shape[1], weight.shape[0]),
    "Conv2d": lambda weight: nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=False),
}
MOST_NUMBERS, MOST_LETTERS, MOST_QUESTIONS = 4096, 300, 200
COPIED = "copied"
THREADS = 2  # of torch, when a function that is to time something begins
IMPORTS = """\
import math
import statistics
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune"""


def decode(argument):
    """The Python object that a piece of plain data stands for."""
    if isinstance(argument, list):
        return [decode(item) for item in argument]
    if not isinstance(argument, dict):
        return argument
    (kind, content), *options = argument.items()
    if kind in DTYPES:
        return torch.tensor(content, dtype=DTYPES[kind], requires_grad=bool(options))
    if kind == "dict":
        return {name: decode(item) for name, item in content.items()}
    if kind in FUNCTIONS:
        return FUNCTIONS[kind](**content)
    if kind not in LAYERS:
        known = ", ".join([*DTYPES, "dict", *LAYERS, *FUNCTIONS])
        raise ValueError(f"{kind!r} is no kind of argument: choose one of {known}")
    state = {name: torch.tensor(values) for name, values in content.items()}
    stays = state.pop("weight_mask", None)
    layer = LAYERS[kind](state["weight"])
    layer.load_state_dict(state, strict=False)
    if stays is not None:
        prune.custom_from_mask(layer, "weight", stays)
    return layer.eval()


class Machine:
    """A network on a machine whose time is written down beforehand, so that a measurement of it is the same every
    time: ``run()`` runs it once, ``clock()`` tells the seconds.

    ``milliseconds``: what the runs take, one after the other, the last ones again and again; three times as long
    unless torch computes with ``threads`` threads.
    """

    def __init__(self, milliseconds: list[float], threads: int):
        self._script, self._threads = list(milliseconds), threads
        self._runs, self._seconds = 0, 0.0

    def clock(self) -> float:
        return self._seconds

    def run(self) -> None:
        taken = self._script[min(self._runs, len(self._script) - 1)]
        self._runs += 1
        self._seconds += taken / 1000 * (1 if torch.get_num_threads() == self._threads else 3)


class Falling:
    """A function that falls in steps: ``costs[i]`` from ``steps[i]`` on, and ``costs[0]`` before. It may be asked
    ``MOST_QUESTIONS`` times, as something that takes long to compute."""

    def __init__(self, steps: list[float], costs: list[float]):
        self._steps, self._costs, self._asked = steps, costs, 0

    def __call__(self, x) -> float:
        self._asked += 1
        if self._asked > MOST_QUESTIONS:
            raise RuntimeError(f"cost was asked more than {MOST_QUESTIONS} times")
        return self._costs[max(0, sum(step <= x for step in self._steps) - 1)]


FUNCTIONS = {"Machine": Machine, "Falling": Falling}  # by kind, what stands for a function that a student's code calls


def observe_all(functions: dict, parts: dict) -> dict[str, list[dict]]:
    """By name, what each function does in each of its part's cases; ``parts`` holds ``watched`` and
    ``cases``, each with ``arguments``."""
    return {
        name: [observe(functions[name], case["arguments"], part["watched"]) for case in part["cases"]]
        for name, part in parts.items()
    }


def observe(function, arguments: list, watched: list[str]) -> dict:
    """What ``function`` did with the decoded ``arguments``, by aspect.

    For a function that returns something, ``values`` (its numbers, flat) and ``form`` (its type and
    shape, in words). For one that fills its first argument, a layer: the ``watched`` tensors'
    numbers and ``form``, ``"copied"`` if that is what happened to them. A function that raises:
    ``raised`` and ``message``. How many threads torch has afterwards is part of the form where a ``Machine`` is
    among the arguments.
    """
    objects = [decode(argument) for argument in arguments]
    found = torch.get_num_threads()
    try:
        return _filled(function, objects, watched) if watched else _returned(function, objects)
    except (Exception, SystemExit) as error:
        return _raised(error)
    finally:
        torch.set_num_threads(found)


def _returned(function, objects: list) -> dict:
    before, timed = _numbers(objects), any(isinstance(item, Machine) for item in objects)
    if timed:
        torch.set_num_threads(THREADS)
    result = function(*objects)
    _on_the_cpu(*_flat([result]))
    form = _form(result) + ("" if _numbers(objects) == before else ", its input changed")
    if timed and torch.get_num_threads() != THREADS:
        form += f", and torch is left with {torch.get_num_threads()} threads instead of {THREADS}"
    leaves = [item for item in _flat(objects) if isinstance(item, torch.Tensor) and item.requires_grad]
    if leaves and isinstance(result, torch.Tensor) and result.requires_grad:
        reached = torch.autograd.grad(result.sum(), leaves, allow_unused=True)
        form += ", gradients flow" if all(gradient is not None for gradient in reached) else ", its gradient is cut off"
    return {"values": _numbers(result), "form": form}


def _filled(function, objects: list, watched: list[str]) -> dict:
    target, source = objects[0], objects[1]
    originals = {name: getattr(target, name) for name in watched}
    forms = {name: _form(tensor) for name, tensor in originals.items()}
    values, everything, others = {n: _numbers(t) for n, t in originals.items()}, _numbers(target), _numbers(objects[1:])
    try:
        function(*objects)
    except NotImplementedError as error:
        if str(error) or everything == _numbers(target):
            raise
        return {"raised": "line left over", "message": ""}
    now = {name: getattr(target, name, None) for name in watched}
    _on_the_cpu(*now.values())
    numbers = {name: _numbers(tensor) for name, tensor in now.items()}
    if _numbers(objects[1:]) != others:
        form = "the layer that is copied from has changed"
    elif numbers == values:
        form = "untouched" if _numbers(target) == everything else "untouched, other tensors are filled"
    else:
        form = _copying(originals, forms, now, source)
    return numbers | {"form": form}


def _on_the_cpu(*results) -> None:
    for result in results:
        if isinstance(result, torch.Tensor) and result.device.type != "cpu":
            raise RuntimeError(f"the result is on the device {result.device.type.upper()}, the arguments on the CPU")


def _flat(objects) -> list:
    """What lists and dictionaries hold, in order."""
    lists = (list(item.values()) if isinstance(item, dict) else item for item in objects)
    return [inner for item in lists for inner in (_flat(item) if isinstance(item, list) else [item])]


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
        return [number for _, tensor in sorted(value.state_dict().items()) for number in _numbers(tensor)]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().flatten()[: MOST_NUMBERS + 1].tolist()
    elif isinstance(value, dict):
        value = [value[name] for name in sorted(value, key=str)]
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
        kind = "int64" if value.dtype == torch.int32 else str(value.dtype).removeprefix("torch.")
        return f"{kind} tensor of shape {tuple(value.shape)}"
    if isinstance(value, (bool, int, float)):
        return "a number"
    if isinstance(value, dict):
        return f"a dict with {', '.join(f'{n}: {_form(value[n])}' for n in sorted(value, key=str))}"[:MOST_LETTERS]
    if isinstance(value, nn.Module):
        state = sorted(value.state_dict().items())
        return f"a {type(value).__name__} with {', '.join(f'{n}: {_form(t)}' for n, t in state)}"[:MOST_LETTERS]
    if type(value).__name__ == "ndarray":
        return f"a NumPy array of shape {value.shape}"
    if isinstance(value, tuple) and all(isinstance(item, (int, float)) for item in value):  # as good as a list
        return "a list"
    if isinstance(value, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in value):
        return f"a tuple of {' and '.join(map(_form, value))}"[:MOST_LETTERS]
    return "nothing" if value is None else f"a {type(value).__name__}"[:60]


def _copying(originals: dict, forms: dict, now: dict, source: nn.Module) -> str:
    """How the watched tensors came by their values."""
    sources = {tensor.untyped_storage().data_ptr() for tensor in [*source.parameters(), *source.buffers()]}
    for name, original in originals.items():
        tensor, parameter = now[name], isinstance(original, nn.Parameter)
        if not isinstance(tensor, torch.Tensor):
            return f"{name} is no tensor any more"
        if tensor is getattr(source, name):
            return f"{name} is the same object in both layers"
        if tensor.untyped_storage().data_ptr() in sources:
            return f"{name} shares its memory with the layer that is copied from"
        if _form(tensor) != forms[name]:
            return f"{name} is a {_form(tensor)}, and was a {forms[name]}"
        if parameter and tensor is not original:
            return f"{name} is another object than before"
        if tensor.requires_grad != original.requires_grad:
            return f"{name} asks for a gradient, or does so no more"
    return COPIED


def functions_in(sources: list[str], names: list[str]) -> dict:
    """The top-level functions called ``names`` in a notebook's code cells, later cells first.

    Only they are executed, and what they use: imports, other functions and classes, assignments.
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
    """The names that a statement gives a meaning to."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
        case ast.FunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign() | ast.AnnAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        case ast.If() | ast.Try() | ast.With():
            return [name for inner in statement.body for name in _binds(inner)]
    return []


def _with_what_they_use(names: list[str], bound: dict) -> set[int]:
    needed, waiting = set(), list(names)
    while waiting:
        statement = bound.get(waiting.pop())
        if statement is not None and id(statement) not in needed:
            needed.add(id(statement))
            waiting += _uses(statement)
    return needed


def _uses(statement: ast.stmt) -> set[str]:
    """The names that a statement reads and does not give a meaning to itself, as a local or a parameter."""
    nodes = list(ast.walk(statement))
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    return read - own - {node.arg for node in nodes if isinstance(node, ast.arg)}


def _raiser(reason: BaseException):
    def raises(*_, **__):
        raise reason

    return raises
