"""What records say of integers and of files, drawn and as tables."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter, StrMethodFormatter

from labkit.methods.quantization.deployment_studies import (
    CALIBRATED_ON,
    CALIBRATION,
    DEPLOYED,
    FORMATS,
    INTEGER,
    WAYS,
)
from labkit.records import Record, experiment_name, folders_with_runs, load_all
from labkit.settings import LabError
from labkit.view.plots import bar_style, panels, style
from labkit.view.tables import markdown, percent

LATENCIES = {"eager": "torch, as it stands", "lowered": "torch, integer kernels", "onnx": "ONNX Runtime"}


def calibration_ranges(study: Record, layer: str = "conv8") -> Figure:
    """Left: how often each value of one activation was seen, and where each calibration ends its range. Right: layer by
    layer, how long the range is (min-max) that a calibration on other images gives, in ranges that training images give.
    Raises ``LabError`` for a layer that the record does not have."""
    histograms, ranges = study.results["histograms"], study.results["ranges"]
    if layer not in histograms:
        raise LabError(f"The record has no activation {layer!r}: choose one of {', '.join(histograms)}.")
    seen = histograms[layer]
    calibrations = {name: found[layer] for name, found in ranges.items() if name not in CALIBRATED_ON}
    good = ranges["min-max"]
    long = {
        name: [(high - low) / (good[place][1] - good[place][0]) for place, (low, high) in ranges[name].items()]
        for name in CALIBRATED_ON
        if name != "training images"
    }
    alt = f"Left: the values of the activation behind {layer}, {seen['range'][0]:.2f} to {seen['range'][1]:.2f}; ranges end at "
    alt += ", ".join(f"{ends[1]:.2f} ({name})" for name, ends in calibrations.items()) + ". Right: as long as "
    alt += f"the ranges of training images, at {', '.join(good)}: "
    alt += "; ".join(f"{name} {', '.join(f'{times:.2f}' for times in found)}" for name, found in long.items()) + "."
    figure, (left, right) = panels(2, alt, height=3.4, width=10)
    edges = np.linspace(*seen["range"], len(seen["counts"]) + 1)
    left.stairs(np.maximum(seen["counts"], 0.5), edges, fill=True, color="0.75")
    for i, (name, (_, high)) in enumerate(calibrations.items()):
        left.axvline(high, label=name, lw=2, **(style(i) | {"marker": ""}))
    left.set(xlabel=f"value behind {layer}", ylabel="how often (log scale)", yscale="log", ylim=(0.5, None))
    left.legend(title="range ends at", fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(0.14, 1))
    right.axhline(1, color="black", ls="--", lw=1, label="training images")
    for i, (name, found) in enumerate(long.items(), 1):
        right.plot(range(len(good)), found, label=name, ms=5, **style(i))
    right.set(
        xlabel="images, then behind each layer", ylabel="length of the range\n(of training images: 1)", yscale="log"
    )
    right.yaxis.set_major_locator(LogLocator(2))
    right.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.minorticks_off()
    right.set_xticks(range(len(good)), good, rotation=45)
    right.legend(title="calibrated on", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, title_fontsize=8)
    return figure


def calibration_accuracy(study: Record) -> Figure:
    """Validation accuracy by what the calibration was given and how it chose the range, a panel for each number of bits
    an activation has; the dashed line is the network in float32."""
    rows, exact = study.results["rows"], study.results["float_accuracy"]
    bits = sorted({row["bits"] for row in rows}, reverse=True)
    shared = {row["calibration"] for row in rows if row["images"] != "training images"}
    calibrations = list(dict.fromkeys(row["calibration"] for row in rows if row["calibration"] in shared))
    found = {(row["images"], row["calibration"], row["bits"]): row["validation_accuracy"] for row in rows}
    said = "; ".join(f"{count} bits, {source}, {name}: {value:.1%}" for (source, name, count), value in found.items())
    figure, axes = panels(len(bits), f"Accuracy by calibration. {said}.", height=3.5, width=10, sharey=True)
    width = 0.8 / len(calibrations)
    for axis, count in zip(axes, bits):
        for i, name in enumerate(calibrations):
            heights = [found[source, name, count] for source in CALIBRATED_ON]
            places = np.arange(len(CALIBRATED_ON)) + width * (i - (len(calibrations) - 1) / 2)
            axis.bar(places, heights, width, label=name, **bar_style(i))
        axis.axhline(exact, color="black", ls="--", lw=1, label="float32")
        axis.set(title=f"activations of {count} bits", xlabel="calibrated on", ylim=(0, 1.02))
        axis.set_xticks(range(len(CALIBRATED_ON)), [name.replace(" ", "\n") for name in CALIBRATED_ON])
        axis.grid(False, axis="x")
    axes[0].set_ylabel("validation accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def calibration_table(study: Record) -> str:
    """Validation accuracy after calibrations on training images by bits."""
    rows = [row for row in study.results["rows"] if row["images"] == "training images"]
    bits = sorted({row["bits"] for row in rows}, reverse=True)
    found = {(row["calibration"], row["bits"]): row["validation_accuracy"] for row in rows}
    names = dict.fromkeys(row["calibration"] for row in rows)
    table = [[name, *(percent(found[name, count]) for count in bits)] for name in names]
    return markdown(["calibration", *(f"activations of {count} bits" for count in bits)], table)


def steps_figure(run: Record) -> Figure:
    """How far ONNX Runtime is from torch in quantization steps, layer by layer on equal inputs: the largest difference,
    with weights of 7 and of 8 bits in integers, and with every node computed as it stands."""
    steps = run.results["steps"]
    cases = {"8 bits, integers": ("8", "integers"), "7 bits, integers": ("7", "integers")}
    cases["7 bits, node by node"] = ("7", "literal")
    largest = {name: [most for most, _ in steps[bits][way].values()] for name, (bits, way) in cases.items()}
    names = list(steps["7"]["integers"])
    said = "; ".join(f"{name}: {', '.join(f'{most:g}' for most in found)}" for name, found in largest.items())
    figure, (axis,) = panels(1, f"Largest difference in steps, layer by layer. {said}.", height=3.4, width=9.4)
    for i, (name, found) in enumerate(largest.items()):
        axis.bar(np.arange(len(found)) + 0.28 * (i - 1), found, 0.28, label=name, **bar_style(i))
    axis.axhline(1, color="black", ls="--", lw=1, label="one step")
    axis.set(xlabel="layer", ylabel="largest difference\n(quantization steps)", yscale="symlog", ylim=(0, None))
    axis.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    axis.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=8)
    axis.grid(False, axis="x")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="weights of")
    return figure


def _label(row: dict) -> str:
    return f"{row['network']}, {FORMATS[row['format']]}"


def deployed_figure(run: Record) -> Figure:
    """What ships: bytes of each file with its accuracy, and latencies for the batches of the record, medians with their
    quartiles."""
    rows, batches = run.results["rows"], list(run.results["rows"][0]["latency_ms"])
    names = [_label(row) for row in rows]
    alt = "Files: " + "; ".join(
        f"{_label(row)} {row['bytes']:,} bytes, accuracy {row['validation_accuracy']:.1%}, "
        + ", ".join(
            f"batch {batch} {LATENCIES[way]} {time['median']:.2f} ms"
            for batch, times in row["latency_ms"].items()
            for way, time in times.items()
            if time
        )
        for row in rows
    )
    figure, axes = panels(1 + len(batches), f"{alt}.", height=3.6, width=11.5, sharey=True)
    places = np.arange(len(rows))
    axes[0].barh(places, [row["bytes"] / 1000 for row in rows], **bar_style(0))
    for y, row in enumerate(rows):
        axes[0].text(row["bytes"] / 1000, y, f" {percent(row['validation_accuracy'])}", va="center", fontsize=9)
    most = 1.25 * max(row["bytes"] for row in rows) / 1000
    axes[0].set(xlabel="file (kB) and accuracy", ylabel="network and format", xlim=(0, most))
    for axis, batch in zip(axes[1:], batches):
        for i, (way, label) in enumerate(LATENCIES.items()):
            times = {y: row["latency_ms"][batch][way] for y, row in enumerate(rows) if row["latency_ms"][batch][way]}
            if times:
                middles = [time["median"] for time in times.values()]
                ends = [[time["median"] - time["quartile1"] for time in times.values()]]
                ends.append([time["quartile3"] - time["median"] for time in times.values()])
                where = np.array(list(times)) + 0.27 * (i - 1)
                axis.barh(where, middles, 0.27, xerr=ends, label=label, error_kw={"lw": 1}, **bar_style(i))
        axis.set(xlabel=f"milliseconds for {batch} image{'s' if batch != '1' else ''}", xlim=(0, None))
    axes[0].set_yticks(places, names)
    axes[0].invert_yaxis()
    for axis in axes:
        axis.grid(False, axis="y")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _milliseconds(time: dict | None) -> str:
    return "–" if time is None else f"{time['median']:.2f} ({time['quartile1']:.2f}–{time['quartile3']:.2f})"


def deployed_table(run: Record) -> str:
    """The files: accuracy, size, how many times smaller than the first (dense, float32), and latencies in ms: median
    and quartiles; of those ways to compute that were timed for any file."""
    rows = run.results["rows"]
    batches = list(rows[0]["latency_ms"])
    ways = [way for way in LATENCIES if any(row["latency_ms"][batch][way] for row in rows for batch in batches)]
    header = ["network", "validation accuracy", "file (bytes)", "times smaller"]
    header += [f"{LATENCIES[way]}, batch {batch} (ms)" for batch in batches for way in ways]
    table = [
        [
            _label(row),
            percent(row["validation_accuracy"]),
            f"{row['bytes']:,}",
            f"{rows[0]['bytes'] / row['bytes']:.1f}",
        ]
        + [_milliseconds(row["latency_ms"][batch][way]) for batch in batches for way in ways]
        for row in rows
    ]
    return markdown(header, table)


def phone_table(run: Record) -> str:
    """What a phone would see of each file: its size, the operators that its runtime needs, in what it computes, the
    memory of the activations of one image, and the multiply-accumulates."""
    rows = run.results["rows"]
    header = ["network", "file (kB)", "operators needed", "multiplies", "activations (kB)", "MACs (millions)"]
    table = []
    for row in rows:
        integers = row["format"] != "float32"
        operators = ", ".join(row["operators"])
        size = row["activations"] * (1 if integers else 4) / 1000
        kind = "int8" if integers else "float32"
        table.append(
            [_label(row), f"{row['bytes'] / 1000:.0f}", operators, kind, f"{size:.0f}", f"{row['macs'] / 1e6:.1f}"]
        )
    return markdown(header, table)


def integer_table(runs: list[Record]) -> str:
    """Validation accuracy by way to quantize: float32 beside integers. A row a network."""
    runs = sorted(runs, key=lambda run: (run.config["parent"], list(WAYS).index(run.config["way"])))
    table = [
        [run.config["parent"], run.config["way"], f"{run.config['weight_bits']}"]
        + [percent(run.results["float_accuracy"]), percent(run.results["validation_accuracy"])]
        + [f"{run.results['nodes']['quantize']}"]
        for run in runs
    ]
    return markdown(["network", "way", "bits a weight", "float32", "integers", "quantize nodes"], table)


def vnni_said(run: Record) -> str:
    """What the processor of a record has for integers, in a sentence."""
    has, name = run.results["processor"]["vnni"], run.results["processor"]["capability"]
    if has is None:
        return f"torch does not say whether this processor ({name}) has VNNI."
    if has:
        return f"This processor ({name}) has VNNI: int8 needs one instruction where float32 needs four."
    return (
        f"This processor ({name}) has no VNNI: int8 needs three instructions where float32 needs four and VNNI would need "
        "one. The first multiplies bytes and adds pairs in 16 bits, the second adds those pairs in 32 bits, the third "
        "adds that to the sum."
    )


def deployment_figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in one experiment's folder allow, by file name."""
    drawn = {}
    for study in load_all(folder, CALIBRATION):
        drawn["quantization-calibration-ranges"] = calibration_ranges(study, _last(study))
        drawn["quantization-calibration-accuracy"] = calibration_accuracy(study)
    for run in load_all(folder, DEPLOYED):
        if run.results["steps"]:
            drawn["quantization-steps"] = steps_figure(run)
        drawn["quantization-deployed"] = deployed_figure(run)
    return drawn


def _last(study: Record) -> str:
    return list(study.results["histograms"])[-1]


def deployment_results(folder: Path) -> str:
    """The tables of all experiments in ``folder`` as one Markdown page."""
    pages = []
    for lab in folders_with_runs(folder):
        if runs := load_all(lab, INTEGER):
            pages.append(f"## {experiment_name(lab)}: integers by the framework\n\n{integer_table(runs)}")
        pages += [f"### Calibration\n\n{calibration_table(study)}" for study in load_all(lab, CALIBRATION)]
        for run in load_all(lab, DEPLOYED):
            pages.append(f"### What ships\n\n{deployed_table(run)}\n\n{phone_table(run)}\n\n{vnni_said(run)}")
    return "\n\n".join(pages) + "\n" if pages else ""
