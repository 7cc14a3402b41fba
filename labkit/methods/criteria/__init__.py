"""Criteria: what ranks the channels, compared on one network."""

from labkit.methods.criteria.drawings import (
    errors_by_layer,
    filter_on_maps,
    rows_by_norm,
    where_criteria_look,
)
from labkit.methods.criteria.figures import (
    agreement,
    before_and_after,
    comparison,
    costs,
    figures,
    results,
    summary,
    table,
)
from labkit.methods.criteria.study import (
    IMAGES,
    KINDS,
    STUDIED,
    STUDY,
    TRAINED,
    TUNED,
    network,
    rank_correlations,
    recipe,
    scored,
    study,
    trained,
)
from labkit.methods.criteria.work import COSTS

__all__ = ["COSTS", "IMAGES", "KINDS", "STUDIED", "STUDY", "TRAINED", "TUNED", "figures", "results"]
__all__ += ["agreement", "before_and_after", "comparison", "costs", "summary", "table"]
__all__ += ["errors_by_layer", "filter_on_maps", "rows_by_norm", "where_criteria_look"]
__all__ += ["network", "rank_correlations", "recipe", "scored", "study", "trained"]
