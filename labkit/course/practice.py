"""What stands under each blank: ``check``, and ``ready`` for the cells that use it later.

Offline, from ``visible.json``: arguments and expected values, no code. Your own function runs in
your own kernel; nothing here counts as a grade.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from labkit.course import probe
from labkit.course.judge import Example, Verdict, judge
from labkit.settings import LabError


@cache
def visible() -> dict[str, dict]:
    """The material of every blank for the visible seed."""
    return json.loads(Path(__file__).with_name("visible.json").read_text(encoding="utf-8"))


def verdict(name: str, functions: dict) -> Verdict:
    """The verdict on the blank ``name`` for ``functions`` by name, on the visible cases."""
    material = visible()[name]
    observed = {
        function: [probe.observe(functions[function], case["arguments"], part["watched"]) for case in part["cases"]]
        for function, part in material["functions"].items()
        if function in functions
    }
    return judge(material, observed)


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
    for example in found.examples:
        if figure := picture(example):
            from labkit import plots

            plots.show(figure)


def ready(*functions) -> bool:
    """Whether all ``functions`` are right on the visible cases; if not, say which blank a cell waits for."""
    waiting = []
    for function in functions:
        name, material = next(
            (item for item in visible().items() if function.__name__ in item[1]["functions"]), (None, None)
        )
        if name is None:
            raise LabError(f"{function.__name__} is the function of no blank.")
        alone = material | {"functions": {function.__name__: material["functions"][function.__name__]}}
        part = alone["functions"][function.__name__]
        seen = [probe.observe(function, case["arguments"], part["watched"]) for case in part["cases"]]
        if not judge(alone, {function.__name__: seen}).right:
            waiting.append(f"{material['title'].partition(' · ')[0].lower()} ({function.__name__})")
    if waiting:
        print(f"This cell waits for {', '.join(waiting)}; the notebook goes on without it.")
    return not waiting


def text(found: Verdict) -> str:
    """The verdict in words, counter-examples included."""
    title = visible()[found.name]["title"].partition(" · ")[0]
    if found.right:
        return f"✓ {title}: right."
    if found.empty:
        return f"○ {title} is still empty. The notebook goes on without it; come back when you like."
    share = f" ({found.points:g} of {found.of:g} points so far)" if found.points else ""
    lines = [f"✗ {title}{share}: {sentence}" for sentence in found.sentences]
    for line, example in zip(list(lines), found.examples):
        if example.got.get("raised") != "NotImplementedError":
            lines.insert(lines.index(line) + 1, example_text(example))
    return "\n".join(lines)


def example_text(example: Example) -> str:
    call = ", ".join(f"{name}={_short(argument)}" for name, argument in zip(example.parameters, example.arguments))
    lines = [f"    {example.function}({call})"]
    if "raised" in example.got:
        return "\n".join([*lines, f"    stops with {example.got['raised']}: {example.got.get('message', '')}"])
    for aspect, expected in example.expected.items():
        got = example.got.get(aspect)
        if aspect == "form" and got == expected:
            continue
        lines.append(f"    {aspect:12s} expected {_short(expected)}, got {_short(got)}")
    return "\n".join(lines)


def _short(value) -> str:
    """Plain data as a student would write it."""
    if isinstance(value, dict):
        (kind, content), *_ = value.items()
        inside = ", ".join(f"{k}={_short(v)}" for k, v in content.items()) if isinstance(content, dict) else None
        return f"{kind}({inside})" if inside else f"tensor({_short(content)})"
    if isinstance(value, list):
        shown = ", ".join(map(_short, value[:12])) + (", …" if len(value) > 12 else "")
        return f"[{shown}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def picture(example: Example):
    """For a layer that was to be filled: the old layer with the kept channels framed, what was
    expected, and what came; a figure, or None where words say it better."""
    from labkit import plots

    source = next((a for a in example.arguments[1:] if isinstance(a, dict) and "Linear" in a), None)
    got = example.got.get("weight")
    if source is None or "weight" not in example.expected or not got:
        return None
    old = np.array(source["Linear"]["weight"])
    kept = example.arguments[2]["int64"]
    shape = (len(old), len(kept))
    if len(got) != shape[0] * shape[1]:
        return None
    matrices = {
        "linear.weight, kept columns framed": old,
        "expected": np.array(example.expected["weight"]).reshape(shape),
        "yours": np.array(got, dtype=float).reshape(shape),
    }
    alt = "The linear layer's weight with its kept columns framed, the expected thin weight, and yours."
    figure, axes = plots.panels(3, alt, height=2.2, width=7)
    limit = abs(old).max()
    for axis, (title, matrix) in zip(axes, matrices.items()):
        axis.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit)
        axis.set(title=title, xlabel="input channel", ylabel="class", xticks=range(matrix.shape[1]))
        axis.set_yticks(range(matrix.shape[0]))
        axis.grid(False)
        axis.title.set_fontsize(9)
        for (row, column), value in np.ndenumerate(matrix):
            axis.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8)
    axes[1].set_xticks(range(len(kept)), kept)
    axes[2].set_xticks(range(len(kept)), kept)
    for column in kept:
        axes[0].add_patch(Rectangle((column - 0.5, -0.5), 1, len(old), fill=False, edgecolor="black", linewidth=2))
    return figure
