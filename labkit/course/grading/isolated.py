"""The one process that runs inside the sandbox: started as a script, with ``probe.py`` beside it.

It reads a job, imports torch once, and forks a child for each blank, so that a blank that hangs,
crashes or eats its memory costs only itself. Arguments go in, observations come out, as JSON; what
they are worth is decided outside, by somebody who never ran the student's code.

Job: ``{"seconds", "megabytes", "blanks": {name: {"sources": [...], "functions": {function:
{"watched": [...], "cases": [{"arguments"}]}}}}}``. The first line that comes back is ``"ready"``; then one
line of JSON a blank, ``{"blank", "end", "observed"}``, where ``end`` is ``"done"`` or says what happened instead.
"""

import ctypes
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
import time

LONGEST_ANSWER = 2**20  # bytes

# System calls that a blank has no use for, by the kernel's name of the machine and its number for seccomp:
# signals to others, looking into others, keyrings (which user and session share), new namespaces, and more.
FORBIDDEN = {
    "x86_64": (
        0xC000003E,
        {"kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297}
        | {"pidfd_send_signal": 424, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311}
        | {"add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "setns": 308, "mount": 165}
        | {"bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425},
    ),
    "aarch64": (
        0xC00000B7,
        {"kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240}
        | {"pidfd_send_signal": 424, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271}
        | {"add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "setns": 268, "mount": 40}
        | {"bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425},
    ),
}


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    import probe
    import torch

    torch.set_num_threads(1)
    probe.functions_in(["import numpy as np\ndef f(): return np"], ["f"])  # imports numpy before the forks
    torch.nn.BatchNorm2d(1)(torch.zeros(2, 1, 1, 1)).sum().backward()  # autograd's start-up, likewise
    _hide()
    end, answer = in_a_child(lambda: "confined", job["seconds"], job["megabytes"] * 2**20)
    if answer != '"confined"':  # this machine's fault, and no blank's
        sys.exit(f"limits and filter cannot be set here: {end}")
    say = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print(json.dumps("ready"), file=say, flush=True)
    for name, work in job["blanks"].items():
        end, answer = in_a_child(lambda work=work: examine(probe, work), job["seconds"], job["megabytes"] * 2**20)
        print(json.dumps({"blank": name, "end": end, "observed": answer}), file=say, flush=True)


def examine(probe, work: dict) -> dict:
    functions = probe.functions_in(work["sources"], list(work["functions"]))
    return probe.observe_all(functions, work["functions"])


def in_a_child(work, seconds: float, memory: int) -> tuple[str, str]:
    """Run ``work`` in a child process: how it ended, and its answer, as text that nobody has read yet."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _confine(writer, seconds, memory)
            answer = json.dumps(work()).encode()
            while answer:
                answer = answer[os.write(writer, answer) :]
        finally:
            os._exit(0)
    os.close(writer)
    answer, deadline, end = b"", time.monotonic() + seconds, "done"
    while True:
        if not select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
            end = f"it did not end within {seconds:g} seconds"
            break
        part = os.read(reader, 65536)
        answer += part
        if not part:
            break
        if len(answer) > LONGEST_ANSWER:
            end = "it answered with more than can be read"
            break
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if end == "done" and not answer:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        killed = number not in (0, signal.SIGKILL)
        end = f"it was stopped by signal {number}" if killed else "it ended its process without an answer"
    return end, answer[:LONGEST_ANSWER].decode("utf-8", "replace") if end == "done" else ""


def _confine(writer: int, seconds: float, memory: int) -> None:
    """Nothing but the answer's pipe is open; no files are written, no processes or threads started."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, writer)
    os.closerange(writer + 1, 1024)
    limits = {
        resource.RLIMIT_AS: _address_space() + memory,
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _forbid_system_calls()


def _forbid_system_calls() -> None:
    """Let the kernel answer FORBIDDEN calls with "not permitted", by seccomp; other machines do without."""
    if platform.machine() not in FORBIDDEN:
        return
    architecture, calls = FORBIDDEN[platform.machine()]
    load, if_equal, if_at_least, end = 0x20, 0x15, 0x35, 0x06  # instructions of the kernel's filter language
    allow, refuse = 0x7FFF0000, 0x00050001  # the latter with errno EPERM
    numbers = list(calls.values())
    program = [(load, 0, 0, 4), (if_equal, 1, 0, architecture), (end, 0, 0, refuse), (load, 0, 0, 0)]
    program.append((if_at_least, len(numbers) + 1, 0, 0x40000000))  # another way to number the same calls
    program += [(if_equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    program += [(end, 0, 0, allow), (end, 0, 0, refuse)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    pr_set_no_new_privs, pr_set_seccomp, seccomp_mode_filter = 38, 22, 2
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)  # without it only root may set a filter
    if libc.prctl(pr_set_seccomp, seccomp_mode_filter, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _hide() -> None:
    """Children run as the same user: keep them from reading or tracing this process."""
    pr_set_dumpable = 4
    ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)


if __name__ == "__main__":
    sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), *sys.argv[1:]]
    main()
    os._exit(0)  # taking torch down in order would cost a third of a submission's time
