"""Submissions that one warm sandbox runs, one after the other: none finds a trace of another.

Each row's traces are looked for twice: by a submission behind the walls, and without any, where they are found.
"""

import shutil
from pathlib import Path

import needs
import pytest
from hostile import TRACES, numbered

from labkit.course import answers, labs
from labkit.course.grading import grade, sandbox

pytestmark = needs.bubblewrap
MATERIALS = ("kept-channels", "penalty")
ALSO_RIGHT = "return torch.arange(len(mask))[mask.bool()]"
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


def test_without_walls_every_trace_is_found(unwalled, materials):
    assert traced(unwalled, materials) == dict.fromkeys(TRACES, 5)
