"""Pictures of rounding and of shared weights: what they show is what the functions say."""

import math

import pytest
import torch
from by_hand import kmeans_step, scale_and_zero_point

from labkit import quantization
from labkit.methods.quantization import drawings
from labkit.view import plots

DRAWINGS = {
    "staircase": quantization.staircase,
    "staircase, 4 bits": lambda: quantization.staircase(0.5, 0, 4),
    "straight through": quantization.straight_through,
    "error by channel": lambda: quantization.error_by_channel(weight(), 4, scale_and_zero_point),
    "error by channel, 8 bits": lambda: quantization.error_by_channel(weight(), 8, scale_and_zero_point),
    "levels used": lambda: quantization.levels_used(torch.rand(400), 3, scale_and_zero_point),
    "sharing": quantization.sharing_picture,
    "k-means": quantization.kmeans_picture,
    "codebook": lambda: quantization.codebook_over_weights(
        weight(), torch.linspace(-2, 2, 4), torch.linspace(-1, 1, 4)
    ),
    "packed": quantization.packed_picture,
    "gaps": quantization.gaps_picture,
    "code": lambda: quantization.code_picture([5, 0, 12, 1]),
}


def weight():
    return torch.randn(7, 3, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", DRAWINGS)
def test_each_can_be_read_aloud_and_has_its_axes_named(name):
    figure = DRAWINGS[name]()
    assert len(figure.get_label()) > 60 and plots.png(figure)
    *_, last = figure.axes
    assert last.get_xlabel() and any(axis.get_ylabel() for axis in figure.axes)


def test_the_stairs_are_as_many_as_the_bits_say_and_the_error_is_half_a_step():
    left, right = quantization.staircase(0.25, 3, 3).axes[:2]
    _, stairs = left.get_lines()
    x, y = (torch.as_tensor(values) for values in stairs.get_data())
    assert sorted(set(y.tolist())) == [0.25 * (q - 3) for q in range(8)]
    error = torch.as_tensor(right.get_lines()[0].get_ydata())
    inside = (x >= -0.75) & (x <= 1)
    assert error[inside].abs().max() <= 0.125 < error[~inside].abs().max()


def test_the_slope_that_is_used_is_1_inside_and_0_outside():
    *_, right = quantization.straight_through(0.25, 3, 3).axes
    for x, slope in zip(*right.get_lines()[0].get_data()):
        assert math.isnan(slope) or slope == (-0.75 < x < 1)


def test_the_picture_of_k_means_follows_its_steps():
    numbers, codebook = torch.tensor(drawings.WEIGHTS), torch.tensor(drawings.CENTRES[0])
    assert torch.allclose(codebook, quantization.linear_start(numbers, len(codebook)))
    for centres, owners in zip(drawings.CENTRES, drawings.OWNERS):
        assert torch.allclose(codebook, torch.tensor(centres), atol=1e-3)
        indices, codebook = kmeans_step(numbers, codebook)
        assert indices.tolist() == list(owners)
    assert torch.allclose(codebook, torch.tensor(drawings.CENTRES[-1]), atol=1e-3)  # nothing moves any more


def test_the_picture_of_sharing_is_the_papers():
    weights, groups, gradient, codebook = map(torch.tensor, drawings.SMALL)
    assert torch.equal((weights[..., None] - codebook).abs().argmin(-1), groups)
    sums = [round(float(gradient[groups == entry].sum()), 2) for entry in range(4)]
    assert sums == [-0.03, 0.04, 0.02, 0.04]  # Deep Compression, figure 3
    shown = [text.get_text() for text in quantization.sharing_picture().axes[4].texts]
    assert shown == ["0.04", "0.02", "0.04", "-0.03"]


def test_activations_come_out_of_a_relu_and_half_of_a_symmetric_grid_is_not_used():
    from workers import vgg

    found = quantization.activations(vgg([8], [16]), "features.conv2", torch.randn(4, 3, 32, 32))
    assert found.shape[:2] == (4, 8) and found.min() == 0
    symmetric, affine = (axis.get_title() for axis in quantization.levels_used(found, 4, scale_and_zero_point).axes)
    assert "symmetric: 8 of 16" in symmetric and "affine: 16 of 16" in affine
