"""The live curve, without a browser."""

from labkit.view import widgets


def test_live_curve_is_a_progress_bar_in_a_terminal(capsys):
    watch = widgets.live_curve("λ = 0")
    row = {"epoch": 1, "loss": 0.5, "train_accuracy": 0.5, "validation_accuracy": 0.25}
    watch([row], 2)
    watch([row, row | {"epoch": 2}], 2)
    assert "2/2" in capsys.readouterr().err
