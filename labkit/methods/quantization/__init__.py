"""Quantization and deployment: fewer bits a weight, weights that are shared, and the file that leaves the course."""

from pathlib import Path

from matplotlib.figure import Figure

from labkit.methods.quantization import deployed_figures as _deployed
from labkit.methods.quantization import figures as _by_hand
from labkit.methods.quantization.affine import (
    BITS,
    LOW_BITS,
    ROUNDED,
    WAYS,
    activations,
    channel_errors,
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
from labkit.methods.quantization.deployed import described, export, run
from labkit.methods.quantization.deployed_figures import (
    calibration_accuracy,
    calibration_ranges,
    deployed_figure,
    deployed_table,
    integer_table,
    phone_table,
    steps_figure,
    vnni_said,
)
from labkit.methods.quantization.deployment_drawings import framework_path, onnx_graphs, saturation
from labkit.methods.quantization.deployment_studies import (
    CALIBRATION,
    DEPLOYED,
    INTEGER,
    calibration_images,
    calibration_run,
    deployed_run,
    file_of,
    integer_run,
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
    prepared,
    quantize_nodes,
    ranges,
)
from labkit.methods.quantization.networks import SCHEMAS as _OF_NETWORKS
from labkit.methods.quantization.networks import THIN, TRAINED, thinned, trained
from labkit.methods.quantization.outcomes import summary
from labkit.methods.quantization.sharing import SCHEMAS as _OF_SHARING
from labkit.methods.quantization.sharing import (
    SHARED,
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
    write_weights,
)
from labkit.methods.quantization.work import COSTS, known

KINDS = {**_OF_NETWORKS, **_OF_ROUNDING, **_OF_SHARING, **_OF_COMPRESSION, **_OF_DEPLOYMENT}


def figures(folder: Path) -> dict[str, Figure]:
    """Every figure that the runs in one experiment's folder allow, by file name."""
    return _by_hand.figures(folder) | _deployed.deployment_figures(folder)


def results(folder: Path) -> str:
    """The tables of all experiments in ``folder`` as one Markdown page."""
    pages = _by_hand.results(folder), _deployed.deployment_results(folder)
    return "\n\n".join(filter(None, map(str.strip, pages)))


__all__ = ["BITS", "CALIBRATION", "COMPRESSED", "COSTS", "DEPLOYED", "INTEGER", "KINDS", "LOW_BITS", "PRUNED", "RATIO"]
__all__ += ["ROUNDED", "SHARED", "THIN", "TRAINED", "TrainedCodebook", "WAYS", "absolute", "accuracy"]
__all__ += ["accuracy_over_bits", "activations", "calibrated", "calibration_accuracy", "calibration_images"]
__all__ += ["calibration_ranges", "calibration_run", "channel_errors", "code_lengths", "code_picture"]
__all__ += ["codebook_over_weights", "codes", "compress", "compression_steps", "converted", "counts", "decode"]
__all__ += ["deployed_figure", "deployed_run", "deployed_table", "described", "encode", "entropy", "error_by_channel"]
__all__ += ["export", "figures", "file_of", "framework_path", "gap_bits", "gaps_picture", "graph", "in_bits"]
__all__ += ["integer_run", "integer_table", "kmeans", "kmeans_picture", "known", "levels_used", "linear_start"]
__all__ += ["low_bits", "of_network", "onnx_graphs", "pack", "packed_picture", "phone_table", "prepared", "prune"]
__all__ += ["quantize_nodes", "ranges", "read_weights", "relative", "results", "round_weights", "run", "saturation"]
__all__ += ["share", "sharing_accuracy", "sharing_picture", "staircase", "steps_figure", "straight_through", "summary"]
__all__ += ["thinned", "train_in_bits", "train_shared", "trained", "unpack", "vnni_said", "write_weights"]
