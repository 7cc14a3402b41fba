"""Run students' functions where they can harm nothing: bubblewrap, another user, no network.

The sandbox sees Python, torch and two files of labkit. It does not see the class folder, the
notebooks with the answers, other submissions, or anything that was computed from an answer. Each
submission has processes and namespaces of its own: below one that has imported torch and reads nothing
(``Warm``), or in a sandbox of its own (``OneByOne``). Where bubblewrap cannot work, nothing runs.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from labkit.course.grading import isolated
from labkit.course.practice import probe
from labkit.settings import LabError

NOBODY = "65534"
SECONDS, MEGABYTES = 5, 1024  # for one blank
DONE, READY, LOST = "done", '"ready"', "the sandbox ended before it, twice"
START, PATIENCE = 120, 10  # seconds to import torch on a busy machine, and to end in order
INSIDE = (Path(isolated.__file__), Path(probe.__file__))  # mounted side by side


@dataclass(frozen=True)
class Outcome:
    """What a blank's process did: ``end`` is ``"done"`` or a sentence; ``observed`` is not checked yet."""

    end: str
    observed: dict = field(default_factory=dict)


class OneByOne:
    """A sandbox of its own for each submission, started by ``command``: Python and torch begin anew."""

    def __init__(self, command: list[str], why: str):
        self.command, self.how = command, f"each submission starts Python and torch anew: {why}"

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def ask(self, job: bytes, limit: float) -> tuple[bytes, str]:
        """What a sandbox says to ``job`` within ``limit`` seconds, and what it complains of."""
        process = _start(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(job, timeout=limit)
        except subprocess.TimeoutExpired:
            out, err = _end(process)
        return out, err.decode("utf-8", "replace")


class Warm:
    """Sandboxes that stay, started by ``command``: torch is there, and each submission gets processes and namespaces
    of its own. One is started whenever none is idle; it ends with the thread that started it. Raises ``Cold`` if this
    machine cannot have them; where only a later one cannot start, the submission gets a sandbox of its own."""

    how = "torch is imported once; each submission has processes and namespaces of its own"

    def __init__(self, command: list[str]):
        self._command, self._idle = command, queue.SimpleQueue()
        self._idle.put(_Parent(command))

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        while not self._idle.empty():
            self._idle.get().end()

    def ask(self, job: bytes, limit: float) -> tuple[bytes, str]:
        """What a sandbox says to ``job`` within ``limit`` seconds, and what it complains of. Where one that stayed says
        nothing, a new one is asked."""
        if parent := self._living():
            out, err = self._asked(parent, job, limit)
            if out:
                return out, err
        try:
            parent = _Parent(self._command)
        except Cold as reason:
            alone = OneByOne(self._command, str(reason))
            self.how = f"{Warm.how}; where no further one could start, {alone.how}"
            return alone.ask(job, limit)
        return self._asked(parent, job, limit)

    def _living(self) -> "_Parent | None":
        """One that is idle, if any; those that have died since they were asked are dropped."""
        while True:
            try:
                parent = self._idle.get_nowait()
            except queue.Empty:
                return None
            if parent.lives():
                return parent
            parent.end()

    def _asked(self, parent: "_Parent", job: bytes, limit: float) -> tuple[bytes, str]:
        """What ``parent`` says and complains of; it stays only if it said all that it had to say."""
        out, whole = parent.ask(job, limit)
        if out and whole:
            self._idle.put(parent)
            return out, ""
        return out, parent.end()


class Cold(LabError):
    """Submissions cannot have namespaces of their own below a process that stays."""


class _Parent:
    """One sandbox that stays, and the socket over which it gets a connection for each submission."""

    def __init__(self, command: list[str]):
        self._control, theirs = socket.socketpair()
        self._complaints, started = tempfile.TemporaryFile(), time.monotonic()  # a pipe would be full some day
        streams = {"stdin": theirs, "stdout": subprocess.DEVNULL, "stderr": self._complaints}
        with theirs:
            self._process = _start([*command, isolated.WARM], **streams)
        self._control.settimeout(START)
        try:
            sure = self._control.recv(1) == isolated.SURE
        except TimeoutError:
            sure = False
        if not sure:
            raise Cold(
                f"No sandbox can stay ({_reason(self.end(), started, START)}): see docs/ta.md for what it needs."
            )

    def ask(self, job: bytes, limit: float) -> tuple[bytes, bool]:
        """What came back within ``limit`` seconds, and whether that was to the end."""
        parts, until = [], time.monotonic() + limit
        ours, theirs = socket.socketpair()
        try:
            with ours:
                with theirs:
                    socket.send_fds(self._control, [b"+"], [theirs.fileno()])
                ours.settimeout(limit)
                ours.sendall(job)
                ours.shutdown(socket.SHUT_WR)
                while part := ours.recv(65536):
                    parts.append(part)
                    ours.settimeout(max(0.001, until - time.monotonic()))
        except OSError:  # it took too long, or has ended
            return b"".join(parts), False
        return b"".join(parts), True

    def lives(self) -> bool:
        return self._process.poll() is None

    def end(self) -> str:
        """End it and all that runs in it; what it complained of."""
        self._control.shutdown(socket.SHUT_WR)
        _end(self._process)
        with suppress(OSError), self._control:
            self._control.recv(1)  # returns when nothing inside holds the other end any more
        with self._complaints as file:
            file.seek(0)
            return file.read().decode("utf-8", "replace")


def opened(image: str | None = None) -> OneByOne | Warm:
    """What runs submissions on this machine, to be used in ``with``; ``how`` says in which way. ``image``: in
    containers of it. Raises ``LabError`` where there is neither bubblewrap nor, for an image, podman or docker."""
    if image:
        return OneByOne(container(image), "in a container it cannot have namespaces of its own.")
    command = bubblewrap()
    try:
        return Warm(command)
    except Cold as reason:
        return OneByOne(command, str(reason))


def run(blanks: dict, way: OneByOne | Warm, seconds: float = SECONDS) -> dict[str, Outcome]:
    """The outcome of each blank of one submission; ``blanks`` as in ``labkit.course.grading.isolated``.

    Where a sandbox ends early, what is left runs again, each blank alone. Raises ``LabError`` if a
    sandbox does not even start.
    """
    outcomes = _once(way, blanks, seconds)
    for name in blanks.keys() - outcomes.keys():
        outcomes |= _once(way, {name: blanks[name]}, seconds)
    return {name: outcomes.get(name, Outcome(LOST)) for name in blanks}


def _once(way: OneByOne | Warm, blanks: dict, seconds: float) -> dict[str, Outcome]:
    """What came out of one sandbox, by blank."""
    job = json.dumps({"seconds": seconds, "megabytes": MEGABYTES, "blanks": blanks}).encode()
    started, limit = time.monotonic(), START + (seconds + 1) * len(blanks)
    out, err = way.ask(job, limit)
    first, *lines = out.decode("utf-8", "replace").splitlines() or [""]
    if first != READY:
        raise LabError(f"The sandbox did not start ({_reason(err, started, limit)}): see docs/ta.md for what it needs.")
    outcomes = {}
    for name, outcome in map(_read, lines):
        if name in blanks:
            outcomes.setdefault(name, outcome)
    return outcomes


def _reason(complaint: str, started: float, limit: float) -> str:
    """Why a sandbox that was ``started`` at that time, with ``limit`` seconds to answer, said nothing."""
    late = time.monotonic() - started >= limit
    silence = f"nothing came back within {limit:g} seconds" if late else "it ended without a word"
    return " ".join(complaint.split())[-500:] or silence


def _start(command: list[str], **streams) -> subprocess.Popen:
    try:
        return subprocess.Popen(command, start_new_session=True, **streams)
    except OSError as error:
        raise LabError(f"The sandbox did not start ({error}): see docs/ta.md for what it needs.") from error


def _end(process: subprocess.Popen) -> tuple[bytes | None, bytes | None]:
    """End a sandbox; what it had said and complained of until then, where these are pipes."""
    process.terminate()  # a container's client passes it on
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()  # --die-with-parent and the process namespace take everything inside with it
    return process.communicate()


def _read(line: str) -> tuple[str | None, Outcome]:
    """A line from the sandbox. It may have been forged: only its shape is believed."""
    try:
        outcome = json.loads(line)
        name, end = str(outcome["blank"]), str(outcome["end"])[:100]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, Outcome("")
    try:
        observed = json.loads(outcome["observed"]) if end == DONE else {}
        if isinstance(observed, dict):
            return name, Outcome(end, observed)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return name, Outcome("its answer cannot be read")


def bubblewrap() -> list[str]:
    """The command that starts a sandbox. Raises ``LabError`` where there is no bubblewrap."""
    if not shutil.which("bwrap"):
        raise LabError(
            "bubblewrap is missing, and student code never runs without it: apt install bubblewrap "
            "(Linux only), or choose a container with --container IMAGE."
        )
    python, binds = _python()
    arguments = [
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--new-session", "--die-with-parent", "--clearenv", "--hostname", "sandbox", "--cap-drop", "ALL"),
        *_environment(),
        *("--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dir", "/dev", "--dir", "/inside"),
        *(part for name in ("null", "zero", "urandom") for part in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")),
        *("--size", "1000000", "--perms", "1777", "--tmpfs", "/tmp"),  # importing torch makes a temporary folder
        *_system_folders(),
        *binds,
    ]
    for file in INSIDE:
        arguments += ["--ro-bind", str(file), f"/inside/{file.name}"]
    arguments += ["--remount-ro", "/", "--chdir", "/"]
    if os.geteuid() == 0:  # as root the user namespace would leave root's eyes: change the user for good instead
        keep = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
        drop = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"]
        become = ["setpriv", *drop, "--inh-caps=-all", "--bounding-set=-all"]
        return ["bwrap", *arguments, *keep, *become, *python]
    return ["bwrap", "--unshare-user", "--uid", NOBODY, "--gid", NOBODY, *arguments, *python]


def _environment() -> list[str]:
    wanted = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    wanted |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return [part for name, value in wanted.items() for part in ("--setenv", name, value)]


def _system_folders() -> list[str]:
    """/lib and its like, as links into /usr or as folders, as this system has them."""
    arguments = ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for folder in map(Path, ("/bin", "/lib", "/lib32", "/lib64")):
        if folder.is_symlink():
            arguments += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.is_dir():
            arguments += ["--ro-bind", str(folder), str(folder)]
    return arguments


def _python() -> tuple[list[str], list[str]]:
    """How to start this very Python inside, and what has to be mounted for it: the interpreter under
    its own path in /usr, or as /python, and the folders with packages as /packages0, /packages1 ..."""
    base, executable, binds = Path(sys.base_prefix).resolve(), Path(sys.executable).resolve(), []
    if not base.is_relative_to("/usr"):
        binds += ["--ro-bind", str(base), "/python"]
        executable = Path("/python") / executable.relative_to(base)
    folders = [Path(torch.__file__).parent.parent]
    folders += [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    inside = []
    for number, folder in enumerate(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir())):
        binds += ["--ro-bind", str(folder), f"/packages{number}"]
        if (folder / "labkit").is_dir():  # an installed labkit has the wrong answers, and stays outside
            binds += ["--tmpfs", f"/packages{number}/labkit", "--remount-ro", f"/packages{number}/labkit"]
        inside.append(f"/packages{number}")
    return [str(executable), "-I", "-S", "/inside/isolated.py", *inside], binds


def container(image: str) -> list[str]:
    """The command that starts a container of ``image``, which must have Python and torch, instead."""
    tool = next(filter(shutil.which, ("podman", "docker")), None)
    if tool is None:
        raise LabError("Neither podman nor docker is here: install one of them, or bubblewrap.")
    limits = ["--memory", "4g", "--pids-limit", "64", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    mounts = [part for file in INSIDE for part in ("--volume", f"{file}:/inside/{file.name}:ro")]
    return [
        *(tool, "run", "--rm", "--init", "--interactive", "--network", "none", "--read-only", "--tmpfs", "/tmp"),
        *("--user", f"{NOBODY}:{NOBODY}"),
        *(*limits, *mounts, image, "python3", "-s", "-E", "/inside/isolated.py"),
    ]
