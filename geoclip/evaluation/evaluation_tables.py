"""The tables and sentences of an evaluation's report, alike on the terminal and on its page."""

from geoclip.evaluation.cells import Rows, distance, percent, span, span_after
from geoclip.evaluation.metrics import THRESHOLDS_KM, Report


def accuracy_table(report: Report) -> Rows:
    """Photos within each threshold, plain and by country, beside baselines and the oracle."""
    intervals = report["intervals"]
    baselines = [name for name in ("chance", "constant") if report.get(name)]
    oracle = report.get("oracle", {})
    header = ["level", "within", "photos", "95 %", "by country", "95 % by country"]
    rows = [[*header, *baselines, *(f"oracle {name}" for name in oracle)]]
    for level, km in THRESHOLDS_KM.items():
        cells = [level, f"{km:,} km"]
        for name in ("within_km", "within_km_by_country"):
            cells.append(percent(report[name][str(km)], 2))
            cells.append(span(intervals.get(name, {}).get(str(km))))
        cells += [percent(report[name]["within_km"][str(km)]) for name in baselines]
        cells += [percent(one["within_km"][str(km)]) for one in oracle.values()]
        rows.append(cells)
    return rows


def level_table(report: Report) -> Rows:
    """How many photos are answered at each level and how many of those are right."""
    if not report["levels"]:
        return []
    rows = [["answers that name a", "of the photos", "right", "stop there", "right of those"]]
    for level, figures in report["levels"].items():
        names = ("answered", "right", "at_level", "right_at_level")
        rows.append([level, *(percent(figures[name]) for name in names)])
    return rows


def coverage_table(report: Report) -> Rows:
    """How many of the stated radii hold the true point, in all, by continent and by source."""
    rows = [["photos", "radius", "stated to hold", "holds", "n"]]
    for column, figures in report["radii"].items():
        groups = {"all": figures, **figures["by_continent"], **figures["by_source"]}
        for name, group in groups.items():
            stated = percent(figures["stated"], 0)
            rows.append([name, column, stated, percent(group["holds"]), f"{group['n']:,}"])
    return rows if len(rows) > 1 else []


def calibration_table(report: Report) -> Rows:
    """Stated and observed shares of right answers, and the expected calibration error."""
    rows = [["probability of", "n", "stated", "right", "ECE"]]
    for name, figures in report["calibration"].items():
        of = "the place named" if name == "probability" else f"its {name.split('_')[0]}"
        shares = percent(figures["stated"]), percent(figures["right"])
        rows.append([of, f"{figures['n']:,}", *shares, f"{figures['ece']:.3f}"])
    return rows if len(rows) > 1 else []


def risk_table(report: Report) -> Rows:
    """The area under each risk–coverage curve, and at best for as many wrong answers."""
    rows = [["counted as wrong", "n", "wrong", "area", "at best"]]
    for name, figures in report["risk_coverage"].items():
        areas = f"{figures['area']:.3f}", f"{figures['best_area']:.3f}"
        rows.append([name, f"{figures['n']:,}", percent(figures["error"]), *areas])
    return rows if len(rows) > 1 else []


def count_sentences(report: Report) -> list[str]:
    """Counts, distances, scores, and what was left out."""
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
    if "within_radius" in report:
        lines.append(f"the stated radius holds the place of {report['within_radius']:.1f} %")
    for name, figures in report["calibration"].items():
        lines.append(f"calibration error of {name} {figures['ece']:.3f} ({figures['n']} photos)")
    if "wrong country" in report["risk_coverage"]:
        area = report["risk_coverage"]["wrong country"]["area"]
        lines.append(f"area under the risk–coverage curve of the country {area:.3f}")
    half = report["recall_area"]["km2_for_recall"]["50"]
    if half is not None:
        lines.append(f"half of the photos are found within {half:,.0f} km² searched")
    lines.append(_clusters(intervals))
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
    plain, by_country = report[name], report[f"{name}_by_country"]
    ends = report["intervals"].get(name)
    return f"{level} right {plain:.1f} %{span_after(ends)}, by country {percent(by_country)}"


def _without(figures: Report) -> str:
    shares = " / ".join(f"{share:.1f}" for share in figures["within_km"].values())
    return f"of the {figures['n']} photos that were not refused as no evidence: {shares} %"


def _clusters(intervals: Report) -> str:
    clusters = f"{intervals['n_clusters']} clusters (by {intervals['clusters']})"
    if intervals["n_clusters"] < 2:
        return f"no intervals: the photos are {clusters}"
    return f"95 % intervals by bootstrap of {clusters}, {intervals['draws']} draws"
