"""The policy editor, without a browser."""

import ipywidgets
import pytest
from workers import tiny_dataset

from labkit import measure, models, pruning, training
from labkit.methods import front
from labkit.methods.front.editor import LOOKED_AT, RE_ESTIMATED_ON
from labkit.pruning import filter_norms


@pytest.fixture(scope="module")
def net():
    return models.build(models.named("vgg11", 0.1), seed=0).eval()


@pytest.fixture
def parts(net, tmp_path):
    """The editor's sliders by name, its two lines and buttons, its name, what it says, and where it saves."""
    box = front.editor(net, filter_norms(net), tiny_dataset(), tmp_path, latency=lambda network: 1.25)
    rows, costs, (button, seen), (name, keep, said) = (
        box.children[0], box.children[1], box.children[2].children, box.children[3].children,
    )  # fmt: skip
    sliders = {slider.description: slider for slider in rows.children}
    return sliders, costs, button, seen, name, keep, said


def test_a_slider_changes_parameters_macs_and_latency(net, parts):
    sliders, costs, *_ = parts
    assert list(sliders) == [f"conv{i}" for i in range(1, 9)]
    assert f"{measure.macs(net):,} MACs (100.0%)" in costs.value and "1.25 ms" in costs.value
    sliders["conv4"].value = 0.5
    plan = front.policy(filter_norms(net), {"features.conv4": 0.5})
    assert costs.value == front.described(net.specification, plan, lambda network: 1.25)


def test_the_button_tells_the_accuracies_of_the_plan_as_they_are(net, parts):
    sliders, _, button, seen, *_ = parts
    sliders["conv4"].value = 0.5
    assert "press" in seen.value
    button.click()
    data = tiny_dataset()
    slim = pruning.thin(net, front.policy(filter_norms(net), {"features.conv4": 0.5}))
    some, again = data.validation[:LOOKED_AT], training.recalibrate(slim, data.train[:RE_ESTIMATED_ON])
    expected = [training.evaluate(slim, some), training.evaluate(again, some)]
    assert seen.value == f"without training: {expected[0]:.1%} as it stands, {expected[1]:.1%} re-estimated"
    sliders["conv4"].value = 0.25
    assert "press" in seen.value, "an accuracy of another plan does not stay"


def test_a_saved_plan_is_what_the_sliders_say(net, parts, tmp_path):
    sliders, _, _, _, name, keep, said = parts
    sliders["conv6"].value = 0.5
    name.value = "mine"
    keep.click()
    assert said.value == "saved as mine.json"
    assert front.load_plan(tmp_path / "mine.json") == front.policy(filter_norms(net), {"features.conv6": 0.5})


@pytest.mark.parametrize("name", ["../mine", "", "a/b"])
def test_a_name_that_is_no_files_is_said_and_nothing_is_written(parts, tmp_path, name):
    _, _, _, _, field, keep, said = parts
    field.value = name
    keep.click()
    assert "does not do" in said.value and list(tmp_path.iterdir()) == []


def test_no_slider_can_empty_a_group(net, parts):
    sliders, costs, *_ = parts
    for slider in sliders.values():
        slider.value = slider.max
    assert "parameters" in costs.value
    plan = front.policy(filter_norms(net), {f"features.{name}": slider.value for name, slider in sliders.items()})
    assert min(plan.widths) >= 1


def test_a_slider_of_a_stage_moves_all_of_its_groups(tmp_path):
    net = models.build(models.named("resnet18", 0.1), seed=0).eval()
    box = front.editor(net, filter_norms(net), tiny_dataset(), tmp_path)
    slider = next(slider for slider in box.children[0].children if slider.description == "stage2")
    slider.value = 0.5
    stages = front.stages(net.specification)
    assert box.children[1].value == front.described(
        net.specification, front.policy(filter_norms(net), {"stage2": 0.5}, stages)
    )


def test_the_editor_leaves_the_network_as_it_is_and_uses_core_widgets_only(net, parts):
    before = training.fingerprint(net)
    sliders, _, button, *others = parts
    next(iter(sliders.values())).value = 0.5
    button.click()
    assert training.fingerprint(net) == before
    widgets = [*sliders.values(), button, *others]
    assert all(type(widget).__module__.startswith("ipywidgets.") for widget in widgets)
    assert int(ipywidgets.__version__.split(".")[0]) >= 7
