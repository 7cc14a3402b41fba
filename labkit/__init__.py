"""The helper module of the pruning lab: models, training, pruning, measuring, plotting.

The notebooks import from its modules directly; each can be read in one sitting:
``settings -> data -> models -> training -> pruning -> measure -> records -> plots``.
"""

__version__ = "0.1.0"
