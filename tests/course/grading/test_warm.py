"""Submissions that one warm sandbox runs, one after the other: none finds a trace of another.

Each row's traces are looked for twice: by a submission behind the walls, and without any, where they are found.
"""

import json
import shutil
import sys
from pathlib import Path

import needs
import pytest
from hostile import TRACES, numbered

from labkit.course import answers, labs
from labkit.course.grading import grade, isolated, sandbox

pytestmark = needs.bubblewrap
MATERIALS = ("kept-channels", "penalty")
ALSO_RIGHT = "return torch.arange(len(mask))[mask.bool()]"
STAND_IN = f"""#!{sys.executable}
import json, os, socket, time
with open("STARTS", "a") as file: file.write("x")
os.write(0, b"+")
control = socket.socket(fileno=0)
connection = socket.socket(fileno=socket.recv_fds(control, 1, 1)[1][0])
blanks = json.loads(connection.makefile("rb").read())["blanks"]
if "hangs" in blanks: time.sleep(600)
connection.sendall(b'"ready"\\n')
for name in blanks:
    if name == "kills": break
    connection.sendall(json.dumps({{"blank": name, "end": "done", "observed": "{{}}"}}).encode() + b"\\n")
"""
NO_WALLS = """
def in_a_child(work, seconds, memory):
    try:
        return "done", json.dumps(work())
    except Exception:
        return "done", ""


def serve(work):
    control = socket.socket(fileno=os.dup(0))
    while connections := socket.recv_fds(control, 1, 1)[1]:
        for standard in (0, 1):
            os.dup2(connections[0], standard)
        os.close(connections[0])
        work()
        for standard in (0, 1):
            os.dup2(2, standard)


def _hide():
    pass


if __name__ == "__main__":"""


@pytest.fixture(scope="module")
def materials():
    found = grade.hidden_materials(labs.named(1), "for the tests")
    return {name: found[name] for name in MATERIALS}


@pytest.fixture(scope="module")
def warm():
    with needs.warm() as way:
        yield way


@pytest.fixture(scope="module")
def unwalled(tmp_path_factory):
    """A warm sandbox whose first process runs all code itself."""
    folder = tmp_path_factory.mktemp("inside")
    files = tuple(Path(shutil.copy(file, folder)) for file in sandbox.INSIDE)
    script = folder / "isolated.py"
    script.write_text(script.read_text(encoding="utf-8").replace('\nif __name__ == "__main__":', NO_WALLS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "INSIDE", files)
        way = needs.warm()
    with way:
        yield way


def traced(way, materials: dict) -> dict[str, float]:
    """By row of TRACES, the points of the submission that looks for what the one before has left."""
    left = {name: job(materials, leaves) for name, (leaves, _) in TRACES.items()}
    sandbox.run(left, way)
    found = sandbox.run({name: job(materials, f"{finds}\n{ALSO_RIGHT}") for name, (_, finds) in TRACES.items()}, way)
    return {name: grade.verdict_of(materials["kept-channels"], outcome).points for name, outcome in found.items()}


def job(materials: dict, body: str) -> dict:
    source = answers.function_source("kept_channels", ["mask"], numbered(body))
    return grade._job(materials["kept-channels"], {"code": {}}, source)


def right(materials: dict) -> dict:
    return {"penalty": grade._job(materials["penalty"], {"code": {}}, answers.solution("penalty"))}


def test_the_next_submission_finds_no_trace(warm, materials):
    assert traced(warm, materials) == dict.fromkeys(TRACES, 0)
    assert grade.verdict_of(materials["penalty"], sandbox.run(right(materials), warm)["penalty"]).right


def test_every_submission_has_random_numbers_of_its_own(warm, materials):
    bodies = ("return torch.rand(3)", "return np.random.rand(3)")
    jobs = {body: job(materials, body) for body in bodies}
    first, second = (sandbox.run(jobs, warm) for _ in range(2))
    for body in bodies:
        one, other = (outcome[body].observed["kept_channels"][0]["values"] for outcome in (first, second))
        assert len(one) == len(other) == 3 and one != other


def test_without_walls_every_trace_is_found(unwalled, materials):
    assert traced(unwalled, materials) == dict.fromkeys(TRACES, 5)


@pytest.fixture
def mortal(tmp_path):
    """Sandboxes that end after one submission, and the file with a letter for each that was started."""
    script, starts = tmp_path / "sandbox", tmp_path / "starts"
    script.write_text(STAND_IN.replace("STARTS", str(starts)))
    script.chmod(0o755)
    with sandbox.Warm([str(script)]) as way:
        yield way, starts


def test_a_sandbox_that_has_died_is_replaced_and_what_it_left_runs_again(mortal):
    way, starts = mortal
    blank = {"sources": [], "functions": {}}
    for _ in range(3):
        assert sandbox.run({"one": blank}, way)["one"].end == sandbox.DONE
    assert starts.read_text() == "xxx"
    way._idle.put(sandbox._Parent(way._command))
    for parent in (way._idle.get() for _ in range(2)):
        parent._process.kill()
        parent._process.wait()
        way._idle.put(parent)
    assert sandbox.run({"one": blank}, way)["one"].end == sandbox.DONE
    outcomes = sandbox.run({"one": blank, "kills": blank, "two": blank}, way)
    assert [outcomes[name].end for name in ("one", "kills", "two")] == ["done", sandbox.LOST, "done"]


def test_a_submission_that_hangs_costs_its_sandbox(mortal):
    way, starts = mortal
    job = json.dumps({"blanks": {"hangs": {}}}).encode()
    assert way.ask(job, limit=0.2)[0] == b"" and starts.read_text() == "xx"
    assert sandbox.run({"one": {"sources": [], "functions": {}}}, way)["one"].end == sandbox.DONE


def test_where_no_namespaces_can_be_made_submissions_run_one_by_one_and_it_is_said(monkeypatch, tmp_path):
    inside = tmp_path / "isolated.py"
    whole = Path(isolated.__file__).read_text(encoding="utf-8")
    inside.write_text(whole.replace("LIBC.unshare(OWN)", "LIBC.unshare(-1)"))
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: [sys.executable, "-I", str(inside)])
    with sandbox.opened() as way:
        assert isinstance(way, sandbox.OneByOne)
        assert "anew" in way.how and "Invalid argument: namespaces of its own" in way.how
