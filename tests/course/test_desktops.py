"""Windows and macOS, as far as they can be looked at from here: what ships calls nothing that only Linux has, its
files can lie on any disk, and what comes back from there is taken."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

import psutil
import pytest
import torch
from submissions import RECORDS, filled, run, zipped
from submissions import files as made

from labkit import files
from labkit.course import labs, release
from labkit.course.edition import Edition
from labkit.course.grading import collect as collecting
from labkit.course.grading import grade
from labkit.settings import REPOSITORY

LAB = labs.named(1)
SHIPPED = release.shipped_files(labs.LABS)
CODE = [REPOSITORY / path for path in SHIPPED if path.suffix == ".py"]

# Of the modules' names those that Windows or macOS lack (docs.python.org, "Availability").
LACKING = {
    "os": "fork forkpty getloadavg getuid geteuid getgid getegid getpgid getpriority kill killpg mkfifo mknod nice "
    "pipe2 posix_spawn sched_getaffinity sched_setaffinity setpriority setsid setuid statvfs sysconf uname wait4",
    "signal": "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGSTOP SIGUSR1 SIGUSR2 alarm pause setitimer",
    "time": "clock_gettime tzset",
    "socket": "AF_UNIX",
}
MISSING_MODULES = "crypt fcntl grp posix pty pwd resource seccomp syslog termios tty"

# Makes this Python one of Windows, as far as these names go; children of it are as they were.
ELSEWHERE = f"""
import os, signal, socket, sys, time
import subprocess  # which has what it needs of posix
sys.modules.update(dict.fromkeys({MISSING_MODULES.split()!r}))
for module, names in {LACKING!r}.items():
    for name in names.split():
        vars(sys.modules[module]).pop(name, None)
"""


def unguarded(tree: ast.AST) -> list[str]:
    """What is used of ``LACKING`` outside of a statement that asks with ``hasattr`` or catches AttributeError."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in LACKING.get(node.value.id, "").split():
                found.append((node.lineno, f"{node.value.id}.{node.attr}"))
    asked = [
        (node.lineno, node.end_lineno, ast.unparse(node))
        for node in ast.walk(tree)
        if isinstance(node, (ast.Try, ast.If, ast.Return, ast.Assign))
    ]

    def guarded(line: int, name: str) -> bool:
        ask = f"hasattr({', '.join(map(str, [name.partition('.')[0], repr(name.partition('.')[2])]))})"
        return any(a <= line <= b and (ask in text or "AttributeError" in text) for a, b, text in asked)

    return [f"{name} in line {line}" for line, name in found if not guarded(line, name)]


def test_nothing_that_ships_uses_what_only_linux_has():
    assert len(CODE) > 100
    assert {path: found for path in CODE if (found := unguarded(ast.parse(path.read_text(encoding="utf-8"))))} == {}
    assert unguarded(ast.parse("import os\n\nif os.name:\n    os.kill(7, 9)")) == ["os.kill in line 4"]


def test_nothing_that_ships_leaves_the_encoding_of_text_to_the_system():
    assert {path: found for path in CODE if (found := unsaid(ast.parse(path.read_text(encoding="utf-8"))))} == {}
    assert len(unsaid(ast.parse("open(p)\nopen(p, 'rb')\np.write_text(t)\nrun(c, text=True)"))) == 3


def unsaid(tree: ast.AST) -> list[str]:
    """Calls that read or write text and do not say in which encoding."""
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        mode = given.get("mode") or (ast.unparse(call.args[1]) if len(call.args) > 1 else "'r'")
        text = name == "open" and "b" not in mode or name.endswith((".read_text", ".write_text"))
        if (text or given.get("text") == "True") and "encoding" not in given:
            found.append(f"{name} in line {call.lineno}")
    return found


# Names of files. Windows takes 259 characters, and "C:\\Users\\firstname.lastname\\OneDrive - A University\\Documents\\a
# course\\pruning-lab-1.0\\pruning-lab-1.0\\" are 103.
LONGEST = 156
TEMPORARY = len(".checkpoint.safetensors.") + 8  # what ``files.replacing`` makes beside a record


def test_every_file_of_the_edition_can_lie_on_every_disk():
    assert [path for path in SHIPPED if len(path.as_posix()) > LONGEST] == []
    assert [name for name, count in Counter(str(path).lower() for path in SHIPPED).items() if count > 1] == []
    for name in {part for path in SHIPPED for part in path.parts}:
        assert re.fullmatch(r"[\w.,+=-]*[\w=-]", name, re.ASCII) and not files.DEVICES.fullmatch(name), name


def test_the_runs_of_a_student_are_not_too_long_either():
    names = {path.parent for path in SHIPPED if path.parts[:3] == ("data", "reference", "quick-shapes-seed0")}
    assert len(names) > 100
    longest = max(len(PurePosixPath("runs", *name.parts[2:]).as_posix()) for name in names)
    assert longest + 1 + TEMPORARY <= LONGEST


@pytest.mark.parametrize(
    "name", ["con", "NUL", "aux.2", "com1", "a.", ".a", "a..b", "größe", "a/b", "a b", "", "x" * 41, 7]
)
def test_a_name_that_some_system_has_no_file_for_is_refused(name, refused):
    with refused("does not do", "Windows"):
        files.checked_name(name)


@pytest.mark.parametrize("name", ["a", "_", "my-plan", "policy.2", "console", "com10", "x" * 40])
def test_other_names_are_taken(name):
    assert files.checked_name(name) == name


# Files


def test_a_file_that_was_read_is_closed(tmp_path):
    """Windows neither replaces nor moves a file that is open or mapped into memory."""
    path = tmp_path / "run" / "checkpoint.safetensors"
    files.write_tensors(path, {"w": torch.randn(100_000)})
    kept = files.read_tensors(path), files.read_metadata(path)
    here = psutil.Process()
    assert kept and str(path) not in {m.path for m in here.memory_maps()} | {f.path for f in here.open_files()}
    kept[0]["w"].mul_(2)  # a copy that can be written to


@pytest.mark.parametrize("times", [2, 100])
def test_a_file_that_somebody_reads_is_replaced_a_moment_later(times, tmp_path, monkeypatch, refused, tree):
    """As Windows refuses it, a few times or always."""
    path, replace, tried = tmp_path / "record.json", os.replace, []
    files.write_text(path, "before")

    def busy(source, target):
        tried.append(source)
        if len(tried) <= times:
            raise PermissionError(13, "in use", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    if times == 2:
        files.write_text(path, "after")
    else:
        with refused("record.json", "in use", "close what has it open"):
            files.write_text(path, "after")
    assert tree(tmp_path) == {Path("record.json"): b"after" if times == 2 else b"before"}


def test_text_has_the_same_bytes_on_every_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "linesep", "\r\n")
    files.write_text(tmp_path / "record.json", "{\n}\n")
    assert (tmp_path / "record.json").read_bytes() == b"{\n}\n"


def test_the_edition_keeps_its_line_ends_in_git(tmp_path):
    release.release(tmp_path / "edition", (LAB,))
    text = (tmp_path / "edition" / ".gitattributes").read_text(encoding="utf-8")
    assert "* text=auto eol=lf\n" in text and "*.safetensors binary\n" in text


# What is run

LOADED = """
import importlib, pkgutil, labkit
names = [m.name for m in pkgutil.walk_packages(labkit.__path__, "labkit.") if m.name in SHIPPED]
for name in names:
    importlib.import_module(name)
"""
TRAINED = """
from pathlib import Path
import torch
from labkit import models, records, training
from labkit.data import Dataset, Images, shapes
from labkit.settings import Recipe
pixels, labels = (torch.from_numpy(array) for array in shapes.generate(80, seed=1))
images = Images(pixels, labels)
few = Dataset("few", shapes.CLASSES, images[:40], images[40:60], images[60:])
network = models.build(models.Specification("vgg", (1,), (4,), 10, 32), seed=0)
run = training.fit(network, few, Recipe(1, batch=20), folder=Path("run"), kind="sparsity", lam=0.0)
assert records.load(Path("run")).history == run.history
print(len(names), "modules, and a training")
"""


def test_all_that_ships_loads_and_trains_without_what_only_linux_has(tmp_path):
    shipped = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in SHIPPED if path.suffix == ".py"
    }
    # Once for the packages of others, whose authors look after Windows themselves; then labkit again.
    again = "import sys\nfor name in [n for n in sys.modules if n.partition('.')[0] == 'labkit']:\n    del sys.modules[name]\n"
    code = f"SHIPPED = {sorted(shipped - {'labkit.__main__'})!r}\n{LOADED}{again}{ELSEWHERE}{LOADED}{TRAINED}"
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-5]) > 100


def python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace")


def test_what_a_console_cannot_show_stops_no_command(tmp_path):
    """Written to a file on Windows, output has the system's encoding, which knows no λ."""
    code = """
from labkit import cli
import labkit.tools.doctor as doctor
doctor.report = lambda: "λ = 0.1 ✓ γ"
cli.main(["doctor"])
"""
    done = python(code, tmp_path, PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert (done.returncode, done.stdout) == (0, "? = 0.1 ? ?\n"), done.stderr


# What comes back


def test_a_hand_in_with_the_line_ends_of_windows_is_taken(tmp_path):
    """Of the files, of the sources inside them, and with the mark of order that some editors write."""
    course = Edition("pruning_lab1_{student}", "[A-Za-z0-9]{4,16}")
    notebooks = run(filled(release.released_notebooks(LAB), {}))
    for notebook in notebooks.values():
        for cell in notebook.cells:
            cell.source = cell.source.replace("\n", "\r\n")
    contents = made("aaaa", notebooks, receipt=False)
    texts = {path: content for path, content in contents.items() if path.endswith((".ipynb", ".json"))}
    contents |= {path: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") for path, content in texts.items()}
    receipt = {"student": "aaaa", "lab": 1, "files": {p: hashlib.sha256(c).hexdigest() for p, c in contents.items()}}
    contents["receipt.json"] = json.dumps(receipt, indent=1).replace("\n", "\r\n").encode()
    (tmp_path / "pruning_lab1_aaaa.zip").write_bytes(zipped(contents))
    (found,) = collecting.collect(tmp_path, tmp_path / "grading", course, LAB)
    assert found["notes"] == [] and {blank["found"] for blank in found["blanks"].values()} == {"id"}
    assert len(list((tmp_path / "grading/collected/lab1/aaaa/records").glob("*/record.json"))) == len(RECORDS[1])


def test_a_copied_record_is_seen_whatever_ends_its_lines(tmp_path):
    for student, ends in {"aaaa": b"\n", "bbbb": b"\r\n"}.items():
        record = tmp_path / student / "records" / "one" / "record.json"
        record.parent.mkdir(parents=True)
        record.write_bytes(b'{"kind": "sparsity",\n "seed": 7}\n'.replace(b"\n", ends))
    notes = grade.copies([tmp_path / "aaaa", tmp_path / "bbbb"])
    assert "bbbb" in notes["aaaa"][0] and "aaaa" in notes["bbbb"][0]
