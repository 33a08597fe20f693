"""A gallery of shards in `locate_photos`, against the same gallery in one folder without Ray."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from inference import read_rows, write_model, write_photos, write_world

from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.guesses.schema import COLUMNS, GALLERY_COLUMNS
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.keys import tower_key
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout
from geoclip.ranking.gallery_weights import GallerySettings, GalleryWeights
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import UNCALIBRATED
from geoclip.runs.build_gallery import gallery_id
from geoclip.runs.locate_folder import locate_folder
from pipelines.gallery_shards import GalleryShards
from pipelines.inputs import photo_parts
from pipelines.locate_photos import locate_into, locate_to_file
from pipelines.photo_actors import Pool
from pipelines.photo_locator import LocatorSpec

COUNT = 40
SHARDS = (9, 0, 14, 1)
"""How many of the photos each shard holds, the first ones in order."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of which more than half are in a gallery, whole and in shards; one is no photo."""
    home = tmp_path_factory.mktemp("gallery")
    photos = write_photos(home / "photos", COUNT)
    photos[-1].write_text("no photo")
    write_model(home / "model")
    world = Gazetteer.read(write_world(home / "world.csv"))
    encoder = load_encoder(home / "model")
    locator = Locator(encoder, PlaceIndex.build(encoder, world), world)
    locator.index.save(home / "places")
    number = sum(SHARDS)
    values = locator.embed(photos[:number]).values
    cities = np.resize(world.level_rows("city"), number)
    table = pd.DataFrame(
        {
            "photo_id": [gallery_id(str(photo)) for photo in photos[:number]],
            "lat": world.lat[cities] + np.linspace(-0.2, 0.2, number),
            "lon": world.lon[cities],
            "path": [f"kept/{photo.name}" for photo in photos[:number]],
        }
    )
    about = GalleryAbout(tower_key(encoder), "model", values.shape[1])
    Gallery.create(home / "whole", about).add(values, table)
    starts = np.cumsum([0, *SHARDS])
    for i, start in enumerate(starts[:-1]):
        own = slice(start, starts[i + 1])
        Gallery.create(home / "shards" / str(i), about).add(values[own], table[own])
    return home


def spec_of(home: Path, *galleries: str) -> LocatorSpec:
    given = str(home / "model"), home / "places", home / "world.csv"
    settings = replace(UNCALIBRATED, gallery=GallerySettings(GalleryWeights(offset=1.0)))
    names = [str(home / name) for name in galleries]
    return LocatorSpec.of(*given, settings, top_k=3, galleries=names)


@pytest.fixture(scope="module")
def wanted(home: Path) -> pd.DataFrame:
    """What `geoclip locate` says with the whole gallery."""
    world = Gazetteer.read(home / "world.csv")
    encoder = load_encoder(home / "model")
    spec = spec_of(home)
    locator = Locator(encoder, PlaceIndex.read(home / "places"), world, spec.settings)
    off = AbstentionSettings("off")
    settings = LocateSettings(3, "ignore", off, gallery=home / "whole")
    table = locate_folder(home / "photos", locator, settings).table
    return table.sort_values(["path", "rank"], ignore_index=True)


def assert_as_wanted(table: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Embeddings are kept in float16, and may differ by a step of it with the batch."""
    table = table.sort_values(["path", "rank"], ignore_index=True)
    columns = [*COLUMNS, *GALLERY_COLUMNS]
    pd.testing.assert_frame_equal(
        table[columns], wanted[columns], check_exact=False, rtol=1e-2, atol=1e-3
    )


def test_shards_have_the_say_of_a_whole_gallery(
    home: Path,
    wanted: pd.DataFrame,
    ray_on_two_cpus: None,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    parts = photo_parts([home / "photos"], 1)
    output = locate_into(str(tmp_path / "out"), parts, spec_of(home, "shards"), Pool(2))
    assert (wanted["source"] == "gallery").sum() > 3
    assert_as_wanted(read_rows(tmp_path / "out"), wanted)
    assert "1 could not be read" in output.summary()
    assert not re.search(r"^\[[^]]* E \d+ \d+\]", capfd.readouterr().err, re.M)  # by Ray's core
    with pytest.raises(GeoclipError, match="was begun with another gallery"):
        locate_into(str(tmp_path / "out"), parts, spec_of(home, "whole"), Pool(1))


def test_what_does_not_go_with_a_gallery_is_refused(
    home: Path, ray_on_two_cpus: None, tmp_path: Path
) -> None:
    parts = photo_parts([home / "photos"], 1)
    about = GalleryAbout("another", "other-model", 8)
    Gallery.create(tmp_path / "other", about).add(
        np.eye(8, dtype=np.float32)[:1], pd.DataFrame({"photo_id": ["x"], "lat": [0], "lon": [0]})
    )
    spec = spec_of(home, str(tmp_path / "other"))
    with pytest.raises(GeoclipError, match="was made with another encoder, other-model"):
        locate_into(str(tmp_path / "out"), parts, spec, Pool(1))
    assert not (tmp_path / "out-checkpoint").exists()
    alone = replace(spec_of(home, "shards"), settings=replace(spec.settings, gallery=None))
    with pytest.raises(GeoclipError, match="has no weights for a gallery"):
        locate_to_file(tmp_path / "out.csv", parts, alone, Pool(1))


def test_a_damaged_gallery_is_one_sentence(home: Path, tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match="is no gallery and contains none"):
        GalleryShards.of([str(home / "photos")])
    Gallery.create(tmp_path / "empty", GalleryAbout("key", "tiny", 8))
    with pytest.raises(GeoclipError, match="empty holds no photo yet"):
        GalleryShards.of([str(tmp_path / "empty")])
    for content in ("{", "[]", '{"encoder": "key"}', '{"version": 7}'):
        (tmp_path / "empty" / "gallery.json").write_text(content)
        with pytest.raises(GeoclipError, match=r"gallery.json of the gallery .*is not readable"):
            GalleryShards.of([str(tmp_path / "empty")])
