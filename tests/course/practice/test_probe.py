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


@pytest.mark.parametrize("kind", ["Conv2d", "LayerNorm", "float16"])
def test_an_unknown_layer_is_refused_and_not_taken_for_a_linear_one(kind):
    with pytest.raises(
        ValueError, match=f"'{kind}' is no kind of argument: choose one of float32, .*BatchNorm2d, Linear"
    ):
        probe.decode({kind: {"weight": [[1.0]]}})
