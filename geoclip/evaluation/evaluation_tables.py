"""The tables and sentences of an evaluation's report, for the terminal and its page."""

from geoclip.evaluation.cells import Rows, distance, percent, span_after
from geoclip.evaluation.intervals import by_country
from geoclip.evaluation.metrics import THRESHOLDS_KM, Report

WITHIN_KM = ("within_km", by_country("within_km"))
LEVEL_SHARES = {
    "name a": ("answered", "right"),
    "stop at the": ("at_level", "right_at_level"),
}
COVERAGE_PARTS = {"by_level": "answers at {}", "by_continent": "{}", "by_source": "{}"}
RADIUS_NAMES = {"within_radius": "radius", "within_radius_90": "90 % radius"}
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def report_tables(report: Report) -> dict[str, Rows]:
    """Every table of a report with figures, by its title."""
    tables = {
        "Photos within a distance": accuracy_table(report),
        "Baselines": baseline_table(report),
        "Oracle: the nearest listed city": oracle_table(report),
        "Answers by level": level_table(report),
        "Calibration": calibration_table(report),
        "Reliability: how many are right, by stated probability": bins_table(report),
        "Radii": coverage_table(report),
        "Selective prediction: risk–coverage": risk_table(report),
        "Recall against area": recall_table(report),
    }
    return {title: rows for title, rows in tables.items() if rows}


def accuracy_table(report: Report) -> Rows:
    """Photos within each threshold, plain and by country, with 95 % intervals."""
    rows = [["level", "within", "photos (95 %)", "mean over countries (95 %)"]]
    for level, km in THRESHOLDS_KM.items():
        cells = [level, f"{km:,} km"]
        for name in WITHIN_KM:
            ends = report["intervals"].get(name, {}).get(str(km))
            cells.append(percent(report[name][str(km)], 2) + span_after(ends))
        rows.append(cells)
    return rows


def baseline_table(report: Report) -> Rows:
    """Photos within each threshold by chance and by the best constant, plain and by country."""
    names = [name for name in ("chance", "constant") if report.get(name)]
    header = ["within"]
    for name in names:
        header += [name, "by country"]
    rows = [header]
    for km in THRESHOLDS_KM.values():
        parts = (report[name][key] for name in names for key in WITHIN_KM)
        rows.append([f"{km:,} km", *(percent(part[str(km)]) for part in parts)])
    return rows if names else []


def oracle_table(report: Report) -> Rows:
    """Photos whose nearest listed city lies within each threshold."""
    oracle = report.get("oracle", {})
    rows = [["within", *(f"{size} cities a country" for size in oracle)]]
    for km in THRESHOLDS_KM.values():
        shares = (figures["within_km"][str(km)] for figures in oracle.values())
        rows.append([f"{km:,} km", *map(percent, shares)])
    return rows if oracle else []


def level_table(report: Report) -> Rows:
    """How many photos are answered at each level, and how many of these are right."""
    rows = [["answers that", "of the photos", "by country", "right", "by country"]]
    for level, figures in (report["levels"] or {}).items():
        for words, names in LEVEL_SHARES.items():
            shares = [figures[one] for name in names for one in (name, by_country(name))]
            rows.append([f"{words} {level}", *map(percent, shares)])
    return rows if len(rows) > 1 else []


def coverage_table(report: Report) -> Rows:
    """How many of the stated radii hold the true point: in all, by level, continent and source."""
    radii = report["radii"]
    if not radii:
        return []
    header = ["photos", *(f"{column}, to hold {f['stated']} %" for column, f in radii.items())]
    groups = [
        {"all": figures}
        | {
            title.format(name): group
            for part, title in COVERAGE_PARTS.items()
            for name, group in figures[part].items()
        }
        for figures in radii.values()
    ]
    names = dict.fromkeys(name for one in groups for name in one)
    return [header, *([name, *(_of(one.get(name), "holds") for one in groups)] for name in names)]


def calibration_table(report: Report) -> Rows:
    """Stated and observed shares of right answers, and the expected calibration error."""
    rows = [["probability of", "n", "stated", "right", "ECE"]]
    for name, figures in report["calibration"].items():
        shares = percent(figures["stated"]), percent(figures["right"])
        rows.append([probability_of(name), f"{figures['n']:,}", *shares, f"{figures['ece']:.3f}"])
    return rows if len(rows) > 1 else []


def bins_table(report: Report) -> Rows:
    """The reliability table: right answers among all, by stated probability."""
    parts = report["calibration"]
    if not parts:
        return []
    rows = [["stated", *map(probability_of, parts)]]
    bins = [{one["from"]: one for one in figures["bins"]} for figures in parts.values()]
    for low in sorted(set().union(*bins)):
        found = [one.get(low) for one in bins]
        high = next(one["to"] for one in found if one)
        rows.append([f"{low:.0f} to {high:.0f} %", *(_of(one, "right") for one in found)])
    return rows


def risk_table(report: Report) -> Rows:
    """The area under each risk–coverage curve, and the least for as many wrong answers."""
    rows = [["counted as wrong", "n", "wrong", "area", "at best"]]
    for name, figures in report["risk_coverage"].items():
        areas = f"{figures['area']:.3f}", f"{figures['best_area']:.3f}"
        rows.append([name, f"{figures['n']:,}", percent(figures["error"]), *areas])
    return rows if len(rows) > 1 else []


def recall_table(report: Report) -> Rows:
    """How many photos are found within a searched area."""
    recall = report["recall_area"]["recall"]
    return [
        ["searched, km²", *map(power_of_ten, recall)],
        ["found", *map(percent, recall.values())],
    ]


def count_sentences(report: Report) -> list[str]:
    """Counts, distances, scores, and the left-out photos."""
    refused = report["no_evidence"]
    apart = f", {refused} refused as no evidence" if refused else ""
    intervals = report["intervals"]
    lines = [
        f"{report['n']} photos: {report['answered']} answered, "
        f"{report['missing']} missing (counted as misses){apart}",
        f"median {distance(report['median_km'])}, mean of answered {distance(report['mean_km'])}",
        f"GeoScore {report['geoscore']:.1f} of 5000"
        + span_after(intervals.get("geoscore"))
        + _by_country(report),
    ]
    lines += [_class_sentence(report, level) for level in ("country", "continent")]
    if report["without_no_evidence"]:
        lines.append(_without(report["without_no_evidence"]))
    lines += [_radius_sentence(report, name) for name in RADIUS_NAMES]
    half = report["recall_area"]["km2_for_recall"]["50"]
    if half is not None:
        lines.append(f"half of the photos are found within {half:,.0f} km² searched")
    lines.append(clusters_sentence(intervals))
    if report.get("chance") is None:
        lines.append("chance and the best constant are left out: they need --train TABLE")
    return [line for line in lines if line]


def _by_country(report: Report) -> str:
    score = report["geoscore_by_country"]
    ends = report["intervals"].get("geoscore_by_country")
    return "" if score is None else f", by country {score:.1f}{span_after(ends)}"


def _class_sentence(report: Report, level: str) -> str:
    name = f"{level}_right"
    if name not in report:
        return ""
    plain, mean = report[name], report[by_country(name)]
    ends = report["intervals"].get(name)
    what = f"the right {level} is named for {plain:.1f} % of the photos{span_after(ends)}"
    return f"{what}, by country {percent(mean)}"


def _radius_sentence(report: Report, name: str) -> str:
    if name not in report:
        return ""
    ends, mean = span_after(report["intervals"].get(name)), report[by_country(name)]
    what = f"the stated {RADIUS_NAMES[name]} holds the place of {report[name]:.1f} %{ends}"
    return f"{what}, by country {percent(mean)}"


def _of(figures: Report | None, name: str) -> str:
    """A share and its number of photos."""
    return "–" if figures is None else f"{percent(figures[name])} of {figures['n']:,}"


def power_of_ten(number: str) -> str:
    """A power of ten, short.

    >>> power_of_ten("100"), power_of_ten("10000")
    ('100', '10⁴')
    """
    power = len(number) - 1
    return number if power < 3 else f"10{str(power).translate(SUPERSCRIPTS)}"


def probability_of(column: str) -> str:
    """The description of a column of probabilities."""
    level = column.removesuffix("_probability")
    return "the place named" if level == "probability" else level


def _without(figures: Report) -> str:
    shares = " / ".join(f"{share:.1f}" for share in figures["within_km"].values())
    return f"of the {figures['n']} photos that were not refused as no evidence: {shares} %"


def clusters_sentence(intervals: Report) -> str:
    """What the intervals are made from, or that there are none."""
    clusters = f"{intervals['n_clusters']} clusters (by {intervals['clusters']})"
    if intervals["n_clusters"] < 2:
        return f"no intervals: the photos are {clusters}"
    return f"95 % intervals by bootstrap of {clusters}, {intervals['draws']} draws"
