"""`geoclip compare`: which of two sets of guesses is better, and where."""

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from geoclip.commands.evaluate import AllowGps, AsJson, Page, Places, SkipGps, Truth
from geoclip.commands.terminal import print_table


def compare(
    first: Annotated[Path, typer.Argument(help="Guesses, as `geoclip evaluate` reads them.")],
    second: Annotated[Path, typer.Argument(help="Other guesses for the same photos.")],
    truth: Truth,
    json: AsJson = False,
    allow_gps: AllowGps = False,
    skip_gps: SkipGps = False,
    gazetteer: Places = None,
    report: Page = None,
) -> None:
    """Compare two sets of guesses photo by photo: SECOND minus FIRST, with 95 % intervals.

    For instance: geoclip compare old.csv new.csv --truth truth.csv --report wins.html
    """
    from geoclip.evaluation.comparison import compare as compare_guesses  # noqa: PLC0415 - slow
    from geoclip.evaluation.comparison_page import comparison_page  # noqa: PLC0415
    from geoclip.evaluation.comparison_tables import (  # noqa: PLC0415
        comparison_tables,
        test_sentences,
    )
    from geoclip.evaluation.html_page import check_page, write_with_json  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415

    if report is not None:
        check_page(report)
    world = None if gazetteer is None else Gazetteer.read(gazetteer)
    comparison = compare_guesses(first, second, truth, allow_gps, world, skip_gps)
    figures = comparison.report()
    if report is not None:
        page = comparison_page(comparison, figures, (first.name, second.name))
        write_with_json(report, page, figures)
    if json:
        typer.echo(dumps(figures, indent=2, allow_nan=False))
        return
    for title, rows in comparison_tables(figures).items():
        print_table(rows[0], rows[1:], right=rows[0][1:], title=title)
    for sentence in test_sentences(figures):
        typer.echo(sentence)
