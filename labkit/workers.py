"""Independent tasks in processes of their own, one thread each.

Processes come from an executor of the standard kind (``concurrent.futures``): ``local`` has them on this
machine, from joblib's loky, which brings functions that were defined in a notebook along and notices killed
processes; a cluster has others (``labkit.tools.cluster``). A task says with ``records.run_once`` what it made:
so one that is given again, or to two processes, is made once.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from labkit import hardware
from labkit.progress import News, Progress
from labkit.settings import LabError

POLL = 0.5  # seconds between looks at what the workers say
IDLE = 60  # seconds that local workers wait for more, so that the next cell finds them ready
DEATHS = 3  # how often a worker may die in a row without any task being finished
ONE_THREAD = {"LABKIT_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Task:
    """``function(**arguments)``, which makes the run in ``folder``; not before the task ``after`` is done."""

    name: str
    function: Callable
    arguments: dict
    folder: Path
    after: str | None = None


def processes_for(tasks: int, cores: int) -> int:
    """How many at a time: one a core, but a few more tasks than cores all at once, since the last ones would
    leave cores without work."""
    return tasks if tasks < 2 * cores else cores


@contextmanager
def local(count: int) -> Iterator[Executor]:
    """``count`` processes on this machine; if the block ends in an error, they are killed."""
    from joblib.externals.loky import get_reusable_executor

    pool = get_reusable_executor(count, timeout=IDLE, env=ONE_THREAD, initializer=_ignore_interrupts)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


def _ignore_interrupts() -> None:
    """Ctrl-C goes to the whole group of processes; who waits for the workers ends them."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def perform(function: Callable, arguments: dict, log: Path):
    """What a worker does with a task; what it prints goes into ``log``."""
    os.environ |= ONE_THREAD
    with open(log, "a", buffering=1, encoding="utf-8") as lines, redirect_stdout(lines), hardware.threads(1):
        return function(**arguments)


def run(
    tasks: list[Task],
    executor: Callable[[], AbstractContextManager[Executor]],
    logs: Path,
    hear: Callable[[list[Progress]], None] = lambda news: None,
    done: Callable[[str, object], None] = lambda name, outcome: None,
) -> dict[str, object]:
    """By name, what each task returned, or the exception that it ended in: the others go on. ``logs`` is a
    folder in which workers write what they print; it is printed here. ``hear`` is told how trainings get on,
    ``done`` what has ended.

    A killed worker's task is given to another one. Where workers die ``DEATHS`` times without a task being
    finished, what is left ends in a ``LabError``.
    """
    logs.mkdir(parents=True, exist_ok=True)
    rest = _Rest(tasks, logs, hear, done)
    deaths = 0
    while rest.open():
        before = len(rest.outcomes)
        try:
            with executor() as pool:
                rest.work_through(pool)
        except BrokenExecutor as error:
            deaths = deaths + 1 if len(rest.outcomes) == before else 1
            names = ", ".join(rest.began) or "none of the tasks"
            print(f"A worker died ({type(error).__name__}) while these were under way: {names}.", flush=True)
            if deaths == DEATHS:
                rest.give_up()
    return rest.outcomes


def take_turns(tasks: list[Task], at_a_time: int, done: Callable[[str, object], None]) -> dict[str, object]:
    """``run`` in this process, for functions that are generators: on a GPU a few at a time take turns."""
    outcomes = {}

    def guarded(task: Task):
        try:
            return _orphaned(task, outcomes) or (yield from task.function(**task.arguments))
        except Exception as error:  # whatever it was: the others go on
            return error

    while left := [task for task in tasks if task.name not in outcomes]:
        ready = [task for task in left if task.after is None or task.after in outcomes][:at_a_time]
        for task, outcome in zip(ready, hardware.side_by_side(map(guarded, ready))):
            outcomes[task.name] = outcome
            done(task.name, outcome)
    return outcomes


def _orphaned(task: Task, outcomes: dict[str, object]) -> LabError | None:
    """What a task ends in whose parent failed."""
    if isinstance(outcomes.get(task.after), Exception):
        return LabError(f"{task.name} was not begun, since {task.after} failed.")
    return None


class _Rest:
    """What is left of the tasks, and how the others ended."""

    def __init__(self, tasks: list[Task], logs: Path, hear, done):
        self.tasks, self.logs, self.hear, self.done = tasks, logs, hear, done
        self.outcomes, self.began, self.news, self.read = {}, [], News(), {}
        for task in tasks:
            self.read[task.name] = _size(self._log(task))  # what an earlier run said is not said again

    def open(self) -> list[Task]:
        return [task for task in self.tasks if task.name not in self.outcomes]

    def work_through(self, pool: Executor) -> None:
        futures: dict[Future, Task] = {}
        given = set()
        while True:
            for task in self.open():
                if orphaned := _orphaned(task, self.outcomes):
                    self._end(task, orphaned)
                elif task.name not in given and (task.after is None or task.after in self.outcomes):
                    given.add(task.name)
                    futures[pool.submit(perform, task.function, task.arguments, self._log(task))] = task
            if not futures:
                return
            self.began = [task.name for future, task in futures.items() if future.running()]
            ended, _ = wait(futures, POLL, FIRST_COMPLETED)
            self._listen(futures)
            for future in ended:
                self._finish(futures.pop(future), future)

    def _finish(self, task: Task, future: Future) -> None:
        try:
            outcome = future.result()
        except BrokenExecutor:
            raise
        except Exception as error:  # whatever it was: the others go on
            outcome = error
        self._end(task, outcome)

    def _end(self, task: Task, outcome: object) -> None:
        self.outcomes[task.name] = outcome
        self.done(task.name, outcome)

    def give_up(self) -> None:
        for task in self.open():
            self._end(task, LabError(f"{task.name}: workers died {DEATHS} times and nothing was finished."))

    def _listen(self, futures: dict[Future, Task]) -> None:
        """Print what workers printed, and tell how the trainings get on."""
        for task in futures.values():
            log = self._log(task)
            if (size := _size(log)) > self.read[task.name]:
                with open(log, encoding="utf-8", errors="replace") as lines:
                    lines.seek(self.read[task.name])
                    print(lines.read(), end="", flush=True)
                self.read[task.name] = size
        if news := self.news.of(task.folder for task in futures.values()):
            self.hear(news)

    def _log(self, task: Task) -> Path:
        return self.logs / f"{task.name}.log"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
