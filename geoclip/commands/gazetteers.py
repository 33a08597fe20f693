"""`geoclip gazetteer`: gazetteers for `--gazetteer` of other commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.commands.options import GazetteerOption
from geoclip.commands.terminal import print_table

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.places.gazetteer import Gazetteer

KM = ("1", "25", "200")

gazetteer_app = typer.Typer(help="Lists of places (gazetteers) for guesses.", no_args_is_help=True)


@gazetteer_app.callback()
def gazetteers() -> None:
    """Lists of places (gazetteers) for guesses."""


@gazetteer_app.command()
def build(
    source: Annotated[
        Path, typer.Argument(help="A GeoNames dump (folder or .txt file) or a CSV of places.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="New folder, for --gazetteer of other commands.")],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Take in places of a dump that are left out else: PPLX (sections of cities), PPLH "
            "(historic), PPLQ (abandoned), PPLW (destroyed). May be repeated."
        ),
    ] = None,
) -> None:
    """Write a gazetteer (a list of places) of a dump of geonames.org or of a table of places.

    Rows of a dump of no country of today are left out and counted.
    """
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415 - pandas is slow to import
    from geoclip.places.gazetteer_files import read_places  # noqa: PLC0415
    from geoclip.places.gazetteer_writing import write_places  # noqa: PLC0415

    gazetteer = Gazetteer(*read_places(source, keep or ()))
    write_places(gazetteer, out)
    typer.echo(f"{len(gazetteer.level_rows('city')):,} cities in {out}.")


@gazetteer_app.command()
def cells(
    *,
    out: Annotated[Path, typer.Option(help="New folder, for --gazetteer of other commands.")],
    gazetteer: GazetteerOption = None,
    resolution: Annotated[
        int, typer.Option(help="Of H3: cells are 20 km wide at 5, 7 km at 6, 3 km at 7.")
    ] = 6,
    density: Annotated[
        float, typer.Option(help="People a km²; fewer make larger discs of cells about cities.")
    ] = 1000.0,
    least_km: Annotated[float, typer.Option(help="Radius of the smallest discs.")] = 5.0,
    truth: Annotated[
        Path | None,
        typer.Option(help="CSV file with path,lat,lon: say what cities and cells allow at best."),
    ] = None,
) -> None:
    """Write a gazetteer (list of places) with cells of H3 beside the cities, where people live.

    A cell is a hexagon, named by its nearest city. Points can then lie between cities; a city's
    probability is shared out among its cells. Needs the library h3: pip install
    'geoclip-gzsl[cells]'.
    """
    from geoclip.evaluation.truth_tables import read_truth  # noqa: PLC0415 - pandas is slow to import
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
    from geoclip.places.gazetteer_writing import write_places  # noqa: PLC0415
    from geoclip.places.hexagons import CellSettings, with_cells  # noqa: PLC0415
    from geoclip.places.outlines import Outlines  # noqa: PLC0415

    settings = CellSettings(resolution, density, least_km)
    known = None if truth is None else read_truth(truth)
    cities, outlines = Gazetteer.read(gazetteer), Outlines.default()
    finer = with_cells(cities, settings, lambda lat, lon: outlines.country_of(lat, lon) != "")
    write_places(finer, out)
    added = len(finer) - len(cities)
    typer.echo(f"{added:,} cells beside {len(cities.level_rows('city')):,} cities in {out}.")
    if known is not None:
        _print_oracle(known["lat"], known["lon"], {"cities": cities, "with cells": finer})


def _print_oracle(lat: "pd.Series", lon: "pd.Series", gazetteers: "dict[str, Gazetteer]") -> None:
    from geoclip.evaluation.oracle import oracle  # noqa: PLC0415

    figures = {name: oracle(lat, lon, gazetteer) for name, gazetteer in gazetteers.items()}
    columns = ["nearest place", *(f"within {km} km" for km in KM), "median km"]
    rows = [
        [name, *(f"{own['within_km'][km]:.1f} %" for km in KM), f"{own['median_km']:.1f}"]
        for name, own in figures.items()
    ]
    print_table(columns, rows, right=columns[1:], title=f"{len(lat):,} photos at best")
