"""What runs inside the sandbox: started as a script, with ``probe.py`` beside it.

It imports torch once, reads a job, and forks a child for each blank, so that a blank that hangs,
crashes or eats its memory costs only itself. Arguments go in, observations come out, as JSON; what
they are worth is decided outside, by somebody who never ran the student's code.

With ``--warm`` its standard input is a socket on which connections arrive, one for each submission. The process
that has torch never reads from them: it forks, and the child goes where nothing of another submission can be,
into namespaces of its own, before it reads its job. What it starts ends with it.

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
import socket
import struct
import sys
import time

LONGEST_ANSWER = 2**20  # bytes
WARM, SURE = "--warm", b"+"
OWN = 0x10000000 | 0x20000000 | 0x08000000 | 0x40000000 | 0x04000000 | 0x00020000  # user, pid, ipc, net, uts, mount
LIBC = ctypes.CDLL(None, use_errno=True)
# Where processes and files of others are: whether an empty folder over it is read-only, and what it is mounted with.
COVERED = {b"/proc": (1, None), b"/tmp": (0, b"mode=1777,size=1000000")}

# System calls that a blank has no use for, by the kernel's name of the machine and its number for seccomp:
# signals to others, looking into others, keyrings (which user and session share), memory and messages that outlive
# a process, new namespaces, and more.
FORBIDDEN = {
    "x86_64": (
        0xC000003E,
        {"kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297}
        | {"pidfd_send_signal": 424, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311}
        | {"add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "setns": 308, "mount": 165}
        | {"shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240}
        | {"bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425},
    ),
    "aarch64": (
        0xC00000B7,
        {"kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240}
        | {"pidfd_send_signal": 424, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271}
        | {"add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "setns": 268, "mount": 40}
        | {"shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180}
        | {"bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425},
    ),
}


def main(warm: bool) -> None:
    if warm:
        _sure()
    import probe
    import torch

    torch.set_num_threads(1)
    probe.functions_in(["import numpy as np\ndef f(): return np"], ["f"])  # imports numpy before the forks
    torch.nn.BatchNorm2d(1)(torch.zeros(2, 1, 1, 1)).sum().backward()  # autograd's start-up, likewise
    _set_dumpable(False)  # children run as the same user: keep them from reading or tracing this process
    space = _address_space()
    serve(lambda: submission(probe, space)) if warm else submission(probe, space)


def submission(probe, space: int) -> None:
    """Read a job from standard input and examine its blanks; ``space``: bytes of address space before any work."""
    import numpy
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # fcntl lets a blank send it here
    torch.default_generator.seed()  # random numbers of its own, as if the submission had started torch itself
    numpy.random.seed()
    job = json.loads(sys.stdin.buffer.read())
    seconds, memory = job["seconds"], space + job["megabytes"] * 2**20
    end, answer = in_a_child(lambda: "confined", seconds, memory)
    if answer != '"confined"':  # this machine's fault, and no blank's
        sys.exit(f"limits and filter cannot be set here: {end}")
    say = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print(json.dumps("ready"), file=say, flush=True)
    for name, work in job["blanks"].items():
        end, answer = in_a_child(lambda work=work: examine(probe, work), seconds, memory)
        print(json.dumps({"blank": name, "end": end, "observed": answer}), file=say, flush=True)


def serve(work) -> None:
    """Do ``work`` for each connection that arrives, one after the other, with the connection as standard input
    and output, in a process that is the first of its own namespaces: all that it starts ends with it."""
    with socket.socket(fileno=os.dup(0)) as control:
        while connections := socket.recv_fds(control, 1, 1)[1]:
            launcher = _forked(lambda connection=connections[0]: _launch(work, connection))
            os.close(connections[0])
            os.waitpid(launcher, 0)


def _launch(work, connection: int) -> None:
    os.setsid()  # a blank may change the priority of its whole process group
    for standard in (0, 1):  # the first was the socket on which connections arrive
        os.dup2(connection, standard)
    os.closerange(3, 1024)
    _enter(work)


def _enter(work) -> int:
    """Do ``work`` in namespaces of its own, in the process with which they begin and end; its exit status."""
    user, group = os.getuid(), os.getgid()
    _must(LIBC.unshare(OWN), "namespaces of its own")
    _stay(user, group)
    _, status = os.waitpid(_forked(lambda: (_end_with_parent(), _cover(), _give_up_capabilities(), work())), 0)
    return os.waitstatus_to_exitcode(status)


def _stay(user: int, group: int) -> None:
    """Be the same user in the new namespace, who can make files there; no other user exists in it."""
    _set_dumpable(True)  # else the maps below are not this user's to write
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _set_dumpable(False)


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    _must(LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0), "an end with its parent")


def _cover() -> None:
    nosuid, nodev, noexec = 2, 4, 8
    for folder, (read_only, options) in COVERED.items():
        flags = nosuid | nodev | noexec | read_only
        _must(LIBC.mount(b"none", folder, b"tmpfs", flags, options), "covered folders")


def _give_up_capabilities() -> None:
    """Those over the new namespaces: none are left over anything."""
    version, this_process, none = 0x20080522, 0, bytes(24)
    _must(LIBC.capset(struct.pack("Ii", version, this_process), none), "no capabilities")


def _sure() -> None:
    """Say on standard input, a socket, that this machine lets submissions have namespaces of their own."""
    if platform.machine() not in FORBIDDEN:  # keyrings are kept apart by the filter alone
        sys.exit(f"there is no list of forbidden system calls for {platform.machine()}")
    _, status = os.waitpid(_forked(lambda: os._exit(_enter(lambda: None))), 0)
    if status:
        sys.exit(1)
    os.write(0, SURE)


def _must(status: int, what: str) -> None:
    if status:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: {what}")


def _forked(work) -> int:
    """A child process that does ``work``, and ends."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def examine(probe, work: dict) -> dict:
    functions = probe.functions_in(work["sources"], list(work["functions"]))
    return probe.observe_all(functions, work["functions"])


def in_a_child(work, seconds: float, memory: int) -> tuple[str, str]:
    """Run ``work`` in a child process with ``memory`` bytes of address space: how it ended, and its answer, as
    text that nobody has read yet."""
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
        resource.RLIMIT_AS: memory,
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
    LIBC.prctl(pr_set_no_new_privs, 1, 0, 0, 0)  # without it only root may set a filter
    if LIBC.prctl(pr_set_seccomp, seccomp_mode_filter, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _set_dumpable(may: bool) -> None:
    """Whether processes of the same user may read and trace this one."""
    pr_set_dumpable = 4
    _must(LIBC.prctl(pr_set_dumpable, int(may), 0, 0, 0), "hiding from other processes")


if __name__ == "__main__":
    folders = [argument for argument in sys.argv[1:] if argument != WARM]
    sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), *folders]
    main(WARM in sys.argv)
    os._exit(0)  # taking torch down in order would cost a third of a submission's time
