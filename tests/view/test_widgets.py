"""The live curve, without a browser."""

from workers import Stopped, stop_after, tiny_fit

from labkit import records
from labkit.view import widgets


def test_live_curve_is_a_progress_bar_in_a_terminal(capsys):
    watch = widgets.live_curve("λ = 0")
    row = {"epoch": 1, "loss": 0.5, "train_accuracy": 0.5, "validation_accuracy": 0.25}
    watch([row], 2)
    watch([row, row | {"epoch": 2}], 2)
    assert "2/2" in capsys.readouterr().err


def drawn(folder, history):
    """The live figure's axes in a notebook."""
    return widgets._NotebookCurve("λ = 0", folder).figure(history, 3).axes


def test_a_live_curve_names_its_axes_and_curves(tmp_path):
    history = [{"epoch": 1, "loss": 0.5, "train_accuracy": 0.5, "validation_accuracy": 0.25}]
    for folder in (None, tmp_path / "not there yet"):
        (axis,) = drawn(folder, history)
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "accuracy")
        names = [text.get_text() for text in axis.get_legend().get_texts()]
        assert names == ["training images", "validation images"]


def test_the_live_map_grows_with_the_training_and_ends_as_the_run(tmp_path):
    folder, seen = tmp_path / "run", []

    def watch(history, epochs):
        seen.append(records.gammas_so_far(folder))
        _, right, _ = drawn(folder, history)
        assert right.get_xlabel() == "epoch" and right.get_ylabel() == "layer"
        first, second = right.collections[:2]
        assert first.get_array().size == second.get_array().size == 8 * (1 + len(history))

    run = tiny_fit(folder, 3, watch)
    assert [epochs for epochs, _, _ in seen] == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]
    epochs, widths, rows = records.gammas_so_far(folder)
    assert (epochs, widths) == (run.snapshots, [8, 8])
    for row, layers in zip(rows, run.gammas(), strict=True):
        assert row.tolist() == [value for layer in layers.values() for value in layer.tolist()]


def test_a_broken_off_training_leaves_no_run_but_what_it_has(tmp_path):
    try:
        tiny_fit(tmp_path / "run", 3, watch=stop_after(2))
    except Stopped:
        pass
    epochs, _, rows = records.gammas_so_far(tmp_path / "run")
    assert epochs == [0, 1, 2] and len(rows) == 3
    assert records.load_all(tmp_path) == []
