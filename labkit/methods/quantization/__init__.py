"""Quantization and deployment: fewer bits a weight, weights that are shared, and the file that leaves the course."""

from pathlib import Path

from matplotlib.figure import Figure

from labkit.methods.quantization import figures as _by_hand
from labkit.methods.quantization.affine import (
    BITS,
    LOW_BITS,
    ROUNDED,
    WAYS,
    Grid,
    StraightThrough,
    activations,
    channel_errors,
    grid,
    in_bits,
    round_weights,
    train_in_bits,
)
from labkit.methods.quantization.affine import SCHEMAS as _OF_ROUNDING
from labkit.methods.quantization.compression import (
    COMPRESSED,
    PRUNED,
    RATIO,
    absolute,
    compress,
    gap_bits,
    prune,
    relative,
)
from labkit.methods.quantization.compression import SCHEMAS as _OF_COMPRESSION
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
from labkit.methods.quantization.drawings import (
    code_picture,
    codebook_over_weights,
    error_by_channel,
    gaps_picture,
    kmeans_picture,
    levels_used,
    packed_picture,
    sharing_picture,
    staircase,
    straight_through,
)
from labkit.methods.quantization.figures import (
    accuracy_over_bits,
    compression_steps,
    low_bits,
    sharing_accuracy,
)
from labkit.methods.quantization.huffman import code_lengths, codes, decode, encode, entropy
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
from labkit.methods.quantization.networks import THIN, TRAINED, thinned, trained
from labkit.methods.quantization.outcomes import summary
from labkit.methods.quantization.sharing import SCHEMAS as _OF_SHARING
from labkit.methods.quantization.sharing import (
    SHARED,
    Shared,
    TrainedCodebook,
    counts,
    kmeans,
    linear_start,
    of_network,
    pack,
    read_weights,
    share,
    train_shared,
    unpack,
    with_weights,
    write_weights,
)
from labkit.methods.quantization.work import COSTS, known

KINDS = {**_OF_NETWORKS, **_OF_ROUNDING, **_OF_SHARING, **_OF_COMPRESSION, **_OF_DEPLOYMENT}


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in one experiment's folder allow, by file name."""
    return _by_hand.figures(folder) | deployment_figures(folder)


def results(folder: Path) -> str:
    """The tables of all experiments in ``folder`` as one Markdown page."""
    return "\n\n".join(filter(None, (page.strip() for page in (_by_hand.results(folder), deployment_results(folder)))))


__all__ = ["BITS", "CALIBRATED_ON", "CALIBRATION", "COMPRESSED", "COSTS", "DEPLOYED", "FORMATS", "Grid", "IMAGES"]
__all__ += ["INTEGER", "KINDS", "LOW_BITS", "PERCENTILE", "PRUNED", "RATIO", "ROUNDED", "SHARED", "Shared"]
__all__ += ["StraightThrough", "THIN", "TRAINED", "TrainedCodebook", "WAYS", "absolute", "accuracy"]
__all__ += ["accuracy_over_bits", "activations", "calibrated", "calibration_accuracy", "calibration_images"]
__all__ += ["calibration_ranges", "calibration_run", "calibration_table", "channel_errors", "code_lengths"]
__all__ += ["code_picture", "codebook_over_weights", "codes", "compress", "compression_steps", "converted", "counts"]
__all__ += ["decode", "deployed_figure", "deployed_run", "deployed_table", "deployment_figures", "deployment_results"]
__all__ += ["described", "encode", "entropy", "error_by_channel", "export", "figures", "file_of", "framework_path"]
__all__ += ["gap_bits", "gaps_picture", "graph", "grid", "has_kernels", "in_bits", "integer_run", "integer_table"]
__all__ += ["kmeans", "kmeans_picture", "known", "largest_activations", "latencies", "levels_used", "linear_start"]
__all__ += ["low_bits", "lowered", "of_network", "onnx_graphs", "opened", "pack", "packed_picture", "phone_table"]
__all__ += ["prepared", "prepared_for_dynamic", "processor", "prune", "quantize_nodes", "quantized", "ranges"]
__all__ += ["read_weights", "relative", "restored", "results", "round_weights", "run", "saturation", "share"]
__all__ += ["sharing_accuracy", "sharing_picture", "staircase", "steps_apart", "steps_figure", "straight_through"]
__all__ += ["summary"]
__all__ += ["thinned", "train_in_bits", "train_shared", "trainable", "trained", "tuned", "unpack", "vnni_said"]
__all__ += ["with_weights", "write_weights"]
