"""The framework's path: what it stores is what was asked for, and every wrong turn is named."""

import copy
import subprocess
import sys

import by_hand
import pytest
import torch
from torch import nn
from workers import tiny_dataset

from labkit import data
from labkit.methods.quantization import integer
from labkit.settings import Recipe


@pytest.fixture(scope="module")
def network():
    return by_hand.network()


@pytest.fixture(scope="module")
def graph(network):
    return integer.graph(network)


@pytest.fixture(scope="module")
def images():
    return next(data.batches(tiny_dataset().train, 70))[0]


@pytest.fixture(scope="module")
def observed(graph, images):
    return integer.calibrated(integer.prepared(graph, "min-max"), images)


@pytest.fixture(scope="module")
def converted(observed):
    return integer.converted(observed)


def quantized_weights(network) -> list[torch.Tensor]:
    return [value for value in network.state_dict().values() if value.dtype == torch.int8]


@pytest.mark.parametrize("count", [1, 2, 5, 70])
def test_a_graph_takes_any_number_of_images_and_gives_what_the_network_gives(network, graph, images, count):
    with torch.no_grad():
        torch.testing.assert_close(graph(images[:count]), network(images[:count]))


def test_the_graph_is_made_of_a_copy_without_batch_normalization(network, graph):
    assert not any(parameter is other for parameter in network.parameters() for other in graph.parameters())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any("norm" in str(node.target) for node in graph.graph.nodes)


def test_quantized_logits_are_near_but_not_equal(network, converted, images):
    with torch.no_grad():
        exact, rounded = network(images), converted(images)
    assert 0 < (exact - rounded).abs().max() < 0.1 * exact.abs().max()


def test_a_layer_is_quantized_where_the_path_says(converted):
    # the image, the first layer, its pool and the mean of the second; and the weights of three layers
    assert integer.quantize_nodes(converted) == {"quantize": 4, "dequantize": 7}


@pytest.mark.parametrize("bits", [8, 7, 4])
def test_weights_have_the_bits_asked_for(graph, images, bits):
    network = integer.converted(integer.calibrated(integer.prepared(graph, weight_bits=bits), images))
    weights = quantized_weights(network)
    half = 2 ** (bits - 1)
    assert [len(weight) for weight in weights] == [6, 7, 10]
    assert all(-half <= weight.min() and weight.max() <= half - 1 for weight in weights)
    assert all(int(filters.int().abs().max()) >= half - 1 for weight in weights for filters in weight)  # none wasted


@pytest.mark.parametrize("bits", [8, 3])
def test_activations_have_the_bits_asked_for(graph, images, bits):
    network, seen = integer.converted(integer.calibrated(integer.prepared(graph, bits=bits), images)), []

    class Watching(torch.fx.Interpreter):
        def run_node(self, node):
            output = super().run_node(node)
            if "quantize_per_tensor" in str(node.target) and output.dtype == torch.uint8:
                seen.append(output)
            return output

    with torch.no_grad():
        Watching(network).run(images)
    assert len(seen) >= 4 and max(int(values.max()) for values in seen) == 2**bits - 1


def test_two_products_of_seven_bits_fit_into_sixteen_and_of_eight_do_not():
    largest, half = 255, 2 ** (integer.WEIGHT_BITS - 1)
    assert 2 * largest * (half - 1) <= 2**15 - 1 and -2 * largest * half >= -(2**15)
    assert 2 * largest * 127 > 2**15 - 1


def test_min_max_covers_what_was_seen(observed, images):
    found = integer.ranges(observed)
    assert list(found) == ["image", "conv1", "conv2"]
    low, high = found["image"]
    step = (high - low) / 255
    assert abs(low - images.min()) <= step and abs(high - images.max()) <= step
    assert all(abs(found[name][0]) < 1e-6 for name in ("conv1", "conv2"))  # behind a ReLU


def test_a_function_gets_the_values_and_its_range_is_kept(graph, images):
    seen = []

    def upper_half(values):
        seen.append(values)
        return 0.0, float(values.max()) / 2

    found = integer.ranges(integer.calibrated(integer.prepared(graph, upper_half), images))
    assert all(values.ndim == 1 and values.dtype == torch.float32 for values in seen)
    largest = max(float(values.max()) for values in seen if len(values) == images.numel())
    assert found["image"][1] == pytest.approx(largest / 2, rel=0.01)


def test_an_observer_of_ours_keeps_a_share_of_large_batches_from_all_over_them(monkeypatch):
    monkeypatch.setattr(integer, "OBSERVED", 10)
    observer = integer.range_observer(lambda values: (0, 1))(dtype=torch.uint8, quant_min=0, quant_max=255)
    observer(torch.arange(95.0).view(5, 19))
    assert observer.values[0].tolist() == list(range(0, 95, 10))


def test_dynamic_covers_the_linear_layer_alone(graph, network, images):
    dynamic = integer.converted(integer.prepared_for_dynamic(graph))
    assert integer.quantize_nodes(dynamic) == {"quantize": 1, "dequantize": 2}
    assert [len(weight) for weight in quantized_weights(dynamic)] == [10]
    with torch.no_grad():
        assert (dynamic(images) - network(images)).abs().max() < 0.05


@pytest.fixture(scope="module")
def trainings(graph):
    """Before, and after the seeds 0, 0 and 1."""
    images, recipe = tiny_dataset().train[:60], Recipe(1, 20, 0.01, schedule="linear")
    begin = integer.trainable(graph)
    return [begin, *(integer.tuned(copy.deepcopy(begin), images, recipe, seed) for seed in (0, 0, 1))]


def test_training_under_quantization_follows_from_its_seed_and_changes_the_weights(trainings):
    begin, first, again, other = (network.state_dict() for network in trainings)
    weights = next(name for name in first if name.endswith("conv1.weight"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[weights], other[weights]) and not torch.equal(first[weights], begin[weights])


def test_training_under_quantization_ends_in_integers_of_the_same_bits(trainings):
    weights = quantized_weights(integer.converted(trainings[1]))
    assert len(weights) == 3 and all(-64 <= weight.min() and weight.max() <= 63 for weight in weights)
    assert list(integer.ranges(trainings[1]))[:2] == ["image", "conv1"]


def test_what_was_trained_is_what_is_converted_and_every_parameter_was_trained(graph, images):
    network = integer.tuned(integer.trainable(graph, weight_bits=2), tiny_dataset().train[:60])
    converted = integer.converted(network)
    for module in network.modules():
        if hasattr(module, "disable_observer"):
            module.disable_observer()
    with torch.no_grad():
        torch.testing.assert_close(network(images), converted(images))
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.skipif(not integer.has_kernels(), reason="torch has no integer kernels for this processor")
def test_integer_kernels_give_what_the_graph_gives_and_take_one_batch_size(converted, images):
    kernels = integer.lowered(converted, 4)
    with torch.no_grad():
        expected, found = converted(images[:4]), kernels(images[:4])
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()
    assert any("qconv" in str(node.target) for node in kernels.graph.nodes)


def test_without_images_there_is_no_range(graph, images, refused):
    with refused("no images", "training images"):
        integer.calibrated(integer.prepared(graph), images[:0])
    for calibration in ("histogram", "min-max", lambda values: (0, 1)):
        with refused("no images", "training images"):
            integer.converted(integer.prepared(graph, calibration))


def test_what_cannot_be_quantized_is_refused(graph, converted, refused, monkeypatch):
    with refused("'average'", "histogram, min-max"):
        integer.prepared(graph, "average")
    for bits in (1, 9, 2.5):
        with refused(f"{bits!r} bits", "2 to 8"):
            integer.prepared(graph, bits=bits)
        with refused(f"{bits!r} bits", "2 to 8"):
            integer.prepared(graph, weight_bits=bits)
    with refused("recognised none", "graph()"):
        integer.converted(integer.calibrated(integer.prepared(integer.graph(nn.Sigmoid())), torch.zeros(1, 3, 32, 32)))
    monkeypatch.setattr(integer, "ENGINE", "abacus")
    with refused("no abacus integer kernels", "exported file"):
        integer.lowered(converted, 1)


def test_accuracy_is_the_share_of_right_answers():
    images = tiny_dataset().test
    right = torch.eye(10)[images.labels]
    parts = iter([right[:30], 1 - right[30:]])
    assert integer.accuracy(lambda x: next(parts), images, batch=30) == 30 / len(images)


def test_nothing_slow_is_imported_before_it_is_used():
    code = "import sys, labkit.methods.quantization; print([m for m in ('torchao', 'onnx', 'onnxruntime') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
