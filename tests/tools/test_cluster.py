"""``labkit sweep --scheduler``: the same runs from a Dask cluster of two worker processes, whatever becomes of them."""

import os
import signal
from types import SimpleNamespace

import needs
import pytest
from sweeps import (
    RUNS,
    AtAThird,
    Cluster,
    assert_whole,
    facts,
    group_is_gone,
    kill_a_child,
    nothing_is_left_to_make,
    started,
    sweep,
    there,
    wait_until,
)

from labkit import cli
from labkit.tools import cluster

pytestmark = needs.cluster


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """A scheduler and two workers of one thread."""
    made = Cluster(tmp_path_factory.mktemp("dask"), workers=2)
    try:
        two_are_there(made)
        yield made
    finally:
        made.close()


def two_are_there(dask):
    wait_until(lambda: cluster.workers_at(dask.address) == 2, "two workers")


def test_a_cluster_makes_the_same_runs_bit_for_bit_as_this_machine(grid, whole, dask, tmp_path, capsys):
    assert sweep(grid, tmp_path / "store", "--scheduler", dask.address) == 0
    said = capsys.readouterr().out
    assert "minutes on 2 workers" in said and said.count(": done, ") == RUNS
    assert_whole(tmp_path / "store", whole, {})
    nothing_is_left_to_make(grid, tmp_path / "store", capsys, "--scheduler", dask.address)


def test_a_killed_worker_of_a_cluster_costs_no_run(grid, whole, dask, tmp_path, capsys):
    nanny = dask.workers[0].pid  # it starts another worker
    with AtAThird(tmp_path / "store", RUNS, lambda: kill_a_child("spawn_main", nanny)) as kill:
        assert sweep(grid, tmp_path / "store", "--scheduler", dask.address) == 0
    assert "killed by signal 9" in (dask.folder / "dask_worker-1.log").read_text()
    assert_whole(tmp_path / "store", whole, kill.before)
    two_are_there(dask)


def test_an_interrupted_sweep_leaves_the_cluster_and_goes_on_where_it_was(grid, whole, dask, tmp_path, capsys):
    store = tmp_path / "store"
    process = started(grid, store, "--scheduler", dask.address)
    with AtAThird(store, RUNS, lambda: os.killpg(process.pid, signal.SIGINT)) as interrupt:
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "labkit: stopped; run the same command again" in complaint
    assert group_is_gone(process)
    assert len(there(store)) < RUNS, "the cluster goes on without anyone who wants it"
    assert sweep(grid, store, "--scheduler", dask.address) == 0
    assert_whole(store, whole, interrupt.before)
    nothing_is_left_to_make(grid, store, capsys, "--scheduler", dask.address)


def test_a_run_that_fails_on_a_cluster_leaves_the_others_and_is_named(grid, whole, dask, tmp_path, capsys):
    lost = sorted(name for name in there(whole) if "tuned" in name)[0]
    store = tmp_path / "store"
    store.mkdir()
    (store / lost).touch()  # where its folder has to be
    assert sweep(grid, store, "--scheduler", dask.address) == 1
    complaint = capsys.readouterr().err
    assert "labkit: 1 runs failed" in complaint and f"  {lost}: " in complaint
    assert facts(store) == {name: fact for name, fact in facts(whole).items() if name != lost}


def refused_at(grid, address, tmp_path, capsys, *parts):
    """``labkit sweep`` ends with status 1 and one line that holds ``parts``, and nothing is made."""
    capsys.readouterr()
    assert sweep(grid, tmp_path / "store", "--scheduler", address) == 1
    complaint = capsys.readouterr().err
    last = complaint.strip().splitlines()[-1]
    assert last.startswith("labkit: ") and "Traceback" not in complaint, complaint
    assert all(part in last for part in parts), last
    assert not there(tmp_path / "store")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "tcp://nowhere.invalid:8786"])
def test_an_address_at_which_no_scheduler_answers_is_refused(grid, tmp_path, monkeypatch, capsys, address):
    monkeypatch.setattr(cluster, "CONNECT", "1s")
    refused_at(grid, address, tmp_path, capsys, f"No Dask scheduler answers at {address}")


@pytest.mark.parametrize("address", ["nonsense://here:1", "127.0.0.1", "tcp://127.0.0.1:port"])
def test_an_address_that_is_none_is_refused(grid, tmp_path, monkeypatch, capsys, address):
    monkeypatch.setattr(cluster, "CONNECT", "1s")
    refused_at(grid, address, tmp_path, capsys, "No Dask scheduler answers")


def test_a_scheduler_without_workers_is_refused(grid, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    empty = Cluster(tmp_path, workers=0)
    try:
        refused_at(grid, empty.address, tmp_path, capsys, "has no worker", f"dask worker {empty.address}")
        command = ["sweep", str(grid), "--out", str(tmp_path / "store"), "--scheduler", empty.address, "--dry-run"]
        assert cli.main([*command, "--workers", "32"]) == 0 and "on 32 workers" in capsys.readouterr().out
    finally:
        empty.close()


OLD = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import labkit

labkit.__version__ = "0.0.1"
"""


@pytest.mark.parametrize(
    "options, said",
    [
        (("--nthreads", "2"), "has 2 threads: start it with --nthreads 1"),
        (("--nthreads", "1", "--preload", "old.py"), "has labkit 0.0.1, here it is"),
    ],
)
def test_a_worker_that_does_not_fit_is_refused(grid, dask, tmp_path, monkeypatch, capsys, options, said):
    (tmp_path / "old.py").write_text(OLD)
    (tmp_path / "labkit-0.0.1.dist-info").mkdir()
    (tmp_path / "labkit-0.0.1.dist-info" / "METADATA").write_text("Name: labkit\nVersion: 0.0.1\n")
    two_are_there(dask)
    options = [str(tmp_path / option) if option == "old.py" else option for option in options]
    odd = dask.worker(*options, "--no-nanny")
    try:
        wait_until(lambda: cluster.workers_at(dask.address) == 3, "a third worker")
        refused_at(grid, dask.address, tmp_path, capsys, said)
    finally:
        dask.stop(odd)
    two_are_there(dask)


def test_a_worker_that_does_not_see_the_store_is_refused(grid, dask, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "Path", SimpleNamespace(exists=os.path.islink))  # which the token is not
    refused_at(grid, dask.address, tmp_path, capsys, f"does not see {tmp_path / 'store'}", "--out")
    assert not list((tmp_path / "store").glob(".seen-*"))


def test_without_dask_the_option_is_refused_with_what_installs_it(grid, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    refused_at(grid, "tcp://127.0.0.1:9", tmp_path, capsys, "pip install -e '.[cluster]'")
