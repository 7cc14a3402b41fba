"""Pictures of the framework's path, of 16 bits that saturate, and of what stands in an ONNX file."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from labkit.methods.quantization.deployed import DEQUANTIZE, QUANTIZE, loaded
from labkit.view.plots import COLOURS, bar_style, panels

# A box's kind: its face, its text. Dark enough apart for a greyscale print.
KINDS_OF_BOX = {
    "float32": ("white", "black"),
    "observer": (COLOURS[8], "black"),
    "quantize": (COLOURS[1], "black"),
    "dequantize": (COLOURS[9], "black"),
    "integer": (COLOURS[0], "white"),
}
# Each step of the path for one layer: what the data passes through, from top to bottom; what the weights pass through
# before they meet it at the convolution; and what computes then.
PATH = {
    "prepared: observers watch": (
        (("images", "float32"), ("observer: range", "observer"), ("convolution", "float32"), ("ReLU", "float32"),
         ("observer: range", "observer")),
        (("weights", "float32"), ("observer", "observer")),
        "computes in float32",
    ),
    "converted: ranges are fixed": (
        (("images", "float32"), ("quantize", "quantize"), ("dequantize", "dequantize"), ("convolution", "float32"),
         ("ReLU", "float32"), ("quantize", "quantize"), ("dequantize", "dequantize")),
        (("weights, int8", "integer"), ("dequantize", "dequantize")),
        "computes in float32, on rounded numbers",
    ),
    "lowered: integers multiply": (
        (("images", "float32"), ("quantize", "quantize"), ("convolution + ReLU", "integer"),
         ("dequantize", "dequantize")),
        (("weights, int8", "integer"),),
        "computes in integers",
    ),
}  # fmt: skip
MULTIPLYING = ("Conv", "Gemm", "MatMul")
HEAVY = (*MULTIPLYING, "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean")
SHORT = {QUANTIZE: "quantize", DEQUANTIZE: "dequantize"}
INT16 = 2**15 - 1


def framework_path() -> Figure:
    """One layer after each step of the framework's path."""
    said = "; ".join(
        f"{step}: {', then '.join(text for text, _ in data)}, weights through {', '.join(text for text, _ in weights)}"
        for step, (data, weights, _) in PATH.items()
    )
    figure, axes = panels(len(PATH), f"One layer in three states. {said}.", height=4.6, width=9.6)
    for axis, (step, (data, weights, computes)) in zip(axes, PATH.items()):
        tops = [7 * i / (len(data) - 1) for i in range(len(data))]
        for (text, kind), y in zip(data, tops):
            _box(axis, 2.3, y, text, kind)
        for above, below in zip(tops, tops[1:]):
            _arrow(axis, (2.3, above + 0.3), (2.3, below - 0.3))
        meeting = next(y for (text, _), y in zip(data, tops) if text.startswith("convolution"))
        places = [meeting - 1.1 * i for i in range(len(weights))][::-1]
        for (text, kind), y in zip(weights, places):
            _box(axis, 0.7, y, text, kind)
        for above, below in zip(places, places[1:]):
            _arrow(axis, (0.7, above + 0.3), (0.7, below - 0.3))
        _arrow(axis, (1.36, meeting), (1.64, meeting))
        axis.set(title=step, xlim=(0, 3), ylim=(7.5, -0.5), xticks=[], yticks=[], xlabel=computes)
        axis.grid(False)
        axis.spines[:].set_visible(False)
    axes[0].set_ylabel("data flows downwards")
    return figure


def _box(
    axis, x: float, y: float, text: str, kind: str, width: float = 1.3, height: float = 0.56, size: int = 9
) -> None:
    face, ink = KINDS_OF_BOX[kind]
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.06", fc=face, ec="0.3"
    )
    axis.add_patch(shape)
    axis.text(x, y, text, color=ink, ha="center", va="center", fontsize=size)


def _arrow(axis, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.3", "shrinkA": 0, "shrinkB": 0})


def saturation() -> Figure:
    """Two products of a byte and a weight, added in 16 bits, the first of the three instructions that int8 needs without
    VNNI: with 8 bits a weight the sum may not fit and saturates, with 7 bits it always fits."""
    cases = {"weights of 8 bits": (255, 127), "weights of 7 bits": (255, 63)}
    sums = {name: 2 * a * w for name, (a, w) in cases.items()}
    said = "; ".join(
        f"{name}: {a} × {w} + {a} × {w} = {sums[name]:,}, kept as {min(sums[name], INT16):,}"
        for name, (a, w) in cases.items()
    )
    figure, axes = panels(2, f"Two products added in 16 bits. {said}.", height=3.1, width=9, sharey=True)
    for axis, (name, (a, w)) in zip(axes, cases.items()):
        heights = (a * w, a * w, sums[name], min(sums[name], INT16))
        labels = (f"{a} × {w}", f"{a} × {w}", "their sum", "kept in\n16 bits")
        for i, (height, look) in enumerate(zip(heights, (0, 0, 1, 2))):
            axis.bar(i, height, **(bar_style(look) | {"hatch": ""}))
            axis.text(i, height - 900, f"{height:,}", ha="center", va="top", color="white", weight="bold")
        axis.axhline(INT16, color="black", ls="--", lw=1)
        axis.set(title=name, xlabel="activation × weight", ylim=(0, 70_000))
        axis.set_xticks(range(4), labels)
        axis.grid(False, axis="x")
    axes[0].set_ylabel("value")
    axes[1].text(-0.4, INT16 + 1500, f"dashed: {INT16:,}, the largest number in 16 bits", fontsize=9)
    return figure


def onnx_graphs(files: dict[str, Path]) -> Figure:
    """What stands in ONNX files, a panel each, a row a layer, in the order of the file. Rows of equal operators that
    follow each other are drawn once and counted. Raises ``LabError`` as ``deployed.loaded`` does."""
    graphs = {name: list(_folded(path)) for name, path in files.items()}
    said = "; ".join(
        f"{name}: {', then '.join((f'{count} times ' if count > 1 else '') + ' '.join(ops) for ops, _, count in rows)}"
        for name, rows in graphs.items()
    )
    tallest = max(map(len, graphs.values()))
    widest = [max(len(ops) for ops, _, _ in rows) for rows in graphs.values()]
    figure, axes = panels(
        len(files),
        f"The operators of ONNX files, a row a layer. {said}.",
        height=0.9 + 0.36 * tallest,
        width=1.2 + 1.25 * sum(max(2, count) for count in widest),
        gridspec_kw={"width_ratios": [max(2, count) for count in widest]},
    )
    for axis, (name, rows), width in zip(axes, graphs.items(), widest):
        for y, (ops, integers, count) in enumerate(rows):
            for x, op in enumerate(ops):
                kind = SHORT.get(op, "integer" if op in MULTIPLYING and integers else "float32")
                _box(axis, x, y, SHORT.get(op, op), kind, 0.92, 0.74, 8)
            if count > 1:
                axis.text(len(ops) - 0.4, y, f"× {count}", va="center", fontsize=9)
        axis.set(title=name, xlim=(-0.6, max(2, width) - 0.1), ylim=(tallest - 0.4, -0.6), xticks=[], yticks=[])
        axis.set_xlabel("dark: weights are int8" if any(row[1] for row in rows) else "white: float32")
        axis.grid(False)
        axis.spines[:].set_visible(False)
    axes[0].set_ylabel("layers, first on top")
    return figure


def layers(path: Path) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The operators of an ONNX file by layer, and whether the layer's weights are dequantized integers. Raises
    ``LabError`` as ``deployed.loaded`` does."""
    graph = loaded(path).graph
    constants = {tensor.name for tensor in graph.initializer}
    of_weights = {node.output[0] for node in graph.node if node.op_type == DEQUANTIZE and node.input[0] in constants}
    row, integers = [], False
    for node in graph.node:
        if node.output[0] in of_weights:
            continue
        done = row and (row[-1] == QUANTIZE or node.op_type in HEAVY and any(op in HEAVY for op in row))
        if done:
            yield tuple(row), integers
            row, integers = [], False
        row.append(node.op_type)
        integers |= any(name in of_weights for name in node.input)
    yield tuple(row), integers


def _folded(path: Path) -> Iterator[tuple[tuple[str, ...], bool, int]]:
    for (ops, integers), same in groupby(layers(path)):
        yield ops, integers, len(list(same))
