"""Figures of several models, or of one before and after training, as tables on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from geoclip.evaluation.metrics import THRESHOLDS_KM

WIDTH = 120
WHO = {
    "before": "before",
    "uncalibrated": "not fitted",
    "after": "after",
    "constant": "best constant",
    "chance": "chance",
}


def print_report(report: dict[str, Any], who: Mapping[str, str] = WHO) -> None:
    """Print the accuracy of every split, figures of captions, then S, U and H of every level.

    `report` has the keys of `report.json`. `who` names the figures to show, and their titles.
    """
    console = Console(width=WIDTH)
    for split, figures in report["splits"].items():
        console.print(_split_table(split, figures, who))
    if report.get("retrieval"):
        console.print(_caption_table(report, who))
    if not report["gzsl"]:
        return
    table = Table(title="Generalized zero-shot: accuracy averaged over classes, %")
    for name in ("level", "", "S (seen)", "U (unseen)", "H", "places seen | unseen"):
        table.add_column(name, justify="right")
    for level, by_name in report["gzsl"].items():
        for name, title in who.items():
            if name in by_name:
                f = by_name[name]
                counts = f"{f['n_seen']} | {f['n_unseen']}"
                table.add_row(level, title, *(_number(f[k], 1) for k in "SUH"), counts)
    console.print(table)


def _caption_table(report: dict[str, Any], who: Mapping[str, str]) -> Table:
    """Recall among captions and photos, chance below, and the compositional probe."""
    table = Table(
        title="Photos and captions, %: recall@1, 5, 10; true caption above wrongly composed ones"
    )
    probes = ("wrong_country", "wrong_city", "both")
    columns = ("split", "", "image → text", "text → image", *(p.replace("_", " ") for p in probes))
    for name in columns:
        table.add_column(name, justify="right")
    for split, by_name in report["retrieval"].items():
        for name, figures in by_name.items():
            ways = (figures["image_to_text"], figures["text_to_image"])
            recall = [_recall(way["recall"]) for way in ways]
            probe = report["composition"][split][name]
            parts = [_number(probe[part], 1) for part in probes]
            table.add_row(split, who.get(name, name), *recall, *parts)
        table.add_row(split, "chance", *(_recall(way["chance"]) for way in ways), "50", "50", "33")
    return table


def _recall(shares: dict[str, float]) -> str:
    return " ".join(_number(share, 1) for share in shares.values())


def _split_table(split: str, figures: dict[str, Any], who: Mapping[str, str]) -> Table:
    places = next(iter(figures.values()))["n"]
    table = Table(title=f"{split}: {places} places, % within km; C = mean over countries")
    table.add_column("")
    for km in THRESHOLDS_KM.values():
        table.add_column(f"{km}", justify="right")
    for name in ("C 200", "C 750", "C 2500", "median", "score", "country", "top 5", "continent"):
        table.add_column(name, justify="right")
    for name, title in who.items():
        if name in figures:
            table.add_row(title, *_cells(figures[name]))
    return table


def _cells(figures: dict[str, Any]) -> list[str]:
    shares = [_number(value, 1) for value in figures["within_km"].values()]
    means = [_number(figures["within_km_by_country"][t], 1) for t in ("200", "750", "2500")]
    classes = [_number(figures[k], 1) for k in ("country_top1", "country_top5", "continent_top1")]
    return [
        *shares,
        *means,
        _number(figures["median_km"], 0),
        _number(figures["geoscore"], 0),
        *classes,
    ]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
