"""Granularity: masks against plain loops, what runs computes the same, and counts are torchvision's own."""

import math

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from workers import tiny_dataset

from labkit import granularity, measure, models, training
from labkit.methods import granularity_tasks
from labkit.methods.granularity import work
from labkit.methods.granularity.networks import DEFINITIONS
from labkit.models import Specification
from labkit.settings import Recipe
from labkit.view import plots

SHAPES = st.tuples(*[st.integers(1, 4)] * 4)
RESNET = Specification("resnet", (1, 1), (8, 8, 16, 16), 10, 32)


def weight_of(shape, seed) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(math.prod(shape), generator=generator).view(shape) - math.prod(shape) / 2 + 0.25


@given(SHAPES, st.floats(0, 0.99), st.integers(0, 99), st.sampled_from(["fine-grained", "vector", "kernel", "channel"]))
@settings(max_examples=60, deadline=None)
def test_a_mask_is_what_a_plain_loop_chooses(shape, ratio, seed, name):
    weight = weight_of(shape, seed)
    leading = granularity.GRANULARITIES[name].leading
    scores = []
    for number in range(math.prod(shape[:leading])):
        part = weight.flatten()[number * math.prod(shape[leading:]) :][: math.prod(shape[leading:])]
        scores.append((sum(map(abs, part.tolist())) / len(part), number))
    gone = {number for _, number in sorted(scores)[: round(ratio * len(scores))]}
    stays = granularity.mask(weight, name, ratio)
    assert stays.shape == weight.shape and stays.dtype == torch.bool
    for place, kept in enumerate(stays.flatten().tolist()):
        assert kept == (place // math.prod(shape[leading:]) not in gone)


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (4, 8), (4, 4)]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_a_pattern_keeps_exactly_n_of_m_and_the_largest(rows, groups, pattern, seed):
    n, m = pattern
    matrix = weight_of((rows, groups * m), seed)
    stays = granularity.pattern(matrix, n, m)
    for values, kept in zip(matrix.view(-1, m).tolist(), stays.view(-1, m).tolist()):
        assert sum(kept) == n
        largest = sorted(map(abs, values))[m - n :]
        assert sorted(abs(value) for value, stay in zip(values, kept) if stay) == largest


def test_2_4_is_the_granularity_at_one_half():
    weight = weight_of((4, 4, 3, 3), 0)
    assert torch.equal(granularity.mask(weight, "N:M", 0.5).flatten(1), granularity.pattern(weight.flatten(1), 2, 4))


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan")])
def test_a_ratio_outside_is_refused(ratio, refused):
    weight, model = torch.ones(2, 2, 1, 1), models.build(RESNET, 0)
    for call in (
        lambda: granularity.mask(weight, "kernel", ratio),
        lambda: granularity.storage(weight.shape, "kernel", ratio),
        lambda: granularity.network_masks(model, "global", ratio),
        lambda: granularity.thin_specification(RESNET, ratio),
    ):
        with refused(f"{ratio!r}", "from 0 to below 1"):
            call()


def test_what_has_no_structure_or_no_name_is_refused(refused):
    for shape in ((3, 4), (0, 2, 3, 3), (2, 2, 0, 3)):
        with refused("no structures", "c_o"):
            granularity.mask(torch.ones(shape), "channel", 0.5)
    with refused("'row'", "vector"):
        granularity.mask(torch.ones(2, 2, 3, 3), "row", 0.5)
    with refused("'best'", "layer-wise"):
        granularity.network_masks(models.build(RESNET, 0), "best", 0.5)


def test_a_pattern_that_does_not_fit_is_refused(refused):
    with refused("27 weights", "groups of 4"):
        granularity.mask(torch.ones(2, 3, 3, 3), "N:M", 0.5)
    with refused("5:4"):
        granularity.pattern(torch.ones(1, 4), 5, 4)
    with refused("0:4"):
        granularity.pattern(torch.ones(1, 4), 0, 4)
    with refused("0.3", "multiple of 0.25"):
        granularity.mask(torch.ones(2, 4, 3, 3), "N:M", 0.3)


@pytest.mark.parametrize("ratio", granularity.RATIOS)
def test_a_network_loses_exactly_what_is_asked(ratio):
    model = models.build(RESNET, 0)
    total = sum(layer.weight.numel() for layer in granularity.prunable(model).values())
    masks = granularity.network_masks(model, "global", ratio)
    assert sum(int((~stays).sum()) for stays in masks.values()) == round(ratio * total)
    for method in ("layer-wise", "random"):
        for stays in granularity.network_masks(model, method, ratio, seed=3).values():
            assert int((~stays).sum()) == round(ratio * stays.numel())


def test_the_global_ranking_is_torchs_own():
    from torch.nn.utils import prune

    model, by_torch = models.build(RESNET, 0), models.build(RESNET, 0)
    pairs = [(layer, "weight") for layer in granularity.prunable(by_torch).values()]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=0.6)
    masks = granularity.network_masks(model, "global", 0.6)
    for name, layer in granularity.prunable(by_torch).items():
        assert torch.equal(masks[name], layer.weight_mask.bool())


def test_a_permanent_mask_leaves_zeros_and_nothing_else():
    model = models.build(RESNET, 0)
    masks = granularity.network_masks(model, "global", 0.5)
    names = set(model.state_dict())
    granularity.apply(model, masks)
    assert set(model.state_dict()) == names
    for name, layer in granularity.prunable(model).items():
        assert torch.equal(layer.weight != 0, masks[name])


def test_random_weights_follow_the_seed():
    model = models.build(RESNET, 0)
    one, same, other = (granularity.network_masks(model, "random", 0.5, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_2_4_leaves_layers_dense_whose_rows_do_not_fit():
    masks = granularity.pattern_masks(models.build(RESNET, 0))
    assert "stem.conv" not in masks and "classifier" in masks  # rows of 27 and of 16
    for stays in masks.values():
        assert (stays.flatten(1).unflatten(1, (-1, 4)).sum(-1) == 2).all()


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_sparse_convolution_equals_the_dense_one(outputs, inputs, kernel, stride, padding, bias, seed):
    torch.manual_seed(seed)
    dense = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias).requires_grad_(False)
    dense.weight.mul_(torch.rand_like(dense.weight) < 0.5)
    x = torch.randn(2, inputs, 6, 5)
    assert torch.allclose(granularity.SparseConv2d(dense)(x), dense(x), atol=1e-5)


def test_a_sparse_network_equals_the_masked_one():
    model = models.build(RESNET, 1).eval()
    granularity.apply(model, granularity.network_masks(model, "global", 0.7))
    x = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(granularity.sparse(model)(x), model(x), atol=1e-5)


@pytest.mark.parametrize("ratio", granularity.TIMED["thin"])
def test_a_thin_network_has_as_many_weights_left(ratio):
    network = models.named("resnet18", 0.5)
    wanted = (1 - ratio) * measure.parameters(models.build(network))
    thin = granularity.thin_specification(network, ratio)
    assert measure.parameters(models.build(thin)) == pytest.approx(wanted, rel=0.05)
    assert len({round(a / b, 1) for a, b in zip(thin.widths, network.widths)}) == 1


def test_bytes_of_a_layer_are_those_counted_by_hand():
    shape = (16, 16, 3, 3)  # 2304 weights, 768 vectors, 256 kernels
    by_hand = {
        "fine-grained": (1152 * 4, 1152 * 12 / 8),
        "N:M": (1152 * 4, 1152 * 2 / 8),
        "vector": (1152 * 4, 384 * 10 / 8),
        "kernel": (1152 * 4, 128 * 8 / 8),
        "channel": (1152 * 4, 8 * 4 / 8),
    }
    for name, (values, indices) in by_hand.items():
        assert granularity.storage(shape, name, 0.5) == {"values": values, "indices": indices}
        assert granularity.storage(shape, name, 0.0) == {"values": 2304 * 4, "indices": 0}


def test_2_4_is_emulated_where_the_hardware_does_not_know_it():
    matrix, x = torch.randn(8, 16), torch.randn(16, 3)
    product, how = granularity.two_four_product(matrix, x)
    assert how == "emulated" and torch.allclose(product, (matrix * granularity.pattern(matrix, 2, 4)) @ x)


WEIGHTS = {
    "AlexNet": "AlexNet_Weights",
    "VGG-16": "VGG16_Weights",
    "GoogLeNet": "GoogLeNet_Weights",
    "ResNet50": "ResNet50_Weights",
    "SqueezeNet": "SqueezeNet1_0_Weights",
}


def test_the_five_networks_are_those_that_torchvision_documents():
    from torchvision import models as theirs

    assert WEIGHTS.keys() == DEFINITIONS.keys()
    for row in granularity.counted():
        documented = getattr(theirs, WEIGHTS[row.name]).IMAGENET1K_V1.meta
        digits = len(str(documented["_ops"]).partition(".")[2])
        assert row.parameters == documented["num_params"]
        assert round(row.macs / 1e9, digits) == documented["_ops"]


def test_the_lectures_table_is_recomputed():
    verdicts = {row.name: row.doubtful for row in granularity.counted()}
    assert [name for name, verdict in verdicts.items() if not verdict] == ["AlexNet", "ResNet50"]
    assert verdicts["VGG-16"] == "printed too small"
    for row in granularity.counted():
        own, ours = row.recomputed
        assert f"| {row.name} | {row.parameters:,} |" in granularity.lecture_table()
        assert f"{own:.2f}×, {ours:.2f}×" in granularity.lecture_table()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A tiny network, trained, swept and timed: its folder, and the records."""
    folder, images = tmp_path_factory.mktemp("quick-tiny-seed0") / "lab3", tiny_dataset()
    model = models.build(RESNET, 0)
    recipe = Recipe(1, 20, learning_rate=0.2, schedule="linear")
    trained = training.fit(model, images, recipe, kind=work.TRAINED, folder=folder / "trained-rate0.2")
    swept = granularity.sparsity_run(trained, images, folder / "sparsity-rate0.2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.methods.granularity.experiments.RUNS", 10)
        timed = granularity.timing_run(RESNET, images, 0, folder / "timing")
    return folder, trained, swept, timed


def test_records_fit_their_kinds(runs):
    _, *made = runs
    for record in made:
        content = {key: value for key, value in vars(record).items() if key != "folder"}
        jsonschema.validate(content, granularity.KINDS[record.kind])


def test_a_sweep_says_what_masked_networks_do(runs):
    _, trained, swept, _ = runs
    ratios, accuracies = swept.config["ratios"]["layer-wise"], swept.results["validation"]["layer-wise"]
    for ratio, accuracy in list(zip(ratios, accuracies))[::4]:
        model = trained.model()
        granularity.apply(model, granularity.network_masks(model, "layer-wise", ratio))
        assert accuracy == training.evaluate(model, tiny_dataset().validation)
    removed = swept.results["removed"]
    assert removed[0] == 0 and removed == sorted(removed) and removed[-1] < 0.8
    assert swept.results["magnitudes"] == sorted(swept.results["magnitudes"])


def test_a_timing_has_a_row_for_every_ratio(runs):
    timed = runs[-1]
    dense = measure.parameters(models.build(RESNET))
    assert [row["ratio"] for row in timed.results["masked"]] == list(granularity.TIMED["masked"])
    assert {row["parameters"] for row in timed.results["masked"]} == {dense}
    assert timed.results["thin"][-1]["parameters"] == pytest.approx(0.2 * dense, rel=0.2)
    for row in (row for rows in timed.results.values() for row in rows):
        latency = row["latency_ms"]
        assert 0 < latency["quartile1"] <= latency["median"] <= latency["quartile3"]


def test_figures_are_drawn_from_records_with_alt_text_and_named_axes(runs):
    folder, trained, *_ = runs
    weight = granularity.prunable(trained.model())["blocks.stage1_block1.conv1"].weight
    drawn = granularity.figures(folder) | granularity_tasks.figures(folder)
    assert list(drawn) == [
        "granularity-training",
        "granularity-methods",
        "granularity-weights",
        "accuracy-over-ratio",
        "inference-times",
    ]
    errors = {"channel": {0.5: 0.4}}
    for figure in (
        *drawn.values(),
        granularity.granularities(weight),
        granularity.stored(weight.shape),
        granularity.accelerators(),
        granularity.output_errors(errors),
    ):
        assert figure.get_label()
        assert all(axis.get_xlabel() for axis in figure.axes)
        assert plots.png(figure)


def test_the_error_of_an_output_grows_with_the_structure(runs):
    trained = runs[1]
    model, name = trained.model(), "blocks.stage1_block1.conv2"
    inputs = granularity.inputs_of(model, name, torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    layer = model.get_submodule(name)
    errors = [
        granularity.output_error(layer, granularity.mask(layer.weight, kind, 0.5), inputs)
        for kind in ("fine-grained", "channel")
    ]
    assert 0 < errors[0] < errors[1]
    assert granularity.output_error(layer, granularity.mask(layer.weight, "kernel", 0.0), inputs) == 0


def test_a_guess_that_is_none_is_refused_and_photographs_are_missed(runs, refused, tmp_path):
    swept = runs[2]
    assert "your guess: 50% at 60%" in granularity.methods_compared([swept], (0.6, 0.5)).get_label()
    for guess in ((60, 0.5), (0.5, "half")):
        with refused(str(guess[0])):
            granularity.methods_compared([swept], guess)
    with refused("No runs on photographs"):
        granularity.beside_term_project(tmp_path)


def test_tables_say_what_the_records_hold(runs):
    folder, _, swept, timed = runs
    first = swept.results["validation"]["global"][0]
    assert f"| 0% | {first:.1%} |" in granularity.sparsity_table([swept])
    assert granularity.timing_table(timed).count("\n") == 1 + len(granularity.TIMED["masked"])
    assert "### Inference time" in granularity.results(folder.parent)
