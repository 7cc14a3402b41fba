"""Quantization and deployment: fewer bits a weight, weights that are shared, and the file that leaves the course."""

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
from labkit.methods.quantization.deployment_studies import (
    CALIBRATION,
    DEPLOYED,
    INTEGER,
    calibration_run,
    deployed_run,
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
    figures,
    low_bits,
    results,
    sharing_accuracy,
)
from labkit.methods.quantization.huffman import code_lengths, codes, decode, encode, entropy
from labkit.methods.quantization.integer import (
    IMAGES,
    accuracy,
    calibrated,
    converted,
    graph,
    lowered,
    prepared,
    quantize_nodes,
    ranges,
)
from labkit.methods.quantization.networks import SCHEMAS as _OF_NETWORKS
from labkit.methods.quantization.networks import THIN, TRAINED, thinned, trained
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

__all__ = ["COSTS", "KINDS", "THIN", "TRAINED", "known", "thinned", "trained"]
__all__ += ["BITS", "LOW_BITS", "ROUNDED", "WAYS", "Grid", "StraightThrough", "activations", "channel_errors", "grid"]
__all__ += ["in_bits", "round_weights", "train_in_bits"]
__all__ += ["SHARED", "Shared", "TrainedCodebook", "counts", "kmeans", "linear_start", "of_network", "pack"]
__all__ += ["read_weights", "share", "train_shared", "unpack", "with_weights", "write_weights"]
__all__ += ["COMPRESSED", "PRUNED", "RATIO", "absolute", "compress", "gap_bits", "prune", "relative"]
__all__ += ["code_lengths", "codes", "decode", "encode", "entropy"]
__all__ += ["code_picture", "codebook_over_weights", "error_by_channel", "gaps_picture", "kmeans_picture"]
__all__ += ["levels_used", "packed_picture", "sharing_picture", "staircase", "straight_through"]
__all__ += ["accuracy_over_bits", "compression_steps", "figures", "low_bits", "results", "sharing_accuracy"]
__all__ += ["IMAGES", "accuracy", "calibrated", "converted", "graph", "lowered", "prepared", "quantize_nodes", "ranges"]
__all__ += ["CALIBRATION", "DEPLOYED", "INTEGER", "calibration_run", "deployed_run", "integer_run"]
__all__ += ["described", "export", "latencies", "opened", "run", "steps_apart"]
