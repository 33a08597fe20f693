"""`geoclip evaluate`: how far guesses are from the truth, at the thresholds of IM2GPS."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoclip.commands.terminal import print_table, printable
from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    from geoclip.evaluation.cells import Rows
    from geoclip.evaluation.evaluation import Evaluation
    from geoclip.places.gazetteer import Gazetteer

Page = Annotated[
    Path | None,
    typer.Option(help="Write the report as one page (.html) and its figures (.json) beside it."),
]
Truth = Annotated[
    Path,
    typer.Option(
        "--truth",
        help="CSV file that says where the photos were taken: path,lat,lon or IMG_ID,LAT,LON.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
AllowGps = Annotated[
    bool, typer.Option("--allow-gps", help="Also count answers from a photo's own GPS.")
]
SkipGps = Annotated[
    bool,
    typer.Option("--skip-gps", help="Leave out photos whose answer is their own GPS position."),
]
Places = Annotated[
    Path | None,
    typer.Option(help="List of places that the guesses were made with (default: built in)."),
]


def evaluate(
    guesses: Annotated[
        Path,
        typer.Argument(help="Guesses (.csv, .parquet, .geojson, .gpkg) or published predictions."),
    ],
    truth: Truth,
    json: AsJson = False,
    allow_gps: AllowGps = False,
    skip_gps: SkipGps = False,
    train: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of the photos that the model learned from or was given to compare with: "
            "says what guessing one place for all would score (a baseline), and which test photos "
            "are among them (leaks)."
        ),
    ] = None,
    photo_hashes: Annotated[
        bool, typer.Option(help="With --train: compare the pictures, too.")
    ] = True,
    oracle: Annotated[
        bool,
        typer.Option(
            "--oracle", help="Print the score of the best possible guesses from the list of places."
        ),
    ] = False,
    gazetteer: Places = None,
    report: Page = None,
) -> None:
    """Compare guesses with the truth; a photo without a guess is a miss.

    Figures are given plain and as means over countries, with 95 % intervals. Paths that begin
    differently in the two tables match by their common end. For instance:
    geoclip evaluate guesses.csv --truth im2gps_places365.csv --report report.html

    With a table of other levels (--gazetteer tree.csv) the guesses are classes and the truth
    states a place_id each: S, U and H at every level, and no distance.
    """
    from geoclip.evaluation.evaluation_page import write_page  # noqa: PLC0415
    from geoclip.evaluation.evaluation_report import evaluation_report  # noqa: PLC0415 - pandas is slow to import
    from geoclip.evaluation.html_page import check_page  # noqa: PLC0415
    from geoclip.evaluation.leaks import read_training_table  # noqa: PLC0415
    from geoclip.evaluation.matching import evaluate_files  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415

    if report is not None:
        check_page(report)
    world = None if gazetteer is None else Gazetteer.read(gazetteer)
    if world is not None and not world.has_positions:
        if oracle:
            raise GeoclipError(
                "--oracle is about distances, and classes lie nowhere: leave it out."
            )
        _evaluate_classes(guesses, truth, world, train, json, report)
        return
    trained = None if train is None else read_training_table(train)
    evaluation = evaluate_files(guesses, truth, allow_gps, world, skip_gps)
    figures = evaluation_report(evaluation, trained, oracle, photo_hashes)
    _warn(evaluation, figures)
    if report is not None:
        write_page(evaluation, figures, report)
    if json:
        typer.echo(dumps(figures, indent=2, allow_nan=False))
    else:
        print_report(figures)


def _evaluate_classes(
    guesses: Path, truth: Path, table: "Gazetteer", train: Path | None, json: bool, page: Page
) -> None:
    """The same for guesses of the classes of a table of levels."""
    from geoclip.evaluation.class_evaluation import ClassEvaluation  # noqa: PLC0415
    from geoclip.evaluation.class_tables import (  # noqa: PLC0415
        NO_DISTANCE,
        class_sentences,
        class_tables,
        warnings_of,
        write_class_page,
    )

    evaluation = ClassEvaluation.of_files(guesses, truth, table, train)
    figures = evaluation.report()
    for sentence in [*warnings_of(evaluation), *([NO_DISTANCE] if json else [])]:
        typer.echo(sentence, err=True)
    if page is not None:
        write_class_page(figures, page)
    if json:
        typer.echo(dumps(figures, indent=2, allow_nan=False))
        return
    _print_tables(class_tables(figures))
    for sentence in class_sentences(figures):
        typer.echo(sentence)


def _warn(evaluation: "Evaluation", figures: dict[str, Any]) -> None:
    from geoclip.evaluation.evaluation_report import (  # noqa: PLC0415 - pandas is slow to import
        leak_warnings,
        uncounted_sentences,
    )

    for sentence in uncounted_sentences(evaluation):
        typer.echo(printable(sentence), err=True)
    if "leaks" in figures:
        for sentence in leak_warnings(figures["leaks"], evaluation.n):
            typer.echo(sentence, err=True)


def print_report(report: dict[str, Any]) -> None:
    """Print the tables and sentences of the report."""
    from geoclip.evaluation.evaluation_tables import (  # noqa: PLC0415 - pandas is slow to import
        count_sentences,
        report_tables,
    )

    _print_tables(report_tables(report))
    for sentence in count_sentences(report):
        typer.echo(sentence)


def _print_tables(tables: dict[str, "Rows"]) -> None:
    for title, rows in tables.items():
        print_table(rows[0], rows[1:], right=rows[0][1:], title=title)
