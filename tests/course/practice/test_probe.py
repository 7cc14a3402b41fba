"""Plain data become arguments; what is no argument is refused by name."""

import pytest
import torch
from torch import nn

from labkit.course.practice import probe

NORM = {"weight": [0.5, 2.0], "bias": [0.0, 1.0], "running_mean": [0.0, 0.0], "running_var": [1.0, 1.0]}


def test_layers_and_tensors_are_what_the_data_say():
    norm = probe.decode({"BatchNorm2d": NORM})
    assert isinstance(norm, nn.BatchNorm2d) and norm.weight.tolist() == [0.5, 2.0] and not norm.training
    linear = probe.decode({"Linear": {"weight": [[1.0, 2.0, 3.0]], "bias": [4.0]}})
    assert isinstance(linear, nn.Linear) and (linear.in_features, linear.out_features) == (3, 1)
    gamma = probe.decode({"float32": [0.5], "gradient": True})
    assert gamma.requires_grad and gamma.dtype == torch.float32
    assert probe.decode([1, {"int64": [2]}]) == [1, torch.tensor([2])]
    assert probe.decode({"dict": {"a": {"int64": [2]}, "b": 3}}) == {"a": torch.tensor([2]), "b": 3}
    conv = probe.decode({"Conv2d": {"weight": [[[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]]}})
    assert isinstance(conv, nn.Conv2d) and (conv.in_channels, conv.out_channels, conv.bias) == (3, 1, None)
    assert conv.kernel_size == (1, 2) and conv.weight.flatten().tolist() == [1, 2, 3, 4, 5, 6]


MASKS = {"a": torch.tensor([True, False]), "b": torch.tensor([1])}


def test_a_dictionary_is_observed_by_name_whatever_its_order():
    seen = probe.observe(lambda: MASKS, [], [])
    assert seen == probe.observe(lambda: dict(reversed(MASKS.items())), [], [])
    assert seen == {
        "values": [1, 0, 1],
        "form": "a dict with a: bool tensor of shape (2,), b: int64 tensor of shape (1,)",
    }
    assert probe.observe(lambda: {"x": MASKS["a"], "y": MASKS["b"]}, [], []) != seen


def test_an_argument_that_is_changed_inside_a_dictionary_is_noticed():
    def zeroed(scores):
        scores["a"].zero_()
        return {}

    assert "input changed" in probe.observe(zeroed, [{"dict": {"a": {"float32": [1.0]}}}], [])["form"]


def test_a_dictionary_that_holds_itself_is_an_error_and_nothing_more():
    endless = {}
    endless["again"] = endless
    assert probe.observe(lambda: endless, [], [])["raised"] == "RecursionError"


@pytest.mark.parametrize("kind", ["Conv3d", "LayerNorm", "float16"])
def test_an_unknown_layer_is_refused_and_not_taken_for_a_linear_one(kind):
    with pytest.raises(
        ValueError, match=f"'{kind}' is no kind of argument: choose one of float32, .*dict, BatchNorm2d, Linear"
    ):
        probe.decode({kind: {"weight": [[1.0]]}})


def test_a_layer_with_a_mask_on_is_one_that_torch_has_pruned():
    layer = probe.decode({"Linear": {"weight": [[1.0, 2.0]], "bias": [0.5], "weight_mask": [[0.0, 1.0]]}})
    assert layer.weight.tolist() == [[0.0, 2.0]] and layer.weight_orig.tolist() == [[1.0, 2.0]]
    assert sorted(layer.state_dict()) == ["bias", "weight_mask", "weight_orig"]


def test_a_machine_takes_the_time_that_is_written_down_and_more_on_other_threads():
    machine = probe.decode({"Machine": {"milliseconds": [5.0, 2.0], "threads": torch.get_num_threads()}})
    begun = machine.clock()
    for milliseconds in (5, 7, 9):
        machine.run()
        assert round(1000 * (machine.clock() - begun), 9) == milliseconds
    elsewhere = probe.decode({"Machine": {"milliseconds": [2.0], "threads": torch.get_num_threads() + 1}})
    elsewhere.run()
    assert round(1000 * elsewhere.clock(), 9) == 6


def test_a_falling_function_falls_at_its_steps_and_may_not_be_asked_for_ever():
    cost = probe.decode({"Falling": {"steps": [0.0, 0.25, 0.5], "costs": [1.0, 0.7, 0.2]}})
    assert [cost(x) for x in (-1, 0, 0.24, 0.25, 0.499, 0.5, 9)] == [1.0, 1.0, 1.0, 0.7, 0.7, 0.2, 0.2]
    with pytest.raises(RuntimeError, match=f"more than {probe.MOST_QUESTIONS} times"):
        [cost(0) for _ in range(probe.MOST_QUESTIONS)]


def test_threads_that_are_not_given_back_are_told_and_put_back():
    machine, before = {"Machine": {"milliseconds": [1.0], "threads": 3}}, torch.get_num_threads()

    def keeps(machine):
        torch.set_num_threads(3)
        return [1.0]

    assert probe.observe(keeps, [machine], [])["form"] == "a list, and torch is left with 3 threads instead of 2"
    assert torch.get_num_threads() == before
    assert probe.observe(lambda machine: (1.0,), [machine], [])["form"] == "a list"


def test_a_layer_that_comes_back_is_described_whatever_the_order_of_its_state():
    def reordered(layer):
        del layer._parameters["weight"]
        layer.weight = torch.nn.Parameter(torch.ones(1, 2))
        return layer

    linear = {"Linear": {"weight": [[1.0, 1.0]], "bias": [0.5]}}
    assert probe.observe(reordered, [linear], []) == probe.observe(lambda layer: layer, [linear], [])
