"""Hostile code in a blank: it gets the mark it deserves, costs only itself, and the host is untouched.

A row's code returns the right answer only if what it tries succeeds, so full points mean a hole.
"""

import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labkit.course import answers, grade, inmate, sandbox
from labkit.settings import REPOSITORY

RIGHT = "return mask.nonzero().flatten()"
MACHINE = platform.machine() if platform.machine() in inmate.FORBIDDEN else "x86_64"
CALLS = inmate.FORBIDDEN[MACHINE][1]
SECONDS = 4


def working() -> str | None:
    """Why the sandbox cannot work here, or None."""
    if not sys.platform.startswith("linux"):
        return "the sandbox needs Linux"
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    tried = subprocess.run(["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True)
    return f"bubblewrap cannot work here: {tried.stderr.strip()}" if tried.returncode else None


pytestmark = pytest.mark.skipif(working() is not None, reason=str(working()))

# name: the body of kept_channels, and what the verdict's sentence or the note says
HOSTILE = {
    "never ends": ("while True: pass", "did not end within"),
    "never ends, deaf to signals": (
        "import signal\nfor number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except Exception: pass\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "did not end within",
    ),
    "sleeps": ("import time\ntime.sleep(10**6)", "did not end within"),
    "ends the process": ("import os\nos._exit(0)", "without an answer"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "raises something deeper": ("raise BaseException('no')", "without an answer"),
    "fork bomb": (f"import os\nwhile True:\n    if os.fork() == 0: pass\n{RIGHT}", "BlockingIOError"),
    "thread bomb": (
        f"import threading, time\nfor _ in range(9):\n    threading.Thread(target=time.sleep, args=(9,)).start()\n{RIGHT}",
        "RuntimeError",
    ),
    "subprocess": (f"import subprocess\nsubprocess.run(['/usr/bin/true'], check=True)\n{RIGHT}", "BlockingIOError"),
    "fills the memory": ("kept = []\nwhile True: kept.append(b'x' * 10**8)", "MemoryError|did not end within"),
    "fills the memory with tensors": (
        "kept = []\nwhile True: kept.append(torch.ones(10**8))",
        "RuntimeError|did not end within",
    ),
    "fills shared memory": (f"import mmap\nmmap.mmap(-1, 3 * 2**30)\n{RIGHT}", "MemoryError|OSError"),
    "fills the disk": (
        "import os\nfor folder in ('/tmp', '/dev/shm', '/dev', '/', '/inside', '/packages0', os.getcwd(), '/proc'):\n"
        "    try:\n        with open(folder + '/big', 'wb') as file: file.write(b'x' * 10**6)\n"
        f"        {RIGHT}\n    except OSError: pass\nraise OSError",
        "OSError",
    ),
    "fills an anonymous file": (
        f"import os\nfile = os.memfd_create('x')\nos.write(file, b'x' * 10**6)\n{RIGHT}",
        "OSError",
    ),
    "network": (f"import socket\nsocket.create_connection(('127.0.0.1', PORT), timeout=2)\n{RIGHT}", "Error"),
    "unix sockets of the host": (
        f"import glob\nassert glob.glob('/run/*') or glob.glob('/var/run/*')\n{RIGHT}",
        "AssertionError",
    ),
    "reads the gradebook": (f"open('CLASS/gradebook.db').read()\n{RIGHT}", "FileNotFoundError"),
    "reads the hidden seed": (f"open('CLASS/hidden_seed').read()\n{RIGHT}", "FileNotFoundError"),
    "reads other submissions": (f"import os\nos.listdir('CLASS/collected')\n{RIGHT}", "FileNotFoundError"),
    "reads the answers": (
        f"open('REPOSITORY/notebooks/03_channel_pruning.ipynb').read()\n{RIGHT}",
        "FileNotFoundError",
    ),
    "imports the answers": (
        "from labkit.course import answers\n"
        "code = [answers.solution('kept-channels')]\n"
        "return answers.probe.functions_in(code, ['kept_channels'])['kept_channels'](mask)",
        "ModuleNotFoundError|ImportError",
    ),
    "reads the shadow file": (f"open('/etc/shadow').read()\n{RIGHT}", "FileNotFoundError|PermissionError"),
    "reads root's home": (f"import os\nos.listdir('/root')\n{RIGHT}", "FileNotFoundError|PermissionError"),
    "reads the environment": (
        f"import os\nassert set(os.environ) & set('LABKIT_RUNS SECRET USER LOGNAME SHELL VIRTUAL_ENV'.split())\n{RIGHT}",
        "AssertionError",
    ),
    "reads another environment": (
        f"import os\nfor n in ('1', str(os.getppid())): assert 'SECRET' in open(f'/proc/{{n}}/environ').read()\n{RIGHT}",
        "PermissionError|AssertionError",
    ),
    "reads the supervisor's memory": (
        f"import os\nopen(f'/proc/{{os.getppid()}}/mem', 'rb').read(1)\n{RIGHT}",
        "PermissionError",
    ),
    "writes to the supervisor's output": (
        f"import os\nopen(f'/proc/{{os.getppid()}}/fd/1', 'w').write('x')\n{RIGHT}",
        "PermissionError",
    ),
    "sees other processes": (
        f"import os\nassert len([n for n in os.listdir('/proc') if n.isdigit()]) > 4\n{RIGHT}",
        "AssertionError",
    ),
    "kills its parent": (f"import os\nos.kill(os.getppid(), 9)\n{RIGHT}", "PermissionError"),
    "stops its parent": (f"import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n{RIGHT}", "PermissionError"),
    "interrupts its parent": (f"import os, signal\nos.kill(os.getppid(), signal.SIGINT)\n{RIGHT}", "PermissionError"),
    "kills everything": (f"import os\nos.kill(-1, 9)\n{RIGHT}", "PermissionError"),
    "signals itself": (f"import os\nos.kill(os.getpid(), 40)\n{RIGHT}", "PermissionError"),
    "asks for a signal": ("import ctypes\nctypes.CDLL(None).abort()", "stopped by signal"),
    "reads a keyring": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"
        "assert libc.syscall(KEYCTL, 0, -3, 1) >= 0\n" + RIGHT,
        "AssertionError",
    ),
    "leaves a key for others": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"
        "assert libc.syscall(ADD_KEY, b'user', b'note', b'x', 1, -4) >= 0\n" + RIGHT,
        "AssertionError",
    ),
    "calls the other way": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"
        "assert libc.syscall(0x40000000 + 39) > 0\n" + RIGHT,
        "AssertionError",
    ),
    "numbers that no float holds": (
        "import os\nfor number in range(3, 64):\n"
        '    try: os.write(number, b\'{"kept_channels": [{"values": [1\' + b\'0\' * 400 + b\'], "form": "x"}]}\')\n'
        "    except OSError: pass\nos._exit(0)",
        "",
    ),
    "becomes root": (f"import os\nos.setuid(0)\n{RIGHT}", "PermissionError|OSError"),
    "is root": (
        f"import os\nassert os.getuid() == 0 or os.geteuid() == 0 or 0 in os.getgroups()\n{RIGHT}",
        "Assertion",
    ),
    "mounts": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0\n"
        + RIGHT,
        "AssertionError",
    ),
    "makes a user namespace": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.unshare(0x10000000) == 0 and libc.unshare(0x20000) == 0\n"
        "assert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0\n" + RIGHT,
        "AssertionError",
    ),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", "signal 11"),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nreturn f()",
        "stopped",
    ),
    "an object equal to everything": (
        "class Yes:\n    def __eq__(self, other): return True\n    __iter__ = __len__ = __float__ = lambda self: 1\n"
        "    def tolist(self): return self\nreturn Yes()",
        "docstring",
    ),
    "a tensor equal to everything": (
        "class Yes(torch.Tensor):\n    def __eq__(self, other): return True\n    def tolist(self): return Yes([1])\n"
        "return Yes([1.0])",
        "",
    ),
    "a number equal to everything": (
        "class Yes(float):\n    def __eq__(self, other): return True\n    __hash__ = float.__hash__\nreturn [Yes(1)]",
        "",
    ),
    "changes torch": (
        "torch.equal = torch.allclose = lambda *a, **k: True\ntorch.Tensor.__eq__ = lambda a, b: True\n"
        "torch.Tensor.tolist = lambda self: [0]\nreturn torch.zeros(1)",
        "",
    ),
    "changes the probe": (
        "import sys\nfor module in list(sys.modules.values()):\n    if hasattr(module, 'observe'):\n"
        "        module.observe = lambda *a: {'values': [2.0], 'form': 'right', 'points': 5}\nreturn None",
        "returns nothing|docstring",
    ),
    "changes json": (
        'import json\njson.dumps = lambda *a, **k: \'{"kept_channels": "all right", "points": 5}\'\nreturn None',
        "",
    ),
    "prints a result": (
        'print(\'{"blank": "kept-channels", "end": "done", "observed": "{}"}\')\nreturn None',
        "returns nothing",
    ),
    "writes a result to every channel": (
        'import os\nfor number in range(256):\n    try: os.write(number, b\'{"kept_channels": [{"points": 5}]}\\n\')\n'
        "    except OSError: pass\nos._exit(0)",
        "",
    ),
    "answers without end": (
        "import os\nfor number in range(3, 64):\n    try:\n        while True: os.write(number, b'[' * 65536)\n"
        "    except OSError: pass",
        "more than can be read",
    ),
    "answers deeply nested": (
        "import os\nfor number in range(3, 64):\n    try: os.write(number, b'[' * 65000)\n    except OSError: pass\n"
        "os._exit(0)",
        "cannot be read",
    ),
    "returns a million numbers": ("return torch.zeros(10**6)", "ValueError"),
    "returns nan": ("return torch.tensor([float('nan')])", "docstring"),
    "returns a tensor without data": ("return torch.zeros(2, device='meta')", "RuntimeError"),
    "names its exception after the inputs": (
        "raise type('inputs ' + str(mask.tolist()), (Exception,), {})('inputs ' + str(mask.tolist()))",
        "an exception of its own",
    ),
    "tells the inputs in a message": ("raise ValueError('inputs ' + str(mask.tolist()))", "stops with ValueError."),
    "an exception that cannot be printed": (
        "class Evil(Exception):\n    def __str__(self): raise SystemExit\nraise Evil",
        "",
    ),
}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A class folder with everything that must stay hidden."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "collected" / "another").mkdir(parents=True)
    (folder / "gradebook.db").write_text("100 points for everybody")
    grade.hidden_seed(folder)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def listener():
    """A server on the host that must never be reached; how often it was."""
    server, calls = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        try:
            while True:
                calls.append(server.accept())
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], calls
    server.close()


@pytest.fixture(scope="module")
def marks(course, listener):
    """By row: the verdicts on all blanks of a submission that is right but for its ``kept_channels``."""
    os.environ["SECRET"] = "SECRET"
    materials = grade.hidden_materials("for the tests")
    words = {"KEYCTL": str(CALLS["keyctl"]), "ADD_KEY": str(CALLS["add_key"])}
    words |= {"CLASS": str(course), "REPOSITORY": str(REPOSITORY), "PORT": str(listener[0])}
    jobs = {"right": grade._job(materials["penalty"], {"code": {}}, answers.solution("penalty"))}
    for name, (body, _) in HOSTILE.items():
        for word, value in words.items():
            body = body.replace(word, value)
        source = answers.function_source("kept_channels", ["mask"], body)
        jobs[name] = grade._job(materials["kept-channels"], {"code": {}}, source)
    jobs["right at the end"] = jobs["right"]
    outcomes = sandbox.run(jobs, seconds=SECONDS)
    return {
        name: grade.verdict_of(materials["penalty" if name.startswith("right") else "kept-channels"], outcome)
        for name, outcome in outcomes.items()
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_gets_no_points_and_the_truth_is_said(name, marks):
    verdict, said = marks[name], HOSTILE[name][1]
    assert verdict.points == 0, verdict
    text = " ".join(verdict.sentences)
    assert any(part in text for part in said.split("|")), text
    assert "inputs" not in text and "True" not in text


def test_the_others_are_graded_all_the_same(marks):
    assert marks["right"].right and marks["right at the end"].right


def test_the_host_is_untouched(marks, course, listener):
    assert (course / "gradebook.db").read_text() == "100 points for everybody"
    assert listener[1] == []
    inside = [p for p in Path("/proc").glob("[0-9]*") if b"inmate.py" in _command(p)]
    assert not inside


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_without_bubblewrap_nothing_runs(monkeypatch, refused):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with refused("bubblewrap is missing", "--container"):
        sandbox.run({"x": {"sources": [], "functions": {}}})
    with refused("podman nor docker"):
        sandbox.container("image")


def test_a_sandbox_that_cannot_start_says_why(tmp_path, refused):
    script = tmp_path / "bwrap"
    script.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    script.chmod(0o755)
    with refused("uid map: Permission denied", "docs/ta.md"):
        sandbox.run({"x": {"sources": [], "functions": {}}}, [str(script)])


def test_a_container_is_started_without_network_and_with_limits(tmp_path, monkeypatch):
    """A stand-in for docker runs the inmate itself: the plumbing is real, the walls are not."""
    tool = tmp_path / "docker"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nexec {sys.executable} -I {sandbox.INSIDE[0]}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    materials = grade.hidden_materials("x")
    job = grade._job(materials["kept-channels"], {"code": {}}, answers.solution("kept-channels"))
    outcome = sandbox.run({"kept-channels": job}, sandbox.container("course/torch"))["kept-channels"]
    assert grade.verdict_of(materials["kept-channels"], outcome).right
    said = (tmp_path / "said").read_text()
    assert all(
        word in said for word in ("--network none", "--read-only", "--user 65534", "--pids-limit", "course/torch")
    )


def test_a_sandbox_that_ends_early_is_tried_again_and_then_given_up(tmp_path):
    """A stand-in that loses every second blank, and one blank always."""
    script = tmp_path / "sandbox"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\nnames = list(json.load(sys.stdin)['blanks'])\nprint('\"ready\"')\n"
        "for name in names[:1]:\n    if name != 'lost': print(json.dumps({'blank': name, 'end': 'done', 'observed': '{}'}))\n"
    )
    script.chmod(0o755)
    blank = {"sources": [], "functions": {}}
    outcomes = sandbox.run({"one": blank, "two": blank, "lost": blank}, [str(script)])
    assert [outcomes[name].end for name in ("one", "two", "lost")] == ["done", "done", sandbox.LOST]


def test_a_copy_in_name_only_gains_at_most_the_points_for_form(course):
    """Who shares a process with the probe can change what it says of the form, never the right values."""
    body = (
        "import sys\nfor module in list(sys.modules.values()):\n"
        "    if hasattr(module, '_copying'): module._copying = lambda *a: 'copied'\n"
    )
    material = grade.hidden_materials("x")["linear-bias"]
    for rest, points in (("thin_linear.bias.data = linear.bias.data", 5), ("pass", 0)):
        source = answers.function_source("copy_linear_bias", ["thin_linear", "linear"], body + rest)
        outcome = sandbox.run({"linear-bias": grade._job(material, {"code": {}}, source)})["linear-bias"]
        assert grade.verdict_of(material, outcome).points <= points


def test_a_command_that_is_not_there_says_so(refused):
    with refused("did not start", "/nowhere/at/all", "docs/ta.md"):
        sandbox.run({"x": {"sources": [], "functions": {}}}, ["/nowhere/at/all"])


def test_limits_that_cannot_be_set_are_no_blanks_fault(tmp_path, refused):
    """An inmate on a machine that refuses the filter: nobody is marked."""
    for file in sandbox.INSIDE:
        shutil.copy(file, tmp_path)
    inside = tmp_path / "inmate.py"
    inside.write_text(inside.read_text().replace("22, 2\n", "22, 99\n"))
    packages = [path for path in sys.path if path.endswith("-packages")]
    with refused("did not start", "limits and filter cannot be set"):
        sandbox.run({"x": {"sources": [], "functions": {}}}, [sys.executable, "-I", str(inside), *packages])
