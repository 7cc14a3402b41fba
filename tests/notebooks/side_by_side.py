"""A plugin for ``pytest notebooks -n 2 -p side_by_side``: the notebooks of a lab one after the other, since each goes
on from the runs of those before it; two labs, which know nothing of each other, side by side."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

from labkit.course import labs

LAB_OF = {name: lab.name for lab in labs.LABS for name in lab.notebooks}


class ByLab(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return LAB_OF[PurePosixPath(nodeid.partition("::")[0]).stem]


def pytest_xdist_make_scheduler(config, log):
    return ByLab(config, log)
