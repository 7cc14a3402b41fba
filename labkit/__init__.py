"""The helper module of the pruning lab.

``settings -> data -> models -> training -> pruning -> measure -> records -> view``: each arrow is a
function that can be called in one line. What a notebook imports has a short name here:
``from labkit import data, models, training, pruning, measure, records, plots``.
"""

from importlib import import_module
from importlib.util import find_spec

__version__ = "0.2.0"

SHORT = {  # names that notebooks import, by the module that holds them; a method's is its own
    "plots": "labkit.view.plots",
    "widgets": "labkit.view.widgets",
    "report": "labkit.view.report",
    "slides": "labkit.view.slides",
    "estimate": "labkit.tools.estimate",
}


def __getattr__(name: str):
    module = SHORT.get(name, f"labkit.methods.{name}")
    if name in SHORT or not name.startswith("_") and find_spec(module):
        return import_module(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
