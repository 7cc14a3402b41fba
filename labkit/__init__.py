"""The helper module of the pruning lab.

``settings -> data -> models -> training -> pruning -> measure -> records -> view``: each arrow is a
function that can be called in one line. What a notebook imports has a short name here:
``from labkit import data, models, training, pruning, measure, records, plots``.
"""

from importlib import import_module

__version__ = "0.2.0"

SHORT = {  # names that notebooks import, by the module that holds them
    "plots": "labkit.view.plots",
    "widgets": "labkit.view.widgets",
    "report": "labkit.view.report",
    "estimate": "labkit.tools.estimate",
    "slimming": "labkit.methods.slimming",
}


def __getattr__(name: str):
    if name in SHORT:
        return import_module(SHORT[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
