"""Granularity: what goes as a whole when a network is pruned, what that stores, and what runs faster."""

from labkit.methods.granularity.drawings import accelerators, granularities, stored
from labkit.methods.granularity.execution import (
    SparseConv2d,
    in_hardware,
    sparse,
    thin_specification,
    two_four_product,
)
from labkit.methods.granularity.experiments import (
    inputs_of,
    output_error,
    sparsity_run,
    timing_run,
)
from labkit.methods.granularity.figures import (
    beside_term_project,
    breaking_point,
    figures,
    inference_table,
    lecture_table,
    methods_compared,
    output_errors,
    rate_label,
    results,
    sparsity_table,
    summary,
    term_project_table,
    timing_table,
    weight_distributions,
)
from labkit.methods.granularity.kinds import KINDS
from labkit.methods.granularity.masks import (
    GRANULARITIES,
    apply,
    mask,
    network_masks,
    pattern,
    pattern_masks,
    prunable,
)
from labkit.methods.granularity.networks import counted
from labkit.methods.granularity.published import TERM_PROJECT, TERM_PROJECT_MILLISECONDS
from labkit.methods.granularity.storage import storage
from labkit.methods.granularity.work import COSTS, RATIOS, TIMED, learning_rates, timed_network
from labkit.methods.granularity.work import network as small_resnet

__all__ = ["COSTS", "GRANULARITIES", "KINDS", "RATIOS", "TERM_PROJECT", "TIMED"]
__all__ += ["TERM_PROJECT_MILLISECONDS", "SparseConv2d", "accelerators", "apply", "beside_term_project"]
__all__ += ["breaking_point", "counted", "figures", "granularities", "in_hardware", "inference_table", "inputs_of"]
__all__ += ["learning_rates", "lecture_table", "mask", "methods_compared", "network_masks"]
__all__ += ["output_error", "output_errors", "pattern", "pattern_masks", "prunable", "rate_label", "timed_network"]
__all__ += ["results", "small_resnet", "sparse", "sparsity_run", "sparsity_table", "storage"]
__all__ += ["stored", "thin_specification", "timing_run", "timing_table", "two_four_product"]
__all__ += ["summary", "term_project_table", "weight_distributions"]
