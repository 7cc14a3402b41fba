"""A run is made at most once: by whoever comes first, waited for by the others, taken over from the killed."""

import copy
import json
import os
import re
import signal
from collections import Counter

import pytest
import torch
from workers import hold, make_once, many_records, set_aside_together, tiny_fit, train, vgg_of

from labkit import hardware, records, slimming
from labkit.pruning import ChannelPlan
from labkit.records import Record

NAMES = [f"run-{number}" for number in range(10)]


def started(spawn, work, folder, arguments):
    """Processes of ``work`` that begin at the same moment; their messages, in order, when all have ended."""
    processes = [spawn(work, folder, *own) for own in arguments]
    for _, receiver in processes:
        assert receiver.recv() == "ready"
    ((folder.parent if work is set_aside_together else folder) / "go").touch()
    found = []
    for process, receiver in processes:
        process.join(60)
        assert process.exitcode == 0
        messages = []
        while receiver.poll():
            try:
                messages.append(receiver.recv())
            except EOFError:
                break
        found.append(messages)
    return found


def lines(path):
    return [line.split()[0] for line in path.read_text().splitlines()]


def test_two_processes_on_ten_equal_records_make_each_once(spawn, tmp_path):
    first, second = started(spawn, many_records, tmp_path, [(NAMES,), (NAMES,)])
    assert first == second, "both have the same records"
    assert [name for name, _ in first] == NAMES
    assert Counter(lines(tmp_path / "made")) == Counter(NAMES)
    assert len({record.name for record in records.load_all(tmp_path)}) == 10


def test_two_processes_on_ten_different_records_make_each_once_and_side_by_side(spawn, tmp_path):
    mine, others = started(spawn, many_records, tmp_path, [(NAMES[:5], 0.1), (NAMES[5:], 0.1)])
    assert len({by for _, by in mine}) == len({by for _, by in others}) == 1 and mine[0][1] != others[0][1]
    assert Counter(lines(tmp_path / "made")) == Counter(NAMES)
    order = lines(tmp_path / "made")
    assert order != sorted(order), "neither waited for the other"


def test_two_trainings_of_one_run_train_once(spawn, tmp_path):
    processes = [spawn(train, tmp_path / "run", 4) for _ in range(2)]
    trained = []
    for process, receiver in processes:
        try:
            while True:
                trained.append(receiver.recv())
        except EOFError:
            process.join()
        assert process.exitcode == 0
    assert sorted(map(str, trained)) == ["1", "2", "3", "4", "start", "start"]
    assert records.load(tmp_path / "run").model()


def test_a_killed_holder_is_taken_over_and_named(spawn, tmp_path, capsys):
    process, receiver = spawn(hold, tmp_path / "run")
    assert receiver.recv() == "working"
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    made = make_once(tmp_path / "run", {}, tmp_path / "made")
    assert made.results["by"] == os.getpid()
    assert re.search(rf"run: taken over from process {process.pid} on \S+, which ended before", capsys.readouterr().out)
    make_once(tmp_path / "run", {}, tmp_path / "made")
    printed = capsys.readouterr().out
    assert "taken over" not in printed and "already there" in printed
    assert lines(tmp_path / "made") == ["run"]


def test_who_waits_says_for_whom_and_goes_on_when_the_holder_is_killed(spawn, tmp_path, capsys):
    process, receiver = spawn(hold, tmp_path / "run")
    assert receiver.recv() == "working"

    def work():
        record = Record("sparsity", {}, vgg_of([4]).to_dict(), results={"by": 0})
        return records.save(record.with_folder(tmp_path / "run"))
        yield

    turns = records.in_turns(tmp_path / "run", {}, work)
    assert next(turns) is next(turns) is hardware.WAITING  # it yields meanwhile, so that other trainings go on
    assert re.fullmatch(
        rf"run: waiting for process {process.pid} on \S+, which is making it\.\n", capsys.readouterr().out
    )
    process.kill()
    process.join()
    with pytest.raises(StopIteration) as end:
        for _ in range(100):
            next(turns)
    assert end.value.value.results == {"by": 0}
    assert f"taken over from process {process.pid}" in capsys.readouterr().out


def test_where_nothing_can_be_locked_the_work_goes_on_and_that_is_said(tmp_path, monkeypatch, capsys):
    def unsupported(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("filelock.FileLock.acquire", unsupported)
    for _ in range(2):
        made = make_once(tmp_path / "run", {}, tmp_path / "made")
        assert made.results["by"] == os.getpid()
        assert "run: nothing can be locked here ([Errno 95] Operation not supported)" in capsys.readouterr().out
    assert lines(tmp_path / "made") == ["run"]


def test_work_that_fails_gives_the_lock_back(tmp_path, capsys):
    def work():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            records.run_once(tmp_path / "run", {}, work)
    make_once(tmp_path / "run", {}, tmp_path / "made")
    assert "taken over" not in capsys.readouterr().out
    assert not list(tmp_path.glob(".*.owner"))


def test_another_configuration_is_set_aside_once_also_by_two_processes(spawn, tmp_path, tree):
    make_once(tmp_path / "run", {"old": True}, tmp_path / "old")
    before = tree(tmp_path / "run")
    (first,), (second,) = started(spawn, set_aside_together, tmp_path / "run", [({"new": True},), ({"new": True},)])
    assert first == second
    assert tree(tmp_path / "run.replaced-1") == before
    assert not (tmp_path / "run.replaced-2").exists()
    assert lines(tmp_path / "made") == ["run"]
    assert [record.config for record in records.load_all(tmp_path)] == [{"new": True}]


def test_two_configurations_of_one_folder_lose_nothing(spawn, tmp_path):
    started(spawn, set_aside_together, tmp_path / "run", [({"number": 1},), ({"number": 2},)])
    kept = {records.load(tmp_path / name).config["number"] for name in ("run", "run.replaced-1")}
    assert kept == {1, 2} and lines(tmp_path / "made") == ["run", "run"]


def test_lost_weights_are_made_again_and_the_rest_kept(tmp_path, capsys):
    first = tiny_fit(tmp_path / "run", 2)
    (tmp_path / "run" / "weights.safetensors").unlink()
    epochs = []
    again = tiny_fit(tmp_path / "run", 2, watch=lambda history, of: epochs.append(len(history)))
    assert epochs == [1, 2] and again.history == first.history
    assert again.model()
    assert (tmp_path / "run.replaced-1" / "record.json").exists()
    assert "kept as run.replaced-1" in capsys.readouterr().out


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tiny_fit(tmp_path_factory.mktemp("trained") / "sparsity", 2)


@pytest.fixture
def variants(monkeypatch):
    """How often the untrained variants were computed, in a list of one."""
    from labkit.methods.slimming import experiments

    count, original = [0], experiments.untrained_variants

    def counted(*arguments):
        count[0] += 1
        return original(*arguments)

    monkeypatch.setattr(experiments, "untrained_variants", counted)
    return count


def test_a_pruning_is_computed_once(trained, tiny_data, tmp_path, variants, tree):
    first = slimming.prune_run(trained, tiny_data, 0.5, tmp_path / "pruning")
    files = tree(tmp_path / "pruning")
    again = slimming.prune_run(trained, tiny_data, 0.5, tmp_path / "pruning")
    assert variants == [1] and again.results == first.results and tree(tmp_path / "pruning") == files
    assert ChannelPlan.from_dict(again.plan) == ChannelPlan.from_dict(first.plan)
    (tmp_path / "pruning" / "weights.safetensors").unlink()
    slimming.prune_run(trained, tiny_data, 0.5, tmp_path / "pruning")
    other = slimming.prune_run(trained, tiny_data, 0.25, tmp_path / "pruning")
    assert variants == [3] and other.config["ratio"] == 0.25
    assert sorted(path.name for path in tmp_path.glob("*.replaced-*")) == ["pruning.replaced-1", "pruning.replaced-2"]
    assert torch.equal(
        other.model().classifier.weight,
        slimming.prune_run(trained, tiny_data, 0.25, tmp_path / "b").model().classifier.weight,
    )


def test_a_sweep_is_computed_once(trained, tiny_data, tmp_path, variants):
    first = slimming.sweep_ratio(trained, tiny_data, (0.25, 0.5), tmp_path / "sweep")
    assert slimming.sweep_ratio(trained, tiny_data, (0.25, 0.5), tmp_path / "sweep") == first
    assert variants == [2]
    slimming.sweep_ratio(trained, tiny_data, (0.25,), tmp_path / "sweep")
    assert variants == [3]
    assert json.loads((tmp_path / "sweep.replaced-1" / "record.json").read_text())["results"] == first.results


def test_a_pruning_of_another_training_is_refused_where_it_lies_beside_it(trained, tiny_data, tmp_path, refused):
    run = tiny_fit(tmp_path / "sparsity", 2)
    pruned = slimming.prune_run(run, tiny_data, 0.5, tmp_path / "pruning")
    assert slimming.made_from(pruned, run) is pruned
    same = copy.deepcopy(run)
    same.history[-1]["loss"] += 1e-6  # of the same configuration, on another machine
    other = tiny_fit(tmp_path / "sparsity", 2, lam=1e-2)
    with refused("pruning was made from another training of sparsity"):
        slimming.made_from(pruned, same)
    with refused("pruning was made from another training of sparsity", "run notebook 03 again"):
        slimming.made_from(pruned, other)
    del pruned.config["parent_config"]  # the oldest shipped runs do not say it
    assert slimming.made_from(pruned, other) is pruned
