"""Independent tasks in processes of their own, one thread each.

Processes come from an executor of the standard kind (``concurrent.futures``): ``local`` has them on this
machine, from joblib's loky, which brings functions that were defined in a notebook along and notices killed
processes; a cluster has others (``labkit.tools.cluster``). What a task makes it makes with ``records.run_once``:
so one that is given again, or to two processes, is made once.
"""

import math
import os
import pickle
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from labkit import hardware
from labkit.progress import News, Progress
from labkit.settings import LabError

POLL = 0.5  # seconds between looks at what the workers say
IDLE = 60  # seconds that local workers wait for more, so that the next cell finds them ready
DEATHS = 3  # so often may a task's worker die; the last time the task runs alone
ONE_THREAD = {"LABKIT_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Task:
    """``function(**arguments)``, which makes the run in ``folder``; not before the task ``after`` is done."""

    name: str
    function: Callable
    arguments: dict
    folder: Path
    after: str | None = None


Outcome = object
"""What a task's function returned, or the exception that it ended in."""


def processes_for(tasks: int, cores: int) -> int:
    """How many at a time: one per core, or one or two more where these are the last, since they would begin when
    all others have ended and leave cores without work."""
    return tasks if tasks <= cores + 2 and tasks % cores else min(tasks, cores)


@contextmanager
def local(count: int) -> Iterator[Executor]:
    """``count`` processes on this machine; if the block ends in an error, they are killed."""
    from joblib.externals.loky import get_reusable_executor

    pool = get_reusable_executor(count, timeout=IDLE, env=ONE_THREAD, initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


def _begin() -> None:
    """What a local worker does first."""
    from joblib.externals.loky import process_executor

    # A training keeps the memory that it frees; loky would take that for a leak and start the worker anew.
    process_executor._MAX_MEMORY_LEAK_SIZE = math.inf
    if threading.current_thread() is threading.main_thread():  # Ctrl-C is for who waits, who then ends the workers
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def perform(function: Callable, arguments: dict, log: Path) -> Outcome:
    """What a worker does with a task; what it prints goes into ``log``. The file beside it says who works, while
    it does: left behind, it tells whose worker was killed."""
    os.environ |= ONE_THREAD
    began = _began(log)
    began.write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
    try:
        with open(log, "a", buffering=1, encoding="utf-8") as lines, redirect_stdout(lines), hardware.threads(1):
            return function(**arguments)
    except (Exception, SystemExit) as error:
        raise _portable(error) from None
    finally:
        with suppress(OSError):  # on Windows somebody may be reading it
            began.unlink(missing_ok=True)


def _began(log: Path) -> Path:
    return log.with_suffix(".began")


def _stopped(began: Path) -> int | None:
    """The process of this machine that works on a task, if it is stopped (SIGSTOP): it is alive, and would be
    waited for for ever."""
    try:
        process, host = began.read_text(encoding="utf-8").split()
        stopped = host == socket.gethostname() and psutil.Process(int(process)).status() == psutil.STATUS_STOPPED
    except (OSError, ValueError, psutil.Error):  # it has ended meanwhile
        return None
    return int(process) if stopped else None


def _portable(error: BaseException) -> Exception:
    """``error``, or what it says, where it would not arrive in another process and break the pool."""
    try:
        arrived = pickle.loads(pickle.dumps(error))
    except Exception:
        arrived = None
    return error if type(arrived) is type(error) is not SystemExit else LabError(f"{type(error).__name__}: {error}")


def run(
    tasks: list[Task],
    executor: Callable[[], AbstractContextManager[Executor]],
    logs: Path,
    hear: Callable[[dict[Path, Progress]], None] = lambda news: None,
    done: Callable[[Task, Outcome], None] = lambda task, outcome: None,
    say: Callable[[str], None] = print,
) -> dict[str, Outcome]:
    """Each task's outcome by its name: one that fails lets the others go on. Parents stand before children. In
    the folder ``logs`` workers write what they print; it is said here. ``hear`` is told how trainings get on,
    ``done`` what has ended.

    A killed worker's task is given to another one; a task whose workers died ``DEATHS`` times ends in a
    ``LabError``.
    """
    logs.mkdir(parents=True, exist_ok=True)
    rest = _Rest(tasks, logs, hear, done, say)
    while rest.open():
        try:
            with executor() as pool:
                rest.work_through(pool)
        except BrokenExecutor as error:
            rest.bury(error)
    return rest.outcomes


def take_turns(tasks: list[Task], at_a_time: int, done: Callable[[Task, Outcome], None]) -> dict[str, Outcome]:
    """``run`` in this process, for functions that are generators: on a GPU a few at a time take turns."""
    outcomes = {}
    while left := [task for task in tasks if task.name not in outcomes]:
        ready = [task for task in left if task.after is None or task.after in outcomes][:at_a_time]
        if not ready:
            return outcomes | {task.name: _stranded(task) for task in left}
        turns = [hardware.guarded(task.function(**task.arguments)) for task in ready if not _orphaned(task, outcomes)]
        results = iter(hardware.side_by_side(turns))
        for task in ready:
            outcomes[task.name] = _orphaned(task, outcomes) or next(results)
            done(task, outcomes[task.name])
    return outcomes


def _orphaned(task: Task, outcomes: dict[str, Outcome]) -> LabError | None:
    """What a task ends in whose parent failed."""
    if isinstance(outcomes.get(task.after), Exception):
        return LabError(f"{task.name} was not begun, since {task.after} failed.")
    return None


def _stranded(task: Task) -> LabError:
    """What a task ends in that needs one that is not there, or itself in a circle."""
    return LabError(f"{task.name} was not begun, since {task.after}, which it needs, is no task that can end.")


class _Rest:
    """What is left of the tasks, and how the others ended."""

    def __init__(self, tasks: list[Task], logs: Path, hear, done, say):
        self.tasks, self.logs, self.hear, self.done, self.say = tasks, logs, hear, done, say
        self.outcomes, self.deaths, self.stopped, self.news = {}, Counter(), set(), News()
        # What an earlier run said is not said again.
        self.read = {task.name: len(self._said(task, 0)) for task in tasks}

    def open(self) -> list[Task]:
        return [task for task in self.tasks if task.name not in self.outcomes]

    def work_through(self, pool: Executor) -> None:
        futures: dict[Future, Task] = {}
        given = set()
        while True:
            ended_before = len(self.outcomes)
            for task in self.open():
                if orphaned := _orphaned(task, self.outcomes):
                    self._end(task, orphaned)
                elif task.name not in given and self._may_begin(task, futures):
                    given.add(task.name)
                    _began(self._log(task)).unlink(missing_ok=True)
                    futures[pool.submit(perform, task.function, task.arguments, self._log(task))] = task
            if not futures and len(self.outcomes) == ended_before:
                for task in self.open():
                    self._end(task, _stranded(task))
                return
            ended, _ = wait(futures, POLL, FIRST_COMPLETED)
            self._listen(futures.values())
            for future in ended:
                self._finish(futures.pop(future), future)

    def _may_begin(self, task: Task, futures: dict[Future, Task]) -> bool:
        """Its parent is done; and a task that may have killed its workers, alone."""
        if task.after is not None and task.after not in self.outcomes:
            return False
        suspects = [other for other in (task, *futures.values()) if self.deaths[other.name] == DEATHS - 1]
        return not futures or not suspects

    def _finish(self, task: Task, future: Future) -> None:
        try:
            outcome = future.result()
        except BrokenExecutor:
            raise
        except Exception as error:  # whatever it was: the others go on
            outcome = error
        self._end(task, outcome)

    def _end(self, task: Task, outcome: Outcome) -> None:
        self.outcomes[task.name] = outcome
        self.done(task, outcome)

    def bury(self, error: BrokenExecutor) -> None:
        """Say whose worker died, and give up a task for which that was once too often."""
        lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        why = lines[-1] if error.__cause__ else lines[0].partition(". ")[0]
        killed = [task for task in self.open() if _began(self._log(task)).exists()]
        # A pool that breaks before anything began, as where workers cannot be started, is everybody's death.
        for task in killed or self.open():
            self.deaths[task.name] += 1
        self.say(f"A worker died ({why}); under way: {', '.join(task.name for task in killed) or 'nothing'}.")
        for task in self.open():
            if self.deaths[task.name] >= DEATHS:
                self._end(task, LabError(f"{task.name}: its worker died {DEATHS} times ({why})."))

    def _listen(self, tasks) -> None:
        """Say what workers printed, and tell how the trainings get on."""
        for task in tasks:
            new = self._said(task, self.read[task.name])
            self.read[task.name] += len(new)
            for line in new.decode(errors="replace").splitlines():
                self.say(line)
            if (process := _stopped(_began(self._log(task)))) and process not in self.stopped:
                self.say(f"{task.name}: its worker, process {process}, is stopped; kill -CONT {process} lets it go on.")
                self.stopped.add(process)
        if news := self.news.of([task.folder for task in tasks]):
            self.hear(news)

    def _said(self, task: Task, start: int) -> bytes:
        """Whole lines of a task's log, from a byte on."""
        log = self._log(task)
        if not log.exists():
            return b""
        with open(log, "rb") as lines:
            lines.seek(start)
            whole, newline, _ = lines.read().rpartition(b"\n")
            return whole + newline

    def _log(self, task: Task) -> Path:
        return self.logs / f"{task.name}.log"
