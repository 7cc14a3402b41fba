"""Affine quantization by hand: the framework's integers, and a training that goes through the rounding."""

import jsonschema
import pytest
import torch
from by_hand import fake_quantize, scale_and_zero_point
from hypothesis import given
from hypothesis import strategies as st
from joblib.externals.loky.backend.reduction import dumps
from torch import nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401  the framework's own integers, as operators
from torch.nn.utils import parametrize
from workers import Stopped, assert_same_run, stop_after, vgg

from labkit import models, quantization, records, training
from labkit.methods.granularity.masks import prunable
from labkit.methods.quantization import affine
from labkit.methods.quantization.affine import grid
from labkit.settings import Recipe

FRAMEWORK = torch.ops.quantized_decomposed
RECIPE = Recipe(3, batch=50, schedule="linear")
TINIEST = torch.finfo(torch.float32).eps  # the smallest scale that the framework's observers give
EDGES = {
    "zeros": torch.zeros(3, 4),
    "one number": torch.full((2, 3), 7.5),
    "one negative number": torch.full((2, 3), -0.3),
    "all positive": torch.linspace(3, 9, 12).view(3, 4),
    "all negative": torch.linspace(-9, -3, 12).view(3, 4),
    "huge": torch.tensor([[-3e37, 1e30], [2e37, 0.0]]),
    "tiny": torch.tensor([[-3e-30, 1e-30], [2e-30, 0.0]]),
    "halves": (torch.arange(16.0) / 2 - 0.5).view(4, 4),
    "a whole grid": torch.arange(256.0).view(16, 16) - 17,
    "halves of a grid": torch.cat([torch.arange(255.0) + 0.5, torch.tensor([0.0, 255.0])]).view(1, -1) - 17,
}


def drawn(count, smallest=-6):
    """Random tensors (channels, weights) of many sizes, around 0 and beside it."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        channels, weights, power, beside = (
            int(torch.randint(low, high, (), generator=generator))
            for low, high in ((1, 9), (1, 60), (smallest, 7), (-2, 3))
        )
        yield (torch.randn(channels, weights, generator=generator) + beside) * 10.0**power


def ways():
    return [(per_channel, symmetric) for per_channel in (False, True) for symmetric in (False, True)]


def framework_integers(values, lines, signed):
    """What the framework stores, with the grid's own scale and zero point; int8 moved up by 128."""
    low, high, kind, shift = (-128, 127, torch.int8, 128) if signed else (0, 255, torch.uint8, 0)
    if lines.scale.dim():
        scales, zeros = lines.scale.flatten(), lines.zero_point.flatten() - shift
        found = FRAMEWORK.quantize_per_channel(values, scales, zeros, 0, low, high, kind)
    else:
        found = FRAMEWORK.quantize_per_tensor(
            values, lines.scale.item(), lines.zero_point.item() - shift, low, high, kind
        )
    return found.int() + shift


@pytest.mark.parametrize(("per_channel", "symmetric"), ways())
@pytest.mark.parametrize("signed", [False, True])
def test_the_integers_are_the_frameworks_on_thousands_of_tensors(per_channel, symmetric, signed):
    for values in [*drawn(1000), *EDGES.values()]:
        lines = grid(values, 8, scale_and_zero_point, per_channel, symmetric)
        for these in (values, 1.3 * values):  # the second saturates
            assert torch.equal(lines.integers(these), framework_integers(these, lines, signed))


@pytest.mark.parametrize(("per_channel", "symmetric"), ways())
def test_the_values_are_the_frameworks_too(per_channel, symmetric):
    for values in [*drawn(300), *EDGES.values()]:
        lines = grid(values, 5, scale_and_zero_point, per_channel, symmetric)
        zeros = lines.zero_point.int()
        if per_channel:
            theirs = torch.fake_quantize_per_channel_affine(values, lines.scale.flatten(), zeros.flatten(), 0, 0, 31)
        else:
            theirs = torch.fake_quantize_per_tensor_affine(values, lines.scale, zeros, 0, 31)
        assert torch.equal(lines.nearest(values), theirs)


@pytest.mark.parametrize("symmetric", [False, True])
def test_scale_and_zero_point_are_what_the_framework_observes(symmetric):
    observer = pytest.importorskip("torchao.quantization.pt2e.observer", reason="torchao is not installed")
    given = (
        {"dtype": torch.int8, "qscheme": torch.per_tensor_symmetric, "quant_min": -127, "quant_max": 127}
        if symmetric
        else {"dtype": torch.uint8, "qscheme": torch.per_tensor_affine, "quant_min": 0, "quant_max": 255}
    )
    compared = 0
    for values in [*drawn(500, smallest=-4), *EDGES.values()]:
        lines, theirs = grid(values, 8, scale_and_zero_point, symmetric=symmetric), observer.MinMaxObserver(**given)
        theirs(values)
        scale, zero_point = theirs.calculate_qparams()
        if lines.scale > 2 * TINIEST and values.any():  # or the framework says TINIEST
            compared += 1
            assert abs(scale.item() / lines.scale.item() - 1) <= TINIEST  # it computes in float32: the last digit
            assert zero_point.item() + 128 * symmetric == lines.zero_point
    assert compared > 400


def test_halves_go_to_the_even_integer_and_what_is_outside_saturates():
    lines = affine.Grid(torch.tensor(1.0), torch.tensor(3), 3)
    values = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 90.0, -90.0])
    assert lines.integers(values).tolist() == [1, 1, 3, 3, 5, 5, 7, 7, 0]
    assert lines.nearest(values).tolist() == [-2, -2, 0, 0, 2, 2, 4, 4, -3]


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3), st.integers(2, 8), st.booleans())
def test_zero_stays_zero_and_nothing_inside_moves_further_than_half_a_step(start, length, bits, symmetric):
    values = torch.linspace(start, start + length, 37)
    lines = grid(values, bits, scale_and_zero_point, symmetric=symmetric)
    assert lines.nearest(torch.zeros(1)).item() == 0
    moved = (lines.nearest(values) - values).abs().max().item()
    # An end may lie up to half a step outside, since zero has to be on the grid.
    assert moved <= lines.scale.item() / 2 * (1 + 1e-4) + 1e-6 * (abs(start) + length)


def test_a_symmetric_grid_has_zero_in_the_middle_and_as_much_on_both_sides():
    lines = grid(torch.tensor([-0.5, 2.0]), 4, scale_and_zero_point, symmetric=True)
    assert lines.zero_point == 8 and lines.integers(torch.tensor([-2.0, 2.0])).tolist() == [1, 15]
    assert torch.isclose(lines.scale, torch.tensor(2 / 7))


def test_a_grid_for_each_channel_is_the_grid_of_that_channel_alone():
    weight = torch.randn(5, 4, 3, 3)
    lines = grid(weight, 4, scale_and_zero_point, per_channel=True)
    alone = [grid(channel, 4, scale_and_zero_point).nearest(channel) for channel in weight]
    assert lines.scale.shape == (5, 1, 1, 1) and torch.equal(lines.nearest(weight), torch.stack(alone))


def test_channels_of_other_ranges_lose_less_with_grids_of_their_own():
    weight = torch.randn(6, 30) * torch.tensor([0.01, 0.1, 1, 1, 2, 5])[:, None]
    errors = quantization.channel_errors(weight, 4, scale_and_zero_point)
    assert (errors["per channel"] < 0.2).all() and errors["per tensor"][0] > 0.9  # all of it is rounded away
    rounded = grid(weight, 4, scale_and_zero_point).nearest(weight)
    assert torch.allclose(errors["per tensor"], (rounded - weight).norm(dim=1) / weight.norm(dim=1))


@pytest.mark.parametrize("bits", [0, 17])
def test_bits_that_are_none_are_refused(bits, refused):
    with refused(bits, "16"):
        grid(torch.randn(4), bits, scale_and_zero_point)


@pytest.mark.parametrize("values", [torch.empty(0), torch.tensor([1.0, float("nan")])])
def test_values_that_have_no_range_are_refused(values, refused):
    with refused("finite"):
        grid(values, 8, scale_and_zero_point)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        3.0,
        (0.0, 1),
        (1e-40, 1),
        (float("nan"), 1),
        (-1.0, 1),
        (1.0, 256),
        (1.0, -1),
        (1.0, 0.5),
        ("a", "b"),
        (1.0, float("inf")),
    ],
)
def test_what_is_no_scale_with_a_zero_point_is_refused(answer, refused):
    with refused("scale_and_zero_point gave", "255"):
        grid(torch.randn(4), 8, lambda low, high, bits: answer)


def test_a_network_in_bits_changes_weights_and_nothing_else():
    model = vgg([8], [16]).eval()
    rounded = quantization.in_bits(model, 3, scale_and_zero_point, per_channel=True)
    weights = {f"{name}.weight" for name in prunable(model)}
    for name, value in rounded.state_dict().items():
        if name in weights:
            assert max(len(channel.unique()) for channel in value) <= 8
        assert torch.equal(value, model.state_dict()[name]) == (name not in weights)


# Trained through the rounding


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("affine") / "trained"
    return training.fit(vgg([8], [16]), tiny_data, RECIPE, folder=folder, kind="quantization-trained")


def fitted(run, data, folder, method=None, **options):
    method = method or affine.StraightThrough(scale_and_zero_point, fake_quantize, 2)
    return training.fit(run.model(), data, RECIPE, folder=folder, kind=affine.LOW_BITS, method=method, **options)


def test_backward_is_what_comes_from_above_times_the_students_slope():
    values = torch.tensor([-9.0, -0.4, 0.1, 0.8, 9.0], requires_grad=True)
    out = affine._Straight.apply(values, fake_quantize, 0.5, 2, 3)
    out.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert out.tolist() == [-1, -0.5, 0, 1, 2.5] and values.grad.tolist() == [0, 2, 3, 4, 0]


def test_what_is_left_is_a_plain_network_of_few_weights_and_its_record_fits(run, tiny_data, tmp_path):
    made = fitted(run, tiny_data, tmp_path / "a")
    jsonschema.validate(records.read_json(made.folder / "record.json"), quantization.KINDS[affine.LOW_BITS])
    network = made.model()
    assert not any(parametrize.is_parametrized(module) for module in network.modules())
    assert all(len(layer.weight.unique()) <= 4 for layer in prunable(network).values())
    assert training.evaluate(network, tiny_data.validation) == made.results["validation_accuracy"]
    as_it_stood = quantization.in_bits(run.model(), 2, scale_and_zero_point)
    assert made.results["before"] == pytest.approx(training.evaluate(as_it_stood, tiny_data.validation), abs=1e-6)


def test_with_the_true_slope_no_weight_moves(run, tiny_data, tmp_path):
    method = affine.StraightThrough(scale_and_zero_point, fake_quantize, 2, affine.SLOPES[1])
    made = fitted(run, tiny_data, tmp_path / "flat", method).model()
    as_it_stood, free = (
        quantization.in_bits(run.model(), 2, scale_and_zero_point),
        fitted(run, tiny_data, tmp_path / "a"),
    )
    for name, layer in prunable(as_it_stood).items():
        assert torch.allclose(prunable(made)[name].weight, layer.weight)
        assert not torch.allclose(prunable(free.model())[name].weight, layer.weight)
    norms = zip(models.norms(made).values(), models.norms(as_it_stood).values())
    assert all(not torch.equal(one.weight, other.weight) for one, other in norms)


def test_a_training_that_is_broken_off_ends_bit_equal(run, tiny_data, tmp_path):
    fitted(run, tiny_data, tmp_path / "whole")
    for epochs in (1, 3):  # the second: before the record is written
        with pytest.raises(Stopped):
            fitted(run, tiny_data, tmp_path / "broken", save_every=0, watch=stop_after(epochs))
    fitted(run, tiny_data, tmp_path / "broken", save_every=0)
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


def test_the_method_can_be_sent_to_another_process_and_tells_functions_apart():
    method = affine.StraightThrough(scale_and_zero_point, fake_quantize, 2)
    dumps(method)
    ones = affine.StraightThrough(
        scale_and_zero_point, lambda v, *rest: (fake_quantize(v, *rest)[0], torch.ones_like(v)), 2
    )
    assert method.describe()["probe"] != ones.describe()["probe"]
    assert method.describe() | {"probe": None} == {
        "name": "straight-through", "bits": 2, "slope": "straight-through", "probe": None,
    }  # fmt: skip


@pytest.mark.parametrize("answer", [None, torch.zeros(5), (torch.zeros(5), torch.zeros(4))])
def test_a_rounding_that_answers_something_else_is_refused_before_the_training(
    run, tiny_data, tmp_path, answer, refused
):
    def fake_quantize(values, scale, zero_point, bits):
        return answer

    with refused("fake_quantize gave", "2 tensors"):
        fitted(run, tiny_data, tmp_path / "a", affine.StraightThrough(scale_and_zero_point, fake_quantize, 2))
    assert not (tmp_path / "a").exists()


def test_a_layer_in_front_of_which_rounding_stands_computes_with_rounded_weights():
    model = vgg([8], [16])
    method = affine.StraightThrough(scale_and_zero_point, fake_quantize, 3)
    method.attach(model, 0)
    assert {name for name, m in model.named_modules() if parametrize.is_parametrized(m)} == set(prunable(model))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in prunable(model).values())
