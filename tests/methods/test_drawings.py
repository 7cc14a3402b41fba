"""Pictures of ideas: what they show is what was given, and each can be read aloud."""

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from torch import nn

from labkit import slimming
from labkit.pruning import ChannelPlan, global_plan

SCORES = {
    "features.conv1": torch.tensor([0.9, 0.02, 0.4, 0.6]),
    "features.conv2": torch.tensor([0.03, 0.012, 0.02, 0.008, 0.05]),  # below nearly all others
    "features.conv3": torch.tensor([0.5, 0.3, 0.0, 0.7, 0.11, 0.25]),
}
UNGUARDED, PLAN = (global_plan(SCORES, 0.55, at_least) for at_least in (0, 1))
INPUTS, KEPT = torch.tensor([0, 1, 3]), torch.tensor([0, 2, 3, 5])


def layers(inputs=4, channels=6, reader=None):
    norm = nn.BatchNorm2d(channels)
    norm.weight.data = torch.arange(channels) - 1.25
    return nn.Conv2d(inputs, channels, 3, bias=False), norm, reader or nn.Conv2d(channels, 8, 3)


def surgery(reader=None):
    return slimming.surgery(*layers(reader=reader), INPUTS, KEPT)


DRAWINGS = {
    "families": slimming.families,
    "pipeline": slimming.pipeline,
    "penalty slopes": slimming.penalty_slopes,
    "batchnorm channels": slimming.batchnorm_channels,
    "ranking": lambda: slimming.ranking(SCORES, PLAN),
    "surgery": surgery,
    "guard": lambda: slimming.guard(UNGUARDED, PLAN),
}


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def points(axis):
    """How many filled, hollow and ringed points an axis has."""
    found = {"filled": 0, "white": 0, "none": 0}
    for line in axis.get_lines():
        if line.get_marker() not in ("None", ""):
            face = line.get_markerfacecolor()
            found[face if face in ("white", "none") else "filled"] += len(line.get_xdata())
    return tuple(found.values())


@pytest.mark.parametrize("name", DRAWINGS)
def test_each_drawing_fits_a_notebook_and_says_what_it_shows(name):
    figure = DRAWINGS[name]()
    assert figure.get_figwidth() <= 9.4
    assert len(figure.get_label()) > 120 and figure.get_label().endswith(".")
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 8


@pytest.mark.parametrize("name", [name for name in DRAWINGS if name not in ("families", "pipeline")])
def test_axes_have_names(name):
    axes = DRAWINGS[name]().axes
    assert axes[0].get_ylabel()
    assert all(axis.get_xlabel() or labels(axis.xaxis)[0] == "γ" for axis in axes)


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_text_leaves_the_figure(name):
    figure = DRAWINGS[name]()
    figure.draw_without_rendering()
    for axis in figure.axes:
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts):
            if text.get_text():
                box, page = text.get_window_extent(), figure.bbox
                assert box.x0 >= page.x0 and box.x1 <= page.x1, text
                assert box.y0 >= page.y0 and box.y1 <= page.y1, text


def test_structured_pruning_is_a_smaller_matrix_of_cells_of_the_same_size():
    figure = slimming.families()
    figure.draw_without_rendering()
    shapes = [axis.collections[0].get_array().shape for axis in figure.axes]
    assert shapes == [(8, 8), (8, 8), (4, 8), (8, 8), (4, 4)]
    sizes = {
        round(float(axis.transData.transform((1, 0))[0] - axis.transData.transform((0, 0))[0]), 2)
        for axis in figure.axes
    }
    assert len(sizes) == 1


def test_only_what_is_gone_is_white_and_the_largest_weight_is_darkest():
    figure = slimming.families()
    for axis, gone in zip(figure.axes, (0, 32, 0, 0, 0)):
        mesh = axis.collections[0]
        sizes = mesh.get_array()
        assert sizes.mask.sum() == gone
        shades = mesh.to_rgba(sizes.compressed())[:, 0]
        assert shades.max() < 0.95 and shades[sizes.compressed().argmax()] == shades.min()
    dense, quantized = (figure.axes[i].collections[0].get_array() for i in (0, 3))
    assert len(set(quantized.compressed())) == 4 and abs(dense - quantized).max() < 0.6


def test_the_pipeline_has_its_steps_notebooks_and_the_way_back():
    shown = texts(slimming.pipeline(4000))
    for text in ("train with\nL1 on γ", "notebooks 02, 03", "prune", "fine-tune", "notebook 04"):
        assert text in shown
    assert "a network,\n4000\nchannels" in shown and "the paper: may be repeated" in shown
    assert any(line.get_linestyle() == "--" for line in slimming.pipeline().axes[0].get_lines())


def test_the_slopes_are_true_and_do_not_name_the_answer():
    figure = slimming.penalty_slopes()
    assert "sign" not in " ".join([*texts(figure), figure.get_label()])
    for axis, slope_at in zip(figure.axes, (lambda x: (x > 0) - (x < 0), lambda x: 2 * x)):
        dashed = [line.get_xydata() for line in axis.get_lines() if line.get_linestyle() == "--"]
        found = {float((start[0] + end[0]) / 2): (end[1] - start[1]) / (end[0] - start[0]) for start, end in dashed}
        assert len(found) == 5
        for x, slope in found.items():
            assert slope == pytest.approx(slope_at(round(x, 6)))
            assert f"slope {round(slope):+d}".replace("-", "−") in texts(axis) or not round(x, 6)


def test_normalised_channels_are_equally_wide_and_a_channel_without_gamma_is_a_line_at_beta():
    before, normalised, after = (
        [stairs.get_data() for stairs in axis.patches] for axis in slimming.batchnorm_channels().axes
    )

    def width(data):
        counts = data.values - data.baseline
        centres = (data.edges[1:] + data.edges[:-1]) / 2
        mean = (counts * centres).sum() / counts.sum()
        return float(((counts * (centres - mean) ** 2).sum() / counts.sum()) ** 0.5)

    assert width(before[1]) > 5 * width(before[0])
    assert [width(data) for data in normalised] == pytest.approx([1, 1, 1], abs=0.05)
    assert [width(data) for data in after] == pytest.approx([1, 0.3, 0], abs=0.05)
    constant = after[2].values - after[2].baseline > 0
    assert constant.sum() == 1 and after[2].edges[:-1][constant] < 1 < after[2].edges[1:][constant]


def test_a_ranking_fills_hollows_and_rings_what_the_plan_says():
    row, by_layer = slimming.ranking(SCORES, PLAN).axes
    total, kept = sum(PLAN.total.values()), sum(PLAN.widths)
    assert PLAN.guarded == ("features.conv2",)
    assert points(row) == points(by_layer) == (kept, total - kept, 1)
    ring = next(line for line in row.get_lines() if line.get_label() == "saved by the guard")
    assert ring.get_ydata() == pytest.approx([0.05])
    threshold = next(line for line in row.get_lines() if line.get_label().startswith("threshold"))
    assert set(threshold.get_ydata()) == {PLAN.threshold}
    assert points(slimming.ranking(SCORES, UNGUARDED).axes[0])[2] == 0
    assert points(slimming.ranking(SCORES, global_plan(SCORES, 0)).axes[0]) == (total, 0, 0)


def test_a_short_ranking_names_its_channels_in_their_order():
    row, by_layer = slimming.ranking(SCORES, PLAN).axes
    ordered = [label for _, label in sorted(zip(row.get_xticks(), labels(row.xaxis)))]
    assert ordered[:2] == ["conv3[2]", "conv2[3]"] and ordered[-1] == "conv1[0]" and len(ordered) == 15
    assert labels(by_layer.xaxis) == ["conv1", "conv2", "conv3"]
    renamed = slimming.ranking(SCORES, PLAN, names=dict(zip(SCORES, "abc"))).axes
    assert "a[0]" in labels(renamed[0].xaxis) and labels(renamed[1].xaxis) == ["a", "b", "c"]


def test_ties_of_a_ranking_fall_as_in_the_plan_and_nobody_is_ringed():
    scores = {"a": torch.tensor([0.2, 0.2, 0.2]), "b": torch.tensor([0.2, 0.2, 0.9])}
    assert points(slimming.ranking(scores, global_plan(scores, 0.5, at_least=0)).axes[0]) == (3, 3, 0)


def test_a_long_ranking_has_no_names_and_small_markers():
    scores = {f"features.conv{i}": torch.rand(86) for i in range(16)}
    plan = global_plan(scores, 0.9, at_least=8)
    row = slimming.ranking(scores, plan).axes[0]
    assert points(row)[:2] == (sum(plan.widths), 16 * 86 - sum(plan.widths))
    assert not any("[" in label for label in labels(row.xaxis))
    small = [line for line in row.get_lines() if line.get_rasterized()]
    assert small and all(line.get_markersize() < 4 for line in small)
    looks = {(to_hex(line.get_color()), line.get_marker()) for line in small}
    assert len(looks) == 16  # colour and marker together tell layers apart


def test_a_ranking_refuses_what_does_not_belong_together(refused):
    with refused("make it from these"):
        slimming.ranking({"features.conv1": SCORES["features.conv1"]}, PLAN)
    zeros = {"a": torch.zeros(4)}
    with refused("No score is above 0"):
        slimming.ranking(zeros, global_plan(zeros, 0.5))


@pytest.mark.parametrize("reader", [nn.Conv2d(6, 8, 3), nn.Linear(6, 10)])
def test_surgery_shows_real_indices_and_new_ones(reader):
    left, middle, right = surgery(reader).axes
    channels = ["0→0", "1", "2→1", "3→2", "4", "5→3"]
    assert labels(left.yaxis) == labels(middle.yaxis) == labels(right.xaxis) == channels
    assert labels(left.xaxis) == ["0→0", "1→1", "2", "3→2"]
    assert labels(right.yaxis) == [f"{i}" for i in range(len(reader.weight))]
    for axis in (left.yaxis, left.xaxis, right.xaxis):
        assert all((label.get_weight() == "bold") == ("→" in label.get_text()) for label in axis.get_ticklabels())


def test_surgery_crosses_rows_of_the_convolution_and_columns_of_the_reader():
    left, middle, right = surgery().axes

    def crossed(axis):
        boxes = [patch.get_bbox() for patch in axis.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
        return [(box.x0, box.y0, box.width, box.height) for box in boxes]

    assert crossed(left) == [(0, 1, 4, 1), (0, 4, 4, 1), (2, 0, 1, 6)]
    assert crossed(right) == [(1, 0, 1, 8), (4, 0, 1, 8)]
    assert [line.get_ydata()[0] for line in middle.get_lines()] == [1.5, 4.5]


def test_surgery_shows_the_layers_numbers():
    conv, norm, reader = layers()
    left, middle, right = slimming.surgery(conv, norm, reader, INPUTS, KEPT).axes
    for axis, layer in ((left, conv), (right, reader)):
        shown = torch.from_numpy(axis.collections[0].get_array().data)
        torch.testing.assert_close(shown, layer.weight.detach().abs().mean((2, 3)))
    assert [text.get_text() for text in middle.texts[:6]] == ["−1.25", "−0.25", "0.75", "1.75", "2.75", "3.75"]
    assert labels(middle.xaxis) == ["γ", "β", "running\nmean", "running\nvar."]


@pytest.mark.parametrize(
    ("given", "inputs", "kept", "says"),
    [
        (layers(reader=nn.Linear(24, 10)), INPUTS, KEPT, "follow each other"),
        (layers(channels=16, reader=nn.Linear(16, 10)), INPUTS, KEPT, "10 at most"),
        (layers(), INPUTS, torch.tensor([2, 6]), "below 6"),
        (layers(), torch.tensor([1, 0]), KEPT, "ascending"),
    ],
)
def test_surgery_refuses_what_it_cannot_draw(given, inputs, kept, says, refused):
    with refused(says):
        slimming.surgery(*given, inputs, kept)


def test_the_guard_is_named_where_it_saved_a_layer_and_the_gap_where_it_did_not():
    without, with_guard = slimming.guard(UNGUARDED, PLAN).axes

    def marked(axis, text):
        return [note.xy[0] for note in axis.texts if note.get_text() == text]

    assert UNGUARDED.widths[1] == 0
    assert marked(without, "no channel: nothing passes") == marked(with_guard, "guard") == [2]
    assert not marked(without, "guard") and not marked(with_guard, "no channel: nothing passes")
    for axis, plan in ((without, UNGUARDED), (with_guard, PLAN)):
        before, left = ([bar.get_height() for bar in bars] for bars in axis.containers)
        assert before == list(plan.total.values()) and left == plan.widths


def test_the_guard_refuses_plans_of_two_networks(refused):
    other = ChannelPlan({"a": (0,)}, {"a": 2}, 0.5)
    with refused("same scores"):
        slimming.guard(other, PLAN)
