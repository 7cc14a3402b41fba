"""A plugin for ``pytest notebooks -n 2 --dist loadgroup -p side_by_side``: the notebooks of a lab one after the other,
since each goes on from the runs of those before it; the labs, which know nothing of each other, side by side."""

import pytest

from labkit.course import labs

LAB_OF = {name: lab.name for lab in labs.LABS for name in lab.notebooks}


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.xdist_group(LAB_OF[item.path.stem]))
