"""Quantization and deployment: fewer bits a weight, weights that are shared, and the file that leaves the course."""

from labkit.methods.quantization.deployed import described, export, latencies, opened, run, steps_apart
from labkit.methods.quantization.deployed_figures import (
    calibration_accuracy,
    calibration_ranges,
    calibration_table,
    deployed_figure,
    deployed_table,
    deployment_figures,
    deployment_results,
    integer_table,
    phone_table,
    steps_figure,
    vnni_said,
)
from labkit.methods.quantization.deployment_drawings import framework_path, onnx_graphs, saturation
from labkit.methods.quantization.deployment_studies import (
    CALIBRATED_ON,
    CALIBRATION,
    DEPLOYED,
    FORMATS,
    INTEGER,
    PERCENTILE,
    calibration_images,
    calibration_run,
    deployed_run,
    file_of,
    integer_run,
    largest_activations,
    processor,
    quantized,
    restored,
)
from labkit.methods.quantization.deployment_studies import KINDS as _OF_DEPLOYMENT
from labkit.methods.quantization.integer import (
    accuracy,
    calibrated,
    converted,
    graph,
    has_kernels,
    lowered,
    prepared,
    prepared_for_dynamic,
    quantize_nodes,
    ranges,
    trainable,
    tuned,
)
from labkit.methods.quantization.networks import SCHEMAS as _OF_NETWORKS
from labkit.methods.quantization.networks import thinned, trained

KINDS = _OF_NETWORKS | _OF_DEPLOYMENT

__all__ = ["KINDS", "thinned", "trained"]
__all__ += [
    "accuracy",
    "calibrated",
    "converted",
    "graph",
    "has_kernels",
    "lowered",
    "prepared",
    "prepared_for_dynamic",
]
__all__ += ["quantize_nodes", "ranges", "trainable", "tuned"]
__all__ += ["described", "export", "latencies", "opened", "run", "steps_apart"]
__all__ += ["CALIBRATED_ON", "CALIBRATION", "DEPLOYED", "FORMATS", "INTEGER", "PERCENTILE", "calibration_images"]
__all__ += [
    "calibration_run",
    "deployed_run",
    "file_of",
    "integer_run",
    "largest_activations",
    "processor",
    "quantized",
]
__all__ += ["restored", "framework_path", "onnx_graphs", "saturation"]
__all__ += ["calibration_accuracy", "calibration_ranges", "calibration_table", "deployed_figure", "deployed_table"]
__all__ += ["deployment_figures", "deployment_results", "integer_table", "phone_table", "steps_figure", "vnni_said"]
