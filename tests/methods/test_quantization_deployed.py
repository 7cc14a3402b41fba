"""Files: they hold what torch computes, to the step; what is wrong with one is said with its values."""

import copy

import by_hand
import onnx
import pytest
import torch
from torch import nn
from workers import tiny_dataset, vgg

from labkit import data
from labkit.methods.quantization import deployed, deployment_drawings, deployment_studies, integer


@pytest.fixture(scope="module")
def network():
    return by_hand.network()


@pytest.fixture(scope="module")
def images():
    return next(data.batches(tiny_dataset().train, 64))[0]


@pytest.fixture(scope="module")
def graph(network):
    return integer.graph(network)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def float_file(network, folder):
    return deployed.export(network, folder / "float.onnx")


@pytest.fixture(scope="module")
def converted(graph, images):
    return integer.converted(integer.calibrated(integer.prepared(graph), images))


@pytest.fixture(scope="module")
def file(converted, folder):
    return deployed.export(converted, folder / "int8.onnx")


@pytest.mark.parametrize("count", [1, 64])
def test_a_float_file_gives_what_torch_gives(network, float_file, images, count):
    with torch.no_grad():
        expected = network(images[:count])
    assert (deployed.run(float_file, images[:count]) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("count", [1, 64])
def test_every_layer_of_integers_is_within_one_step_of_torch(converted, file, images, count, literal):
    steps = deployed.steps_apart(file, converted, images[:count], literal)
    assert list(steps) == ["1 Conv", "2 MaxPool", "3 Conv"]
    assert all(most <= 1 and share < 0.01 for most, share in steps.values())


@pytest.mark.parametrize("count", [1, 64])
def test_node_by_node_logits_are_torchs_up_to_a_rounding_that_flips(converted, file, images, count):
    with torch.no_grad():
        expected = converted(images[:count])
    assert (deployed.run(file, images[:count], literal=True) - expected).abs().median() < 1e-5


def test_steps_apart_finds_a_layer_that_computes_something_else(converted, graph, images, file):
    other = copy.deepcopy(graph)
    with torch.no_grad():
        other.get_parameter("features.conv2.weight").mul_(-1)
    other = integer.converted(integer.calibrated(integer.prepared(other), images))
    steps = deployed.steps_apart(file, other, images)
    assert steps["1 Conv"][0] <= 1 < steps["3 Conv"][0]


@pytest.mark.skipif(deployment_studies.processor()["vnni"] is not False, reason="needs a processor without VNNI")
def test_without_vnni_weights_of_eight_bits_saturate_and_of_seven_do_not(folder):
    network, images = nn.Conv2d(4, 4, 3), torch.ones(2, 3, 8, 8)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    network.size = 8
    for weight in network.parameters():
        nn.init.ones_(weight)  # every product is the largest there is
    most = {}
    for bits in (7, 8):
        integers = integer.converted(
            integer.calibrated(integer.prepared(integer.graph(network), weight_bits=bits), images)
        )
        path = deployed.export(integers, folder / f"{bits}.onnx")
        most[bits] = max(steps for steps, _ in deployed.steps_apart(path, integers, images).values())
    assert most[7] <= 1 < most[8]


def test_the_file_of_a_deeper_network_is_refused(converted, images, folder, refused):
    deeper = integer.converted(integer.calibrated(integer.prepared(integer.graph(vgg([6, 6], [7]).eval())), images))
    path = deployed.export(deeper, folder / "deeper.onnx")
    with refused("deeper.onnx", "5 times", "the network 4 times"):
        deployed.steps_apart(path, converted, images)


def test_a_file_is_described_by_what_it_holds(float_file, file, network):
    plain, rounded = deployed.described(float_file), deployed.described(file)
    weights = sum(p.numel() for name, p in network.named_parameters() if p.ndim > 1)
    assert plain["tensors"]["float"] >= 4 * weights and rounded["tensors"]["int8"] >= weights
    assert plain["bytes"] == float_file.stat().st_size and plain["opset"] == rounded["opset"]
    assert plain["operators"]["Conv"] == rounded["operators"]["Conv"] == 2
    assert rounded["operators"]["QuantizeLinear"] == 4 and "QuantizeLinear" not in plain["operators"]
    nodes = sum(rounded["operators"].values())
    assert rounded["bytes"] - sum(rounded["tensors"].values()) < 250 * nodes  # nothing but the graph


def test_nothing_is_left_beside_a_file(float_file, file, folder):
    assert {path.name for path in folder.iterdir()} >= {"float.onnx", "int8.onnx"}
    assert not [path for path in folder.iterdir() if path.suffix != ".onnx"]


def test_what_is_no_file_of_onnx_is_refused(file, folder, refused):
    for number, content in enumerate((b"", b"hello, this is text", file.read_bytes()[:500])):
        path = folder / f"broken{number}.onnx"
        path.write_bytes(content)
        for call in (deployed.described, deployed.opened, lambda path: list(deployment_drawings.layers(path))):
            with refused(path.name, "export the network again"):
                call(path)
    with refused("nowhere.onnx", "missing"):
        deployed.opened(folder / "nowhere.onnx")


def test_an_opset_that_the_runtime_does_not_know_is_refused_with_both_numbers(file, folder, refused):
    model = onnx.load(file)
    model.opset_import[0].version = 99
    onnx.save(model, folder / "future.onnx")
    with refused("future.onnx", "opset 99", "opsets up to 2", "newer onnxruntime"):
        deployed.opened(folder / "future.onnx")


class Singular(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x.flatten(1))


def test_an_operator_that_onnx_cannot_express_is_named(graph, folder, refused):
    with refused("aten._linalg_svd", "other layers"):
        deployed.export(Singular(), folder / "singular.onnx")
    dynamic = integer.converted(integer.prepared_for_dynamic(graph))
    with refused("quantized_decomposed.choose_qparams"):
        deployed.export(dynamic, folder / "dynamic.onnx")
    assert not (folder / "singular.onnx").exists() and not (folder / "dynamic.onnx").exists()


def test_networks_take_turns(images):
    turns = []
    runners = {name: lambda x, name=name: turns.append((name, len(x))) for name in "ab"}
    times = deployed.latencies(runners, images[:3], runs=2)
    assert turns == [("a", 3), ("b", 3)] * 5
    assert all(
        time.runs == 2 and time.batch == 3 and time.quartile1 <= time.median <= time.quartile3
        for time in times.values()
    )


def test_layers_of_a_file_in_order(float_file, file):
    assert list(deployment_drawings.layers(float_file)) == [
        (("Conv", "Relu"), False),
        (("MaxPool",), False),
        (("Conv", "Relu"), False),
        (("ReduceMean",), False),
        (("Gemm",), False),
    ]
    q, dq = deployed.QUANTIZE, deployed.DEQUANTIZE
    assert list(deployment_drawings.layers(file)) == [
        ((q,), False),
        ((dq, "Conv", "Relu", q), True),
        ((dq, "MaxPool", q), False),
        ((dq, "Conv", "Relu"), True),
        (("ReduceMean", q), False),
        ((dq, "Gemm"), True),
    ]


def test_drawings_can_be_read_aloud(float_file, file):
    both = deployment_drawings.onnx_graphs({"float32": float_file, "int8": file})
    assert [axis.get_title() for axis in both.axes] == ["float32", "int8"]
    assert "DequantizeLinear Conv Relu QuantizeLinear" in both.get_label()
    assert "64,770, kept as 32,767" in deployment_drawings.saturation().get_label()
    assert "32,130, kept as 32,130" in deployment_drawings.saturation().get_label()
    assert "then quantize, then dequantize, then convolution" in deployment_drawings.framework_path().get_label()


def test_the_most_numbers_in_memory_at_once(network):
    assert deployment_studies.largest_activations(network) == 6 * 32 * 32 + 3 * 32 * 32
