"""Hostile code in a blank: it gets the mark it deserves, costs only itself, and the host is untouched.

A row's code returns the right answer only if what it tries succeeds, so full points mean a hole.
"""

import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import needs
import pytest
from hostile import HOSTILE, RIGHT, numbered

from labkit.course import answers, labs
from labkit.course.grading import grade, sandbox
from labkit.settings import REPOSITORY

LAB = labs.named(1)
SECONDS = 3
WAYS = {
    "one by one": lambda: sandbox.OneByOne(sandbox.bubblewrap(), "this is a test"),
    "warm": needs.warm,
}
NOTHING = {"x": {"sources": [], "functions": {}}}


pytestmark = needs.bubblewrap


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
def inside(tmp_path_factory):
    """A folder of this process alone, with what is mounted in its sandboxes."""
    folder = tmp_path_factory.mktemp(f"inside{os.getpid()}-")
    files = tuple(Path(shutil.copy(file, folder)) for file in sandbox.INSIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "INSIDE", files)
        yield folder


@pytest.fixture(scope="module", params=WAYS)
def way(request, inside):
    with WAYS[request.param]() as way:
        yield way
    assert not running(inside)


def running(inside: Path) -> list[str]:
    """The numbers of the processes that see what is in the folder ``inside``."""
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/mountinfo") if inside.name in _text(path)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # it has ended
        return ""


@pytest.fixture(scope="module")
def marks(course, listener, way, inside):
    """By row: the verdicts on all blanks of a submission that is right but for its ``kept_channels``."""
    os.environ["SECRET"] = "SECRET"
    before = running(inside)
    materials = grade.hidden_materials(LAB, "for the tests")
    words = {"CLASS": str(course), "REPOSITORY": str(REPOSITORY), "PORT": str(listener[0])}
    jobs = {"right": grade._job(materials["penalty"], {"code": {}}, answers.solution("penalty"))}
    for name, (body, _) in HOSTILE.items():
        for word, value in words.items():
            body = body.replace(word, value)
        source = answers.function_source("kept_channels", ["mask"], numbered(body))
        jobs[name] = grade._job(materials["kept-channels"], {"code": {}}, source)
    jobs["right at the end"] = jobs["right"]
    outcomes = sandbox.run(jobs, way, seconds=SECONDS)
    assert running(inside) == before
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


@pytest.mark.parametrize("line", ["import tempfile; tempfile.mkdtemp()", "torch.optim.SGD([torch.zeros(1)], lr=1)"])
def test_right_code_may_need_a_temporary_folder(way, line):
    material = grade.hidden_materials(LAB, "x")["kept-channels"]
    source = answers.function_source("kept_channels", ["mask"], f"{line}\n{RIGHT}")
    outcome = sandbox.run({"x": grade._job(material, {"code": {}}, source)}, way, seconds=60)["x"]
    assert grade.verdict_of(material, outcome).right


def alone(*command: str) -> sandbox.OneByOne:
    return sandbox.OneByOne(list(command), "this is a test")


def test_without_bubblewrap_nothing_runs(monkeypatch, refused):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with refused("bubblewrap is missing", "--container"):
        sandbox.opened()
    with refused("podman nor docker"):
        sandbox.opened("image")


def test_a_sandbox_that_cannot_start_says_why(tmp_path, refused):
    script = tmp_path / "bwrap"
    script.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    script.chmod(0o755)
    with refused("uid map: Permission denied", "docs/ta.md"):
        sandbox.run(NOTHING, alone(str(script)))


def test_a_container_is_started_without_network_and_with_limits(tmp_path, monkeypatch):
    """A stand-in for docker runs the process itself: the plumbing is real, the walls are not."""
    for file in sandbox.INSIDE:
        shutil.copy(file, tmp_path)
    tool = tmp_path / "docker"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\nexec {sys.executable} -I {tmp_path / "isolated.py"}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    materials = grade.hidden_materials(LAB, "x")
    job = grade._job(materials["kept-channels"], {"code": {}}, answers.solution("kept-channels"))
    outcome = sandbox.run({"kept-channels": job}, sandbox.opened("course/torch"))["kept-channels"]
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
    outcomes = sandbox.run({"one": blank, "two": blank, "lost": blank}, alone(str(script)))
    assert [outcomes[name].end for name in ("one", "two", "lost")] == ["done", "done", sandbox.LOST]


def test_a_copy_in_name_only_gains_at_most_the_points_for_form(way):
    """Who shares a process with the probe can change what it says of the form, never the right values."""
    body = (
        "import sys\nfor module in list(sys.modules.values()):\n"
        "    if hasattr(module, '_copying'): module._copying = lambda *a: 'copied'\n"
    )
    material = grade.hidden_materials(LAB, "x")["linear-bias"]
    most = {"thin_linear.bias.data = linear.bias.data": 5, "pass": 0}
    jobs = {
        rest: grade._job(
            material,
            {"code": {}},
            answers.function_source("copy_linear_bias", ["thin_linear", "linear"], body + rest),
        )
        for rest in most
    }
    for rest, outcome in sandbox.run(jobs, way).items():
        assert grade.verdict_of(material, outcome).points <= most[rest]


def test_a_command_that_is_not_there_says_so(refused):
    with refused("did not start", "/nowhere/at/all", "docs/ta.md"):
        sandbox.run(NOTHING, alone("/nowhere/at/all"))


def test_limits_that_cannot_be_set_are_no_blanks_fault(tmp_path, refused):
    """A machine that refuses the filter: nobody is marked."""
    for file in sandbox.INSIDE:
        shutil.copy(file, tmp_path)
    inside = tmp_path / "isolated.py"
    inside.write_text(inside.read_text().replace("22, 2\n", "22, 99\n"))
    packages = [path for path in sys.path if path.endswith("-packages")]
    with refused("did not start", "limits and filter cannot be set"):
        sandbox.run(NOTHING, alone(sys.executable, "-I", str(inside), *packages))
