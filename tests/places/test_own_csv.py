"""A user's own CSV: parents are built from names."""

import pytest

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer


def read(tmp_path, text):
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    return Gazetteer.read(path)


def test_three_columns_are_enough(tmp_path):
    gazetteer = read(tmp_path, "name,lat,lon\nmy hut,45.9,6.87\npier,-16.85,-179.97\nraft,0,-30\n")
    hut = gazetteer["row2"]
    assert (hut.name, hut.country_code, hut.parent_id, hut.population) == ("my hut", "FR", "FR", 0)
    assert gazetteer["row3"].country_code == "FJ"
    assert gazetteer["row4"].country_code  # mid-ocean: the nearest packaged city's
    assert len(gazetteer.level_rows("region")) == 0


def test_ids_of_row_numbers_fill_the_gaps(tmp_path):
    text = "place_id,name,lat,lon,country_code\na,A,1,2,FR\n\n,B,1,2,FR\n  ,C,1,2,FR\n"
    assert read(tmp_path, text).children("FR") == ["a", "row4", "row5"]


def test_regions_and_countries_are_found_by_name(tmp_path):
    gazetteer = read(
        tmp_path,
        "place_id,name,lat,lon,region,country,country_code,population\n"
        "a,Lyon,45.75,4.85,auvergne-rhone-alpes,France,,500000\n"
        "b,Hut,45.80,4.90,Auvergne-Rhône-Alpes,,fr,\n"
        "c,Windhoek,-22.56,17.08,Middle Land,namibia,,1\n"
        "d,Saint-Denis,-20.88,55.45,,Reunion,,1\n"
        "e,Leeds,53.8,-1.55,,UK,,1\n"
        "f,Brno,49.2,16.61,,,CZE,1\n",
    )
    assert gazetteer.parents_of("a") == gazetteer.parents_of("b") == ["FR.84", "FR"]
    assert gazetteer.parents_of("c") == ["NA.middle land", "NA"]
    assert gazetteer["NA.middle land"].name == "Middle Land"
    assert [gazetteer[place].country_code for place in "def"] == ["RE", "GB", "CZ"]
    assert gazetteer["FR.84"].population == 500000


def test_same_names_are_two_places(tmp_path):
    gazetteer = read(
        tmp_path, "name,lat,lon,country_code\nValencia,39.47,-0.37,ES\nValencia,10.16,-68.0,VE\n"
    )
    assert [place.country_code for place in gazetteer if place.name == "Valencia"] == ["ES", "VE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,lat\nA,1\n", "has no column lon"),
        ("name,lat,lon\n", "is empty: give it at least one row"),
        ("name,lat,lon\n,1,2\n", "row 2: the name is empty"),
        (
            "name,lat,lon,place_id\nA,1,2,x\nB,1,2,x\n",
            "row 3: place_id 'x' stands in row 2 already",
        ),
        ("name,lat,lon,country\nA,1,2,Atlantis\n", "row 2: country 'Atlantis' is no country"),
        ("name,lat,lon,country\nA,1,2,Congo\n", r"row 2: .*the right one: CD \(.*, CG \("),
        ("name,lat,lon,country\nA,1,2,England\n", "row 2: .* write GB"),
        ("name,lat,lon,country_code\nA,1,2,FRX\n", "row 2: country_code 'FRX' is no country"),
        ("name,lat,lon,country_code\nA,1,2,ZZ\n", "row 2: the country 'ZZ' is not in geoclip's"),
        ("name,lat,lon,country_code,place_id\nA,1,2,FR,FR\n", "row 2: place_id 'FR' is also"),
        ("name,lat,lon\nA,NaN,2\n", "row 2: lat 'NaN' is not a number"),
        ("name,lat,lon\nA,1,2,\n", "is not a well-formed CSV table"),
        ("name,lat,lon\nA,1,2,x,y\n", "is not a well-formed CSV table"),
        ("name,lat,lon,population\nA,1,2,1e30\n", "row 2: population 1e\\+30 is no count"),
    ],
)
def test_faults_are_named(tmp_path, text, message):
    with pytest.raises(GeoclipError, match=message):
        read(tmp_path, text)
