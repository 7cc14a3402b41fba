"""Pruning methods, one module or package each. What a method declares is found here by its name:

``KINDS``: a JSON schema for each kind of record that it writes. ``figures(folder)``: every figure that the
runs in a folder allow, by file name. ``results(folder)``: its tables as Markdown. ``COSTS``: what each of
its notebooks trains and looks at, for the estimate. ``summary(folder)``: what the runs in one lab's folder come to, as
``outcomes.Outcome``, for the course's page.
"""

import pkgutil
from importlib import import_module


def declared(name: str) -> list:
    """What the methods declare under ``name``, in alphabetical order of the methods."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [getattr(module, name) for module in modules if hasattr(module, name)]
