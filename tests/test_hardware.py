"""Recording and taking turns, tried on a CPU: CUDA's graph and streams are replaced by a recorder
that keeps every operation of a step and runs the same ones, on the same memory, at each replay."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from workers import slimming, tiny_fit

from labkit import hardware


class FakeGraph:
    def __init__(self):
        self.operations, self.replays = [], 0

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        for function, args, kwargs, outputs in self.operations:
            new = function(*args, **kwargs)
            if not any(returned.alias_info for returned in function._schema.returns):  # neither a view nor in place
                for old, value in zip(_tensors(outputs), _tensors(new)):
                    old.copy_(value)


class FakeStream:
    cuda_stream = 0

    def wait_stream(self, other):
        pass


class Recorder(TorchDispatchMode):
    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function is not torch.ops.aten._local_scalar_dense.default, "a capture that waits was begun"
        outputs = function(*args, **(kwargs or {}))
        self.graph.operations.append((function, args, kwargs or {}, outputs))
        return outputs


class NoWaiting(TorchDispatchMode):
    """What CUDA's debug mode for synchronization does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("called a synchronizing CUDA operation")
        return function(*args, **(kwargs or {}))


def _tensors(outputs):
    return [o for o in (outputs if isinstance(outputs, (tuple, list)) else [outputs]) if isinstance(o, torch.Tensor)]


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for the parts of torch.cuda that labkit uses; the graphs that were made."""
    graphs = []

    def new_graph():
        graphs.append(FakeGraph())
        return graphs[-1]

    @contextmanager
    def capture(graph, stream):
        with Recorder(graph):
            yield

    modes = []

    def set_sync_debug_mode(mode):
        if mode == "error":
            modes.append(NoWaiting())
            modes[-1].__enter__()
        else:
            modes.pop().__exit__(None, None, None)

    for name, value in {
        "is_available": lambda: True,
        "CUDAGraph": new_graph,
        "Stream": FakeStream,
        "stream": lambda stream: nullcontext(),
        "current_stream": FakeStream,
        "synchronize": lambda: None,
        "graph": capture,
        "set_sync_debug_mode": set_sync_debug_mode,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    streams = hardware._stream, hardware._recording_stream
    for cached in streams:
        cached.cache_clear()
    yield graphs
    for cached in streams:
        cached.cache_clear()  # no stand-in may stay for a test on a real GPU


def waits(gamma, lam):
    """A penalty as a student may write it: it looks at a value, for which a GPU has to be waited for."""
    return lam * gamma.sign() if gamma.abs().sum().item() >= 0 else gamma


@pytest.mark.parametrize("penalty", [slimming, waits])
def test_recorded_training_is_bit_equal_to_one_step_by_step(tmp_path, cuda, monkeypatch, capsys, float32, penalty):
    eager = tiny_fit(tmp_path / "eager", epochs=3, lam=1e-2, penalty=penalty)
    assert not cuda
    monkeypatch.setattr(hardware, "_on_gpu", lambda tensor: True)
    recorded = tiny_fit(tmp_path / "recorded", epochs=3, lam=1e-2, penalty=penalty)
    assert len(cuda) == 1 and cuda[0].replays == (0 if penalty is waits else 3 * 6)
    assert bool(cuda[0].operations) == (penalty is not waits)
    assert ("cannot be recorded and runs slower" in capsys.readouterr().out) == (penalty is waits)
    assert recorded.history == eager.history
    weights, expected = recorded.state(), eager.state()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_on_a_gpu_trainings_take_turns(cuda):
    turns = []
    results = hardware.side_by_side(counted(turns, number, length) for number, length in enumerate((2, 4, 3)))
    assert turns == [0, 1, 2, 0, 1, 2, 1, 2, 1]
    assert results == ["0 of 2", "1 of 4", "2 of 3"]


def counted(turns, number, length):
    for _ in range(length):
        turns.append(number)
        yield
    return f"{number} of {length}"


def test_on_a_cpu_one_training_follows_the_other(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    turns = []
    results = hardware.side_by_side(counted(turns, number, length) for number, length in enumerate((2, 1)))
    assert turns == [0, 0, 1] and results == ["0 of 2", "1 of 1"]


def waiting(turns, number, times):
    for _ in range(times):
        turns.append(number)
        yield hardware.WAITING
    return number


def test_who_waits_on_a_gpu_costs_the_others_no_time(cuda, monkeypatch):
    turns, slept = [], []
    monkeypatch.setattr(hardware.time, "sleep", lambda seconds: slept.append((seconds, len(turns))))
    assert hardware.side_by_side([waiting(turns, 0, 4), counted(turns, 1, 2)]) == [0, "1 of 2"]
    assert turns == [0, 1, 0, 1, 0, 0]
    assert [at for _, at in slept] == [5, 6], "slept only when all that are left wait"


def test_who_waits_on_a_cpu_sleeps_meanwhile(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    slept, turns = [], []
    monkeypatch.setattr(hardware.time, "sleep", slept.append)
    assert hardware.side_by_side([waiting(turns, 0, 3), counted(turns, 1, 2)]) == [0, "1 of 2"]
    assert slept == [hardware.POLL] * 3 and turns == [0, 0, 0, 1, 1]
