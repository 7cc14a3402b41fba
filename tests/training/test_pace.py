"""How many threads a training takes: timed, overruled, and kept by its checkpoint."""

import os
from contextlib import nullcontext

import pytest
import torch
from workers import Stopped, stop_after, tiny_fit, vgg

from labkit import hardware, records
from labkit.files import read_metadata, read_tensors, write_tensors
from labkit.settings import LabError, Recipe
from labkit.training import best_threads, loop, pace, seconds_per_step

RECIPE = Recipe(1, batch=10)


@pytest.fixture
def asked_nothing(monkeypatch):
    monkeypatch.delenv("LABKIT_THREADS", raising=False)


@pytest.fixture
def grants(monkeypatch):
    """``grants(count)``: that many threads."""
    return lambda count: monkeypatch.setattr(hardware, "cores", lambda *given: hardware.Cores(count, "said so"))


@pytest.fixture
def timed(monkeypatch):
    """``timed(seconds)``: what a step takes, by number of threads; a list of what was asked for."""

    def fix(seconds):
        asked = []

        def say(model, images, recipe, counts):
            asked.append(tuple(counts))
            return {count: seconds[count] for count in counts}

        monkeypatch.setattr(pace, "seconds_per_step", say)
        return asked

    return fix


@pytest.mark.parametrize(
    "seconds, best",
    [
        ({8: 1.0, 4: 2.0, 2: 4.0, 1: 8.0}, 8),  # all, where all are faster
        ({8: 9.0, 4: 1.0, 2: 2.0, 1: 4.0}, 4),  # fewer, where others keep the cores busy
        ({8: 9.0, 4: 8.0, 2: 7.0, 1: 6.0}, 1),
        ({8: 0.95, 4: 1.0, 2: 2.0, 1: 4.0}, 4),  # a twentieth saved is not worth the threads
        ({8: 1.0, 4: 1.0, 2: 1.0, 1: 1.0}, 1),
    ],
)
def test_a_training_takes_as_many_threads_as_make_it_faster(asked_nothing, grants, timed, tiny_data, seconds, best):
    grants(8)
    asked = timed(seconds)
    assert best_threads(vgg([4]), tiny_data.train, RECIPE) == best
    assert all(one == 2 * other for one, other in asked) and asked[0] == (8, 4)


def test_three_threads_are_compared_with_one(asked_nothing, grants, timed, tiny_data):
    grants(3)
    assert timed({3: 1.0, 1: 1.0}) == []
    assert best_threads(vgg([4]), tiny_data.train, RECIPE) == 1


def test_nothing_is_timed_where_one_thread_is_granted(asked_nothing, grants, timed, tiny_data):
    grants(1)
    asked = timed({})
    assert best_threads(vgg([4]), tiny_data.train, RECIPE) == 1 and not asked


def test_nothing_is_timed_where_labkit_threads_says_how_many(monkeypatch, timed, tiny_data):
    monkeypatch.setitem(os.environ, "LABKIT_THREADS", "6")
    asked = timed({})
    assert best_threads(vgg([4]), tiny_data.train, RECIPE) == 6 and not asked


def test_timing_leaves_the_network_the_threads_and_the_random_numbers_as_they_were(tiny_data):
    torch.set_num_threads(1)
    model = vgg([4], [4]).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds, randomness = [type(module) for module in model.modules()], torch.get_rng_state()
    seconds = seconds_per_step(model, tiny_data.train, RECIPE, {1, 2})
    assert seconds.keys() == {1, 2} and min(seconds.values()) > 0
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())
    assert [type(module) for module in model.modules()] == kinds
    assert torch.equal(torch.get_rng_state(), randomness)
    assert torch.get_num_threads() == 1


def test_timing_needs_no_more_images_than_there_are(tiny_data):
    assert seconds_per_step(vgg([4]), tiny_data.train[:3], Recipe(1, batch=8), [1])[1] > 0


@pytest.fixture
def used(monkeypatch):
    """Every number of threads that trainings computed with; torch itself stays with one."""
    counts = []

    def threads(count):
        counts.append(count)
        return nullcontext()

    monkeypatch.setattr(hardware, "threads", threads)
    return counts


def broken_off_with(threads, folder, used, grants, monkeypatch):
    """A training of three epochs, ended after two, whose checkpoint says ``threads``."""
    monkeypatch.setattr(loop, "best_threads", lambda *given: pytest.fail("timed again") if used else threads)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    grants(8)
    with pytest.raises(Stopped):
        tiny_fit(folder, 3, watch=stop_after(2))
    assert used == [threads]


@pytest.mark.parametrize("granted, then", [(8, 4), (4, 4), (3, 3), (1, 1)])
def test_a_resumed_training_keeps_its_threads_as_far_as_they_are_granted(
    tmp_path, monkeypatch, used, grants, granted, then
):
    broken_off_with(4, tmp_path / "run", used, grants, monkeypatch)
    grants(granted)
    tiny_fit(tmp_path / "run", 3)
    assert used == [4, then]


def test_a_checkpoint_that_says_no_threads_is_continued_with_those_that_fit_now(tmp_path, monkeypatch, used, grants):
    broken_off_with(4, tmp_path / "run", used, grants, monkeypatch)
    path = tmp_path / "run" / records.CHECKPOINT
    facts = read_metadata(path)
    assert facts.pop("threads") == "4"
    write_tensors(path, {name: value.clone() for name, value in read_tensors(path).items()}, facts)
    monkeypatch.setattr(loop, "best_threads", lambda *given: 2)
    epochs = []
    tiny_fit(tmp_path / "run", 3, watch=lambda history, of: epochs.append(len(history)))
    assert used == [4, 2] and epochs == [3]
    assert not list(tmp_path.glob("*.replaced-*"))


def test_a_run_says_with_how_many_threads_it_was_made(tmp_path, grants):
    before = torch.get_num_threads()
    made = tiny_fit(tmp_path / "run", 1)
    assert made.versions["threads"] == "1" and torch.get_num_threads() == before


def test_a_training_puts_the_threads_back_when_it_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "best_threads", lambda *given: 2)
    before, inside = torch.get_num_threads(), []
    with pytest.raises(LabError, match="diverged"):
        tiny_fit(
            tmp_path / "run", 2, lam=1e30, penalty=lambda g, lam: inside.append(torch.get_num_threads()) or lam * g
        )
    assert inside[-1] == 2 and torch.get_num_threads() == before
