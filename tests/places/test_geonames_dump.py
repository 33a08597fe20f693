"""A GeoNames dump, as GeoNames offers it."""

import pytest
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geonames_dump import NO_ANSWERS, read_dump


def line(place_id, name, lat, lon, code, admin1, population, feature="P", kind="PPL"):
    cells = [place_id, name, name, "", lat, lon, feature, kind, code, "", admin1]
    return "\t".join(map(str, [*cells, "", "", "", population, "", "", "UTC", "2026-01-01"])) + "\n"


CITIES = [
    line(2996944, "Lyon", 45.74846, 4.84671, "FR", "84", 522250),
    line(3352136, 'Wind"hoek', -22.55941, 17.08323, "NA", "21", 268132),
    line(935264, "Saint-Denis", -20.88231, 55.4504, "RE", "RE", 137195),
    line(1, "Nowhere Peak", 45, 5, "FR", "84", 0, feature="T"),
    line(2, "No Region", 46, 5, "FR", "00", 700),
]
REGIONS = (
    "FR.84\tAuvergne-Rhône-Alpes\tAuvergne-Rhone-Alpes\t11071625\n"
    "NA.21\tKhomas\tKhomas\t1\n"
    "DE.02\tBavaria\tBavaria\t2\n"
)


@pytest.fixture
def dump(tmp_path):
    (tmp_path / "cities500.txt").write_text("".join(CITIES), encoding="utf-8")
    (tmp_path / "admin1CodesASCII.txt").write_text(REGIONS, encoding="utf-8")
    return tmp_path


def test_folder_and_file_read_alike(dump):
    gazetteer = Gazetteer.read(dump)
    assert gazetteer.fingerprint == Gazetteer.read(dump / "cities500.txt").fingerprint
    assert [len(gazetteer.level_rows(level)) for level in ("country", "region", "city")] == [
        3,
        2,
        4,
    ]
    assert gazetteer.parents_of("2996944") == ["FR.84", "FR"]
    assert gazetteer.parents_of("2") == ["FR"]
    assert gazetteer.parents_of("935264") == ["RE"]
    assert gazetteer["3352136"].name == 'Wind"hoek'
    assert gazetteer["NA.21"].population == 268132
    assert gazetteer["FR"].name == "France"


@pytest.mark.parametrize(
    ("row", "new", "message"),
    [
        (1, line(2996944, "Again", 1, 1, "FR", "84", 1), "row 2: .*'2996944' stands in row 1 al"),
        (1, line(9, "Far", 95, 1, "FR", "84", 1), "row 2: lat 95 is not between"),
        (2, "\n" + line(9, "Far", 95, 1, "FR", "84", 1), "row 4: lat 95"),
        (4, "2\tCut off\tCut", "row 5: the lat is empty: fill it in"),
        (2, "x\t" * 20 + "\n", "cannot be read .*: give the unpacked .txt file"),
        (0, "a\tb\n", "row 1 has 2 columns|cannot be read"),
    ],
)  # fmt: skip
def test_faults_name_the_line(dump, row, new, message):
    lines = CITIES.copy()
    lines[row] = new
    (dump / "cities500.txt").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(GeoclipError, match=message):
        Gazetteer.read(dump)


def test_missing_files(dump, tmp_path):
    (dump / "admin1CodesASCII.txt").unlink()
    with pytest.raises(GeoclipError, match=r"admin1CodesASCII\.txt does not exist: add it"):
        Gazetteer.read(dump)
    (dump / "cities500.txt").write_text("")
    with pytest.raises(GeoclipError, match=r"cities500\.txt is empty: give"):
        Gazetteer.read(dump)
    (dump / "cities500.txt").unlink()
    with pytest.raises(GeoclipError, match="the folder holds no gazetteer"):
        Gazetteer.read(dump)


ODD = [
    line(11, "Old Town", 45, 20, "YU", "1", 1),
    line(12, "No Land", 10, 20, "", "", 1),
    line(13, "Blank Land", 10, 21, " ", "", 1),
    line(14, "Antilles", 12.1, -68.9, "AN", "", 1),
    *(line(20 + i, kind, 45, 5, "FR", "84", 900, kind=kind) for i, kind in enumerate(NO_ANSWERS)),
]


@pytest.mark.parametrize("kept", [(), ("PPLX",), ("PPLH", "PPLW", "PPLQ")])
def test_places_of_no_country_and_of_other_times_are_left_out_and_counted(dump, caplog, kept):
    (dump / "cities500.txt").write_text("".join([*ODD[:3], *CITIES, *ODD[3:]]), encoding="utf-8")
    gazetteer = Gazetteer(*read_dump(dump, kept))
    names = set(gazetteer.names[gazetteer.level_rows("city")])
    assert names == {"Lyon", 'Wind"hoek', "Saint-Denis", "No Region", *kept}
    assert f"{8 - len(kept)} rows are left out" in caplog.text
    for told in ("2 of no country", "1 of a former country, YU", "1 of a former country, AN"):
        assert told in caplog.text
    assert ("1 abandoned" in caplog.text) == ("PPLQ" not in kept)


def test_a_dump_of_nothing_else_is_refused(dump):
    (dump / "cities500.txt").write_text("".join(ODD), encoding="utf-8")
    with pytest.raises(GeoclipError, match=r"cities500\.txt is empty"):
        Gazetteer.read(dump)


def test_the_command_writes_a_gazetteer_of_a_dump(dump, tmp_path):
    (dump / "cities500.txt").write_text("".join([*CITIES, *ODD]), encoding="utf-8")
    given = ["gazetteer", "build", str(dump), "--out"]
    result = CliRunner().invoke(app, [*given, str(tmp_path / "plain")])
    assert result.exit_code == 0, result.output
    assert "4 cities" in result.output
    assert Gazetteer.read(tmp_path / "plain").fingerprint == Gazetteer.read(dump).fingerprint
    more = [*given, str(tmp_path / "more"), "--keep", "PPLX", "--keep", "PPLW"]
    assert CliRunner().invoke(app, more).exit_code == 0
    assert {"PPLX", "PPLW"} <= set(Gazetteer.read(tmp_path / "more").names)
    with pytest.raises(GeoclipError, match="PPL is no code to keep: use PPLH"):
        read_dump(dump, ["PPL"])


def test_a_dump_without_any_named_region(dump):
    (dump / "admin1CodesASCII.txt").write_text("XX.1\tNowhere\tNowhere\t1\n")
    gazetteer = Gazetteer.read(dump)
    assert len(gazetteer.level_rows("region")) == 0
    assert gazetteer.parents_of("2996944") == ["FR"]
