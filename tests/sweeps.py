"""What workers of the tests do, in processes of their own; and sweeps that are watched, killed and interrupted."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import torch
from PIL import Image

from labkit import cli, records
from labkit.settings import REPOSITORY

PATIENCE = 120  # seconds until something that has to happen has not
RUNS = 2 * (1 + 2 * 2 * 2)  # seeds x (a training, and by criterion and ratio a cut and its fine-tuning)
GRID = """
networks = ["vgg11"]
widths = [0.05]
data = ["folder:{folder}"]
seeds = [0, 1]
criteria = ["scaling-factor", "random"]
ratios = [0.2, 0.4]

[train]
epochs = 2
batch = 20

[[fine_tune]]
epochs = 1
batch = 20
learning_rate = 0.01
"""

MAIN = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
MAIN += "from labkit import cli; sys.exit(cli.main(sys.argv[1:]))"


def note(log, name):
    """A line in ``log``; the name in capitals."""
    with open(log, "a") as lines:
        lines.write(f"{name}\n")
    return name.upper()


def fail(error):
    raise error


def chatty(text):
    print(text)


def die_once(marker):
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def die_always(nothing):
    os.kill(os.getpid(), signal.SIGKILL)


def rest(seconds):
    time.sleep(seconds)


def unpicklable(nothing):
    return (number for number in range(3))


def threads_here(nothing):
    names = ("LABKIT_THREADS", "OMP_NUM_THREADS")
    return {"torch": torch.get_num_threads(), "pid": os.getpid()} | {name: os.environ[name] for name in names}


def images_in(folder):
    """Eighty images of 32 x 32 in two classes, which a network can tell apart."""
    chance = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for label, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = chance.integers(0, 128, (32, 32, 3)) + 128 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name / f"{number}.png")
    return folder


def sweep(grid, store, *more) -> int:
    """The exit status of ``labkit sweep`` in this process."""
    return cli.main(arguments(grid, store, *more))


def arguments(grid, store, *more) -> list[str]:
    return ["sweep", str(grid), "--out", str(store), *map(str, more)]


def started(grid, store, *more, before="") -> subprocess.Popen:
    """``labkit sweep`` in a process and a group of its own, in which ``before`` was executed."""
    command = [sys.executable, "-c", before + MAIN, *arguments(grid, store, *more)]
    return subprocess.Popen(
        command, env=environment(), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def environment() -> dict:
    return os.environ | {"PYTHONPATH": str(REPOSITORY)}


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} has not happened in {PATIENCE} seconds"
        time.sleep(0.02)
    return found


def there(store) -> dict:
    """Every finished run in ``store``: when its record was written, and the record."""
    found = {}
    for path in store.glob("*/record.json"):
        found[path.parent.name] = (path.stat().st_mtime_ns, path.read_bytes())
    return found


def facts(store) -> dict:
    """All of every run in ``store`` but for seconds and versions, and for the hidden file that a kill may leave."""
    found = {}
    for path in store.glob("*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["results"].pop("seconds", None), record.pop("versions")
        tensors = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.glob("[!.]*.safe*")}
        found[path.parent.name] = (record, tensors)
    return found


def nothing_is_left_to_make(grid, store, capsys, *more):
    before = there(store)
    capsys.readouterr()
    assert sweep(grid, store, *more) == 0
    assert f"{RUNS} runs, {RUNS} done, 0 to make" in capsys.readouterr().out
    assert there(store) == before


class AtAThird(threading.Thread):
    """Calls ``act`` when a third of ``total`` runs is in ``store``, once; ``before`` are those runs."""

    def __init__(self, store, total, act):
        super().__init__(daemon=True)
        self.store, self.total, self.act, self.before = store, total, act, None

    def run(self):
        wait_until(lambda: len(list(self.store.glob("*/record.json"))) >= self.total / 3, "a third of the runs")
        self.before = there(self.store)
        self.act()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.join(PATIENCE)
        assert self.before and len(self.before) < self.total, "this was no kill in between"


def assert_whole(store, whole, before):
    """``store`` holds what ``whole`` does, bit for bit, and the runs in ``before`` were not made again."""
    assert facts(store) == facts(whole)
    now = there(store)
    assert {name: now[name] for name in before} == before
    assert not list(store.glob("*.replaced-*")) and not list(store.glob("*/checkpoint*"))
    assert all(record.name in now for record in records.load_all(store))


def kill_a_child(word, of=None):
    """SIGKILL to one process below ``of`` (default: this one) whose command has ``word``."""

    def found():
        children = psutil.Process(of).children(recursive=True)
        return [child for child in children if word in " ".join(child.cmdline())]

    wait_until(found, f"a child with {word}")[0].kill()


def group_is_gone(process) -> bool:
    """Whether no process of the session that ``started`` opened is left."""
    for other in psutil.pids():
        try:
            if os.getsid(other) == process.pid and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
                return False
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return True


class Cluster:
    """A Dask scheduler and workers as processes of this machine."""

    def __init__(self, folder, workers):
        self.folder, self.processes, self.workers = folder, [], []
        file = folder / "scheduler.json"
        self.start("dask_scheduler", "--port", "0", "--scheduler-file", str(file), "--no-dashboard")
        self.address = wait_until(lambda: self.read(file), "a scheduler")
        for _ in range(workers):
            self.workers.append(self.worker("--nthreads", "1"))

    @staticmethod
    def read(file):
        try:
            return json.loads(file.read_text())["address"]
        except (OSError, ValueError):
            return None

    def start(self, module, *options):
        options = ["-m", f"distributed.cli.{module}", "--host", "127.0.0.1", *options]
        log = open(self.folder / f"{module}-{len(self.processes)}.log", "w")
        self.processes.append(
            subprocess.Popen([sys.executable, *options], env=environment(), stdout=log, stderr=subprocess.STDOUT)
        )
        return self.processes[-1]

    def worker(self, *options):
        local = ("--local-directory", str(self.folder), "--no-dashboard")
        return self.start("dask_worker", self.address, *local, *options)

    @staticmethod
    def stop(process):
        """Terminate it; kill what is left of it and below it."""
        family = [process]
        try:
            family += psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(20)
        except (psutil.NoSuchProcess, subprocess.TimeoutExpired):
            pass
        for one in family[1:]:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        process.kill()
        process.wait()

    def close(self):
        for process in reversed(self.processes):
            self.stop(process)
