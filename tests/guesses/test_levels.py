"""The table at levels: the rows match the model's answers, and old tables are still read."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import FakeEncoder
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.evaluation.matching import evaluate_tables
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.maps import write_map
from geoclip.guesses.phrases import guess_phrase
from geoclip.guesses.settings import LocateSettings
from geoclip.guesses.sidecars import write_sidecars
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.place import CONTINENTS
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.place_index import PlaceIndex

LEVELS = ["continent", "country", "region", "city"]
OLD = (
    "path,rank,source,place_id,city,region,country,country_code,lat,lon,place_lat,place_lon,"
    "probability,radius_km,status\n"
    "a.jpg,1,model,2996944,Lyon,,France,FR,45.75,4.85,45.75,4.85,0.25,120,ok\n"
    "a.jpg,2,model,FR,,,France,FR,46,2,46,2,0.2,,ok\n"
    "b.jpg,1,,,,,,,,,,,,,truncated\n"
)


def settings(**given: object) -> LocateSettings:
    return LocateSettings(gps="ignore", abstention=AbstentionSettings("off"), **given)  # type: ignore[arg-type]


@pytest.fixture
def locator(fake_encoder: FakeEncoder, small_gazetteer: Gazetteer) -> Locator:
    return Locator(fake_encoder, PlaceIndex.build(fake_encoder, small_gazetteer), small_gazetteer)


def consistent(table: pd.DataFrame, gazetteer: Gazetteer) -> None:
    """No row of the model's table contradicts itself or another row of its photo."""
    for _, rows in table.groupby("path", sort=False):
        assert rows["level"].nunique() == 1
        level = rows["level"].iloc[0]
        depth = max(LEVELS.index(level) if level != "none" else 0, 0)
        below = LEVELS[depth + 1 :]
        assert (rows[below] == "").all(axis=None)
        assert rows[[f"{name}_probability" for name in below]].isna().all(axis=None)
        above = rows[[f"{name}_probability" for name in LEVELS[: depth + 1]]]
        known = above.apply(lambda row: (np.diff(row.dropna()) <= 0).all(), axis=1)
        assert known.all()
        own = rows[f"{LEVELS[depth]}_probability"]
        assert own.is_monotonic_decreasing and (own > 0).all()
        if level == "none":
            assert rows["probability"].isna().all() and (rows["place_id"] == "").all()
        else:
            assert (rows["probability"] == own).all() and (rows["place_id"] != "").all()
        first = rows.iloc[0]
        nearest = gazetteer.level_rows("city")
        km = great_circle_km(
            first["lat"], first["lon"], gazetteer.lat[nearest], gazetteer.lon[nearest]
        )
        chain = gazetteer.ancestors[nearest[km.argmin()]]
        assert km.min() < 1e-3
        for name, row in zip(LEVELS[1:], chain, strict=True):
            assert first[name] in ("", gazetteer.names[row])
        if level != "none":
            code = gazetteer.continents[chain[0]]
            assert first["continent"] == CONTINENTS[code]


@pytest.mark.parametrize("confidence", [0.0, 0.2, 0.5, 0.9])
def test_rows_of_a_small_world(
    locator: Locator, small_gazetteer: Gazetteer, confidence: float
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    table = locator.locate(list(pixels), settings(confidence=confidence), top_k=4)
    consistent(table, small_gazetteer)
    first = table[table["rank"] == 1]
    assert (first["probability"].dropna() >= confidence).all()
    assert confidence or set(first["level"]) == {"city"}
    assert confidence < 0.9 or {"none"} < set(first["level"])


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_can_be_fixed(locator: Locator, small_gazetteer: Gazetteer, level: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (30, 8, 8, 3), dtype=np.uint8)
    table = locator.locate(list(pixels), settings(level=level), top_k=3)
    consistent(table, small_gazetteer)
    assert set(table["level"]) == ({"region", "country"} if level == "region" else {level})
    if level == "continent":
        assert set(table["place_id"]) == {"AF", "AS", "EU"}


def test_street_tiny_names_the_most_probable_country(shared_data: Path) -> None:
    """Whatever the row names, its country is the most probable one."""
    locator = Locator.from_pretrained("street-tiny", device="cpu")
    photos = sorted((shared_data / "exif_photos").glob("*.jpg"))
    embeddings = locator.embed(photos)
    best = locator.ranker.rank(embeddings.values).countries[:, 0]
    names = locator.gazetteer.names[locator.ranker.hierarchy.countries[best]]
    for confidence in (0.05, 0.1, 0.5):
        table = locator.locate(photos, settings(confidence=confidence))
        consistent(table, locator.gazetteer)
        first = table[table["rank"] == 1]
        # Below 0.5 the likeliest city may lie in another country than the likeliest one.
        levels = ["country"] if confidence < 0.5 else ["country", "region", "city"]
        deep = first["level"].isin(levels).to_numpy()
        assert confidence == 0.5 or deep.any()
        assert (first["country"].to_numpy()[deep] == names[deep]).all()
        assert (table["radius_90_km"].dropna() >= table["radius_km"].dropna()).all()
        assert first["radius_90_km"].notna().any()


def test_old_tables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text(OLD)
    table = read_guesses(path)
    assert table["level"].tolist() == ["city", "country", ""]
    assert table["city_probability"].isna().all() and table["radius_90_km"].isna().all()
    assert guess_phrase(table.iloc[0]) == "Lyon, France 25 %, half the time within 120 km"
    truth = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "lat": [45.75, 1.0], "lon": [4.85, 1.0]})
    old = pd.read_csv(path, keep_default_na=False, na_values={"lat": [""], "lon": [""]})
    assert evaluate_tables(table, truth).km.tolist() == [0.0, np.inf]
    assert evaluate_tables(old.dropna(subset="lat"), truth).km.tolist() == [0.0, np.inf]


def test_old_tables_make_maps_sidecars_and_reports(tmp_path: Path) -> None:
    """Everything that reads a table reads one without the columns of levels."""
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    path, truth = tmp_path / "old.csv", tmp_path / "t.csv"
    path.write_text(OLD.replace("a.jpg", f"{tmp_path}/a.jpg").replace("b.jpg", f"{tmp_path}/b.jpg"))
    truth.write_text("path,lat,lon\na.jpg,45.75,4.85\nb.jpg,1,1\n")
    table = read_guesses(path)

    write_map(table, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "Lyon, France 25 %, half the time within 120 km" in page

    report = write_sidecars(table, tmp_path / "journal.jsonl")
    assert report.written == [tmp_path / "a.jpg.xmp"]
    assert "Lyon, France 25 %" in (tmp_path / "a.jpg.xmp").read_text(encoding="utf-8")

    command = ["evaluate", path, "--truth", truth, "--json", "--report", tmp_path / "r.html"]
    told = CliRunner().invoke(app, [str(word) for word in command])
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert (figures["answered"], figures["missing"], figures["within_km"]["1"]) == (1, 1, 50)
    assert figures["levels"]["city"]["answered"] == figures["country_right"] == 50
    assert (figures["within_radius"], "within_radius_90" in figures) == (100, False)
    assert figures["calibration"]["probability"]["stated"] == 25
    assert "Radii" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"country": "Austria", "probability": 0.62, "radius_km": 480.2},
            "Austria 62 %, half the time within 480 km",
        ),
        ({"level": "continent", "continent": "Europe", "probability": 0.912}, "Europe 91 %"),
        ({"level": "none"}, "cannot tell"),
        (
            {"level": "none", "rank": 2, "continent": "Asia", "continent_probability": 0.04},
            "Asia 4.0 %",
        ),
        (
            {"city": "Lyon", "country": "France", "probability": 1.0, "source": "gps"},
            "Lyon, France",
        ),
        ({"level": "none", "source": "gps"}, ""),
        (
            {"city": "A", "probability": 1e-5, "radius_km": 3.14},
            "A < 0.1 %, half the time within 3.1 km",
        ),
        ({"city": "A", "probability": 0.9991}, "A > 99 %"),
        ({"city": "A", "probability": 1.0}, "A 100 %"),
    ],
)
def test_a_guess_in_words(row: dict[str, object], told: str) -> None:
    assert guess_phrase(row) == told
