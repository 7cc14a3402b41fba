"""What other processes see of a training under way: there from its start, gone with its end."""

import json
import os
import time

import pytest
from workers import Stopped, stop_after, tiny_fit

from labkit import progress
from labkit.progress import News, Progress
from labkit.settings import LabError
from labkit.training import loop

DONE = {"epoch": 2, "loss": 0.5, "validation_accuracy": 0.815}


@pytest.fixture(autouse=True)
def all_of_it(monkeypatch):
    """A report after every epoch, however short."""
    monkeypatch.setattr(loop, "REPORT_EVERY", 0.0, raising=False)


def test_a_training_tells_how_far_it_is_from_its_start_to_its_end(tmp_path, monkeypatch):
    told, original = [], progress.write

    def noted(folder, state):
        original(folder, state)
        told.append(progress.read(folder))

    monkeypatch.setattr(progress, "write", noted)
    made = tiny_fit(tmp_path / "run", 3)
    assert [len(state.history) for state in told] == [0, 1, 2, 3]
    assert {(state.name, state.epochs) for state in told} == {("run", 3)}
    assert told[-1].history == made.history and sum(told[-1].seconds) == made.results["seconds"]
    assert progress.read(tmp_path / "run") is None and not (tmp_path / "run" / progress.FILE).exists()


def test_a_continued_training_begins_with_the_epochs_before(tmp_path, monkeypatch):
    with pytest.raises(Stopped):
        tiny_fit(tmp_path / "run", 3, watch=stop_after(2))
    told = []
    monkeypatch.setattr(progress, "write", lambda folder, state: told.append(len(state.history)))
    tiny_fit(tmp_path / "run", 3)
    assert told == [2, 3]


@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt, LabError])
def test_a_training_that_does_not_reach_its_end_leaves_no_news(tmp_path, error):
    seen = []

    def watch(history, of):
        seen.append(progress.read(tmp_path / "run"))
        raise error

    with pytest.raises(error):
        tiny_fit(tmp_path / "run", 3, watch=watch)
    assert len(seen[0].history) == 1
    assert not (tmp_path / "run" / progress.FILE).exists()


def test_a_diverging_training_leaves_no_news(tmp_path):
    with pytest.raises(LabError, match="diverged"):
        tiny_fit(tmp_path / "run", 3, lam=1e30)
    assert not (tmp_path / "run" / progress.FILE).exists()


def test_news_are_heard_once_and_again_when_they_change(tmp_path):
    news, folder = News(), tmp_path / "run"
    assert news.of([folder]) == {}
    progress.write(folder, Progress("run", 3))
    assert [state.epochs for state in news.of([folder, tmp_path / "other"]).values()] == [3]
    assert news.of([folder]) == {}
    progress.write(folder, Progress("run", 3, [DONE], [1.0]))
    later = (folder / progress.FILE).stat().st_mtime_ns + 1  # a file system may have a coarse clock
    os.utime(folder / progress.FILE, ns=(later, later))
    assert [state.history for state in news.of([folder]).values()] == [[DONE]]
    progress.remove(folder)
    assert news.of([folder]) == {}


def test_what_a_killed_training_left_behind_is_no_news(tmp_path):
    progress.write(tmp_path, Progress("run", 3, [DONE], [1.0]))
    before = time.time() - 60
    os.utime(tmp_path / progress.FILE, (before, before))
    assert News().of([tmp_path]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"name": "run", "epo',
        "null",
        "[1]",
        '{"name": "run"}',
        '{"name": "run", "epochs": 1, "other": 2}',
        "ÿ",
    ],
)
def test_a_half_written_file_is_none_and_heard_of_when_it_is_whole(tmp_path, text):
    news = News()
    (tmp_path / progress.FILE).write_bytes(text.encode("latin-1"))
    assert progress.read(tmp_path) is None
    assert news.of([tmp_path]) == {}
    progress.write(tmp_path, Progress("run", 3))
    assert news.of([tmp_path]) == {tmp_path: Progress("run", 3)}


def test_a_whole_file_cut_anywhere_is_none(tmp_path):
    progress.write(tmp_path, Progress("run", 3, [DONE], [1.0]))
    whole = (tmp_path / progress.FILE).read_bytes()
    for length in range(len(whole)):
        (tmp_path / progress.FILE).write_bytes(whole[:length])
        assert progress.read(tmp_path) is None


def test_the_line_says_epochs_accuracy_and_minutes():
    state = Progress("run", 8, [DONE | {"epoch": 1}, DONE], [80.0, 100.0])
    assert str(state) == "run: epoch 2 of 8, loss 0.50, validation accuracy 81.5%, about 9.0 minutes left"
    assert Progress("run", 2, [DONE, DONE], [80.0, 100.0]).minutes_left == 0


def test_before_the_first_epoch_the_line_promises_nothing():
    assert Progress("run", 8).minutes_left is None
    assert str(Progress("run", 8)) == "run: epoch 1 of 8 under way"


def test_a_training_of_which_nothing_can_be_told_goes_on(tmp_path, monkeypatch):
    def full(path, *given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress.Path, "write_text", full)  # records are written otherwise: see labkit.files
    with pytest.raises(OSError):
        (tmp_path / "file").write_text("")
    monkeypatch.setattr("labkit.files.write_text", lambda path, text: path.write_bytes(text.encode()))
    monkeypatch.setattr("labkit.records.write_text", lambda path, text: path.write_bytes(text.encode()))
    assert len(tiny_fit(tmp_path / "run", 2).history) == 2


def test_a_progress_file_that_cannot_be_written_or_read_costs_nothing(tmp_path):
    (tmp_path / progress.FILE).mkdir()  # as good as no permission, also for root
    progress.write(tmp_path, Progress("run", 3))
    assert progress.read(tmp_path) is None and News().of([tmp_path]) == {}
    (tmp_path / "file").touch()
    progress.write(tmp_path / "file" / "run", Progress("run", 3))
    assert progress.read(tmp_path / "file" / "run") is None


@pytest.mark.parametrize("where", ["its place", "its folder"])
def test_a_progress_file_that_cannot_be_removed_costs_no_training(tmp_path, where):
    place = tmp_path / progress.FILE if where == "its place" else tmp_path / "file" / progress.FILE
    if where == "its place":
        place.mkdir()
    else:
        (tmp_path / "file").touch()
    progress.remove(place.parent)


def test_the_file_is_plain_json(tmp_path):
    progress.write(tmp_path, Progress("run", 3, [DONE], [1.0]))
    assert json.loads((tmp_path / progress.FILE).read_text(encoding="utf-8"))["history"] == [DONE]
