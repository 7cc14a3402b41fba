"""What the device at hand allows: its precision, its cores, its memory, and ways to keep it busy."""

import ctypes
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import psutil
import torch
from torch import Tensor

from labkit import settings

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and values of malloc.h
WAITING = "waiting"  # what a generator yields that can do nothing yet, because another process is at it
POLL = 0.2  # seconds to sleep then
NOISE = 0.3  # of a core: what a machine at rest may use
WARM_UP = 3  # steps before a capture: they choose kernels and allocate
TORCH_THREADS = torch.get_num_threads()  # before anybody changed it


def fast_dtype(device: torch.device) -> torch.dtype:
    """The half precision this device has in hardware, or float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if native else torch.float32


def mixed_precision(device: torch.device):
    dtype = fast_dtype(device)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


@dataclass(frozen=True)
class Cores:
    """How many threads can compute at once, and what sets that limit. ``quota`` is what the process may use
    of them, in cores, where a control group limits it."""

    count: int
    reason: str
    quota: float | None = None

    def __str__(self) -> str:
        if self.quota is None or self.quota >= self.count:
            return f"{self.count}: {self.reason}"
        return f"{self.count}: {self.reason}, so everything takes {self.count / self.quota:.1f} times as long"


def cores(environment=os.environ, root: Path = Path("/")) -> Cores:
    """The threads that a training may use: ``LABKIT_THREADS``, else the least of what torch would take (the
    host's physical cores), the processor affinity and the control group's quota. ``root`` is where ``proc``
    and ``sys`` are. Raises ``LabError`` for a ``LABKIT_THREADS`` that is no number."""
    quota = _quota(root)
    if asked := settings.threads_asked(environment):
        return Cores(asked, "set by LABKIT_THREADS", quota)
    limits = {}
    if quota is not None:  # rounded down: a thread more would be stopped for part of the time, and all wait for it
        limits[f"the container or control group grants {quota:g} core{'s' * (quota != 1)}"] = max(1, int(quota))
    if processors() < os.cpu_count():
        limits[f"the process is bound to {processors()} of {os.cpu_count()} processors"] = processors()
    limits["what torch takes on this processor"] = TORCH_THREADS
    reason = min(limits, key=limits.get)
    return Cores(limits[reason], reason, quota)


def processes(environment=os.environ, root: Path = Path("/")) -> int:
    """How many processes of one thread can compute at once: as ``cores``, but that OMP_NUM_THREADS, which shells of
    clusters set to 1, says nothing about it."""
    if settings.threads_asked(environment) or "OMP_NUM_THREADS" not in environment:
        return cores(environment, root).count
    return available(root)


def available(root: Path = Path("/")) -> int:
    """Processors that this process may keep busy, by affinity and quota."""
    return min(processors(), max(1, int(_quota(root) or processors())))


def _quota(root: Path) -> float | None:
    """Cores that the control groups (v1 and v2) of this process and those above it grant, or None."""
    granted = []
    for line in _lines(root / "proc/self/cgroup"):
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        names = [name for name in (controllers, "cpu") if "cpu" in controllers.split(",")] or ["", "unified"]
        inside = Path(path.lstrip("/"))  # in a container often a path of the host's: what is above it is read
        for folder in (root / "sys/fs/cgroup" / name / part for name in names for part in (inside, *inside.parents)):
            limit = [word for line in _lines(folder / "cpu.max") for word in line.split()]
            limit = limit or _lines(folder / "cpu.cfs_quota_us") + _lines(folder / "cpu.cfs_period_us")
            with suppress(ValueError):  # "max", or a file that is not there
                share, period = map(float, limit)
                if share > 0 < period:
                    granted.append(share / period)
    return min(granted, default=None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError):
        return []


class Load:
    """What other programs take of this machine's processors from the moment that it is made."""

    def __init__(self):
        self.began = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        bound = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
        used = [t for number, t in enumerate(psutil.cpu_times(percpu=True)) if number in bound]
        idle = sum(getattr(t, field, 0.0) for t in used for field in ("idle", "iowait"))
        return time.perf_counter(), len(used) * time.perf_counter() - idle, time.process_time()

    def others(self) -> float:
        """Cores that other programs used since."""
        passed, busy, mine = (now - before for now, before in zip(self._now(), self.began))
        return max(0.0, (busy - mine) / passed) if passed > 0 else 0.0

    def is_busy(self) -> bool:
        """Whether they leave fewer cores than ``cores`` grants."""
        return self.others() > NOISE and processors() - self.others() < cores().count - NOISE

    def said(self) -> str:
        return f"Other programs use {self.others():.1f} of {processors()} processors: without them it is faster."


def processors() -> int:
    """Processors that this process is bound to."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@contextmanager
def threads(count: int):
    """Compute with ``count`` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system and faulting it in
    again in every step: 5 to 10 % of a small network's training on a CPU. glibc only; elsewhere nothing."""
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def recorded(step: Callable, state: list[Tensor]) -> Callable:
    """``step(*batch)``, on a GPU recorded as a CUDA graph when it first sees a batch of a shape: one
    launch instead of some hundred. ``state`` are the tensors that it changes; it returns nothing. What
    Python does in it is done while recording and never again: it must depend on the batch and the state only.

    On a CPU, and where something in the step waits for the device (a student's penalty may), the step
    runs as it is.
    """
    replays = {}

    def run(*batch: Tensor) -> None:
        shapes = tuple(tensor.shape for tensor in batch)
        if shapes not in replays:
            replays[shapes] = _capture(step, state, batch) if _on_gpu(batch[0]) else step
        replays[shapes](*batch)

    return run


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _capture(step: Callable, state: list[Tensor], batch: tuple[Tensor, ...]) -> Callable:
    """The step as a graph, or the step itself; ``state`` is put back after the steps that recording takes."""
    inputs, before = [tensor.clone() for tensor in batch], [tensor.clone() for tensor in state]
    graph, stream = torch.cuda.CUDAGraph(), _recording_stream(torch.cuda.current_stream().cuda_stream)
    stream.wait_stream(torch.cuda.current_stream())
    try:
        # A capture that fails leaves older versions of torch in disorder, so a step that waits is found before.
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                step(*inputs)
            with _waiting_is_an_error():
                step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        # The outer context puts our stream back.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, stream=stream):
            step(*inputs)
    except RuntimeError as error:
        print(f"The training step cannot be recorded and runs slower, as it is ({str(error).splitlines()[0]}).")
        return step
    finally:
        torch.cuda.synchronize()
        with torch.no_grad():
            for tensor, value in zip(state, before):
                tensor.copy_(value)

    def replay(*batch: Tensor) -> None:
        for kept, new in zip(inputs, batch):
            kept.copy_(new)
        graph.replay()

    return replay


@contextmanager
def _waiting_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@cache
def _recording_stream(training: int) -> torch.cuda.Stream:
    """The stream on which steps of the training on the stream ``training`` are recorded: what is recorded on
    one stream shares scratch memory, so no two trainings may share it; and there are only 32 streams."""
    return torch.cuda.Stream()


@cache
def _stream(number: int) -> torch.cuda.Stream:
    """The stream of the ``number``-th training: always the same, since memory is kept by stream."""
    return torch.cuda.Stream()


def side_by_side(trainings: Iterable[Generator]) -> list:
    """Run generators to their end; the values they return, in order.

    On a GPU they take turns, each on a stream of its own, so that one training fills the gaps that
    another leaves. On a CPU, which a single training fills, one follows the other. Where one ends in an
    error or is interrupted, all are closed, so that they give back what they hold.
    """
    trainings = list(trainings)
    try:
        return _in_turns(trainings) if torch.cuda.is_available() else [finish(training) for training in trainings]
    finally:
        for training in trainings:
            training.close()


def guarded(training: Generator) -> Generator:
    """The same, but an error is returned and not raised, so that the others beside it go on."""
    try:
        return (yield from training)
    except Exception as error:
        return error


def _in_turns(trainings: list[Generator]) -> list:
    unfinished = {number: (training, _stream(number)) for number, training in enumerate(trainings)}
    for _, stream in unfinished.values():
        stream.wait_stream(torch.cuda.current_stream())
    results = {}
    while unfinished:
        turns = []
        for number, (training, stream) in list(unfinished.items()):
            try:
                with torch.cuda.stream(stream):
                    turns.append(next(training))
            except StopIteration as end:
                results[number] = end.value
                torch.cuda.current_stream().wait_stream(stream)
                del unfinished[number]
        if turns and all(turn is WAITING for turn in turns):
            time.sleep(POLL)
    return [results[number] for number in sorted(results)]


def seconds_of(trainings: list[Generator], steps: int, device: torch.device) -> float:
    """Seconds that the next ``steps`` of every training take, side by side; the trainings can go on afterwards."""
    started = time.perf_counter()
    side_by_side([(turn for turn in islice(training, steps)) for training in trainings])  # they stay open
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def finish(training: Generator):
    """Run a generator to its end; the value that it returns."""
    while True:
        try:
            if next(training) is WAITING:
                time.sleep(POLL)
        except StopIteration as end:
            return end.value


torch.set_num_threads(cores().count)  # torch counts the host's cores, not the quota
