"""Trainings in worker processes: bit-equal to one after the other, heard of here, one's error not the others'."""

import os

import pytest
import torch
from workers import assert_same_run, vgg

from labkit import hardware, records, workers
from labkit.settings import Recipe
from labkit.training import Diverged, fit_all, loop, together

RECIPE = Recipe(2, batch=50)
LAMBDAS = (0.0, 1e-3, 1e-2)


@pytest.fixture
def two_processes(monkeypatch):
    """``fit_all`` by two processes, without a timing; and how often that was done."""
    counts = []

    def forced(trainings):
        counts.append(len(trainings))
        return 2 if trainings else 0

    monkeypatch.setattr(together, "worthwhile", forced)
    monkeypatch.setattr(workers, "POLL", 0.05)
    return counts


@pytest.fixture
def one_after_the_other(monkeypatch):
    monkeypatch.setattr(together, "worthwhile", lambda trainings: 0)


def trainings(folder, data, penalty, lambdas=LAMBDAS, **options):
    """Keyword arguments for ``fit_all``, a training for each λ."""
    shared = {"model": vgg([6], [6]), "data": data, "recipe": RECIPE, "kind": "sparsity", "penalty_gradient": penalty}
    return [shared | {"lam": lam, "folder": folder / f"sparsity-lambda{lam:g}"} | options for lam in lambdas]


def pulled():
    """A penalty as a notebook defines it: a function inside another, with what it knows."""
    strength = torch.tensor(0.5)

    def penalty(gammas, lam):
        return strength * lam * gammas.sign()

    return penalty


def failing_in_a_worker():
    here = os.getpid()

    def penalty(gammas, lam):
        if os.getpid() != here and lam == LAMBDAS[1]:
            raise TypeError("this penalty is wrong at last")
        return lam * gammas.sign()

    return penalty


@pytest.fixture
def alone(tiny_data, tmp_path, monkeypatch):
    """The folder of the same trainings, made one after the other on one thread."""
    with monkeypatch.context() as context:
        context.setattr(together, "worthwhile", lambda trainings: 0)
        fit_all(trainings(tmp_path / "alone", tiny_data, pulled()))
    return tmp_path / "alone"


def test_processes_make_the_same_runs_bit_for_bit_and_are_not_started_again(
    tiny_data, tmp_path, two_processes, alone, monkeypatch, tree
):
    seen = {lam: [] for lam in LAMBDAS}
    asked = trainings(tmp_path / "runs", tiny_data, pulled())
    for training in asked:
        training["watch"] = lambda history, of, lam=training["lam"]: seen[lam].append((os.getpid(), len(history), of))
    asked[0]["watch"] = None
    made = fit_all(asked)
    assert [run.config["lambda"] for run in made] == list(LAMBDAS), "in order"
    for run in made:
        assert_same_run(run.folder, alone / run.name)
        assert not (run.folder / "progress.json").exists()
    assert not seen[LAMBDAS[0]]
    for lam in LAMBDAS[1:]:
        assert {process for process, *_ in seen[lam]} == {os.getpid()}, "watches are called here"
        assert seen[lam][-1][1:] == (2, 2), "and end with the whole history"

    files = tree(tmp_path / "runs")
    monkeypatch.setattr(workers, "run", lambda *given: pytest.fail("processes for nothing"))
    again = fit_all(trainings(tmp_path / "runs", tiny_data, pulled()))
    assert again == made and two_processes == [3, 0]
    assert tree(tmp_path / "runs") == files


def test_only_what_is_missing_is_made(tiny_data, tmp_path, two_processes, alone):
    kept = alone / "sparsity-lambda0.001"
    before = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    first = (alone / "sparsity-lambda0").rename(tmp_path / "first")
    (alone / "sparsity-lambda0.01" / "weights.safetensors").unlink()
    made = fit_all(trainings(alone, tiny_data, pulled()))
    assert two_processes == [2] and len(made) == 3
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == before
    assert_same_run(made[0].folder, first)


def test_an_error_in_one_lets_the_others_finish_and_is_raised(tiny_data, tmp_path, two_processes, capfd):
    with pytest.raises(TypeError, match="this penalty is wrong at last"):
        fit_all(trainings(tmp_path, tiny_data, failing_in_a_worker()))
    assert sorted(record.config["lambda"] for record in records.load_all(tmp_path)) == [LAMBDAS[0], LAMBDAS[2]]
    assert not list(tmp_path.glob("*/progress.json")) and not list(tmp_path.glob(".*.owner"))


def test_a_diverging_training_is_named_by_its_lambda_and_the_others_finish(tiny_data, tmp_path, two_processes):
    with pytest.raises(Diverged, match=r"diverged.*λ = 1e\+30") as caught:
        fit_all(trainings(tmp_path, tiny_data, pulled(), lambdas=(0.0, 1e30, 1e-2)))
    assert "\n" not in str(caught.value)
    assert [record.config["lambda"] for record in records.load_all(tmp_path)] == [0.0, 1e-2]


def test_a_wrong_argument_is_refused_before_any_process(tiny_data, tmp_path, two_processes, refused):
    with refused("λ is -1"):
        fit_all(trainings(tmp_path, tiny_data, pulled(), lambdas=(0.0, -1)))
    assert not list(tmp_path.iterdir()) and not two_processes


def test_what_a_worker_prints_arrives(tiny_data, tmp_path, two_processes, capsys):
    here = os.getpid()

    def talking(gammas, lam):
        if os.getpid() != here:
            print(f"said at λ = {lam:g}")
        return lam * gammas.sign()

    fit_all(trainings(tmp_path, tiny_data, talking, lambdas=(1e-3, 1e-2), recipe=Recipe(1, batch=50)))
    said = capsys.readouterr().out.splitlines()
    assert {"said at λ = 0.001", "said at λ = 0.01"} <= set(said)


def test_a_broken_off_training_is_continued_by_a_worker(tiny_data, tmp_path, two_processes, alone, capsys):
    class Stopped(Exception):
        pass

    def watch(history, of):
        raise Stopped

    (one, *others) = trainings(tmp_path / "runs", tiny_data, pulled())
    with pytest.raises(Stopped):
        loop.fit(**one | {"watch": watch, "save_every": 0})
    made = fit_all([one, *others])
    assert "sparsity-lambda0: continued from" in capsys.readouterr().out
    assert_same_run(made[0].folder, alone / made[0].name)


def test_two_trainings_of_one_name_in_two_folders_are_two(tiny_data, tmp_path, two_processes):
    one, other = (trainings(tmp_path / name, tiny_data, pulled(), lambdas=(1e-3,))[0] for name in "ab")
    made = fit_all([one, other | {"lam": 1e-2}])
    assert [run.config["lambda"] for run in made] == [1e-3, 1e-2]


def test_the_error_of_one_after_the_other_is_raised_when_the_others_have_finished(
    tiny_data, tmp_path, one_after_the_other
):
    with pytest.raises(Diverged):
        fit_all(trainings(tmp_path, tiny_data, pulled(), lambdas=(0.0, 1e30, 1e-2)))
    assert [record.config["lambda"] for record in records.load_all(tmp_path)] == [0.0, 1e-2]


@pytest.fixture
def priced(monkeypatch, tiny_data, tmp_path):
    """``priced(cores, one, all, count)``: the processes that are worth while for so many trainings of 12,000 steps
    where a step takes ``one`` seconds on one thread and ``all`` on all; and how often was timed."""
    recipe, timings = Recipe(2000, batch=50), []

    def ask(cores, one, all, count):
        monkeypatch.setattr(hardware, "cores", lambda *surroundings: hardware.Cores(cores, "said so"))

        def seconds(model, images, recipe, counts):
            timings.append(counts)
            return {1: one, cores: all}

        monkeypatch.setattr(together, "seconds_per_step", seconds)
        asked = trainings(tmp_path, tiny_data, pulled(), lambdas=[1e-3 * number for number in range(count)])
        return together.worthwhile([training | {"recipe": recipe} for training in asked]), timings

    return ask


@pytest.mark.parametrize(
    "cores, one, all, count, processes",
    [
        (1, 0.01, 0.01, 4, 0),  # one core has no gain
        (2, 0.01, 0.01, 1, 0),  # nor has one training
        (2, 0.01, 0.01, 0, 0),
        (2, 0.01, 0.01, 2, 2),  # a second core helps one training nothing
        (2, 0.01, 0.006, 2, 2),  # 144 s alone, 120 + 5 together
        (2, 0.01, 0.0054, 2, 0),  # 130 s alone: less than a twentieth is saved
        (2, 0.01, 0.0051, 4, 0),
        (4, 0.01, 0.005, 8, 4),  # 480 s alone, 240 together, one process a core
        (4, 0.01, 0.005, 5, 5),  # the last ones would leave cores without work
        (4, 0.01, 0.005, 2, 0),  # two on four cores gain nothing: each has two alone
        (4, 1e-4, 1e-4, 4, 0),  # 4.8 s alone are less than it takes to start
    ],
)
def test_processes_are_taken_where_they_save_a_twentieth(priced, cores, one, all, count, processes):
    assert priced(cores, one, all, count)[0] == processes


def test_equal_networks_are_timed_once(priced):
    assert priced(2, 0.01, 0.01, 5) == (2, [{1, 2}])
