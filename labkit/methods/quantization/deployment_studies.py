"""What is measured of integers and of files, as records: each way to quantize, what a calibration does, what ships."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from labkit import measure, models, records
from labkit.data import Dataset, batches
from labkit.methods import schemas
from labkit.methods.quantization import deployed, integer
from labkit.methods.quantization.integer import BITS, IMAGES, TUNE, WEIGHT_BITS, CalibrationRange
from labkit.methods.ratios.sensitivity import MADE_FROM, made_from
from labkit.methods.schemas import COUNT, SHARE, TEXT
from labkit.records import Record
from labkit.settings import LabError

INTEGER, CALIBRATION, DEPLOYED = "quantization-integer", "quantization-calibration", "quantization-deployed"
Percentile = Callable[[Tensor, float], tuple[float, float]]
"""Values float32 (n,) and a percentile -> the range from the (100 − percentile)th to it."""

WAYS = {  # to quantize: bits a weight
    **dict.fromkeys(("dynamic", "static", "static-min-max", "static-percentile", "qat"), WEIGHT_BITS),
    "static-low": 2,  # where training under quantization shows what it is for
    "qat-low": 2,
}
TRAINED_WAYS = ("qat", "qat-low")
PERCENTILE, PERCENTILES = 99.9, (99.0, 99.9, 99.99)
LOW_BITS = 4  # of activations: where a calibration shows
OUTLIER = 20.0  # of one pixel; all others are in -1..1
SHOWN_BINS = 60
CALIBRATED_ON = {  # what a calibration may be given, made of training images float32 (N, 3, h, w) in -1..1
    "training images": lambda x: x,
    "one image": lambda x: x[:1],
    "one outlier": lambda x: x.index_put((torch.zeros(1, dtype=int),) * 4, torch.tensor([OUTLIER])),
    "not normalised": lambda x: (x + 1) / 2,
    "noise": lambda x: 2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 1,
}
FORMATS = {"float32": "float32", "int8": "int8, calibrated", "qat": "int8, trained"}  # of files, as they are called
BATCHES, RUNS, THREADS = (1, 64), 30, 1
VNNI = ("avx512_vnni", "avx_vnni")  # servers have the first, laptops the second; either will do

RANGE = schemas.array(schemas.number(-1e6, 1e6), 2)
RANGES = schemas.by_name(RANGE, 300)
APART = schemas.by_name(schemas.array(schemas.number(0, 255), 2), 300)
TIMES = schemas.by_name(
    schemas.record({"eager": schemas.LATENCY, "lowered": schemas.or_null(schemas.LATENCY), "onnx": schemas.LATENCY}), 4
)
ROW = {
    "network": {"enum": ["dense", "thin"]},
    "format": {"enum": list(FORMATS)},
    "validation_accuracy": SHARE,
    "parameters": schemas.integer(1, 10**11),
    "macs": schemas.integer(1, 10**15),
    "activations": COUNT,
    "bytes": COUNT,
    "opset": COUNT,
    "operators": schemas.by_name(COUNT, 100),
    "tensors": schemas.by_name(COUNT, 20),
    "apart": schemas.by_name(schemas.number(0, 1e6), 4),
    "latency_ms": TIMES,
}
SETTINGS = {"bits": COUNT, "weight_bits": COUNT, "images": COUNT}
KINDS = {
    INTEGER: schemas.of_kind(
        INTEGER,
        MADE_FROM | SETTINGS | {"way": {"enum": list(WAYS)}, "recipe": schemas.or_null(schemas.RECIPE), "probe": RANGE},
        {
            "float_accuracy": SHARE,
            "validation_accuracy": SHARE,
            "nodes": schemas.by_name(COUNT, 2),
            "ranges": RANGES,
        },
    ),
    CALIBRATION: schemas.of_kind(
        CALIBRATION,
        MADE_FROM | SETTINGS | {"low_bits": COUNT, "probe": RANGE},
        {
            "float_accuracy": SHARE,
            "rows": schemas.array(
                schemas.record({"images": TEXT, "calibration": TEXT, "bits": COUNT, "validation_accuracy": SHARE}), 200
            ),
            "ranges": schemas.by_name(RANGES, 20),
            "histograms": schemas.by_name(
                schemas.record({"range": RANGE, "counts": schemas.array(COUNT, SHOWN_BINS)}), 300
            ),
        },
    ),
    DEPLOYED: schemas.of_kind(
        DEPLOYED,
        MADE_FROM
        | SETTINGS
        | {"dense": TEXT, "dense_config": TEXT, "qat_config": TEXT, "batches": schemas.array(COUNT, 4), "runs": COUNT}
        | {"threads": COUNT},
        {
            "processor": schemas.record({"capability": TEXT, "vnni": {"type": ["boolean", "null"]}}),
            "rows": schemas.array(schemas.record(ROW), 20),
            "steps": schemas.by_name(schemas.by_name(APART, 2), 2),
        },
    ),
}


def calibration_images(data: Dataset) -> Tensor:
    """The training images that calibrations see, float32 (``IMAGES``, 3, h, w), normalised."""
    return next(batches(data.train.to("cpu"), IMAGES))[0]


def quantized(
    of: GraphModule, way: str, data: Dataset, seed: int = 0, calibration_range: Percentile | None = None
) -> GraphModule:
    """A ``graph`` after one of ``WAYS``, ready to be converted. Raises ``LabError`` for another way, and for
    ``static-percentile`` without a function for the range."""
    weight_bits = _weight_bits(way)
    if way == "static-percentile" and calibration_range is None:
        raise LabError("static-percentile needs a calibration_range: pass the function that computes it.")
    if way == "dynamic":
        return integer.prepared_for_dynamic(of)
    if way in TRAINED_WAYS:
        return integer.tuned(integer.trainable(of, weight_bits=weight_bits), data.train, TUNE, seed)
    others = {"static-min-max": "min-max", "static-percentile": _at(PERCENTILE, calibration_range)}
    calibration = others.get(way, "histogram")
    return integer.calibrated(integer.prepared(of, calibration, weight_bits=weight_bits), calibration_images(data))


def _weight_bits(way: str) -> int:
    if way not in WAYS:
        raise LabError(f"There is no way {way!r} to quantize: choose one of {', '.join(WAYS)}.")
    return WAYS[way]


def _at(percentile: float, calibration_range: Percentile | None) -> CalibrationRange:
    return lambda values: calibration_range(values, percentile)


def _probe(calibration_range: Percentile | None) -> list[float]:
    """What tells records of different functions apart."""
    if calibration_range is None:
        return []
    values = torch.linspace(-1, 3, 1001).square()
    return [float(end) for end in calibration_range(values, PERCENTILE)]


def _settings() -> dict:
    return {"bits": BITS, "weight_bits": WEIGHT_BITS, "images": IMAGES}


def integer_run(
    run: Record, data: Dataset, way: str, folder: Path, calibration_range: Percentile | None = None
) -> Record:
    """A trained run quantized by one of ``WAYS``: its validation accuracy, as the converted graph computes it, and the
    ranges of its activations. Made once. One that was trained keeps its weights (``restored``). Raises ``LabError`` as
    ``quantized`` does."""
    probe = _probe(calibration_range) if way == "static-percentile" else []
    config = made_from(run, data) | _settings() | {"weight_bits": _weight_bits(way), "way": way, "probe": probe}
    config |= {"recipe": asdict(TUNE) if way in TRAINED_WAYS else None}

    def work() -> Record:
        observed = quantized(integer.graph(run.model()), way, data, run.config["seed"], calibration_range)
        network = integer.converted(observed)
        results = {
            "float_accuracy": integer.accuracy(run.model(), data.validation),
            "validation_accuracy": integer.accuracy(network, data.validation),
            "nodes": integer.quantize_nodes(network),
            "ranges": {} if way == "dynamic" else _listed(integer.ranges(observed)),
        }
        state = {name: value.clone() for name, value in observed.state_dict().items()}
        weights = state if way in TRAINED_WAYS else None
        return records.save(Record(INTEGER, config, run.network, results=results).with_folder(folder), weights)

    return records.run_once(folder, config, work, files=(records.WEIGHTS,) if way in TRAINED_WAYS else ())


def _listed(ranges: dict) -> dict:
    return {name: list(ends) for name, ends in ranges.items()}


def restored(qat: Record, of: GraphModule) -> GraphModule:
    """The network that a run of ``TRAINED_WAYS`` trained, ready to be converted; ``of`` is the graph it began with."""
    from torchao.quantization.pt2e import move_exported_model_to_eval

    network = integer.trainable(of, weight_bits=qat.config["weight_bits"])
    network.load_state_dict(qat.state())
    return move_exported_model_to_eval(network)


def calibration_run(run: Record, data: Dataset, folder: Path, calibration_range: Percentile) -> Record:
    """A trained run, quantized after calibrations of several kinds, on good and on bad images, with 8 and with
    ``LOW_BITS`` bits an activation: validation accuracies, the ranges that come of them, and what was observed of each
    activation. Made once."""
    config = made_from(run, data) | _settings() | {"low_bits": LOW_BITS, "probe": _probe(calibration_range)}
    of_percentile = {f"percentile {percentile:g}": _at(percentile, calibration_range) for percentile in PERCENTILES}
    everything = {name: name for name in ("min-max", "histogram")} | of_percentile
    usual = {name: everything[name] for name in ("min-max", "histogram", f"percentile {PERCENTILE:g}")}

    def work() -> Record:
        of, images = integer.graph(run.model()), calibration_images(data)
        rows, ranges = [], {}
        for source, make in CALIBRATED_ON.items():
            good = source == "training images"
            for name, calibration in (everything if good else usual).items():
                for bits in (BITS, LOW_BITS):
                    observed = integer.calibrated(integer.prepared(of, calibration, bits), make(images))
                    right = integer.accuracy(integer.converted(observed), data.validation)
                    rows.append({"images": source, "calibration": name, "bits": bits, "validation_accuracy": right})
                    if bits == BITS and (good or name == "min-max"):
                        ranges[name if good else source] = _listed(integer.ranges(observed))
        results = {"float_accuracy": integer.accuracy(run.model(), data.validation), "rows": rows, "ranges": ranges}
        results["histograms"] = _histograms(integer.calibrated(integer.prepared(of, _extremes), images))
        return records.save(Record(CALIBRATION, config, run.network, results=results).with_folder(folder))

    return records.run_once(folder, config, work)


def _extremes(values: Tensor) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _histograms(observed: GraphModule) -> dict:
    """By activation of a network calibrated with a function: the range of what was seen, and how often in
    ``SHOWN_BINS`` equal parts of it."""
    found = {}
    for name, node in integer.observers(observed).items():
        values = torch.cat(observed.get_submodule(node.target).values)
        ends = _extremes(values)
        counts = torch.histc(values, SHOWN_BINS, *ends)
        found[name] = {"range": list(ends), "counts": counts.long().tolist()}
    return found


def largest_activations(network: nn.Module) -> int:
    """The most numbers that stand in memory at once while ``network`` computes one image layer by layer: a layer's
    inputs and outputs."""
    most, size = 0, models.image_size(network)

    def see(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal most
        most = max(most, given[0].numel() + output.numel())

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d)]
    hooks = [layer.register_forward_hook(see) for layer in layers]
    with torch.inference_mode():
        network(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return most


def processor() -> dict:
    """What of this processor decides whether integers are fast: torch's name for its vector unit, and whether it has
    VNNI, which adds four products of bytes in 32 bits in one instruction (None: torch does not say)."""
    able = getattr(torch.cpu, "get_capabilities", dict)()  # not every torch has it
    either = [able.get(name) for name in VNNI]
    vnni = True if any(either) else None if None in either else False
    return {"capability": torch.backends.cpu.get_cpu_capability(), "vnni": vnni}


def deployed_run(dense: Record, thin: Record, qat: Record | None, data: Dataset, folder: Path) -> Record:
    """What ships: both runs as ONNX files in float32 and in int8; ``validation_accuracy`` and the latency in ONNX Runtime
    are the file's own. With ``qat``, the thin network as it was trained under quantization, this takes twice as long: its
    file as well, the times of torch's integer kernels, and how far ONNX Runtime is from torch, in quantization steps. The
    files stay in ``folder``. Made once."""
    config = made_from(thin, data) | {"dense": dense.name, "dense_config": records.identity(dense)} | _settings()
    config |= {
        "qat_config": records.identity(qat) if qat else "",
        "batches": list(BATCHES),
        "runs": RUNS,
        "threads": THREADS,
    }

    def work() -> Record:
        images = calibration_images(data)
        shipped = _shipped(dense, thin, qat, images, Path(folder))
        seen = next(batches(data.validation.to("cpu"), max(BATCHES)))[0]
        times = {str(count): _times(shipped, seen[:count], Path(folder), bool(qat)) for count in BATCHES}
        rows = []
        for name, (model, network) in shipped.items():
            path, (of, form) = file_of(Path(folder), name), name
            row = {"network": of, "format": form, "parameters": measure.parameters(model), "macs": measure.macs(model)}
            row |= {"activations": largest_activations(model), "apart": _apart(path, network, seen)}
            row["validation_accuracy"] = integer.accuracy(deployed.opened(path), data.validation)
            row["latency_ms"] = {count: ways[name] for count, ways in times.items()}
            rows.append(row | deployed.described(path))
        results = {"processor": processor(), "rows": rows, "steps": _steps(thin.model(), images, seen) if qat else {}}
        return records.save(Record(DEPLOYED, config, thin.network, results=results).with_folder(folder))

    return records.run_once(folder, config, work)


Name = tuple[str, str]
"""``dense`` or ``thin``, and one of ``FORMATS``."""


def file_of(folder: Path, name: Name) -> Path:
    """Where the deployed run in ``folder`` keeps a file."""
    return folder / f"{'-'.join(name)}.onnx"


def _shipped(
    dense: Record, thin: Record, qat: Record | None, images: Tensor, folder: Path
) -> dict[Name, tuple[nn.Module, nn.Module]]:
    """By name, what is written into ``folder``: the run's network, and the network or graph that the file holds."""
    shipped = {}
    for name, run in {"dense": dense, "thin": thin}.items():
        model = run.model()
        for weights in filter(torch.is_floating_point, model.state_dict().values()):
            measure.flush_subnormals(weights)
        of = integer.graph(model)
        forms = {"float32": model, "int8": integer.converted(integer.calibrated(integer.prepared(of), images))}
        if run is thin and qat:
            forms["qat"] = integer.converted(restored(qat, of))
        shipped |= {(name, form): (model, network) for form, network in forms.items()}
    for name, (_, network) in shipped.items():
        deployed.export(network, file_of(folder, name))
    return shipped


def _times(
    shipped: dict[Name, tuple[nn.Module, nn.Module]], images: Tensor, folder: Path, kernels: bool
) -> dict[Name, dict]:
    """Latencies of all that is shipped, in torch as it stands, in torch's integer ``kernels``, and in ONNX Runtime."""
    runners = {}
    for name, (_, network) in shipped.items():
        runners[name, "eager"] = network
        runners[name, "onnx"] = deployed.opened(file_of(folder, name))
        if kernels and name[1] != "float32" and integer.has_kernels():
            runners[name, "lowered"] = integer.lowered(network, len(images))
    times = deployed.latencies(runners, images, RUNS, THREADS)
    ways = ("eager", "lowered", "onnx")
    return {
        name: {way: times[name, way].to_dict() if (name, way) in times else None for way in ways} for name in shipped
    }


@torch.inference_mode()
def _apart(path: Path, network: nn.Module, images: Tensor) -> dict[str, float]:
    """The largest difference of a logit between ONNX Runtime and torch by batch size."""
    return {
        str(count): float((deployed.run(path, images[:count]) - network(images[:count])).abs().max())
        for count in BATCHES
    }


def _steps(model: nn.Module, images: Tensor, seen: Tensor) -> dict:
    """``deployed.steps_apart`` with 7 and with 8 bits a weight, each layer in integers and in float32."""
    of, found = integer.graph(model), {}
    with TemporaryDirectory() as place:
        for bits in (WEIGHT_BITS, BITS):
            observed = integer.calibrated(integer.prepared(of, weight_bits=bits), images)
            network = integer.converted(observed)
            path = deployed.export(network, Path(place) / "network.onnx")
            ways = {"integers": False, "literal": True}
            found[str(bits)] = {
                way: deployed.steps_apart(path, network, seen, literal) for way, literal in ways.items()
            }
    return found
