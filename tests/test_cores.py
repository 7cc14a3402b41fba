"""How many threads a machine grants: asked for, bound, or limited by a control group, here as files below a
temporary folder; and what other programs take."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from labkit import hardware, settings
from labkit.hardware import Load, cores

HOST = "/docker/0123456789abcdef"  # what a container's /proc may name although it is not there


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """``machine(processors, files, torch_takes, bound)``: a machine of which ``files`` are in ``tmp_path``."""

    def build(processors=8, files=None, torch_takes=8, bound=None):
        monkeypatch.setattr(os, "cpu_count", lambda: processors)
        affinity = set(range(processors) if bound is None else bound)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: affinity, raising=False)
        monkeypatch.setattr(hardware, "TORCH_THREADS", torch_takes)
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return lambda **environment: cores(environment, tmp_path)

    return build


def v2(limits, process="/"):
    """Files of control group version 2: ``limits`` by folder, "" for the topmost."""
    files = {"proc/self/cgroup": f"0::{process}\n"}
    return files | {f"sys/fs/cgroup/{folder}/cpu.max": f"{limit}\n" for folder, limit in limits.items()}


def v1(quota, period=100_000, mount="cpu,cpuacct", process="/", folder=""):
    at = f"sys/fs/cgroup/{mount}/{folder}"
    lines = f"12:memory:/somewhere\n4:{mount}:{process}\n3:cpuset:/\n0::/\n"
    return {"proc/self/cgroup": lines, f"{at}/cpu.cfs_quota_us": f"{quota}\n", f"{at}/cpu.cfs_period_us": f"{period}\n"}


def test_a_machine_without_limits_grants_what_torch_takes(machine):
    granted = machine(torch_takes=4)()
    assert (granted.count, granted.quota) == (4, None)
    assert str(granted) == "4: what torch takes on this processor"


def test_labkit_threads_overrules_processors_affinity_and_quota(machine):
    granted = machine(files=v2({"": "200000 100000"}), bound=[0], torch_takes=1)(LABKIT_THREADS="3")
    assert granted.count == 3
    assert str(granted) == "3: set by LABKIT_THREADS, so everything takes 1.5 times as long"
    assert str(machine()(LABKIT_THREADS="2")) == "2: set by LABKIT_THREADS"


def test_an_empty_labkit_threads_asks_for_nothing(machine):
    assert machine(torch_takes=4)(LABKIT_THREADS="").count == 4


@pytest.mark.parametrize("asked", ["0", "-1", "1.5", "two", "1025", " ", "1e3", "²"])
def test_a_labkit_threads_that_is_no_number_of_threads_is_refused(machine, refused, asked):
    with refused(f"LABKIT_THREADS is {asked!r}", "whole number from 1 to 1024"):
        machine()(LABKIT_THREADS=asked)
    with refused("LABKIT_THREADS"):
        settings.threads_asked({"LABKIT_THREADS": asked})


def test_a_bound_process_has_the_processors_that_it_is_bound_to(machine):
    granted = machine(bound=[1, 5, 6])()
    assert granted.count == 3
    assert str(granted) == "3: the process is bound to 3 of 8 processors"


def test_being_bound_to_more_than_torch_takes_changes_nothing(machine):
    assert str(machine(torch_takes=4, bound=range(6))()).startswith("4: what torch takes")


@pytest.mark.parametrize(
    "limits, process, quota",
    [
        ({"": "200000 100000"}, "/", 2),
        ({"": "max 100000"}, "/", None),
        ({"a/b": "300000 100000"}, "/a/b", 3),
        ({"a": "150000 50000", "a/b": "max 100000"}, "/a/b", 3),  # the group above limits
        ({"": "700000 100000", "a": "500000 100000", "a/b": "600000 100000"}, "/a/b", 5),  # the least counts
        ({"": "200000 100000", "other": "100000 100000"}, "/a/b", 2),  # another group's limit is none
        ({"": "400000 100000"}, HOST, 4),  # in a container
    ],
)
def test_control_groups_of_version_2_limit(machine, limits, process, quota):
    granted = machine(files=v2(limits, process))()
    assert granted.quota == quota
    assert granted.count == (quota or 8)
    assert ("control group grants" in granted.reason) == (quota is not None)


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpuacct,cpu", "cpu"])
@pytest.mark.parametrize("process, folder", [("/", ""), ("/a/b", "a/b"), ("/a/b", "a"), (HOST, "")])
def test_control_groups_of_version_1_limit(machine, mount, process, folder):
    granted = machine(files=v1(200_000, mount=mount, process=process, folder=folder))()
    assert (granted.count, granted.quota) == (2, 2)


def test_version_1_mounted_as_cpu_beside_a_line_of_two_controllers_limits(machine):
    files = v1(200_000, mount="cpu") | {"proc/self/cgroup": "4:cpu,cpuacct:/\n"}
    assert machine(files=files)().quota == 2


def test_both_versions_at_once_limit(machine):
    files = v1(-1) | {"sys/fs/cgroup/unified/cpu.max": "300000 100000\n"}
    assert machine(files=files)().quota == 3


def test_version_1_says_no_limit_by_minus_one(machine):
    granted = machine(files=v1(-1))()
    assert (granted.count, granted.quota) == (8, None)


def test_a_cpuset_line_alone_is_not_taken_for_the_processor_controller(machine):
    files = {"proc/self/cgroup": "3:cpuset:/\n2:cpuacct:/\n", "sys/fs/cgroup/cpuset/cpu.max": "100000 100000\n"}
    assert machine(files=files)().quota is None


@pytest.mark.parametrize(
    "limit, count, said",
    [
        ("150000 100000", 1, "1: the container or control group grants 1.5 cores"),
        (
            "50000 100000",
            1,
            "1: the container or control group grants 0.5 cores, so everything takes 2.0 times as long",
        ),
        ("390000 100000", 3, "3: the container or control group grants 3.9 cores"),
    ],
)
def test_a_quota_between_whole_cores_is_rounded_down_but_to_one_at_least(machine, limit, count, said):
    granted = machine(files=v2({"": limit}))()
    assert (granted.count, str(granted)) == (count, said)


def test_a_quota_above_what_torch_takes_is_no_reason(machine):
    granted = machine(torch_takes=2, files=v2({"": "600000 100000"}))()
    assert str(granted) == "2: what torch takes on this processor"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\xff\xfe\n",
        b"many 100000\n",
        b"100000\n",
        b"1 2 3\n",
        b"0 100000\n",
        pytest.param(b"100000 0\n"),
        b"-5 9\n",
    ],
)
def test_an_odd_limit_is_none(machine, tmp_path, text):
    files = v2({"": "max"}) | {"sys/fs/cgroup/cpu.max": text}
    granted = machine(files=files)()
    assert (granted.count, granted.quota) == (8, None)


@pytest.mark.parametrize(
    "text",
    [b"", b"0::/", b"\xff\n", *(pytest.param(odd) for odd in (b"\n", b"no colons\n", b"1:cpu\n"))],
)
def test_an_odd_list_of_control_groups_is_no_limit(machine, text):
    assert machine(files={"proc/self/cgroup": text})().quota is None


def test_unreadable_files_are_no_limit(machine, tmp_path):
    (tmp_path / "sys/fs/cgroup/cpu.max").mkdir(parents=True)  # as good as no permission, also for root
    assert machine(files={"proc/self/cgroup": "0::/\n"})().quota is None
    assert cores({}, tmp_path / "nowhere").quota is None


def started(command, **environment):
    """A process with this process's modules; what it printed and what it complained of."""
    names = {key: value for key, value in os.environ.items() if key not in ("LABKIT_THREADS", "OMP_NUM_THREADS")}
    process = subprocess.run(
        command, env=names | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        capture_output=True, text=True,
    )  # fmt: skip
    return process.returncode, process.stdout, process.stderr


@pytest.mark.skipif(not shutil.which("taskset"), reason="taskset is missing: apt install util-linux")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="this machine has one processor")
def test_a_process_that_is_really_bound_to_one_processor_takes_one_thread():
    say = "import torch; from labkit import hardware; print(torch.get_num_threads(), hardware.cores())"
    first = min(os.sched_getaffinity(0))
    status, printed, _ = started(["taskset", "-c", str(first), sys.executable, "-c", say])
    assert status == 0
    assert printed.startswith("1 1: ")


def test_a_bad_labkit_threads_costs_a_command_one_sentence_and_status_1():
    command = [sys.executable, "-c", "import sys; from labkit import cli; sys.exit(cli.main(['doctor']))"]
    status, _, complaint = started(command, LABKIT_THREADS="many")
    assert status == 1
    assert complaint.startswith("labkit: LABKIT_THREADS is 'many'") and "Traceback" not in complaint


def test_threads_are_put_back_also_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), hardware.threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.fixture
def load(monkeypatch, machine):
    """``load(used, mine, grants)``: the Load over ten seconds in which each processor was busy for ``used``
    seconds, of which this process had ``mine`` in all."""

    def build(used, mine, grants):
        machine(processors=len(used))
        now = {"wall": 100.0, "mine": 0.0, "idle": [0.0] * len(used)}

        def times(percpu):
            assert percpu
            return [SimpleNamespace(idle=0.75 * idle, iowait=0.25 * idle) for idle in now["idle"]]

        clock = SimpleNamespace(perf_counter=lambda: now["wall"], process_time=lambda: now["mine"])
        monkeypatch.setattr(hardware.psutil, "cpu_times", times)
        monkeypatch.setattr(hardware, "time", clock)
        monkeypatch.setattr(hardware, "cores", lambda: hardware.Cores(grants, "said so"))
        made = Load()
        now.update(wall=110.0, mine=mine, idle=[10.0 - busy for busy in used])
        return made

    return build


@pytest.mark.parametrize(
    "used, mine, grants, others, busy",
    [
        ([10, 10], 20, 2, 0.0, False),  # all of it is this process
        ([10, 10], 10, 2, 1.0, True),  # another program has one of two
        ([10, 10], 10, 1, 1.0, False),  # but one was all that was granted
        ([10, 10], 5, 1, 1.5, True),
        ([1, 1], 0, 2, 0.2, False),  # a machine at rest
        ([10, 0, 0, 0], 0, 2, 1.0, False),  # enough are left
        ([0, 0], 5, 2, 0.0, False),  # never less than none
    ],
)
def test_a_machine_is_busy_where_others_leave_less_than_was_granted(load, used, mine, grants, others, busy):
    measured = load(used, mine, grants)
    assert measured.others() == pytest.approx(others)
    assert measured.is_busy() == busy
    assert measured.said().startswith(f"Other programs use {others:.1f} of {len(used)} processors")


def test_processors_that_the_process_may_not_use_do_not_count(load, monkeypatch):
    measured = load([10, 10, 0, 0], 0, 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3})
    measured.began = (100.0, 200.0, 0.0)
    assert measured.others() == 0


def test_no_time_passed_is_no_load(load):
    measured = load([0], 0, 1)
    measured.began = measured._now()
    assert measured.others() == 0
