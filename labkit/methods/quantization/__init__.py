"""Quantization and deployment: fewer bits a weight, weights that are shared, and the file that leaves the course."""

from labkit.methods.quantization.networks import SCHEMAS as _OF_NETWORKS
from labkit.methods.quantization.networks import thinned, trained

KINDS = _OF_NETWORKS

__all__ = ["KINDS", "thinned", "trained"]
