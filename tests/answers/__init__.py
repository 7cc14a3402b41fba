"""Answers that students could give, a module for each lab.

``RIGHT``: by function, bodies that are right in three styles. ``NOT_QUITE``: function, body, and what it must hear;
none may have full points.
"""

import pkgutil
from importlib import import_module

MODULES = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
RIGHT = {function: bodies for module in MODULES for function, bodies in module.RIGHT.items()}
NOT_QUITE = [row for module in MODULES for row in module.NOT_QUITE]
