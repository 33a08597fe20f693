"""`geoclip evaluate`: how far guesses are from the truth, at the thresholds of IM2GPS."""

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from geoclip.commands.terminal import print_table


def evaluate(
    guesses: Annotated[
        Path,
        typer.Argument(help="Guesses (.csv, .parquet, .geojson, .gpkg) or published predictions."),
    ],
    truth: Annotated[
        Path, typer.Option("--truth", help="CSV file with IMG_ID,LAT,LON or path,lat,lon.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    allow_gps: Annotated[
        bool,
        typer.Option("--allow-gps", help="Count answers that come from a photo's own GPS, too."),
    ] = False,
) -> None:
    """Compare guesses with the truth; a photo without a guess is a miss.

    For instance: geoclip evaluate guesses.csv --truth im2gps_places365.csv
    """
    from geoclip.evaluation.matching import evaluate_files  # noqa: PLC0415 - pandas is slow to import

    evaluation = evaluate_files(guesses, truth, allow_gps)
    report = evaluation.report()
    if evaluation.unused:
        typer.echo(
            f"{evaluation.unused} guesses are for photos not in the truth: ignored.", err=True
        )
    if evaluation.missing:
        typer.echo(
            f"{evaluation.missing} of {evaluation.n} photos have no answer: counted as misses.",
            err=True,
        )
    if json:
        typer.echo(dumps(report, indent=2, allow_nan=False))
    else:
        print_report(report)


def print_report(report: dict[str, Any]) -> None:
    """Print the figures, level by level."""
    from geoclip.evaluation.metrics import THRESHOLDS_KM  # noqa: PLC0415 - pandas is slow to import

    rows = [
        (level, f"{km:,} km", f"{report['within_km'][str(km)]:.2f} %")
        for level, km in THRESHOLDS_KM.items()
    ]
    print_table(("level", "within", "photos"), rows, right=("within", "photos"))
    typer.echo(
        f"{report['n']} photos: {report['answered']} answered, "
        f"{report['missing']} missing (counted as misses)"
    )
    typer.echo(f"median {_km(report['median_km'])}, mean of answered {_km(report['mean_km'])}")
    typer.echo(f"GeoScore {report['geoscore']:.1f} of 5000")
    if "within_radius" in report:
        typer.echo(f"the stated radius holds the place of {report['within_radius']:.1f} %")


def _km(value: float | None) -> str:
    return "none" if value is None else f"{value:,.2f} km"
