"""The page of an evaluation, self-contained, and a JSON file with the same figures beside it."""

from pathlib import Path

import numpy as np

from geoclip.evaluation.evaluation import Evaluation
from geoclip.evaluation.evaluation_report import leak_warnings, uncounted_sentences
from geoclip.evaluation.evaluation_tables import (
    count_sentences,
    power_of_ten,
    probability_of,
    report_tables,
)
from geoclip.evaluation.html_page import (
    file_names,
    heading,
    page,
    sentences,
    table,
    write_with_json,
)
from geoclip.evaluation.metrics import Report
from geoclip.evaluation.svg_figures import Dots, line_chart, world_map
from geoclip.places.sphere import EARTH_RADIUS_KM

ERROR_COLOURS = {
    25: "#0f7a4a",
    200: "#65a30d",
    750: "#eab308",
    2500: "#ea580c",
    float(np.pi * EARTH_RADIUS_KM): "#b91c1c",
}
TITLE = "How good the guesses are"


def write_page(evaluation: Evaluation, report: Report, path: Path) -> None:
    """Write a report of `evaluation_report` as the page `path` and, beside it, as a .json file."""
    write_with_json(path, evaluation_page(evaluation, report), report)


def evaluation_page(evaluation: Evaluation, report: Report) -> str:
    """The page of a report: tables, reliability, risk–coverage, recall against area, error map."""
    parts = [sentences([*count_sentences(report), *uncounted_sentences(evaluation)])]
    if "leaks" in report:
        warnings = leak_warnings(report["leaks"], evaluation.n) or ["None was found."]
        parts += [heading("Photos that the training photos give away"), sentences(warnings)]
    for title, rows in report_tables(report).items():
        parts += [heading(title), table(rows)]
    parts += [heading("Curves"), '<div class="charts">', *charts(report), "</div>"]
    parts += [heading("Where the errors are"), error_map(evaluation)]
    return page(TITLE, parts)


def charts(report: Report) -> list[str]:
    """Reliability, risk–coverage and recall against area, if they have figures."""
    made = []
    if report["calibration"]:
        reliability = {
            probability_of(name): [[bin_["stated"], bin_["right"]] for bin_ in figures["bins"]]
            for name, figures in report["calibration"].items()
        }
        caption = "Reliability: on the dashed line a probability holds what it says."
        made.append(line_chart(reliability, caption, ("stated, %", "right, %"), diagonal=True))
    if report["risk_coverage"]:
        risk = {name: figures["curve"] for name, figures in report["risk_coverage"].items()}
        caption = "Risk against coverage: of the surest answers, how many are wrong."
        made.append(line_chart(risk, caption, ("surest answers, %", "wrong, %")))
    recall = report["recall_area"]["recall"]
    share = [[100 * i / (len(recall) - 1), found] for i, found in enumerate(recall.values())]
    caption = "Recall against area: photos found within the area searched."
    ticks = [power_of_ten(area) for area in list(recall)[::2]]
    made.append(
        line_chart({"photos": share}, caption, ("searched, km²", "found, %"), x_ticks=ticks)
    )
    return made


def error_map(evaluation: Evaluation) -> str:
    """The true points, coloured by error."""
    truth, names = evaluation.truth, np.array(file_names(evaluation.truth), dtype=object)
    lat, lon, km = truth["lat"].to_numpy(), truth["lon"].to_numpy(), evaluation.km
    layers, below = [], -1.0
    for limit, colour in ERROR_COLOURS.items():
        inside = (km > below) & (km <= limit)
        titles = [f"{n}: {d:,.0f} km" for n, d in zip(names[inside], km[inside], strict=True)]
        legend = f"within {limit:,} km" if limit <= 2500 else "farther off"
        layers.append(Dots(legend, colour, lat[inside], lon[inside], titles))
        below = limit
    lost = ~np.isfinite(km)
    if lost.any():
        titles = [f"{name}: no answer" for name in names[lost]]
        layers.append(Dots("no answer", "#64748b", lat[lost], lon[lost], titles))
    return world_map(layers, "Each photo at its true place, in the colour of its error.")
