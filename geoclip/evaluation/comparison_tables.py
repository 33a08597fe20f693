"""The tables and sentences of a comparison, for the terminal and its page."""

from pathlib import Path

from geoclip.evaluation.cells import Rows, distance, span
from geoclip.evaluation.metrics import Report


def comparison_tables(report: Report) -> dict[str, Rows]:
    """Every table of a report that has rows, by its title."""
    tables = {
        "Every figure": difference_table(report),
        "Countries where they differ most": country_table(report),
        "Photos where they differ most": photo_table(report),
    }
    return {title: rows for title, rows in tables.items() if rows}


def difference_table(report: Report) -> Rows:
    """Every figure of both sets, the difference and its interval."""
    rows = [["figure", "first", "second", "second − first", "95 %"]]
    for name, value in report["difference"].items():
        for threshold in value if isinstance(value, dict) else [None]:
            parts = [report[part].get(name) for part in ("first", "second", "difference")]
            ends = report["intervals"].get(name)
            if threshold is not None:
                parts = [part[threshold] for part in parts]
                ends = ends[threshold] if ends else None
            label = name if threshold is None else f"{name} {threshold}"
            rows.append([label, *map(_signed, parts[:2]), _signed(parts[2], "+"), span(ends)])
    return rows


def country_table(report: Report) -> Rows:
    """The countries where the two differ most."""
    rows = [["country", "photos", "GeoScore, second − first", "first nearer", "second nearer"]]
    for row in report["countries"]:
        gain = f"{row['gain']:+.1f}"
        rows.append([row["country"], str(row["n"]), gain, str(row["first"]), str(row["second"])])
    return rows if len(rows) > 1 else []


def photo_table(report: Report) -> Rows:
    """The photos where the two differ most."""
    rows = [["photo", "country", "first off by", "second off by"]]
    for row in report["photos"]:
        distances = distance(row["first_km"]), distance(row["second_km"])
        rows.append([Path(row["photo"]).name, row["country"], *distances])
    return rows if len(rows) > 1 else []


def test_sentences(report: Report) -> list[str]:
    """The sign tests, and the basis of the intervals."""
    what = {
        "nearer": "nearer guess, by photo",
        "nearer_by_cluster": f"nearer guess, by {report['intervals']['clusters']}",
        "country_right": "the country right in one alone",
    }
    lines = [
        f"{what[name]}: first {one['first']}, second {one['second']}, ties {one['ties']}; exact "
        f"sign test p = {one['p']:.3g}"
        for name, one in report["sign_tests"].items()
    ]
    made = report["intervals"]
    lines.append(
        f"95 % intervals by bootstrap of {made['n_clusters']} clusters (by {made['clusters']}), "
        f"{made['draws']} draws"
    )
    return lines


def _signed(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}z.2f}"
