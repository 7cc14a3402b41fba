"""What workers of the tests do, in processes of their own."""

import os
import signal

import torch


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


def unpicklable(nothing):
    return (number for number in range(3))


def threads_here(nothing):
    names = ("LABKIT_THREADS", "OMP_NUM_THREADS")
    return {"torch": torch.get_num_threads(), "pid": os.getpid()} | {name: os.environ[name] for name in names}
