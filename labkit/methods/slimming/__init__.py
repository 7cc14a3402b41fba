"""Network Slimming (Liu et al., 2017): an L1 penalty on the scaling factors of batch normalization, a
global threshold on them, and what is left of the network."""

from labkit.methods.slimming.drawings import (
    batchnorm_channels,
    families,
    guard,
    penalty_slopes,
    pipeline,
    ranking,
    surgery,
)
from labkit.methods.slimming.experiments import (
    RECALIBRATION_IMAGES,
    first_collapse,
    made_from,
    prune_run,
    save_summary,
    summary_row,
    sweep_ratio,
    untrained_variants,
)
from labkit.methods.slimming.explorer import describe_plan, plan_figure, prune_explorer
from labkit.methods.slimming.figures import (
    bottleneck,
    budget_and_force,
    figures,
    final_accuracies,
    fine_tuning_curves,
    gamma_distribution,
    gamma_map,
    lambda_label,
    ratio_sweep,
    recovery,
    scaling_factors_over_epochs,
    scaling_factors_per_layer,
    trade_off,
    training_curves,
    under_threshold,
)
from labkit.methods.slimming.kinds import KINDS
from labkit.methods.slimming.open_task import attempt, board_cells, board_figure, board_table, standings, target
from labkit.methods.slimming.tables import overview, results, summary, summary_cells, summary_table
from labkit.methods.slimming.work import COSTS

__all__ = [
    "COSTS",
    "KINDS",
    "RECALIBRATION_IMAGES",
    "describe_plan",
    "families",
    "figures",
    "plan_figure",
    "prune_explorer",
]
__all__ += ["attempt", "board_cells", "board_figure", "board_table", "standings", "target"]
__all__ += ["bottleneck", "budget_and_force", "final_accuracies", "gamma_distribution", "gamma_map"]
__all__ += ["fine_tuning_curves", "first_collapse", "lambda_label"]
__all__ += ["made_from", "overview", "prune_run", "ratio_sweep", "recovery", "results", "save_summary", "summary_cells"]
__all__ += ["scaling_factors_over_epochs", "scaling_factors_per_layer", "summary", "summary_row", "summary_table"]
__all__ += ["sweep_ratio", "trade_off", "training_curves", "under_threshold", "untrained_variants"]
__all__ += ["batchnorm_channels", "guard", "penalty_slopes", "pipeline", "ranking", "surgery"]
