"""Where one waits: the training that runs is said, in a log line by line, on a terminal in one line."""

import os
from pathlib import Path

import nbformat
import pytest
from workers import tiny_fit

from labkit import settings
from labkit.progress import News, Progress
from labkit.tools import run, screen

HISTORY = [{"epoch": 1, "loss": 0.5, "validation_accuracy": 0.912}]
HALF_WAY = Progress("sparsity-lambda0.004", 2, HISTORY, [30.0])


def test_a_log_has_a_line_an_epoch_and_no_carriage_return(capsys):
    shown = screen.Screen("01", 30, "cell")
    shown.hear({Path("a"): Progress("sparsity-lambda0.004", 2)})
    shown.hear({Path("a"): HALF_WAY})
    shown.close()
    out, err = capsys.readouterr()
    said = "sparsity-lambda0.004: epoch 1 of 2, loss 0.50, validation accuracy 91.2%, about 0.5 minutes left\n"
    assert out == said and err == ""


def test_a_terminal_has_one_line_that_names_the_training(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = screen.Screen("01", 30, "cell")
    shown.hear({Path("a"): Progress("sparsity-lambda0.004", 2)})
    shown.done(27)
    shown.hear({Path("a"): HALF_WAY})
    shown.close()
    out, err = capsys.readouterr()
    assert out == "" and "\n" not in err.strip()
    assert "27/30" in err and "epoch 1 of 2 under way" in err and "accuracy 91.2%" in err


def test_who_looks_repeatedly_looks_once_more_at_the_end(monkeypatch):
    monkeypatch.setattr(screen, "EVERY", 60)
    looks = []
    with pytest.raises(ValueError), screen.repeatedly(lambda: looks.append(1)):
        raise ValueError
    assert looks == [1]


def test_a_notebook_that_is_executed_says_how_its_trainings_get_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(screen, "EVERY", 0.05)
    tests = os.path.dirname(__import__("workers").__file__)
    code = (
        f"import sys, time; sys.path.insert(0, {tests!r})\nfrom pathlib import Path\nfrom workers import tiny_fit\n"
        f"tiny_fit(Path({str(tmp_path / 'runs')!r}) / 'sparsity-lambda0.001', 2, watch=lambda *_: time.sleep(1.5))"
    )
    source = tmp_path / "01.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), source)
    environment = {**os.environ, **settings.current().environment()}
    run.execute(source, tmp_path / "executed.ipynb", environment, tmp_path / "runs")
    out = capsys.readouterr().out
    assert "sparsity-lambda0.001: epoch 1 of 2, loss " in out and "\r" not in out


def test_what_an_earlier_training_left_behind_is_no_news(tmp_path):
    tiny_fit(tmp_path / "run", 1)
    (tmp_path / "run" / "progress.json").write_text('{"name": "run", "epochs": 2}', encoding="utf-8")
    os.utime(tmp_path / "run" / "progress.json", (1, 1))
    assert News().of(tmp_path.glob("*")) == {}
