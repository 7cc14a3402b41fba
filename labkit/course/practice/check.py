"""What stands under each blank: ``check``, and ``ready`` for the cells that use it later.

Offline, from ``visible/``: arguments and expected values, no code. Your own function runs in
your own kernel; nothing here counts as a grade.
"""

import json
import math
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from labkit.course.practice import probe, variant
from labkit.course.practice.judge import EMPTY, Example, Verdict, compare, judge
from labkit.settings import LabError

VISIBLE = Path(__file__).with_name("visible")
WORDS = {"values": "value", "form": "type and shape"}
ROWS = {"Linear": "class", "Conv2d": "filter"}  # what a row of a layer's weight is
KERNEL = 2  # axes of a weight before those of a kernel


@cache
def visible(lab: str = "*") -> dict[str, dict]:
    """The material of every blank and exercise for the visible seed, by its name: of one lab, such as
    ``lab1``, or of all that are here."""
    files = sorted(VISIBLE.glob(f"{lab}.json"))
    return {name: material for file in files for name, material in json.loads(file.read_text(encoding="utf-8")).items()}


def verdict(name: str, functions: dict) -> Verdict:
    """The verdict on the visible cases of the blank ``name``; it counts those of its functions that are given."""
    material = visible()[name]
    parts = {function: part for function, part in material["functions"].items() if function in functions}
    return judge(material | {"functions": parts}, probe.observe_all(functions, parts))


def check(name: str, *functions) -> None:
    """Say whether the blank ``name`` is right; if not, the sentence for this mistake and the smallest
    counter-example. Raises ``LabError`` for a name that is no blank or a function that is not its."""
    if name not in visible():
        raise LabError(f"There is no blank {name!r}: choose one of {', '.join(visible())}.")
    wanted = visible()[name]["functions"]
    given = dict(zip(wanted, functions)) if len(functions) == len(wanted) else {}
    if not given or not all(map(callable, functions)):
        raise LabError(f"Give the blank's function itself: check({name!r}, {', '.join(wanted)}).")
    found = verdict(name, given)
    print(text(found))
    for fault in found.faults:
        if figure := picture(fault.example):
            from labkit.view import plots

            plots.show(figure)


def ready(*functions) -> bool:
    """Whether all ``functions`` are right on the visible cases; if not, say which blank a cell waits for. Raises
    ``LabError`` where what the cell would train had the seed of another class."""
    variant.refuse_left_over()
    blank_of = {function: name for name, material in visible().items() for function in material["functions"]}
    waiting = []
    for function in functions:
        if function.__name__ not in blank_of:
            raise LabError(f"{function.__name__} is the function of no blank.")
        found = verdict(blank_of[function.__name__], {function.__name__: function})
        if found.faults:
            title = _title(found)
            waiting.append(f"{title[0].lower()}{title[1:]} ({function.__name__})")
    if waiting:
        print(f"This cell waits for {', '.join(waiting)}; the notebook goes on without it.")
    return not waiting


def _title(found: Verdict) -> str:
    """``Blank 2``, ``Exercise A``"""
    return visible()[found.name]["title"].partition(" · ")[0]


def text(found: Verdict) -> str:
    """The verdict in words, counter-examples included."""
    title = _title(found)
    if found.right:
        return f"✓ {title}: right."
    if found.empty:
        return f"○ {title} is still empty. The notebook goes on without it; come back when you like."
    share = f" ({found.points:g} of {found.of:g} points so far)" if found.points else ""
    lines = []
    for fault in found.faults:
        lines.append(f"✗ {title}{share}: {fault.sentence}")
        if fault.example.got.get("raised") != EMPTY:
            lines.append(example_text(fault.example))
    return "\n".join(lines)


def example_text(example: Example) -> str:
    given = zip(example.parameters, example.arguments)
    call = ", ".join(f"{name}={_short(argument, example.expected)}" for name, argument in given)
    lines = [f"    {example.function}({call})"]
    if "raised" in example.got:
        return "\n".join([*lines, f"    {example.got.get('message', '')}".rstrip()])
    for aspect, well in compare(example.expected, example.got).items():
        expected, got = example.expected[aspect], example.got.get(aspect)
        if not well and expected != got:
            words = WORDS.get(aspect, aspect) if expected != probe.COPIED else "how it was filled"
            lines.append(f"    {words}: expected {_short(expected)}, got {_short(got)}")
    return "\n".join(lines)


def _short(value, tensors=(), depth: int = 0) -> str:
    """Plain data as a student would write it; of a layer, these ``tensors``, of a kernel its first weight."""
    if isinstance(value, dict):
        (kind, content), *_ = value.items()
        if not isinstance(content, dict):
            return f"tensor({_short(content)})"
        if kind == "dict":
            return f"{{{', '.join(f'{name!r}: {_short(item)}' for name, item in content.items())}}}"
        shown = (
            content if "form" in tensors and "values" in tensors else {k: v for k, v in content.items() if k in tensors}
        )
        return f"{kind}({', '.join(f'{k}={_short(v)}' for k, v in shown.items())})"
    if isinstance(value, list) and depth == KERNEL:
        return f"[[{_short(value[0][0])}, …]]"
    if isinstance(value, list):
        inner = (_short(item, depth=depth + 1) for item in value[:12])
        return f"[{', '.join(inner)}{', …' if len(value) > 12 else ''}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def picture(example: Example):
    """For a layer that was to be filled: the old layer with what is kept framed, what was expected, and
    what came (of a kernel its first weight); a figure, or None where words say it better."""
    from labkit.view import plots

    layers = [(kind, a[kind]) for a in example.arguments[1:] if isinstance(a, dict) for kind in ROWS if kind in a]
    got = example.got.get("weight")
    if not layers or "weight" not in example.expected or not got:
        return None
    kind, state = layers[0]
    old = np.array(state["weight"])
    *rows, columns = (argument["int64"] for argument in example.arguments[2:])
    rows = rows[0] if rows else list(range(len(old)))
    shape = (len(rows), len(columns), *old.shape[2:])
    if len(got) != math.prod(shape):
        return None
    matrices = {
        f"{'linear.weight' if kind == 'Linear' else 'conv.weight[:, :, 0, 0]'}, kept framed": old,
        "expected": np.array(example.expected["weight"]).reshape(shape),
        "yours": np.array(got, dtype=float).reshape(shape),
    }
    alt = f"The old weight, a {ROWS[kind]} a row, with what is kept framed; the expected thin weight; and yours."
    figure, axes = plots.panels(3, alt, height=2.2, width=7)
    limit = abs(old).max()
    for axis, (title, tensor) in zip(axes, matrices.items()):
        matrix = tensor.reshape(*tensor.shape[:2], -1)[..., 0]
        axis.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit)
        axis.set(title=title, xlabel="input channel", ylabel=ROWS[kind], xticks=range(matrix.shape[1]))
        axis.set_yticks(range(matrix.shape[0]))
        axis.grid(False)
        axis.title.set_fontsize(9)
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if abs(value) > limit / 2 else "black"
            axis.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8, color=colour)
    for axis in axes[1:]:
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
    for row, column in product(rows, columns):
        axes[0].add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2))
    return figure
