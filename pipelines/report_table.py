"""The report as tables on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from geoclip.metrics import THRESHOLDS_KM

WHO = {"before": "before", "after": "after", "constant": "best constant", "chance": "chance"}


def print_report(report: dict[str, Any]) -> None:
    """Print the accuracy of every split, then S, U and H of every level."""
    console = Console(width=110)
    for split, figures in report["splits"].items():
        n = figures["after" if "after" in figures else "constant"]["n"]
        table = Table(title=f"{split}: % of {n} places within km (mean over countries in brackets)")
        table.add_column("")
        for name, km in THRESHOLDS_KM.items():
            table.add_column(f"{name} {km}", justify="right")
        for name in ("median km", "GeoScore", "country top-1 | 5", "continent"):
            table.add_column(name, justify="right")
        for who, title in WHO.items():
            if who in figures:
                table.add_row(title, *_cells(figures[who]))
        console.print(table)
    table = Table(title="Generalized zero-shot: mean class accuracy, %")
    for name in ("level", "", "S (seen)", "U (unseen)", "H", "places seen | unseen"):
        table.add_column(name, justify="right")
    for level, by_name in report["gzsl"].items():
        for who, f in by_name.items():
            counts = f"{f['n_seen']} | {f['n_unseen']}"
            table.add_row(level, who, *(_number(f[k], 1) for k in "SUH"), counts)
    console.print(table)


def _cells(figures: dict[str, Any]) -> list[str]:
    plain, mean = figures["within_km"], figures["within_km_by_country"]
    cells = [f"{_number(plain[t], 1)} ({_number(mean[t], 1)})" for t in plain]
    top1, top5 = (_number(figures[f"country_top{k}"], 1) for k in (1, 5))
    median, score = _number(figures["median_km"], 0), _number(figures["geoscore"], 0)
    return [*cells, median, score, f"{top1} | {top5}", _number(figures["continent_top1"], 1)]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
