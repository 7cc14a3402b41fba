import multiprocessing
import os
from contextlib import contextmanager

os.environ["LABKIT_THREADS"] = "1"  # such small networks are slower on several, and far slower on a busy machine

import hypothesis
import pytest
import torch
from workers import tiny_dataset

from labkit.settings import LabError

hypothesis.settings.register_profile(
    "labkit", deadline=None, max_examples=40, derandomize=True, database=None, print_blob=False
)
hypothesis.settings.load_profile("labkit")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """Every test has the quick profile, empty folders of its own and the same random numbers."""
    monkeypatch.setenv("LABKIT_PROFILE", "quick")
    monkeypatch.setenv("LABKIT_DOWNLOADS", str(tmp_path_factory.mktemp("downloads")))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path_factory.mktemp("runs")))
    for name in ("LABKIT_DATA", "LABKIT_SEED"):
        monkeypatch.delenv(name, raising=False)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_data():
    """300 training, 50 validation and 50 test images of the ten shapes."""
    return tiny_dataset()


def compute_in(monkeypatch, dtype):
    for module in ("hardware", "training.loop", "training.step"):
        monkeypatch.setattr(f"labkit.{module}.fast_dtype", lambda device: dtype)


@pytest.fixture
def precision(monkeypatch):
    """``precision(dtype)``: train and evaluate in it on every machine."""
    return lambda dtype: compute_in(monkeypatch, dtype)


@pytest.fixture
def float32(precision):
    """Train and evaluate in float32 on every machine."""
    precision(torch.float32)


@pytest.fixture(scope="session")
def spawn():
    """``spawn(function, *args)`` -> a process that runs ``function(sender, *args)`` and the other end
    of ``sender``. One server imports torch for all of them, and what a first step of training imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["labkit.training", "torch._dynamo"])

    def spawn(function, *args):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=function, args=(sender, *args), daemon=True)
        process.start()
        sender.close()
        return process, receiver

    return spawn


@contextmanager
def refusal(*parts):
    with pytest.raises(LabError) as caught:
        yield caught
    message = str(caught.value)
    assert "\n" not in message
    assert message.rstrip()[-1] in ".)"
    for part in parts:
        assert str(part) in message


@pytest.fixture(scope="session")
def refused():
    """``with refused(*parts)``: the block raises a LabError of one line that holds all ``parts``."""
    return refusal


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def tree():
    """``tree(folder)`` -> every file below it with its bytes."""
    return contents
