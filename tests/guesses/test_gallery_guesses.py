"""Photos located with a gallery: points between cities, and no photo answers itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from geopandas.testing import assert_geodataframe_equal
from PIL import Image
from small_world import WIDTH, FakeEncoder

from geoclip.errors import GeoclipError
from geoclip.guesses.gps_comparison import NOTE_COLUMNS
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.schema import COLUMNS, GALLERY_COLUMNS
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.keys import photo_key, tower_key
from geoclip.photos.metadata import GpsFix, PhotoMetadata
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout
from geoclip.ranking.gallery_weights import GallerySettings, GalleryWeights
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import RankingSettings
from geoclip.ranking.travel import TripSettings
from geoclip.runs.locate_folder import locate_folder

BETWEEN = (45.8, 4.95)
"""9 km from Lyon, 16 km from the nearby Saint-Denis."""
LOUD = GallerySettings(GalleryWeights(-4, 12, 0, 1), Calibration(50))
PLAIN = LocateSettings(abstention=AbstentionSettings("off"))
START = datetime(2020, 5, 1, 12)


@pytest.fixture
def locator(fake_encoder: FakeEncoder, small_gazetteer: Gazetteer) -> Locator:
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    return Locator(fake_encoder, index, small_gazetteer, RankingSettings(gallery=LOUD))


def paint(path: Path, green: int) -> Path:
    Image.new("RGB", (8, 8), (7, green, 1)).save(path)
    return path


def like(value: np.ndarray, seed: int, noise: float = 0.05) -> np.ndarray:
    other = value + noise * np.random.default_rng(seed).normal(size=WIDTH)
    return np.asarray(other / np.linalg.norm(other))


def add(gallery: Gallery, values: list[np.ndarray], points: list[tuple[float, float]], name: str):
    lat, lon = zip(*points, strict=True)
    ids = [f"{name}{i}" for i in range(len(values))] if len(values) > 1 else [name]
    gallery.add(np.stack(values), pd.DataFrame({"photo_id": ids, "lat": lat, "lon": lon}))


@pytest.fixture
def gallery(locator: Locator, tmp_path: Path) -> Gallery:
    """Forty random photos in Hong Kong and Amsterdam."""
    about = GalleryAbout(tower_key(locator.encoder), "fake", WIDTH)
    made = Gallery.create(tmp_path / "gallery", about)
    chance = np.random.default_rng(5).normal(size=(40, WIDTH))
    values = [*(chance / np.linalg.norm(chance, axis=1, keepdims=True))]
    add(made, values, [(22.3, 114.2), (52.4, 4.9)] * 20, "far")
    return made


def asked(locator: Locator, photo: object, gallery: Gallery, **settings: object) -> pd.DataFrame:
    return locator.locate(photo, replace(PLAIN, gallery=gallery.folder, **settings))


def test_the_point_lies_between_cities(locator: Locator, gallery: Gallery, tmp_path: Path) -> None:
    photo = paint(tmp_path / "a.png", 1)
    value = locator.embed(photo).values[0]
    add(gallery, [like(value, 1)], [BETWEEN], "scene")
    table = asked(locator, photo, gallery)
    assert table.columns.tolist() == [*COLUMNS, *NOTE_COLUMNS, *GALLERY_COLUMNS, "geometry"]
    first = table.iloc[0]
    texts = ("source", "level", "place_id", "city", "evidence_photos", "gallery_note")
    assert first[[*texts]].tolist() == [*("gallery", "spot", "lyon", "Lyon", "scene", "same scene")]
    assert (first["lat"], first["lon"], first["place_lat"], first["place_lon"]) == BETWEEN * 2
    assert 0.5 <= first["probability"] <= first["city_probability"] <= 1
    assert 0 < first["radius_km"] <= first["radius_90_km"]
    others = table[table["rank"] > 1]
    assert (others["level"] == "spot").all() and (others["evidence_photos"] == "").all()
    assert (others["probability"].diff().dropna() <= 0).all()
    city = asked(locator, photo, gallery, level="city").iloc[0]
    assert (city["source"], city["level"], city["place_id"]) == ("gallery", "city", "lyon")
    assert (city["lat"], city["lon"]) == BETWEEN
    assert (city["place_lat"], city["place_lon"]) == (45.75, 4.85)


def test_no_photo_answers_itself_or_its_copy(
    locator: Locator, gallery: Gallery, tmp_path: Path
) -> None:
    photo = paint(tmp_path / "a.png", 1)
    value = locator.embed(photo).values[0]
    add(gallery, [like(value, 1)], [BETWEEN], photo_key(photo).hex())  # itself, embedded otherwise
    add(gallery, [value], [BETWEEN], "copy")
    assert not asked(locator, photo, gallery)["evidence_photos"].str.contains("copy").any()
    assert (asked(locator, photo, gallery)["lat"] != BETWEEN[0]).all()
    # A picture in memory has no id: its looks find it.
    in_memory = asked(locator, np.asarray(Image.open(photo)), gallery)
    assert in_memory["evidence_photos"][0] == photo_key(photo).hex()


def test_views_do_not_answer_the_mean_they_are_part_of(
    locator: Locator, gallery: Gallery, tmp_path: Path
) -> None:
    views = [paint(tmp_path / f"{i}.png", i) for i in (1, 2)]
    for i, view in enumerate(locator.embed(views).values):
        add(gallery, [like(view, i)], [BETWEEN], photo_key(views[i]).hex())
    settings = replace(PLAIN, gallery=gallery.folder)
    for ids in (["x", "x"], ["x", "y"]):
        table = locator.locate(views, settings, location_ids=ids)
        assert (table["lat"] != BETWEEN[0]).all()


def test_without_a_gallery_nothing_changes(
    locator: Locator, tmp_path: Path, small_gazetteer: Gazetteer
) -> None:
    photos = [paint(tmp_path / f"{i}.png", i) for i in range(5)]
    without = Locator(locator.encoder, locator.index, small_gazetteer, RankingSettings())
    written = []
    for i, one in enumerate((locator, without)):
        out = tmp_path / f"{i}.csv"
        locate_folder(photos, one, PLAIN, out)
        written.append(out.read_bytes())
    assert written[0] == written[1] and len(written[0].splitlines()) == 26


def test_own_photos_are_a_gallery(
    locator: Locator, tmp_path: Path, metadata_of: dict[str, PhotoMetadata]
) -> None:
    """Three of five photos of one scene state their position; two of them are one picture.

    A gallery of three photos says little of itself, so its weight is large.
    """
    loud = RankingSettings(gallery=replace(LOUD, weights=GalleryWeights(8, 12, 0, 1)))
    locator = Locator(locator.encoder, locator.index, locator.gazetteer, loud)
    scene, pixels = locator.embed(paint(tmp_path / "a.png", 1)).values[0], {}
    for i, name in enumerate(("a", "b", "c", "d", "e")):
        paint(tmp_path / f"{name}.png", i + 1)
        pixels[i + 1] = like(scene, max(i, 1))  # a and b: copies
    locator.encoder._picture_vector = lambda picture: pixels[int(picture[1, 0, 0])]
    for name, lat in (("a", 45.8), ("b", 52.4), ("c", 45.81)):
        metadata_of[f"{name}.png"] = PhotoMetadata(GpsFix(lat, 4.95, True, ""), None, "")
    photos = [tmp_path / f"{name}.png" for name in "abcde"]
    settings = replace(PLAIN, gallery="self", top_k=1)
    out = tmp_path / "out.csv"
    report = locate_folder(photos, locator, settings, out)
    assert (report.kept, report.by_gallery) == (3, 2)
    table = pd.read_csv(out, keep_default_na=False).set_index(pd.Index(list("abcde"), name="photo"))
    assert table["source"].tolist() == ["gps"] * 3 + ["gallery"] * 2
    named = {Path(name).stem for name in table.loc["d", "evidence_photos"].split("|")}
    assert named and named <= {"a", "b", "c"}
    assert read_guesses(out)["source"].tolist() == table["source"].tolist()
    # A photo of known position does not answer itself, nor a copy of it.
    locate_folder(photos, locator, replace(settings, gps="ignore"), out)
    table = pd.read_csv(out, keep_default_na=False)
    for own, row in zip("abcde", table.to_dict("records"), strict=True):
        named = {Path(name).stem for name in row["evidence_photos"].split("|")}
        assert not named & ({"a", "b"} if own in "ab" else {own})
    same = locator.locate(photos, replace(settings, gps="ignore"))
    assert same["evidence_photos"].tolist() == table["evidence_photos"].tolist()


def test_photos_that_were_not_looked_at_before_are(
    locator: Locator, tmp_path: Path, metadata_of: dict[str, PhotoMetadata]
) -> None:
    """Without a gallery, photos of known position are not decoded."""
    photos = [paint(tmp_path / f"{i}.png", i) for i in range(3)]
    metadata_of["0.png"] = PhotoMetadata(GpsFix(45.8, 4.95, True, ""), None, "")
    kept = tmp_path / "kept"
    locate_folder(photos, locator, PLAIN, keep_embeddings=kept)
    asked = replace(PLAIN, gallery="self", confidence=0.0)
    report = locate_folder(photos, locator, asked, keep_embeddings=kept)
    found = report.guesses()
    assert found.loc[found["rank"] == 1, "evidence_photos"].tolist() == [
        *("", str(photos[0]), str(photos[0]))
    ]
    assert report.kept == 1


def test_a_folder_without_positions_has_no_gallery(
    locator: Locator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = [paint(tmp_path / f"{i}.png", i) for i in range(3)]
    table = locator.locate(photos, replace(PLAIN, gallery="self"))
    assert "no gallery" in caplog.text
    without = locator.locate(photos, PLAIN)
    assert (table["evidence_photos"] == "").all()
    assert_geodataframe_equal(table.drop(columns=[*GALLERY_COLUMNS]), without)


def test_an_album_knows_the_gallery_and_leaves_its_spots(
    locator: Locator,
    gallery: Gallery,
    tmp_path: Path,
    metadata_of: dict[str, PhotoMetadata],
) -> None:
    photos = [paint(tmp_path / f"{i}.png", i) for i in range(4)]
    for i, photo in enumerate(photos):
        metadata_of[photo.name] = PhotoMetadata(None, START + timedelta(minutes=5 * i), "")
    values = locator.embed(photos).values
    for i in (0, 1, 3):
        add(gallery, [like(values[i], i)], [BETWEEN], f"scene {i}")
    table = asked(locator, photos, gallery, top_k=1, trip=TripSettings())
    assert table["source"].tolist() == ["gallery", "gallery", "album", "gallery"]
    assert table["place_id"].isin(["lyon", "denis2"]).all()  # the third by its neighbours
    alone = asked(locator, photos, gallery, top_k=1)
    assert alone["country_code"][2] != "FR" or alone["source"][2] == "model"


def test_a_gallery_that_is_none_is_refused(
    locator: Locator, gallery: Gallery, tmp_path: Path, small_gazetteer: Gazetteer
) -> None:
    photo = paint(tmp_path / "a.png", 1)

    def refusal(one: Locator, folder: Path) -> str:
        with pytest.raises(GeoclipError) as error:
            one.locate(photo, replace(PLAIN, gallery=folder))
        return str(error.value)

    assert "is no gallery" in refusal(locator, tmp_path / "nowhere")
    other = Locator(FakeEncoder(salt="other"), locator.index, small_gazetteer, locator.settings)
    assert "another encoder" in refusal(other, gallery.folder)
    unweighed = Locator(locator.encoder, locator.index, small_gazetteer, RankingSettings())
    assert "geoclip calibrate" in refusal(unweighed, gallery.folder)
    (gallery.folder / "00000000.npy").write_bytes(b"damaged")
    assert "damaged" in refusal(locator, gallery.folder)
    empty = Gallery.create(tmp_path / "empty", gallery.about)
    assert "no photo" in refusal(locator, empty.folder)


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(GeoclipError, match="gallery goes with the point 'place'"):
        replace(LocateSettings.model_alone(), gallery="self")


def test_a_narrowed_world_has_no_spot_outside(
    locator: Locator, gallery: Gallery, tmp_path: Path
) -> None:
    photo = paint(tmp_path / "a.png", 1)
    add(gallery, [like(locator.embed(photo).values[0], 1)], [BETWEEN], "scene")
    narrow: Callable[..., Locator] = locator.narrowed
    assert asked(narrow(["FR"]), photo, gallery)["level"][0] == "spot"
    table = asked(narrow(["NL"]), photo, gallery)
    assert (table["country_code"] == "NL").all() and (table["lat"] != BETWEEN[0]).all()
