"""Places between cities: which cells they are, whose, and how many people they have."""

from pathlib import Path

import h3
import numpy as np
import pandas as pd
import pytest
from small_world import CITIES, COUNTRIES, REGIONS, place_table
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.places import hexagons
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.gazetteer_writing import write_places
from geoclip.places.hexagons import CellSettings, with_cells
from geoclip.places.sphere import great_circle_km

FINE = CellSettings(6, density=3000.0, least_km=8.0)


@pytest.fixture(scope="module")
def cities() -> Gazetteer:
    """The small gazetteer without the territory whose sovereign is missing: no file may have it."""
    return Gazetteer(place_table(COUNTRIES[:-1], REGIONS, CITIES))


@pytest.fixture(scope="module")
def finer(cities: Gazetteer) -> Gazetteer:
    return with_cells(cities, FINE)


def cells_of(gazetteer: Gazetteer) -> np.ndarray:
    """The rows of cells: in this world cities have words as ids."""
    return np.array([row for row, name in enumerate(gazetteer.ids) if h3.is_valid_cell(name)])


def by_grid(gazetteer: Gazetteer, settings: CellSettings) -> set[str]:
    """Cells met on a grid of points, closer than cells are wide, whose centre is in a disc."""
    found = set()
    for row in gazetteer.level_rows("city"):
        lat, lon, people = gazetteer.lat[row], gazetteer.lon[row], int(gazetteer.population[row])
        radius = max((people / settings.density / 3.141592653589793) ** 0.5, settings.least_km)
        degrees = (radius + 10) / 111
        for a in np.arange(lat - degrees, lat + degrees, 0.015):
            for o in np.arange(-1, 1, 0.015) * degrees / np.cos(np.radians(lat)) + lon:
                cell = h3.latlng_to_cell(a, o, settings.resolution)
                if great_circle_km(lat, lon, *h3.cell_to_latlng(cell)) <= radius:
                    found.add(cell)
    own = (place for place in gazetteer if place.level == "city")
    return found - {h3.latlng_to_cell(city.lat, city.lon, settings.resolution) for city in own}


def test_cells_are_those_in_which_people_live(cities: Gazetteer, finer: Gazetteer) -> None:
    rows = cells_of(finer)
    assert set(finer.ids[rows]) == by_grid(cities, FINE)
    centres = np.array([h3.cell_to_latlng(cell) for cell in finer.ids[rows]])
    np.testing.assert_allclose(np.c_[finer.lat[rows], finer.lon[rows]], centres)
    assert len(finer) - len(rows) == len(cities)


def test_a_cell_has_name_and_parents_of_its_nearest_city(
    cities: Gazetteer, finer: Gazetteer
) -> None:
    every = [place for place in cities if place.level == "city"]
    for row in cells_of(finer):
        lat, lon = finer.lat[row], finer.lon[row]
        km = [great_circle_km(lat, lon, city.lat, city.lon) for city in every]
        city = every[int(np.argmin(km))]
        assert finer.place(row).name == city.name
        assert finer.parents_of(finer.ids[row]) == cities.parents_of(city.place_id)
        assert finer.country_codes[row] == city.country_code
        assert finer.place(row).level == "city"


def test_people_are_shared_out_and_a_city_stays_its_largest_place(
    cities: Gazetteer, finer: Gazetteer
) -> None:
    assert finer.population[finer.level_rows("city")].sum() == cities.population.sum()
    cells = cells_of(finer)
    city, _ = cities.nearest(finer.lat[cells], finer.lon[cells])
    for name in set(city):
        own = finer.population[cells[city == name]]
        left, before = finer[name].population, cities[name].population
        assert left + own.sum() == before and left >= before / 2
        assert len(set(own)) == 1 and own[0] <= left


def test_cells_at_sea_are_left_out(cities: Gazetteer, finer: Gazetteer) -> None:
    north = with_cells(cities, FINE, lambda lat, lon: lat > 48)
    rows = cells_of(finer)
    assert set(north.ids[cells_of(north)]) == set(finer.ids[rows[finer.lat[rows] > 48]])
    none = with_cells(cities, FINE, lambda lat, lon: lat > 90)
    assert none.fingerprint == cities.fingerprint


def test_a_gazetteer_is_written_and_read(finer: Gazetteer, tmp_path: Path) -> None:
    names = pd.DataFrame({"place_id": ["lyon"], "name": ["Lugdunum"]})
    places = hexagons.places_table(finer)
    write_places(Gazetteer(places, names), tmp_path / "new" / "g")
    read = Gazetteer.read(tmp_path / "new" / "g")
    pd.testing.assert_frame_equal(hexagons.places_table(read), places)
    assert read.fingerprint == finer.fingerprint
    assert read.alternate_names().to_numpy().tolist() == [["lyon", "Lugdunum"]]
    with pytest.raises(GeoclipError, match="is there already"):
        write_places(finer, tmp_path / "new" / "g")
    (tmp_path / "file").touch()
    with pytest.raises(GeoclipError, match="cannot be written"):
        write_places(finer, tmp_path / "file" / "g")


def test_settings_that_are_none_are_refused(cities: Gazetteer, monkeypatch) -> None:
    for settings in ({"resolution": 16}, {"density": 0.0}, {"least_km": -1.0}):
        with pytest.raises(GeoclipError, match=next(iter(settings))):
            CellSettings(**settings)
    monkeypatch.setattr(hexagons, "find_spec", lambda _: None)
    with pytest.raises(GeoclipError, match=r"geoclip-gzsl\[cells\]"):
        with_cells(cities)


def test_the_command_writes_a_gazetteer_and_says_what_it_allows(
    cities: Gazetteer, tmp_path: Path
) -> None:
    write_places(cities, tmp_path / "cities")
    cell = h3.grid_disk(h3.latlng_to_cell(45.75, 4.85, 6), 1)[-1]
    lat, lon = h3.cell_to_latlng(cell)  # a few km from Lyon
    (tmp_path / "t.csv").write_text(f"path,lat,lon\na.jpg,{lat},{lon}\nb.jpg,0,0\n")
    words = ["gazetteer", "cells", "--out", "cells", "--gazetteer", "cities", "--truth", "t.csv"]
    words = [str(tmp_path / word) if i % 2 and i > 2 else word for i, word in enumerate(words)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert cell in Gazetteer.read(tmp_path / "cells")
    rows = [line.split("│") for line in result.stdout.splitlines() if "│" in line]
    within = {row[1].strip(): [cell.strip() for cell in row[2:5]] for row in rows}
    assert within["cities"] == ["0.0 %", "50.0 %", "50.0 %"]
    assert within["with cells"] == ["50.0 %", "50.0 %", "50.0 %"]
