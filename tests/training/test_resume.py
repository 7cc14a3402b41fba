import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from workers import Stopped, assert_same_run, slimming, stop_after, tiny_fit, train

from labkit import records
from labkit.settings import LabError
from labkit.training import checkpoint, loop

EPOCHS, KILLS = 40, 10
SAVES = 2 * 2 + 3  # of a run of two epochs: checkpoint and gammas so far, twice; then weights, gammas and the record


def messages(receiver):
    """All messages until the process ends."""
    try:
        while True:
            yield receiver.recv()
    except EOFError:
        return


def finish(spawn, folder, epochs):
    """Train to the end; the epochs that were trained."""
    process, receiver = spawn(train, folder, epochs)
    start, *trained = messages(receiver)
    process.join()
    assert process.exitcode == 0
    return trained


@pytest.fixture(scope="module")
def whole(spawn, tmp_path_factory):
    """Folder of an uninterrupted run of two epochs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(spawn, folder, epochs=2)
    return folder


def test_run_killed_at_ten_random_points_ends_bit_equal_to_an_uninterrupted_one(spawn, tmp_path):
    process, receiver = spawn(train, tmp_path / "whole", EPOCHS)
    times = [time.perf_counter() for _ in messages(receiver)]
    epoch_seconds = (times[-1] - times[0]) / EPOCHS

    chance = random.Random(0)
    for _ in range(KILLS):
        process, receiver = spawn(train, tmp_path / "run", EPOCHS)
        for _ in range(1 + chance.choice([0, 0, 1, 2])):  # the start and so many whole epochs
            receiver.recv()
        time.sleep(chance.uniform(0, epoch_seconds))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    trained = finish(spawn, tmp_path / "run", EPOCHS)
    assert 0 < len(trained) < EPOCHS - 3
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("moment", ["half written", "written", "in place"])
@pytest.mark.parametrize("save", range(1, SAVES + 1))
def test_run_killed_inside_a_save_ends_bit_equal(spawn, whole, tmp_path, moment, save):
    folder = tmp_path / "run"
    process, receiver = spawn(train, folder, 2, (moment, save))
    list(messages(receiver))
    process.join()
    assert process.exitcode == -signal.SIGKILL

    over = (moment, save) == ("in place", SAVES)
    assert (folder / "record.json").exists() == over
    checkpoints = (save + (moment == "in place")) // 2  # that are whole
    assert len(finish(spawn, folder, epochs=2)) == max(0, 2 - checkpoints)
    assert_same_run(folder, whole)


@pytest.mark.parametrize("length", [0, 5, 0.5, -1])
def test_truncated_checkpoint_is_set_aside_and_the_run_starts_again(tmp_path, length):
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        tiny_fit(folder, 3, watch=stop_after(2))
    checkpoint = folder / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    damaged = content[: int(length * len(content)) if isinstance(length, float) else length]
    checkpoint.write_bytes(damaged)

    tiny_fit(folder, 3)
    tiny_fit(tmp_path / "whole", 3)
    assert_same_run(folder, tmp_path / "whole")
    assert (tmp_path / "run.replaced-1" / "checkpoint.safetensors").read_bytes() == damaged


def test_stopped_run_continues_after_its_last_epoch(tmp_path):
    with pytest.raises(Stopped):
        tiny_fit(tmp_path / "run", 4, watch=stop_after(3))
    with pytest.raises(LabError, match="never finished"):
        records.load(tmp_path / "run")
    seen = []
    tiny_fit(tmp_path / "run", 4, watch=lambda history, epochs: seen.append((len(history), epochs)))
    assert seen == [(4, 4)]


def test_finished_run_is_returned_without_training(tmp_path, tree):
    first = tiny_fit(tmp_path / "run", 2)
    files, weights = tree(tmp_path), tmp_path / "run" / "weights.safetensors"
    modified = weights.stat().st_mtime_ns
    second = tiny_fit(tmp_path / "run", 2, watch=stop_after(1))
    assert second == first
    assert (tree(tmp_path), weights.stat().st_mtime_ns) == (files, modified)


def test_run_of_another_configuration_is_kept_beside_the_new_one(tmp_path, tree):
    folder = tmp_path / "run"
    for number, lam in enumerate((1e-3, 1e-2, 1e-1)):
        tiny_fit(folder, 1, lam=lam)
        files = tree(folder)
        tiny_fit(folder, 1, lam=lam / 2)
        assert tree(tmp_path / f"run.replaced-{2 * number + 1}") == files
    assert records.load(folder).config["lambda"] == 0.05
    assert [run.config["lambda"] for run in records.load_all(tmp_path)] == [0.05]


def test_another_penalty_with_the_same_lambda_trains_again(tmp_path, tree):
    folder = tmp_path / "run"
    tiny_fit(folder, 2, penalty=slimming)
    files = tree(folder)
    record = tiny_fit(folder, 2, penalty=lambda gammas, lam: lam * gammas)
    assert record.config["penalty_probe"] == pytest.approx([-2e-3, -5e-4, 0, 5e-4, 2e-3])
    assert (folder / "weights.safetensors").read_bytes() != files[Path("weights.safetensors")]
    assert tree(tmp_path / "run.replaced-1") == files


def test_broken_off_run_of_another_configuration_is_not_continued(tmp_path):
    with pytest.raises(Stopped):
        tiny_fit(tmp_path / "run", 2, watch=stop_after(1))
    seen = []
    tiny_fit(tmp_path / "run", 2, lam=0.5, watch=lambda history, epochs: seen.append(len(history)))
    assert seen == [1, 2]
    assert (tmp_path / "run.replaced-1" / "checkpoint.safetensors").exists()


def test_saves_are_as_far_apart_as_asked_and_a_run_goes_on_from_the_last(tmp_path, monkeypatch):
    clock, saved = [0.0], []  # an epoch takes a second
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    original = checkpoint.write

    def noted(*args, history, **progress):
        saved.append(len(history))
        original(*args, history=history, **progress)

    def watch(history, of):
        clock[0] += 1
        stop_after(8)(history, of)

    monkeypatch.setattr(checkpoint, "write", noted)
    with pytest.raises(Stopped):
        tiny_fit(tmp_path / "run", 9, watch=watch, save_every=3)
    assert saved == [4, 7]
    trained = []
    tiny_fit(tmp_path / "run", 9, watch=lambda history, epochs: trained.append(len(history)), save_every=3)
    assert trained == [8, 9]
    tiny_fit(tmp_path / "whole", 9)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
