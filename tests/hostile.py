"""Hostile code for the blank ``kept_channels``, by what it tries: returned only if that succeeds, the right answer."""

import platform

from labkit.course.grading.isolated import FORBIDDEN

RIGHT = "return mask.nonzero().flatten()"
LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"
ONCE = "if 'done' not in globals(): globals()['done'] = any([{}])\nassert done"  # the blank has several cases

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
        "PermissionError|AssertionError|FileNotFoundError",
    ),
    "reads the supervisor's memory": (
        f"import os\nopen(f'/proc/{{os.getppid()}}/mem', 'rb').read(1)\n{RIGHT}",
        "PermissionError|FileNotFoundError",
    ),
    "writes to the supervisor's output": (
        f"import os\nopen(f'/proc/{{os.getppid()}}/fd/1', 'w').write('x')\n{RIGHT}",
        "PermissionError|FileNotFoundError",
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
    "has a signal sent to its parent": (
        "import fcntl, os, signal, socket\nours, theirs = socket.socketpair()\n"
        "for what, value in ((fcntl.F_SETOWN, os.getppid()), (10, signal.SIGINT), (fcntl.F_SETFL, os.O_ASYNC)):\n"
        "    fcntl.fcntl(ours, what, value)\ntheirs.send(b'x')\nraise ValueError",
        "stops with ValueError.",
    ),
    "asks for a signal": ("import ctypes\nctypes.CDLL(None).abort()", "stopped by signal"),
    "reads a keyring": (
        f"{LIBC}assert libc.syscall(CALL_keyctl, 0, -3, 1) >= 0\n{RIGHT}",
        "AssertionError",
    ),
    "leaves a key for others": (
        f"{LIBC}assert libc.syscall(CALL_add_key, b'user', b'note', b'x', 1, -4) >= 0\n{RIGHT}",
        "AssertionError",
    ),
    "calls the other way": (
        f"{LIBC}assert libc.syscall(0x40000000 + 39) > 0\n{RIGHT}",
        "AssertionError",
    ),
    "numbers that no float holds": (
        "import os\nfor number in range(3, 64):\n"
        '    try: os.write(number, b\'{"kept_channels": [{"values": [1\' + b\'0\' * 400 + b\'], "form": "x"}]}\')\n'
        "    except OSError: pass\nos._exit(0)",
        "",
    ),
    "reads the memory of every process": (
        LIBC
        + "import os\nown = ctypes.create_string_buffer(8)\npart = (ctypes.c_void_p * 2)(ctypes.addressof(own), 8)\n"
        "there = (ctypes.c_void_p * 2)(id(None), 8)\nothers = set(range(1, 400)) - {os.getpid()}\n"
        "assert any(libc.process_vm_readv(pid, part, 1, there, 1, 0) > 0 for pid in others)\n" + RIGHT,
        "AssertionError",
    ),
    "traces every process": (
        LIBC + "import os\nseize, others = 0x4206, set(range(1, 400)) - {os.getpid()}\n"
        f"{ONCE.format('libc.ptrace(seize, pid, None, None) == 0 for pid in others')}\n{RIGHT}",
        "AssertionError",
    ),
    "signals every process": (
        "import os\ndef reached(pid):\n    try: os.kill(pid, 9)\n    except OSError: return False\n    return True\n"
        f"assert any([reached(pid) for pid in range(1, 400) if pid != os.getpid()])\n{RIGHT}",
        "AssertionError",
    ),
    "takes an inherited socket": (
        "import os, stat\ndef taken(number):\n    try: return stat.S_ISSOCK(os.fstat(number).st_mode)\n"
        f"    except OSError: return False\nassert any(map(taken, range(4096)))\n{RIGHT}",
        "AssertionError",
    ),
    "shares memory by number": (
        f"{LIBC}assert libc.syscall(CALL_shmget, 4711, 4096, 0o1666) >= 0\n{RIGHT}",
        "Assertion",
    ),
    "posts a message by number": (f"{LIBC}assert libc.syscall(CALL_msgget, 4711, 0o1666) >= 0\n{RIGHT}", "Assertion"),
    "posts a message by name": (
        f"{LIBC}assert libc.syscall(CALL_mq_open, b'left', 0o102, 0o666, None) >= 0\n{RIGHT}",
        "AssertionError",
    ),
    "renames the machine": (f"import socket\nsocket.sethostname('mine')\n{RIGHT}", "PermissionError"),
    "uncovers folders": (
        LIBC + ONCE.format("libc.umount2(folder, 2) == 0 for folder in (b'/proc', b'/tmp')") + f"\n{RIGHT}",
        "AssertionError",
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

TEXT = "the text of another submission"
FOLDERS = "('/tmp', '/dev/shm', '/var/tmp', '/dev', '/inside', '/proc', '/')"
LEFT = "'\\0left by another'"  # an address of sockets that needs no file

# name: what the body of kept_channels leaves behind, and how the next submission's would find it: then right
TRACES = {
    "a file": (
        f"import os\nfor folder in {FOLDERS}:\n    try: os.mkdir(f'{{folder}}/left')\n    except OSError: pass",
        f"import os\nassert any(os.path.lexists(f'{{folder}}/left') for folder in {FOLDERS})",
    ),
    "memory by number": (
        f"{LIBC}libc.syscall(CALL_shmget, 4711, 4096, 0o1666)",
        f"{LIBC}assert libc.syscall(CALL_shmget, 4711, 4096, 0o666) >= 0",
    ),
    "a message queue": (
        f"{LIBC}libc.syscall(CALL_mq_open, b'left', 0o102, 0o666, None)",
        f"{LIBC}assert libc.syscall(CALL_mq_open, b'left', 0o2, 0o666, None) >= 0",
    ),
    "a key": (
        f"{LIBC}libc.syscall(CALL_add_key, b'user', b'left', b'x', 1, -3)",
        f"{LIBC}search = 10\nassert libc.syscall(CALL_keyctl, search, -3, b'user', b'left', 0) > 0",
    ),
    "a process": (
        "import os, socket, time\nwith socket.socket(socket.AF_UNIX) as server:\n"
        f"    server.bind({LEFT})\n    server.listen()\n    if os.fork() == 0:\n"
        "        os.closerange(0, server.fileno())\n        os.closerange(server.fileno() + 1, 64)\n"
        "        time.sleep(60)\n        os._exit(0)",
        "import socket\n" + ONCE.format(f"socket.socket(socket.AF_UNIX).connect_ex({LEFT}) == 0"),
    ),
    "its text": (
        f"text = '{TEXT} ' * 4000",
        f"{LIBC}import os, re\npattern = re.compile({TEXT.replace(' ', '[ ]')!r}.encode())\n"
        "libc.sbrk.restype = ctypes.c_void_p\nreader, writer = os.pipe()\ndef found(address, step):\n"
        "    for _ in range(2000):\n        address += step\n"
        "        if libc.write(writer, ctypes.c_void_p(address), 65536) <= 0: return False\n"
        "        if pattern.search(os.read(reader, 65536)): return True\n"
        "here = id(pattern)\n"
        + ONCE.format("found(libc.sbrk(0), -65536) or found(here, -65536) or found(here - 65536, 65536)"),
    ),
    "its rank": (
        "import os\nos.setpriority(os.PRIO_PGRP, 0, 17)",
        "import os\nassert os.getpriority(os.PRIO_PROCESS, 0) == 17",
    ),
    "another torch": (
        "torch.Tensor.left = True\ntorch.set_default_dtype(torch.float64)\ntorch.manual_seed(1)\n"
        "torch.set_num_threads(2)",
        "assert hasattr(torch.Tensor, 'left') or torch.get_default_dtype() != torch.float32\\\n"
        "    or torch.initial_seed() == 1 or torch.get_num_threads() > 1",
    ),
}


def numbered(body: str) -> str:
    """``body`` with this machine's numbers of system calls."""
    _, calls = FORBIDDEN.get(platform.machine(), FORBIDDEN["x86_64"])
    for name, number in calls.items():
        body = body.replace(f"CALL_{name}", str(number))
    return body
