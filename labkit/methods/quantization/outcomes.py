"""What notebook 12 leaves, for the page of the whole course."""

from pathlib import Path

from labkit.methods.outcomes import BITS, SEVERAL, Outcome, stored
from labkit.methods.quantization.compression import COMPRESSED
from labkit.methods.quantization.networks import RATIO, TRAINED
from labkit.methods.quantization.sharing import SHARED
from labkit.records import load_all

THINNER = f"{RATIO:.0%} of the channels cut"
FORMATS = {
    ("dense", "int8"): ("Integers", "8 bits, calibrated", BITS, False),
    ("thin", "int8"): ("Thin and integers", f"{THINNER} and fine-tuned, then 8 bits", SEVERAL, True),
    ("thin", "qat"): ("Thin and integers", f"{THINNER}, trained with 8 bits", SEVERAL, True),
}
"""What of the deployed files stands there, by network and format: method, setting, what was removed, and whether weights
were trained."""
SHARED_BITS = 4


def summary(folder: Path) -> list[Outcome]:
    """What the runs in one lab's folder show: the files that are deployed, the thin network with shared weights of four
    bits, and Deep Compression's last step; nothing as long as the dense network is not trained there."""
    runs, found = {run.name: run for run in load_all(folder)}, []
    dense = next((run for run in runs.values() if run.kind == TRAINED), None)
    if dense is None:
        return []
    network, before = dense.specification, dense.results["validation_accuracy"]

    def add(run, method: str, setting: str, removed: str, accuracy: float, **left) -> None:
        found.append(Outcome(method, setting, removed, "12_quantization", run, network, accuracy, before, **left))

    if "deployed" in runs:
        rows = {(row["network"], row["format"]): row for row in runs["deployed"].results["rows"]}
        whole = rows["dense", "float32"]
        for (name, format_), (method, setting, removed, trained) in FORMATS.items():
            if row := rows.get((name, format_)):
                left = {"bytes": row["bytes"] / whole["bytes"], "trained": trained}
                left["macs"] = row["macs"] / whole["macs"] if name == "thin" else None
                add(runs["deployed"], method, setting, removed, row["validation_accuracy"], **left)
    for run in runs.values():
        if run.kind == SHARED and run.config["parent"] == "thin" and run.results["bits"] == SHARED_BITS:
            left = {"bytes": sum(run.results["bytes"].values()) / stored(network), "macs": None}
            setting = f"{THINNER}, {2**SHARED_BITS} values a layer"
            add(run, "Shared weights", setting, SEVERAL, run.results["validation_accuracy"], **left)
        elif run.kind == COMPRESSED:
            last = run.results["steps"][-1]
            left = {"bytes": sum(last["bytes"].values()) / stored(network), "macs": None}
            setting = "channels cut, weights cut, shared and coded"
            add(run, "Deep Compression", setting, SEVERAL, last["accuracy"], **left)
    return found
