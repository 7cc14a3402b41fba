"""The recipe of docs/cluster.md, as far as it can be tried without a cluster."""

import re

import pytest

from labkit.methods import front
from labkit.settings import REPOSITORY

TEXT = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")


def block(language: str, holds: str) -> str:
    return next(b for b in re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) if holds in b)


def test_the_grid_of_the_page_can_be_read(tmp_path):
    (tmp_path / "fronts.toml").write_text(block("toml", "networks"), encoding="utf-8")
    grid = front.read(tmp_path / "fronts.toml")
    assert len(grid.networks) * len(grid.policies) * len(grid.ratios) * len(grid.seeds) == 36
    assert grid.fine_tune


def test_slurm_is_asked_for_one_worker_a_core_with_one_thread(monkeypatch):
    pytest.importorskip("dask_jobqueue", reason='dask-jobqueue is missing: pip install -e ".[cluster,test]"')
    code = re.sub(
        r'interface="ib0",[^\n]*',
        'interface="lo", scheduler_options={"dashboard": False},',
        block("python", "SLURMCluster"),
    )
    printed = []
    monkeypatch.setattr("dask_jobqueue.SLURMCluster.scale", lambda self, jobs: printed.append(jobs))
    scope = {"print": printed.append, "input": printed.append}
    try:
        exec(code, scope)  # noqa: S102
        jobs, script, address, _ = printed
        assert jobs == 4 and address == scope["cluster"].scheduler_address and address.startswith("tcp://")
        for line in ("#SBATCH -n 1", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=15G", "#SBATCH -t 02:00:00"):
            assert line in script, script
        assert "source /shared/pruning-lab/.venv/bin/activate" in script
        assert {"--nthreads 1", "--nworkers 8"} <= set(re.findall(r"--n\w+ \d+", script)), script
    finally:
        scope["cluster"].close()
