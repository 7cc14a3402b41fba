"""``labkit sweep`` on this machine: what it makes, and that nothing that happens to it costs a run."""

import os
import re
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sweeps import (
    RUNS,
    AtAThird,
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

from labkit import data, workers
from labkit.data.shared import share
from labkit.tools import sweep as sweep_tool


def test_a_sweep_makes_every_run_table_and_figure_and_then_has_nothing_to_do(grid, whole, capsys):
    assert len(there(whole)) == RUNS
    nothing_is_left_to_make(grid, whole, capsys)
    rows = [line for line in (whole / "results.md").read_text().splitlines() if line.startswith("| vgg11x0.05")]
    assert len(rows) == 4 and all(row.endswith("| 2 |") for row in rows)
    assert (whole / "front.png").stat().st_size > 1000
    assert not list(whole.glob("*/progress.json"))


def test_a_dry_run_makes_nothing_and_says_how_much_it_would_be(grid, tmp_path, capsys):
    assert sweep(grid, tmp_path / "store", "--dry-run", "--workers", 3) == 0
    said = capsys.readouterr().out
    assert f"tiny: {RUNS} runs, 0 done, {RUNS} to make in {tmp_path / 'store'}" in said
    assert re.search(
        r"about \d+\.\d minutes on 3 workers of one core each .*, \d+\.\d on one; \d+ MB on the disk", said
    )
    assert not (tmp_path / "store").exists()


def test_a_dry_run_of_a_sweep_that_is_done_says_so(grid, whole, capsys):
    before = there(whole)
    assert sweep(grid, whole, "--dry-run") == 0
    assert "0 to make" in capsys.readouterr().out and there(whole) == before


def test_a_store_is_in_the_folder_of_runs_unless_said_otherwise(grid, capsys):
    from labkit import cli

    assert cli.main(["sweep", str(grid), "--dry-run"]) == 0
    assert f"to make in {os.environ['LABKIT_RUNS']}/sweeps/tiny" in capsys.readouterr().out


def test_a_killed_worker_costs_no_run(grid, whole, tmp_path, capsys):
    with AtAThird(tmp_path / "store", RUNS, lambda: kill_a_child("LokyProcess")) as kill:
        assert sweep(grid, tmp_path / "store", "--workers", 2) == 0
    assert "A worker died" in capsys.readouterr().out
    assert_whole(tmp_path / "store", whole, kill.before)
    nothing_is_left_to_make(grid, tmp_path / "store", capsys)


def test_a_sweep_that_is_interrupted_ends_its_workers_and_goes_on_where_it_was(grid, whole, tmp_path, capsys):
    process = started(grid, tmp_path / "store", "--workers", 1)
    with AtAThird(tmp_path / "store", RUNS, lambda: os.killpg(process.pid, signal.SIGINT)) as interrupt:
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "labkit: stopped; run the same command again" in complaint
    wait_until(lambda: group_is_gone(process), "the end of the workers")
    done = len(there(tmp_path / "store"))
    capsys.readouterr()
    assert sweep(grid, tmp_path / "store", "--workers", 2) == 0
    assert f"{RUNS} runs, {done} done, {RUNS - done} to make" in capsys.readouterr().out
    assert_whole(tmp_path / "store", whole, interrupt.before)
    nothing_is_left_to_make(grid, tmp_path / "store", capsys)


def test_two_sweeps_at_once_on_one_store_make_each_run_once(grid, whole, tmp_path, capsys):
    store = tmp_path / "store"
    other = started(grid, store, "--workers", 1)
    wait_until(lambda: list(store.glob("*/progress.json")) + list(store.glob("*/record.json")), "its first training")
    assert sweep(grid, store, "--workers", 2) == 0
    said = capsys.readouterr().out.splitlines()
    said += other.communicate(timeout=120)[0].splitlines()
    assert other.returncode == 0
    assert_whole(store, whole, {})
    for name in there(store):
        log = (store / "logs" / f"{name}.log").read_text()
        given = sum(line.startswith(f"{name}: done, ") for line in said)
        assert given - log.count(f"{name}: already there") == 1
    nothing_is_left_to_make(grid, store, capsys)


@contextmanager
def full_disk(monkeypatch):
    """No file may be larger than 20 kB; workers are threads of this process, one at a time."""

    @contextmanager
    def in_threads(count):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(workers, "local", in_threads)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
        monkeypatch.undo()


def test_workers_on_a_full_disk_say_so_and_the_same_command_goes_on_when_there_is_space(grid, whole, tmp_path, capsys):
    store, downloads = tmp_path / "store", sweep_tool.settings.current().downloads
    share(data.load(f"folder:{grid.parent / 'photographs'}", downloads), store)
    capsys.readouterr()
    with full_disk(pytest.MonkeyPatch()):
        assert sweep(grid, store, "--workers", 1) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"labkit: {RUNS} runs failed; the same command tries them again:")
    assert complaint.count("could not be saved") == 2 and complaint.count("was not begun, since") == RUNS - 2
    assert not there(store) and not list(store.glob("*/.*.safetensors.*")), "nothing half written is left"
    assert sweep(grid, store, "--workers", 2) == 0
    assert_whole(store, whole, {})


def test_one_run_that_fails_leaves_the_others_and_is_named(grid, whole, tmp_path, capsys):
    (lost,) = (name for name in there(whole) if re.search("seed1-random-global-40-[^t]", name))
    store = tmp_path / "store"
    store.mkdir()
    (store / lost).touch()  # where its folder has to be
    assert sweep(grid, store, "--workers", 2) == 1
    captured = capsys.readouterr()
    assert "labkit: 2 runs failed" in captured.err and f"  {lost}: " in captured.err
    assert f"since {lost} failed" in captured.err
    expected = {
        name: fact for name, fact in facts(whole).items() if not name.startswith("-".join(lost.split("-")[:-1]))
    }
    assert facts(store) == expected and len(expected) == RUNS - 2
    (store / lost).unlink()
    assert sweep(grid, store, "--workers", 2) == 0
    assert facts(store) == facts(whole)


@pytest.mark.parametrize(
    "more, said",
    [
        (["--workers", "0"], "--workers is 0"),
        (["--workers", "-3"], "--workers is -3"),
    ],
)
def test_a_wrong_option_costs_one_sentence(grid, tmp_path, capsys, more, said):
    assert sweep(grid, tmp_path / "store", *more) == 1
    assert capsys.readouterr().err.startswith(f"labkit: {said}")
    assert not (tmp_path / "store").exists()


def test_a_grid_that_is_none_costs_one_sentence(tmp_path, capsys):
    (tmp_path / "odd.toml").write_text('networks = ["vgg11"]\n')
    assert sweep(tmp_path / "odd.toml", tmp_path / "store") == 1
    assert capsys.readouterr().err.count("\n") == 1
