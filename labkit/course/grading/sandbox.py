"""Run students' functions where they can harm nothing: bubblewrap, another user, no network.

The sandbox sees Python, torch and two files of labkit. It does not see the class folder, the
notebooks with the answers, other submissions, or anything that was computed from an answer. Each
submission has a sandbox of its own. Where bubblewrap cannot work, nothing runs.
"""

import json
import os
import shutil
import subprocess
import sys
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


def run(blanks: dict, command: list[str] | None = None, seconds: float = SECONDS) -> dict[str, Outcome]:
    """The outcome of each blank of one submission; ``blanks`` as in ``labkit.course.grading.isolated``.

    Where a sandbox ends early, what is left runs again, each blank alone. Raises ``LabError`` if a
    sandbox does not even start.
    """
    command = command or bubblewrap()
    outcomes = _once(command, blanks, seconds)
    for name in blanks.keys() - outcomes.keys():
        outcomes |= _once(command, {name: blanks[name]}, seconds)
    return {name: outcomes.get(name, Outcome(LOST)) for name in blanks}


def _once(command: list[str], blanks: dict, seconds: float) -> dict[str, Outcome]:
    """What came out of one sandbox, by blank."""
    job = json.dumps({"seconds": seconds, "megabytes": MEGABYTES, "blanks": blanks}).encode()
    limit = START + (seconds + 1) * len(blanks)
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        process = subprocess.Popen(command, start_new_session=True, **pipes)
    except OSError as error:
        raise LabError(f"The sandbox did not start ({error}): see docs/ta.md for what it needs.") from error
    try:
        out, err = process.communicate(job, timeout=limit)
    except subprocess.TimeoutExpired:
        process.terminate()  # a container's client passes it on
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()  # --die-with-parent and the process namespace take everything inside with it
        out, err = process.communicate()
    first, *lines = out.decode("utf-8", "replace").splitlines() or [""]
    if first != READY:
        reason = err.decode("utf-8", "replace").strip()[-500:] or f"nothing came back within {START} seconds"
        raise LabError(f"The sandbox did not start ({reason}): see docs/ta.md for what it needs.")
    outcomes = {}
    for name, outcome in map(_read, lines):
        if name in blanks:
            outcomes.setdefault(name, outcome)
    return outcomes


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
