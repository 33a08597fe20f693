"""A review is read as exported, and only its content is written beside photos."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.errors import GeoclipError
from geoclip.guesses.reviewed import read_reviewed
from geoclip.guesses.xmp import NAME_PROPERTIES, NAMESPACE
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.gazetteer import Gazetteer

HEADER = "path,decision,level,place_id,country,country_code,region,city,lat,lon\n"
ROWS = (
    "a.jpg,accepted,city,2996944,France,FR,Auvergne,Lyon,45.75,4.85\n"
    '"b, c.jpg",corrected,country,AT,Austria,AT,,,,\n'
    "d.jpg,corrected,,,,,,,48.2082,16.3738\n"
)
SPACES = {
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "geoclip": NAMESPACE,
}


def reviewed(folder: Path, rows: str = ROWS) -> Path:
    (folder / "reviewed.csv").write_text(HEADER + rows, encoding="utf-8")
    return folder / "reviewed.csv"


def photos(folder: Path) -> None:
    for name in ("a.jpg", "b, c.jpg", "d.jpg", "rejected.jpg"):
        Image.new("RGB", (8, 8)).save(folder / name)


def sidecar(path: Path) -> dict[str, str]:
    found = dict(ET.fromstring(path.read_bytes())[0][0].attrib)
    short = {f"{{{uri}}}": f"{name}:" for name, uri in SPACES.items()}
    return {
        next((f"{s}{key[len(u) :]}" for u, s in short.items() if key.startswith(u)), key): value
        for key, value in found.items()
    }


def write(*words: object) -> Result:
    return CliRunner().invoke(app, ["sidecar", "write", *map(str, words)])


def test_rows_become_guesses(tmp_path: Path, world: Gazetteer) -> None:
    table = read_reviewed(reviewed(tmp_path), world)
    assert table["path"].tolist() == [str(tmp_path / n) for n in ("a.jpg", "b, c.jpg", "d.jpg")]
    assert set(table["source"]) == {"review"} and set(table["rank"]) == {1}
    assert table["country"].tolist() == ["France", "Austria", "Austria"]
    assert table["city"].tolist()[:2] == ["Lyon", ""] and "Vienna" in table["city"].iloc[2]
    assert table["lat"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("a.jpg,accepted,,,,,,,,\n", "row 2: neither a position nor a country"),
        ("a.jpg,accepted,,,France,FR,,,1,\n", "row 2: only one of lat and lon"),
        (",accepted,,,France,FR,,,,\n", "path is empty"),
        (2 * "a.jpg,accepted,,,France,FR,,,,\n", "stands in row 2 already"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: str, told: str) -> None:
    with pytest.raises(GeoclipError, match=told):
        read_reviewed(reviewed(tmp_path, rows))


def test_only_what_was_confirmed_is_written(tmp_path: Path) -> None:
    photos(tmp_path)
    result = write(reviewed(tmp_path))
    assert result.exit_code == 0, result.output
    assert (
        "3 sidecars written; 1 of them without a position: no position was given." in result.stderr
    )
    assert sorted(path.name for path in tmp_path.glob("*.xmp")) == [
        "a.jpg.xmp", "b, c.jpg.xmp", "d.jpg.xmp",
    ]  # fmt: skip
    first, second, third = (sidecar(path) for path in sorted(tmp_path.glob("*.xmp")))
    assert (first["photoshop:City"], first["photoshop:State"]) == ("Lyon", "Auvergne")
    assert first["exif:GPSLatitude"] == "45,45.000000N"
    assert (second["photoshop:Country"], second["Iptc4xmpCore:CountryCode"]) == ("Austria", "AT")
    assert "exif:GPSLatitude" not in second and "photoshop:City" not in second
    assert second["geoclip:NotWritten"] == "position: no position was given"
    assert third["photoshop:Country"] == "Austria" and "geoclip:NotWritten" not in third
    assert set(NAME_PROPERTIES.values()) <= set(first)
    assert first["geoclip:Source"] == "confirmed in geoclip review"
    undone = CliRunner().invoke(app, ["sidecar", "undo", str(tmp_path / "reviewed-sidecars.jsonl")])
    assert "Removed 3 sidecars." in undone.stdout
    assert not list(tmp_path.glob("*.xmp"))


def test_a_dry_run_and_a_sidecar_of_somebody_else(tmp_path: Path) -> None:
    photos(tmp_path)
    (tmp_path / "a.jpg.xmp").write_text("<x/>")
    result = write(reviewed(tmp_path), "--dry-run")
    assert result.exit_code == 3
    assert "a.jpg: there is a sidecar already" in result.stderr
    assert result.stdout.count("Would write") == 2
    assert [path.name for path in tmp_path.glob("*.xmp")] == ["a.jpg.xmp"]


def test_it_is_a_table_of_photos_of_known_place(tmp_path: Path) -> None:
    """The input of `geoclip calibrate --photos`."""
    photos(tmp_path)
    table = read_photo_table(reviewed(tmp_path))
    assert table["country_code"].tolist() == ["FR", "AT", ""]
    np.testing.assert_array_equal(table["lat"], [45.75, np.nan, 48.2082])
    assert table["source"].nunique() == 1  # their folder
