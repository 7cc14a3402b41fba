"""Tasks in worker processes: in their order, in spite of errors, in spite of killed workers."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
import torch
from sweeps import chatty, die_always, die_once, fail, note, rest, threads_here, unpicklable

from labkit import progress, workers
from labkit.progress import Progress
from labkit.settings import LabError
from labkit.workers import Task, processes_for


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    monkeypatch.setattr(workers, "POLL", 0.02)


@contextmanager
def in_threads(count=2):
    with ThreadPoolExecutor(count) as pool:
        yield pool


def local(count=2):
    return lambda: workers.local(count)


@pytest.fixture
def task(tmp_path):
    """``task(name, function, after, **arguments)``."""

    def build(name, function=note, after=None, **arguments):
        return Task(name, function, arguments or {"log": tmp_path / "log", "name": name}, tmp_path / name, after)

    return build


def lines(tmp_path):
    return (tmp_path / "log").read_text().split()


def test_all_tasks_are_done_and_what_they_returned_is_found_by_name(task, tmp_path):
    outcomes = workers.run([task(name) for name in "abcde"], in_threads, tmp_path / "logs")
    assert outcomes == {name: name.upper() for name in "abcde"}
    assert sorted(lines(tmp_path)) == list("abcde")


def test_nothing_to_do_needs_no_worker(tmp_path):
    assert workers.run([], None, tmp_path / "logs") == {}


def test_a_task_begins_after_the_one_that_it_needs_in_whatever_order_they_are_given(task, tmp_path):
    tasks = [task("grandchild", after="child"), task("child", after="parent"), task("other"), task("parent")]
    outcomes = workers.run(tasks, in_threads, tmp_path / "logs")
    found = lines(tmp_path)
    assert found.index("parent") < found.index("child") < found.index("grandchild")
    assert len(found) == len(outcomes) == 4


def test_an_error_leaves_the_others_and_what_comes_after_it_is_not_begun(task, tmp_path):
    tasks = [
        task("bad", fail, error=ValueError("bad luck")),
        task("child", after="bad"),
        task("grandchild", after="child"),
        task("good"),
        task("heir", after="good"),
    ]
    ended = []
    outcomes = workers.run(tasks, in_threads, tmp_path / "logs", done=lambda name, outcome: ended.append(name))
    assert isinstance(outcomes["bad"], ValueError) and str(outcomes["bad"]) == "bad luck"
    assert isinstance(outcomes["child"], LabError) and "child was not begun, since bad failed." in str(
        outcomes["child"]
    )
    assert "grandchild was not begun, since child failed." in str(outcomes["grandchild"])
    assert (outcomes["good"], outcomes["heir"]) == ("GOOD", "HEIR")
    assert sorted(lines(tmp_path)) == ["good", "heir"]
    assert sorted(task.name for task in ended) == sorted(task.name for task in tasks), "each ends once"


def test_every_task_failing_is_an_outcome_too(task, tmp_path):
    outcomes = workers.run([task(name, fail, error=LabError("no.")) for name in "ab"], in_threads, tmp_path / "logs")
    assert [str(outcome) for outcome in outcomes.values()] == ["no.", "no."]


def test_what_comes_after_a_task_of_no_name_that_is_there_does_not_hang(task, tmp_path):
    outcomes = workers.run([task("a", after="b"), task("b")], in_threads, tmp_path / "logs")
    assert outcomes == {"a": "A", "b": "B"}


def test_what_a_worker_prints_arrives_once_and_what_an_earlier_run_printed_does_not(task, tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "b.log").write_text("said before\n")
    tasks = [task(name, chatty, text=f"{name} says größer") for name in "ab"]
    workers.run(tasks, local(1), tmp_path / "logs")
    said = capsys.readouterr().out.splitlines()
    assert sorted(said) == ["a says größer", "b says größer"]


def test_how_trainings_get_on_is_heard(task, tmp_path):
    heard = []

    def training(folder):
        for epoch in range(3):
            progress.write(folder, Progress(folder.name, 3, [{"epoch": epoch}], [0.0]))
            deadline = time.time() + 30
            while [state.history[-1]["epoch"] for state in heard][-1:] != [epoch] and time.time() < deadline:
                time.sleep(0.01)

    workers.run(
        [task("a", training, folder=tmp_path / "a")],
        in_threads,
        tmp_path / "logs",
        hear=lambda news: heard.extend(news.values()),
    )
    assert [state.history[-1]["epoch"] for state in heard] == [0, 1, 2]


def test_a_worker_computes_with_one_thread_and_so_do_libraries_in_it(task, tmp_path):
    (found,) = workers.run([task("a", threads_here, nothing=None)], local(1), tmp_path / "logs").values()
    assert found == {"torch": 1, "LABKIT_THREADS": "1", "OMP_NUM_THREADS": "1", "pid": found["pid"]}
    assert found["pid"] != os.getpid()


def test_functions_of_a_notebook_come_along_with_what_they_know(task, tmp_path):
    known = torch.tensor(5)
    outcomes = workers.run([task("a", lambda x: x * known, x=2)], local(1), tmp_path / "logs")
    assert int(outcomes["a"]) == 10


def test_a_worker_that_kills_itself_once_is_replaced_and_all_tasks_are_done(task, tmp_path, capsys):
    tasks = [task(f"t{number}") for number in range(4)]
    tasks.insert(1, task("deadly", die_once, marker=tmp_path / "died"))
    tasks.append(task("after", after="deadly"))
    outcomes = workers.run(tasks, local(), tmp_path / "logs")
    assert outcomes == {task.name: task.name.upper() for task in tasks} | {"deadly": "survived"}
    assert capsys.readouterr().out.count("A worker died") == 1


def test_a_task_that_always_kills_its_worker_ends_in_a_sentence_and_the_others_are_done(task, tmp_path, capsys):
    tasks = [task("first"), task("second"), task("deadly", die_always, nothing=None), task("child", after="deadly")]
    outcomes = workers.run(tasks, local(1), tmp_path / "logs")
    assert isinstance(outcomes["deadly"], LabError) and str(outcomes["deadly"]).startswith("deadly: ")
    assert isinstance(outcomes["child"], LabError)
    assert (outcomes["first"], outcomes["second"]) == ("FIRST", "SECOND")
    said = capsys.readouterr().out
    assert said.count("A worker died (A worker process") == said.count("under way: ") == workers.DEATHS
    assert workers.run([task("a")], local(1), tmp_path / "logs") == {"a": "A"}, "the next call has workers again"


def test_tasks_that_wait_behind_one_that_always_kills_its_worker_are_done(task, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "DEATHS", 2)
    tasks = [task("deadly", die_always, nothing=None), *(task(f"t{number}") for number in range(5))]
    outcomes = workers.run(tasks, local(1), tmp_path / "logs")
    assert isinstance(outcomes.pop("deadly"), LabError)
    assert outcomes == {f"t{number}": f"T{number}" for number in range(5)}


def test_what_was_under_way_when_a_worker_died_is_named(task, tmp_path, capsys):
    workers.run([task("deadly", die_once, marker=tmp_path / "died")], local(1), tmp_path / "logs")
    assert "; under way: deadly." in capsys.readouterr().out


def test_what_cannot_be_sent_back_fails_its_own_task_only(task, tmp_path):
    outcomes = workers.run([task("a", unpicklable, nothing=None), task("b")], local(1), tmp_path / "logs")
    assert isinstance(outcomes["a"], Exception) and outcomes["b"] == "B"


def test_what_cannot_be_sent_to_a_worker_fails_its_own_task_only(task, tmp_path):
    outcomes = workers.run(
        [task("a", threads_here, nothing=(line for line in "")), task("b")], local(1), tmp_path / "logs"
    )
    assert isinstance(outcomes["a"], Exception) and outcomes["b"] == "B"


def pool():
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    return [command for command in commands if "LokyProcess" in command]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # loky's, when it is killed
def test_an_interrupt_ends_the_workers_and_what_waits_is_not_begun(task, tmp_path):
    def interrupted(news):
        assert pool()
        raise KeyboardInterrupt

    progress.write(tmp_path / "slow", Progress("slow", 3))
    tasks = [task("slow", rest, seconds=600), *(task(f"t{number}") for number in range(20))]
    with pytest.raises(KeyboardInterrupt):
        workers.run(tasks, local(1), tmp_path / "logs", hear=interrupted)
    assert not pool() and not (tmp_path / "log").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes")
def test_a_stopped_worker_is_named_with_what_lets_it_go_on(tmp_path):
    said = []

    def stop():
        os.kill(os.getpid(), signal.SIGSTOP)
        return "went on"

    def say(line):
        said.append(line)
        if stopped := re.search(r"a: its worker, process (\d+), is stopped; kill -CONT \1 lets it go on", line):
            os.kill(int(stopped[1]), signal.SIGCONT)

    outcomes = workers.run([Task("a", stop, {}, tmp_path / "a")], local(1), tmp_path / "logs", say=say)
    assert outcomes == {"a": "went on"} and len(said) == 1


@pytest.mark.parametrize(
    "tasks, cores, processes",
    [(1, 1, 1), (1, 4, 1), (3, 2, 3), (4, 2, 2), (3, 4, 3), (5, 4, 5), (7, 4, 4), (8, 4, 4), (100, 4, 4), (0, 4, 0)],
)
def test_a_few_more_tasks_than_cores_all_have_a_process(tasks, cores, processes):
    assert processes_for(tasks, cores) == processes


@pytest.mark.parametrize("needed", ["a", "nobody"])
def test_what_can_never_begin_is_not_waited_for(task, tmp_path, needed):
    tasks = [task("a", after=needed), task("b")]
    for outcomes in (
        workers.run(tasks, in_threads, tmp_path / "logs"),
        workers.take_turns([tasks[0]], 2, lambda task, outcome: None),
    ):
        assert f"a was not begun, since {needed}, which it needs" in str(outcomes["a"])
    assert lines(tmp_path) == ["b"]
