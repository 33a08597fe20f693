"""Options that narrow the world, alone or together: countries, a box, a circle, polygons."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    from geoclip.locator import Locator

CountriesOption = Annotated[
    str | None,
    typer.Option(help="Only places in these countries or regions, by name or code: FR,England."),
]
BboxOption = Annotated[
    str | None, typer.Option(help="Only places in this box: WEST,SOUTH,EAST,NORTH in degrees.")
]
NearOption = Annotated[
    str | None,
    typer.Option(
        metavar="CITY[,KM]|LAT,LON,KM",
        help="Only places within 50 km (or another distance) of a city or point: 'Paris, FR, 20'.",
    ),
]
WithinOption = Annotated[
    Path | None,
    typer.Option(help="Only places in the polygons of a file: .geojson, .gpkg, .shp, .parquet."),
]


@dataclass(frozen=True)
class Narrowing:
    """The parsed options; GeoclipError for numbers in another form."""

    countries: str | None
    bbox: str | None
    near: str | None
    within: Path | None

    def __post_init__(self) -> None:
        _ = self._box, self._circle

    @property
    def _box(self) -> tuple[float, ...] | None:
        form = "WEST,SOUTH,EAST,NORTH"
        return None if self.bbox is None else _numbers(self.bbox, "--bbox", form)

    @property
    def _circle(self) -> tuple[float, ...] | str | None:
        if self.near is None or any(map(str.isalpha, self.near.partition(",")[0])):
            return self.near
        return _numbers(self.near, "--near", "LAT,LON,KM")

    def of(self, locator: "Locator") -> "Locator":
        """The locator for the narrowed world."""
        words = None if self.countries is None else self.countries.split(",")
        given = words, self._box, self._circle, self.within
        return locator.narrowed(*given) if any(given) else locator  # type: ignore[arg-type]


def _numbers(text: str, option: str, form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(form.split(",")):
        raise GeoclipError(f"{option} {text} is not of the form {form}: give numbers in degrees.")
    return numbers
