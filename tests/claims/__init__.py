"""What the notebooks' text says of runs, and the shipped records that it follows from; a module for each lab.

A claim belongs to one cell. Its function asserts the comparisons that the text makes, on every run it speaks of,
and gives the pieces of text that hold its numbers, written from the records: they have to stand in the cell. A
module's ``EXACT`` has, by cell, the numbers that no run can change, such as prune ratios, the level of chance, what
the text derives.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module

CLAIMS: list[tuple[str, Callable[[], list[str]]]] = []


def claim(cell: str):
    def declare(function):
        CLAIMS.append((cell, function))
        return function

    return declare


def spread(values) -> float:
    return max(values) - min(values)


def reach(values, digits: int = 0) -> str:
    """``18 to 19 %``, or ``18 %`` where both ends look alike."""
    low, high = (f"{100 * end(values):.{digits}f}" for end in (min, max))
    return f"{low} %" if low == high else f"{low} to {high} %"


EXACT = {
    cell: numbers
    for module in pkgutil.iter_modules(__path__)
    for cell, numbers in import_module(f"{__name__}.{module.name}").EXACT.items()
}
