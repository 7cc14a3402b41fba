"""The file that leaves the course: ONNX, run by ONNX Runtime, which knows nothing of torch.

onnx, onnxruntime and torch's exporter are imported where they are used.
"""

import copy
import re
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter

from labkit import measure, models
from labkit.files import replacing
from labkit.measure import Latency
from labkit.methods.quantization.integer import image_size
from labkit.settings import LabError

Runner = Callable[[Tensor], Tensor]
"""Images float32 (N, 3, size, size) -> logits float32 (N, classes)."""

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def export(network: nn.Module | GraphModule, path: Path) -> Path:
    """Write a network, or a ``converted`` graph with its quantize and dequantize nodes, as ONNX: its weights inside,
    for any number of images, without what the exporter says of its own work (up to a quarter of a small file). Raises
    ``LabError`` that names an operator which ONNX cannot express."""
    import onnx

    if isinstance(network, GraphModule):
        size = image_size(network)
    else:
        size = models.image_size(network)
        network = copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format).eval()
    any_number = ({0: torch.export.Dim.DYNAMIC},)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Exporting a model while it is in training mode"
            )  # a graph's flag
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            program = torch.onnx.export(
                network,
                (torch.zeros(2, 3, size, size),),
                dynamo=True,
                external_data=False,
                dynamic_shapes=any_number,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        unknown = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(error))
        what = f"its operator {unknown[1]} has no counterpart" if unknown else str(error).splitlines()[0]
        raise LabError(f"The network cannot be written as ONNX: {what}. Build it of other layers.") from error
    with replacing(Path(path)) as temporary:
        onnx.save(_stripped(program.model_proto), temporary)
    return Path(path)


def _stripped(model):
    """An ONNX model without what no runtime reads: names of Python's functions, shapes that follow from the inputs."""
    graph = model.graph
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for node in graph.node:
        node.name = ""
    for rest in (graph.value_info, graph.metadata_props, model.metadata_props, model.functions):
        del rest[:]
    return model


def loaded(path: Path):
    """The ONNX model in ``path``; files that it points to are left alone. Raises ``LabError`` where there is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise LabError(f"{path} is missing: export the network again.") from None
    except DecodeError:
        model = onnx.ModelProto()
    if not (model.graph.node and model.opset_import):
        raise LabError(f"{path} is not an ONNX file: export the network again.")
    return model


def described(path: Path) -> dict:
    """What an ONNX file holds: its ``bytes`` on disk; its ``opset``; how many nodes there are of each of its
    ``operators``; the bytes of its ``tensors`` by type of number. Raises ``LabError`` as ``loaded`` does."""
    import onnx

    model, tensors = loaded(path), Counter()
    for tensor in model.graph.initializer:
        tensors[onnx.TensorProto.DataType.Name(tensor.data_type).lower()] += onnx.numpy_helper.to_array(tensor).nbytes
    return {
        "bytes": Path(path).stat().st_size,
        "opset": _opset(model),
        "operators": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "tensors": dict(tensors.most_common()),
    }


def _opset(model) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def opened(path: Path, literal: bool = False, threads: int = 1) -> Runner:
    """ONNX Runtime with the file in ``path``, on the CPU, with a fixed number of threads. ``literal`` leaves its
    optimizations out: every node is computed as it stands, layers between dequantize and quantize nodes in float32;
    with them such a layer becomes one integer kernel. Raises ``LabError`` where the file is no ONNX file, or of an
    opset that this ONNX Runtime does not know."""
    model = loaded(path)
    return _session(model, literal, threads, str(path))


def _session(model, literal: bool, threads: int, name: str) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3  # errors
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if literal else levels.ORT_ENABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        newest = re.search(r"till opset (\d+)", str(error))
        if newest:
            raise LabError(
                f"{name} is written in ONNX opset {_opset(model)}, and this ONNX Runtime knows opsets up to {newest[1]}: "
                "install a newer onnxruntime, or export the network again."
            ) from None
        raise LabError(f"ONNX Runtime does not take {name} ({str(error).splitlines()[0]}): export it again.") from error
    first = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {first: x.contiguous().numpy()})[0])


def run(path: Path, images: Tensor, literal: bool = False) -> Tensor:
    """What the file in ``path`` gives for images float32 (N, 3, size, size): logits float32 (N, classes). Raises
    ``LabError`` as ``opened`` does."""
    return opened(path, literal)(images)


def steps_apart(path: Path, network: GraphModule, images: Tensor, literal: bool = False) -> dict[str, list[float]]:
    """How far ONNX Runtime is from torch on ``images``, layer by layer **on equal inputs**, in quantization steps: by
    layer, the largest difference and the share of its outputs that differ at all. Each layer of the file in ``path``
    gets the integers that its layer in ``network``, the converted graph, got. For networks without branches. Raises
    ``LabError`` for the file of a network with another number of layers."""
    from onnx.shape_inference import infer_shapes
    from onnx.utils import Extractor

    model, seen = loaded(path), _integers(network, images)
    names = [node.output[0] for node in model.graph.node if node.op_type == QUANTIZE]
    if len(names) != len(seen):
        raise LabError(
            f"{path} quantizes {len(names)} times and the network {len(seen)} times: give the network that the file was "
            "exported from."
        )
    extractor, found = Extractor(infer_shapes(model)), {}
    for number, ((before, after), (given, wanted)) in enumerate(zip(pairwise(names), pairwise(seen)), 1):
        layer = extractor.extract_model([before], [after])
        steps = (_session(layer, literal, 1, str(path))(given).int() - wanted.int()).abs()
        ops = [node.op_type for node in layer.graph.node if node.op_type not in (QUANTIZE, DEQUANTIZE)]
        found[f"{number} {ops[0]}"] = [int(steps.max()), float((steps > 0).float().mean())]
    return found


def _integers(network: GraphModule, images: Tensor) -> list[Tensor]:
    """What every quantize node of a converted graph puts out for ``images``: uint8."""
    seen = []

    class Watching(Interpreter):
        def run_node(self, node):
            output = super().run_node(node)
            if "quantize_per_tensor" in str(node.target) and "dequantize" not in str(node.target):
                seen.append(output)
            return output

    with torch.no_grad():
        Watching(network).run(images.contiguous())
    return seen


def latencies(runners: dict[str, Runner], images: Tensor, runs: int = 30, threads: int = 1) -> dict[str, Latency]:
    """Inference time of each of ``runners`` on the same ``images``. They take turns, run by run, so that what else the
    machine does meets all of them alike."""
    return dict(zip(runners, measure.in_turns(runners.values(), images, runs, threads)))
