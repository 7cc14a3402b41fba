"""Markdown tables, and how numbers stand in them."""

from statistics import mean


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def band(values: list[float] | float | None) -> str:
    """``93.8%`` or, over seeds, ``93.8% (93.5–94.0)``."""
    if values is None or values == []:
        return "–"
    if not isinstance(values, list):
        return percent(values)
    spread = f" ({100 * min(values):.1f}–{100 * max(values):.1f})" if len(values) > 1 else ""
    return percent(mean(values)) + spread
