"""Submissions that one warm sandbox runs, one after the other: none finds a trace of another.

Each row's traces are looked for twice: by a submission behind the walls, and without any, where they are found.
"""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import needs
import pytest
from hostile import TRACES, numbered

from labkit.course import answers, labs
from labkit.course.grading import grade, isolated, sandbox

pytestmark = needs.bubblewrap
MATERIALS = ("kept-channels", "penalty")
BLANK = {"sources": [], "functions": {}}
ALSO_RIGHT = "return torch.arange(len(mask))[mask.bool()]"
STAND_IN = f"""#!{sys.executable}
import json, os, socket, sys, time
def done(name): return json.dumps({{"blank": name, "end": "done", "observed": "{{}}"}})
with open("STARTS", "a") as file: file.write("x")
if "--warm" not in sys.argv:
    print('"ready"', *map(done, json.load(sys.stdin)["blanks"]), sep="\\n")
    sys.exit()
if os.path.exists("STARTS-enough"): sys.exit("no memory for another")
os.write(0, b"+")
control = socket.socket(fileno=0)
connection = socket.socket(fileno=socket.recv_fds(control, 1, 1)[1][0])
blanks = json.loads(connection.makefile("rb").read())["blanks"]
if "hangs" in blanks: time.sleep(600)
if "complains" in blanks: os.write(2, b"x" * 2**17)
connection.sendall(b'"ready"\\n')
for name in blanks:
    if name == "kills": break
    connection.sendall(done(name).encode() + b"\\n")
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


def _set_dumpable(may):
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
    for _ in range(3):
        assert sandbox.run({"one": BLANK}, way)["one"].end == sandbox.DONE
    assert starts.read_text() == "xxx"
    way._idle.put(sandbox._Parent(way._command))
    for parent in (way._idle.get() for _ in range(2)):
        parent._process.kill()
        parent._process.wait()
        way._idle.put(parent)
    assert sandbox.run({"one": BLANK}, way)["one"].end == sandbox.DONE
    outcomes = sandbox.run({"one": BLANK, "kills": BLANK, "two": BLANK}, way)
    assert [outcomes[name].end for name in ("one", "kills", "two")] == ["done", sandbox.LOST, "done"]


def test_a_submission_that_hangs_costs_one_idle_sandbox_and_a_new_one(mortal):
    way, starts = mortal
    way._idle.put(sandbox._Parent(way._command))
    asked = json.dumps({"blanks": {"hangs": {}}}).encode()
    assert way.ask(asked, limit=0.2)[0] == b"" and starts.read_text() == "xxx"
    assert way._idle.qsize() == 1
    assert sandbox.run({"one": BLANK}, way)["one"].end == sandbox.DONE


def test_a_sandbox_that_complains_at_length_goes_on(mortal):
    way, _ = mortal
    asked = json.dumps({"blanks": {"complains": {}}}).encode()
    assert way.ask(asked, limit=10)[0].startswith(b'"ready"')


def test_where_no_further_sandbox_can_stay_the_submission_gets_one_of_its_own_and_it_is_said(mortal):
    way, starts = mortal
    assert sandbox.run({"one": BLANK}, way)["one"].end == sandbox.DONE and "anew" not in way.how
    starts.with_name("starts-enough").touch()
    assert sandbox.run({"one": BLANK}, way)["one"].end == sandbox.DONE
    assert "anew" in way.how and "no memory for another" in way.how


@pytest.mark.parametrize(("command", "said"), [("true", "it ended without a word"), ("sleep 9", "within 1 seconds")])
def test_a_sandbox_that_ends_in_silence_is_told_from_a_slow_one(tmp_path, monkeypatch, refused, command, said):
    script = tmp_path / "sandbox"
    script.write_text(f"#!/bin/sh\nexec {command}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sandbox, "START", 1)
    with refused("No sandbox can stay", said):
        sandbox.Warm([str(script)])


def test_two_pools_of_workers_in_turn_can_use_it(warm, materials):
    """A sandbox ends with the thread that started it."""
    asked = right(materials)
    for _ in range(2):
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda _: sandbox.run(asked, warm)["penalty"], range(3)))
        assert all(grade.verdict_of(materials["penalty"], outcome).right for outcome in outcomes)


def test_where_no_namespaces_can_be_made_submissions_run_one_by_one_and_it_is_said(monkeypatch, tmp_path):
    inside = tmp_path / "isolated.py"
    whole = Path(isolated.__file__).read_text(encoding="utf-8")
    inside.write_text(whole.replace("LIBC.unshare(OWN)", "LIBC.unshare(-1)"))
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: [sys.executable, "-I", str(inside)])
    with sandbox.opened() as way:
        assert isinstance(way, sandbox.OneByOne)
        assert "anew" in way.how and "Invalid argument: namespaces of its own" in way.how
