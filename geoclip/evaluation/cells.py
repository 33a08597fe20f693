"""Figures as texts, for cells of tables and for sentences."""

Rows = list[list[str]]
"""Rows of cells, the header first; [] if empty."""


def distance(value: float | None) -> str:
    """A distance in km, "none" if there is none."""
    return "none" if value is None else f"{value:,.2f} km"


def percent(value: float | None, decimals: int = 1) -> str:
    """A percentage, "–" if there is none."""
    return "–" if value is None else f"{value:.{decimals}f} %"


def number(value: float | None, decimals: int = 0) -> str:
    """A number with commas between thousands, "–" if there is none."""
    return "–" if value is None else f"{value:z,.{decimals}f}"


def span(ends: list[float | None] | None, decimals: int = 1) -> str:
    """An interval, "–" if there is none."""
    if ends is None:
        return "–"
    return " to ".join("∞" if end is None else number(end, decimals) for end in ends)


def span_after(ends: list[float | None] | None, decimals: int = 1) -> str:
    """An interval in brackets, to follow its figure."""
    return "" if ends is None else f" ({span(ends, decimals)})"
