"""The tables and sentences of an evaluation of classes, alike on the terminal and on its page."""

from pathlib import Path

from geoclip.evaluation.cells import Rows, percent, span_after
from geoclip.evaluation.class_evaluation import TOP, ClassEvaluation
from geoclip.evaluation.evaluation_tables import bins_table, calibration_table, clusters_sentence
from geoclip.evaluation.html_page import heading, page, sentences, table, write_with_json
from geoclip.evaluation.metrics import Report

TITLE = "How good the guesses of classes are"
NO_DISTANCE = "Classes lie nowhere: there is no figure of distance, no GeoScore and no radius."
NO_GZSL = (
    "S, U and H are left out: they need the photos trained on, as --train TABLE or as split "
    "train of the truth."
)


def class_tables(report: Report) -> dict[str, Rows]:
    """Every table of a report that there are figures for, by its title."""
    tables = {
        "The likeliest class of each level": level_rows(report),
        "Answers that stop at a level": answer_rows(report),
        "Seen and unseen classes": gzsl_rows(report),
        "Calibration": calibration_table(report),
        "Reliability: how many are right, by stated probability": bins_table(report),
    }
    return {title: rows for title, rows in tables.items() if rows}


def level_rows(report: Report) -> Rows:
    """How often the likeliest class is right, plain and by class, with 95 % intervals."""
    rows = [["level", "photos", "right (95 %)", "mean over classes (95 %)", "chance", "constant"]]
    for level, figures in report["levels"].items():
        right = [
            percent(figures[name]) + span_after(figures["intervals"].get(name))
            for name in ("right", "right_by_class")
        ]
        baselines = percent(figures["chance"]), percent(figures["constant"])
        rows.append([level, f"{figures['n']:,}", *right, *baselines])
    return rows


def answer_rows(report: Report) -> Rows:
    """How many answers stop at each level, and how many have the true class among the first k."""
    rows = [["level", "of the photos", *(f"among the first {k}" for k in TOP)]]
    for level, figures in report["answers"].items():
        shares = (percent(figures["among"].get(str(k))) for k in TOP)
        rows.append([level, percent(figures["answered"]), *shares])
    return rows


def gzsl_rows(report: Report) -> Rows:
    """S, U and H of each level with 95 % intervals, and the photos that they are of."""
    rows = [["level", "S (95 %)", "U (95 %)", "H (95 %)", "photos seen", "unseen"]]
    for level, figures in (report["gzsl"] or {}).items():
        ends = figures["intervals"]
        shares = [percent(figures[name]) + span_after(ends.get(name)) for name in "SUH"]
        rows.append([level, *shares, f"{figures['n_seen']:,}", f"{figures['n_unseen']:,}"])
    return rows if len(rows) > 1 else []


def class_sentences(report: Report) -> list[str]:
    """Counts, what was left out and why, and what the intervals are made from."""
    counts = (
        f"{report['n']:,} photos: {report['answered']:,} answered, {report['missing']:,} missing "
        "(counted as misses)"
    )
    left_out = [NO_DISTANCE, *([] if report["gzsl"] else [NO_GZSL])]
    return [counts, *left_out, clusters_sentence(report["intervals"])]


def warnings_of(evaluation: ClassEvaluation) -> list[str]:
    """Sentences about photos that the two files do not share, or that were trained on."""
    counts = {
        "guesses are for photos not in the truth: ignored.": evaluation.unused,
        "photos of the truth were trained on: left out.": evaluation.trained_on,
    }
    return [f"{count:,} {what}" for what, count in counts.items() if count]


def write_class_page(report: Report, path: Path) -> None:
    """Write a report as the page `path` and, beside it, as a .json file."""
    parts = [sentences(class_sentences(report))]
    for title, rows in class_tables(report).items():
        parts += [heading(title), table(rows)]
    write_with_json(path, page(TITLE, parts, footer=""), report)
