"""Photos in, guesses out: with an encoder without weights, and once with a real one."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from geopandas.testing import assert_geodataframe_equal
from PIL import Image
from small_world import CITIES, COUNTRIES, REGIONS, FakeEncoder, place_table
from tiny_encoders import random_tiny_clip

from geoclip.encoders.registry import CHECKPOINTS
from geoclip.errors import GeoclipError
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.rows import CLASS_COLUMNS, class_rows, gps_rows
from geoclip.guesses.schema import COLUMNS, guess_table
from geoclip.guesses.settings import LocateSettings
from geoclip.guesses.writer import write_guesses
from geoclip.locator import Locator
from geoclip.photos.embedding import mean_of_views
from geoclip.photos.reader import BATCH
from geoclip.places import narrowing
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.ranker import UNCALIBRATED_WARNING
from geoclip.ranking.ranking import rank
from geoclip.ranking.settings import PointEstimate, Prior, RankingSettings, Temperatures

PAINTED = ("lyon", "kowloon", "amsterdam", "denis3")
CITY = RankingSettings(point=PointEstimate.city())
HOLLAND = [[4, 52], [6, 52], [5, 53], [4, 52]]
PLAIN = LocateSettings.model_alone()


@pytest.fixture
def painter(fake_encoder, small_gazetteer) -> FakeEncoder:
    """An encoder that places a picture of red value i + 1 at PAINTED[i].

    Such a place's texts at all levels share a direction of their own.
    """
    book, axes = CaptionBook(small_gazetteer), np.eye(16)
    for i, place in enumerate(PAINTED):
        chain = small_gazetteer.ancestors[small_gazetteer.rows([place])[0]]
        for text in {text for row in chain[chain >= 0] for text in book.prompts(row)}:
            fake_encoder.known[text] = axes[i]
        fake_encoder.pictured[i + 1] = book.prompts(chain[2])[0]
    return fake_encoder


def paint(path: Path, red: int) -> Path:
    Image.new("RGB", (8, 8), (red, 0, 0)).save(path, "PNG")
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four painted photos, a text file and a cut-off photo."""
    for i, place in enumerate(PAINTED):
        paint(tmp_path / f"{place}.png", i + 1)
    (tmp_path / "notes.png").write_text("no photo")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    with (tmp_path / "cut.png").open("r+b") as file:
        file.truncate(5000)
    return tmp_path


def locator_of(encoder, gazetteer, settings=CITY, **others) -> Locator:
    return Locator(encoder, PlaceIndex.build(encoder, gazetteer), gazetteer, settings, **others)


@pytest.fixture
def locator(painter, small_gazetteer) -> Locator:
    return locator_of(painter, small_gazetteer)


def test_a_photo_is_placed(locator, folder, small_gazetteer):
    table = locator.locate([folder / "lyon.png"], PLAIN, top_k=3)
    assert table.columns.tolist() == [*COLUMNS, "geometry"]
    assert table.crs == "EPSG:4326"
    assert (table.geometry.y[0], table.geometry.x[0]) == (45.75, 4.85)
    first = table.iloc[0]
    assert first["path"] == str(folder / "lyon.png")
    texts = ("source", "place_id", "city", "region", "country", "country_code", "status")
    assert first[list(texts)].tolist() == [
        *("model", "lyon", "Lyon", "Auvergne-Rhône-Alpes", "France", "FR", "ok")
    ]
    assert (first["place_lat"], first["place_lon"]) == (first["lat"], first["lon"]) == (45.75, 4.85)
    assert np.isnan(first["radius_km"])
    assert table["rank"].tolist() == [1, 2, 3]
    assert (table["probability"].diff().dropna() <= 0).all()
    assert 0 < table["probability"].sum() <= 1


def test_a_city_without_a_region_has_none(locator, folder):
    first = locator.locate([folder / "kowloon.png"], PLAIN).iloc[0]
    assert (first["place_id"], first["region"], first["country"]) == ("kowloon", "", "Hong Kong")


def test_order_is_kept_and_bad_photos_have_one_row_with_a_status(locator, folder):
    names = ["amsterdam.png", "gone.png", "lyon.png", "notes.png", "cut.png", "denis3.png", "pipe"]
    os.mkfifo(folder / "pipe")
    done = []
    table = locator.locate(
        [str(folder / name) for name in names], PLAIN, top_k=2, progress=done.append
    )
    assert list(dict.fromkeys(table["path"])) == [str(folder / name) for name in names]
    first = table.drop_duplicates("path")
    assert first["status"].tolist() == [
        *("ok", "missing", "ok", "not a photo", "truncated", "ok", "not a photo")
    ]
    assert first["place_id"].tolist() == ["amsterdam", "", "lyon", "", "", "denis3", ""]
    rows = table.groupby("path").size()
    assert [rows[str(folder / name)] for name in names] == [2, 1, 2, 1, 1, 2, 1]
    unread = table[table["status"] != "ok"]
    assert unread["lat"].isna().all()
    assert unread["probability"].isna().all()
    assert sum(done) == len(names)


def test_messages_say_what_is_wrong(locator, folder):
    embeddings = locator.embed([folder / "gone.png", folder / "lyon.png"])
    assert embeddings.ok.tolist() == [False, True]
    assert list(embeddings.messages) == [str(folder / "gone.png")]
    assert "no such file" in embeddings.messages[str(folder / "gone.png")]
    assert np.isnan(embeddings.values[0]).all()
    assert np.linalg.norm(embeddings.values[1]) == pytest.approx(1)


def test_more_photos_than_a_batch_in_order(locator, folder):
    names = [PAINTED[i % 4] for i in range(BATCH * 2 + 5)]
    names[BATCH] = "gone"  # the first of a batch
    done = []
    paths = [folder / f"{name}.png" for name in names]
    table = locator.locate(paths, PLAIN, top_k=1, progress=done.append)
    assert table["place_id"].tolist() == ["" if name == "gone" else name for name in names]
    assert done == [BATCH, BATCH, 5]


def test_blocks_give_what_one_block_gives(locator, folder, monkeypatch):
    paths = [folder / f"{PAINTED[i % 4]}.png" for i in range(11)]
    whole = locator.locate(paths, PLAIN)
    sizes = []
    monkeypatch.setattr("geoclip.ranking.ranking.BLOCK", 3)
    monkeypatch.setattr("geoclip.ranking.ranking.CACHE_ROWS", 2)

    def noted(part, *rest):
        sizes.append(len(part.city))
        return rank(part, *rest)

    monkeypatch.setattr("geoclip.ranking.ranking.rank", noted)
    assert_geodataframe_equal(locator.locate(paths, PLAIN), whole)
    assert sorted(sizes) == [1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("paths", [[], ["nowhere.png"]])
@pytest.mark.parametrize("classes", [False, True])
def test_nothing_to_locate(locator, paths, classes):
    table = locator.guesses(locator.embed(paths), classes=classes, location_ids=["a"] * len(paths))
    assert table.columns.tolist() == [*COLUMNS, *(CLASS_COLUMNS if classes else [])]
    assert len(table) == len(paths)
    assert table.dtypes[list(COLUMNS)].equals(guess_table([]).dtypes)
    assert len(locator.ranker.rank(np.empty((0, 16), np.float32)).cities) == 0


def test_top_k_above_the_number_of_cities(locator, folder):
    table = locator.locate([folder / "lyon.png"], PLAIN, top_k=500)
    assert sorted(table["place_id"]) == sorted(city[0] for city in CITIES)
    assert table["probability"].sum() == pytest.approx(1)


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_one_is_refused(locator, folder, top_k):
    with pytest.raises(GeoclipError, match="top_k"):
        locator.locate([folder / "lyon.png"], PLAIN, top_k=top_k)


def test_a_gazetteer_with_one_city(painter, folder):
    gazetteer = Gazetteer(place_table(COUNTRIES[:1], REGIONS[:2], CITIES[:1]))
    for settings in (CITY, RankingSettings(), RankingSettings(method="greedy")):
        locator = locator_of(painter, gazetteer, settings)
        table = locator.locate([folder / "amsterdam.png"], PLAIN, top_k=5)
        assert table["place_id"].tolist() == ["lyon"]
        assert table["probability"].tolist() == [1]


def test_views_of_a_group_share_the_answer_to_their_mean(locator, folder):
    paths = [folder / f"{name}.png" for name in ("lyon", "kowloon", "gone", "lyon", "amsterdam")]
    groups = ["here", "here", "here", "here", "there"]
    table = locator.locate(paths, PLAIN, top_k=3, location_ids=groups)
    views = [table[table["path"] == str(folder / f"{n}.png")] for n in ("lyon", "kowloon")]
    assert table["path"].tolist().count(str(folder / "lyon.png")) == 6
    same = ["place_id", "probability", "rank"]
    assert views[0][same][:3].to_numpy().tolist() == views[1][same].to_numpy().tolist()
    assert views[0]["place_id"].iloc[0] == "lyon"  # two views of three
    alone = locator.locate([paths[-1]], PLAIN, top_k=3)
    assert table[same][-3:].to_numpy().tolist() == alone[same].to_numpy().tolist()
    assert table.loc[table["path"].str.endswith("gone.png"), "status"].tolist() == ["missing"]


def test_mean_of_views():
    values = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    half = 0.5**0.5
    assert mean_of_views(values, ["a", "a", "b", "b"])[:2] == pytest.approx(np.full((2, 2), half))
    for missing in (None, float("nan"), pd.NA):
        assert mean_of_views(values, [missing] * 4) == pytest.approx(values)
    assert mean_of_views(values, [1, "1", "x", "y"]) == pytest.approx(values)  # 1 is not "1"
    assert mean_of_views(values, list("abcd")).dtype == np.float32


def test_groups_that_do_not_fit_the_photos_are_refused(locator, folder):
    for groups in (["a"], ["a"] * 3):
        with pytest.raises(GeoclipError, match="for 2 photos"):
            locator.locate(
                [folder / "lyon.png", folder / "kowloon.png"], PLAIN, location_ids=groups
            )


def test_a_log_prior_narrows_the_world(painter, folder, small_gazetteer):
    with np.errstate(divide="ignore"):
        prior = np.log(narrowing.prior(small_gazetteer, countries=["HK"]))
    for settings in (CITY, RankingSettings(), RankingSettings(method="greedy")):
        locator = locator_of(painter, small_gazetteer, settings, log_prior=prior)
        table = locator.locate([folder / "lyon.png", folder / "kowloon.png"], PLAIN, top_k=5)
        assert set(table["country_code"]) == {"HK"}
        assert table["rank"].tolist() == [1, 2, 1, 2]  # no more are left
        assert table["probability"].iloc[:2].sum() == pytest.approx(1)
        assert set(table["lat"]) <= {22.32, 22.28}


def test_a_log_prior_that_leaves_nothing_is_refused(painter, folder, small_gazetteer):
    nothing = np.full(len(small_gazetteer), -np.inf)
    locator = locator_of(painter, small_gazetteer, log_prior=nothing)
    with pytest.raises(GeoclipError, match="excludes every city"):
        locator.locate([folder / "lyon.png"], PLAIN)


def test_a_soft_prior_shifts_the_answer(painter, folder, small_gazetteer):
    prior = np.zeros(len(small_gazetteer))
    prior[small_gazetteer.rows(["denis2"])] = 100
    locator = locator_of(painter, small_gazetteer, log_prior=prior)
    assert locator.locate([folder / "lyon.png"], PLAIN, top_k=1)["place_id"].tolist() == ["denis2"]


def test_a_greedy_ranking_lists_one_country(painter, folder, small_gazetteer):
    locator = locator_of(
        painter, small_gazetteer, RankingSettings(method="greedy", greedy_cities=2)
    )
    table = locator.locate([folder / "lyon.png"], PLAIN, top_k=5)
    assert set(table["place_id"]) == {"lyon", "paris"}  # the most populous of France


def test_the_reported_point_differs_from_the_place_only_at_rank_one(painter, folder):
    line = [(f"p{i}", "", "FR", 0.0, 8.0 * i, 1) for i in range(3)]
    gazetteer = Gazetteer(place_table(COUNTRIES[:1], [], line))
    book = CaptionBook(gazetteer, CaptionSettings(city_prompts=("{city}",)))
    prior = np.array([0, 0.3, 0.0, 0.2])  # an end, then the other; the middle hedges
    for text in book.prompts(1):
        painter.known[text] = np.eye(16)[0]
    index = PlaceIndex.build(painter, gazetteer, book.settings)
    locator = Locator(painter, index, gazetteer, RankingSettings(), prior)
    table = locator.locate([folder / "lyon.png"], PLAIN, top_k=3)
    assert table["place_id"].tolist() == ["p0", "p2", "p1"]
    assert table["lon"].tolist() == [8.0, 16.0, 8.0]
    assert table["place_lon"].tolist() == [0.0, 16.0, 8.0]


def test_classes(locator, folder):
    paths = [folder / "gone.png", folder / "kowloon.png", folder / "lyon.png"]
    table = locator.guesses(locator.embed(paths), 2, classes=True)
    assert table.columns.tolist() == [*COLUMNS, *CLASS_COLUMNS]
    assert table.loc[0, CLASS_COLUMNS].tolist() == [""] * 5
    answers = table[table["rank"] == 1].iloc[1:]
    assert answers["country_id"].tolist() == ["HK", "FR"]
    assert answers["region_id"].tolist() == ["", "FR.84"]
    assert answers["city_id"].tolist() == ["kowloon", "lyon"]
    for ranking, first in zip(answers["country_ranking"], ("HK", "FR"), strict=True):
        assert ranking.split()[0] == first
        assert sorted(ranking.split()) == ["CN", "FR", "HK", "NL", "RE"]
    assert [set(text.split()) for text in answers["continent_ranking"]] == [{"AF", "AS", "EU"}] * 2


def test_names_that_are_not_utf8(locator, folder, tmp_path):
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9.png")
    paint(Path(name), 3)
    table = locator.locate(
        [Path(name), folder / "lyon.png"],
        PLAIN,
        top_k=1,
        location_ids=[name, str(folder / "lyon.png")],
    )
    assert table["place_id"].tolist() == ["amsterdam", "lyon"]
    assert table["path"][0] == f"file:{tmp_path}/caf%E9.png"
    # Its text in a table leads back to the file.
    again = locator.locate([table["path"][0], Path(name + "x")], PLAIN, top_k=1)
    assert again["status"].tolist() == ["ok", "missing"]
    assert again["path"][0] == table["path"][0]
    write_guesses(again, tmp_path / "guesses.parquet")
    assert read_guesses(tmp_path / "guesses.parquet")["path"].tolist() == again["path"].tolist()


def test_one_photo_twice(locator, folder):
    table = locator.locate([folder / "lyon.png"] * 2, PLAIN, top_k=2)
    assert table["rank"].tolist() == [1, 2, 1, 2]


def test_notices_and_repr(locator):
    assert locator.warnings == ["a fake encoder", UNCALIBRATED_WARNING]
    assert "10 cities" in repr(locator) and "10 cities" in locator._repr_html_()
    many = RankingSettings(prior=Prior(tuple(f"{i:02}" for i in range(90)), stacking_factor=0.7))
    for shown in (repr(many), repr(locator.ranker.with_settings(many))):
        assert len(shown) < 500 and "'07'" not in shown
    assert "90 countries" in repr(many)
    assert repr(Prior(("FR",), 0.5)) == "Prior(seen_countries=('FR',), stacking_factor=0.5)"


def test_one_photo_is_a_list_of_guesses(locator, folder):
    guesses = locator.locate_one(folder / "lyon.png", PLAIN, top_k=2)
    assert [guess.rank for guess in guesses] == [1, 2]
    assert guesses[0].place_id == "lyon"
    assert str(guesses[0]) == "Lyon, Auvergne-Rhône-Alpes, France > 99 %"
    (only,) = locator.locate_one(str(folder / "gone.png"), PLAIN)
    assert (only.status, only.place_id) == ("missing", "")


def test_probabilities_of_all_countries(locator, folder, small_gazetteer):
    found = locator.countries(folder / "lyon.png")
    posterior = locator.ranker.posterior(locator.embed(folder / "lyon.png").values)
    cities = np.exp(posterior.log_cities[0])
    codes = small_gazetteer.country_codes[locator.ranker.hierarchy.cities]
    slow = {code: cities[codes == code].sum() for code in codes}
    names = {place.place_id: place.name for place in small_gazetteer if place.level == "country"}
    assert found.index[0] == "France" and (found.diff().dropna() <= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.to_dict() == pytest.approx(
        {name: slow.get(code, 0) for code, name in names.items()}, abs=1e-6
    )
    assert (found.name, found.index.name) == ("probability", "country")
    only = locator.narrowed(countries=["HK"]).countries(Image.open(folder / "lyon.png"))
    assert only.to_dict() == {name: float(name == "Hong Kong") for name in names.values()}
    for several in ([folder / "lyon.png"] * 2, []):
        with pytest.raises(GeoclipError, match="one at a time"):
            locator.countries(several)
    with pytest.raises(GeoclipError, match="no such file"):
        locator.countries(folder / "gone.png")


def test_countries_of_one_name_are_told_apart(fake_encoder):
    twins = Gazetteer(place_table([*COUNTRIES, ("NX", "Netherlands", "EU", "NX")], REGIONS, CITIES))
    found = locator_of(fake_encoder, twins).countries(np.full((8, 8), 200, np.uint8))
    assert {"Netherlands (NL)", "Netherlands (NX)"} <= set(found.index)
    assert found["Netherlands (NX)"] == 0 and found.index.is_unique


def test_ranked_places_are_ids(locator, folder, small_gazetteer):
    values = locator.embed([folder / f"{name}.png" for name in PAINTED]).values
    found, positions = locator.rank(values, 3), locator.ranker.rank(values, 3)
    h = locator.ranker.hierarchy
    assert found.city_ids[:, 0].tolist() == found.point_ids.tolist() == [*PAINTED]
    assert found.country_ids[:, 0].tolist() == ["FR", "HK", "NL", "RE"]
    assert found.region_ids.tolist() == ["FR.84", "", "NL.07", "RE.RE"]
    for ids, rows in (
        (found.city_ids, h.cities[positions.cities]),
        (found.country_ids, h.countries[positions.countries]),
    ):
        assert small_gazetteer.rows(ids.ravel()).tolist() == rows.ravel().tolist()
    rows = small_gazetteer.rows(found.point_ids)
    assert found.lat.tolist() == small_gazetteer.lat[rows].tolist()
    assert found.lon.tolist() == small_gazetteer.lon[rows].tolist()


def test_photos_that_words_describe(locator, painter, folder):
    painter.known["a bridge in Lyon"] = 0.8 * np.eye(16)[0] + 0.6 * np.eye(16)[2]
    found = locator.search("a bridge in Lyon", folder, top=2)
    assert [Path(path).name for path in found["path"]] == ["lyon.png", "amsterdam.png"]
    assert found["similarity"].tolist() == pytest.approx([0.8, 0.6], abs=1e-6)
    assert found["rank"].tolist() == [1, 2] and "<img" in found._repr_html_()
    two = locator.search(["a bridge in Lyon", "x"], [folder / "lyon.png", folder / "gone.png"])
    assert two["query"].tolist() == ["a bridge in Lyon", "x"] and set(two["rank"]) == {1}
    for words in ("", []):
        with pytest.raises(GeoclipError, match="what to search for"):
            locator.search(words, folder)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("https://example.org/a.jpg", "is an address"), (b"", "no bytes"), (5, "type int"),
        ([0.5], "type float"), (None, "type NoneType"), ([None], "type NoneType"),
        (np.zeros((2, 2, 7), np.uint8), "is an array"), (np.zeros((9, 9, 3)), "float64"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["locate", "show", "countries", "embed"])
def test_what_is_no_photo_is_one_error(locator, method, given, why):
    with pytest.raises(GeoclipError, match=why):
        getattr(locator, method)(given)


def test_a_map_of_a_folder(locator, folder):
    shown = locator.show([folder / "lyon.png"], PLAIN)
    assert "lyon.png" in shown.page and str(folder) not in shown.page


def test_a_narrowed_locator(locator, folder):
    hong_kong = locator.narrowed(countries=["HK"])
    table = hong_kong.locate([folder / "lyon.png"], PLAIN)
    assert set(table["place_id"]) == {"kowloon", "central"}
    assert (
        hong_kong.narrowed(near=(22.28, 114.16, 2))
        .locate_one(folder / "lyon.png", PLAIN)[0]
        .place_id
        == "central"
    )
    holland = locator.narrowed(polygon={"type": "Polygon", "coordinates": [HOLLAND]})
    assert set(holland.locate([folder / "lyon.png"], PLAIN)["place_id"]) == {"amsterdam"}
    with pytest.raises(GeoclipError, match="no country"):
        locator.narrowed(countries=["Atlantis"])
    assert locator.ranker.log_prior is None


def slow_greedy(locator: Locator, photo: np.ndarray, most: int) -> tuple[str, float, float]:
    """StreetCLIP's procedure: the best country, then the best of its most populous cities."""
    score = {
        place.place_id: float(photo @ vector.astype(np.float32))
        for place, vector in zip(locator.gazetteer, locator.index.embeddings, strict=True)
    }
    cities = [place for place in locator.gazetteer if place.level == "city"]
    country = max({city.country_code for city in cities}, key=lambda code: score[code])
    inside = [city for city in cities if city.country_code == country]
    largest = sorted(inside, key=lambda city: -city.population)[:most]
    best = max(largest, key=lambda city: score[city.place_id])
    return best.place_id, best.lat, best.lon


def test_the_published_protocol_needs_no_file(world, fake_encoder):
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(len(world), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = PlaceIndex(vectors, "key")
    own = RankingSettings(
        temperatures=Temperatures(2, 2, 2), prior=Prior(country_size_exponent=0.3)
    )
    locator = Locator(fake_encoder, index, world, own).reranked("greedy", "city")
    photos = rng.normal(size=(40, 8)).astype(np.float32)
    ranking, h = locator.ranker.rank(photos), locator.ranker.hierarchy
    expected = [slow_greedy(locator, photo, 30) for photo in photos]
    found = ranking.points
    assert world.ids[h.cities[found]].tolist() == [place_id for place_id, _, _ in expected]
    np.testing.assert_array_equal(h.lat[found], [lat for _, lat, _ in expected])
    np.testing.assert_array_equal(h.lon[found], [lon for _, _, lon in expected])
    all_cities = [slow_greedy(locator, photo, 10**6)[0] for photo in photos]
    assert all_cities != [place_id for place_id, _, _ in expected]  # 30 is a limit here


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    random_tiny_clip().save(folder)
    wording = CaptionSettings(prefix="A test photo")
    ModelSettings(wording, replace(CITY, method="greedy")).write(folder)
    return folder


def test_a_random_clip_end_to_end(model_folder, small_gazetteer, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    sizes = ((40, 33), (33, 60), (48, 40))  # too small for a JPEG to be decoded at half size
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    for path, (width, height) in zip(paths, sizes, strict=True):
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    locator = Locator.from_pretrained(model_folder, small_gazetteer, device="cpu")
    assert locator.settings.method == "greedy"  # the folder's own
    assert locator.index.embeddings.shape == (21, 32)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [locator.index.key]
    table = locator.locate([*paths, tmp_path / "gone.jpg"], PLAIN, top_k=2)
    assert table["rank"].tolist() == [1, 2, 1, 2, 1, 2, 1]
    images = [Image.open(path).convert("RGB") for path in paths]
    expected = locator.encoder.encode_images(images)
    assert locator.embed(paths).values == pytest.approx(expected, abs=1e-5)

    other = Locator.from_pretrained(model_folder, small_gazetteer, "cpu", CITY)
    assert other.settings == CITY
    assert isinstance(other.index.embeddings, np.memmap)
    top = other.locate(paths, PLAIN, top_k=99)
    assert top.groupby("path")["probability"].sum().tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_countries_trained_on_can_be_held_back(small_gazetteer, fake_encoder, tmp_path):
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    values = np.random.default_rng(0).normal(size=(20, 16)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    codes = small_gazetteer.country_codes

    def share(settings: RankingSettings) -> np.ndarray:
        locator = Locator(fake_encoder, index, small_gazetteer, settings)
        ranking = locator.ranker.rank(values, len(small_gazetteer))
        rows = locator.ranker.hierarchy.cities[ranking.cities]
        return np.where(codes[rows] == "FR", ranking.probabilities, 0).sum(axis=1)

    plain = share(RankingSettings())
    held = share(RankingSettings(prior=Prior(("FR",), stacking_factor=0.7)))
    factor = np.exp(-0.7)
    assert held == pytest.approx(factor * plain / (factor * plain + 1 - plain), rel=1e-4)
    with pytest.raises(GeoclipError, match="stacking_factor"):
        Prior(("FR",), stacking_factor=np.inf)


@pytest.mark.parametrize("ranked", [30, 3])
def test_the_continent_answer_sums_the_ranked_countries(
    ranked, small_gazetteer, fake_encoder, monkeypatch
):
    monkeypatch.setattr("geoclip.ranking.ranking.RANKED_COUNTRIES", ranked)
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    locator = Locator(fake_encoder, index, small_gazetteer, RankingSettings())
    values = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    ranking = locator.ranker.rank(values)
    answers = class_rows(small_gazetteer, locator.ranker.hierarchy, ranking)
    names = small_gazetteer.continents[locator.ranker.hierarchy.countries[ranking.countries]]
    for row, told in enumerate(answers["continent_ranking"].str.split()):
        totals = [ranking.country_probabilities[row][names[row] == name].sum() for name in told]
        assert totals == sorted(totals, reverse=True)
        assert ranked == 3 or sum(totals) == pytest.approx(1)
    assert ranking.countries.shape == (50, min(ranked, 5))
    first = [names[row][0] for row in range(len(names))]
    assert ranked == 3 or (answers["continent_ranking"].str.split().str[0] != first).any()
    assert all(len(codes.split()) <= 5 for codes in answers["country_ranking"])


def test_a_stated_position_has_a_place_of_its_own_country(tmp_path):
    gazetteer = Gazetteer.default()
    lat, lon = np.array([46.3332, 68.42, 51.5, -75.0]), np.array([6.0578, 27.41, -0.12, 0.0])
    rows = gps_rows(gazetteer, np.arange(4), np.array(list("abcd")), lat, lon)
    assert rows["country_code"].tolist() == ["FR", "FI", "GB", "AQ"]
    assert rows["city"].tolist()[3] == ""
    assert rows["level"].tolist() == ["city", "city", "city", "country"]
    assert rows["continent"].tolist() == ["Europe"] * 3 + ["Antarctica"]
    certain = rows[[f"{level}_probability" for level in ("continent", "country", "city")]]
    assert certain.isna().sum().tolist() == [0, 0, 1]
    assert set(certain.stack().dropna()) == {1.0}
    assert (rows["probability"] == 1).all()
    at_sea = gps_rows(gazetteer, *(np.array([one]) for one in (0, "e", 30.0, -40.0))).iloc[0]
    assert (at_sea["source"], at_sea["level"], at_sea["lat"]) == ("gps", "none", 30)
    names = ["place_id", "continent", "country", "country_code", "region", "city"]
    assert (at_sea[names] == "").all()
    assert at_sea[["place_lat", "probability"]].isna().all()
    (tmp_path / "alps.csv").write_text("name,lat,lon\nWien,48.2,16.37\nBern,46.95,7.44\n")
    alps = Gazetteer.read(tmp_path / "alps.csv")
    lat, lon = np.array([51.5, 48.3]), np.array([-0.12, 16.2])
    rows = gps_rows(alps, np.arange(2), np.array(["London", "Tulln"]), lat, lon)
    assert rows["city"].tolist() == ["", "Wien"]
    assert rows["level"].tolist() == ["none", "city"]
    assert rows["lat"].tolist() == lat.tolist()
    assert rows["probability"].isna().tolist() == [True, False]


def test_groups_go_by_position_not_by_label(locator, folder):
    """A column of a sorted or filtered frame has its own labels."""
    paths = [folder / f"{name}.png" for name in ("lyon", "kowloon", "lyon", "kowloon")]
    groups = ["a", "b", "a", "b"]
    shuffled = pd.Series(groups, index=[3, 1, 0, 2])
    assert_geodataframe_equal(
        locator.locate(paths, PLAIN, location_ids=shuffled),
        locator.locate(paths, PLAIN, location_ids=groups),
    )


def test_what_a_photo_says_for_a_position(small_gazetteer, fake_encoder, monkeypatch):
    """An uninformative photo changes nothing; others multiply by posterior over prior."""
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    locator = Locator(fake_encoder, index, small_gazetteer, RankingSettings())
    lyon = index.embeddings[small_gazetteer.rows(["lyon"])].astype(np.float32)
    values = np.vstack([np.zeros_like(lyon)] * 2 + [lyon] * 3)
    lat = np.array([45.75, -75.0, 45.75, -20.88, np.nan])
    lon = np.array([4.85, 0.0, 4.85, 55.45, 0.0])
    support = locator.ranker.support_within(values, lat, lon, 25.0)
    assert support[0] == pytest.approx(1, rel=1e-5)
    assert np.isnan(support).tolist() == [False, True, False, False, True]
    monkeypatch.setattr("geoclip.ranking.ranker.BLOCK", 2)
    np.testing.assert_allclose(
        locator.ranker.support_within(values, lat, lon, 25.0), support, rtol=1e-5
    )
    before = 1 / 5 / 2  # one of five countries, one of its two regions
    ranking = locator.ranker.rank(lyon, top_k=10)
    region = np.isin(locator.ranker.hierarchy.cities, small_gazetteer.rows(["lyon", "denis2"]))
    after = ranking.probabilities[0, region[ranking.cities[0]]].sum()
    assert support[2] == pytest.approx(after / before, rel=1e-3)


def test_planet_start_does_not_favour_territories(world, tmp_path, monkeypatch):
    """The model is uncalibrated, and pictures of noise tell it nothing."""
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path))
    locator = Locator.from_pretrained(CHECKPOINTS / "planet-start")
    assert not locator.settings.calibrated and UNCALIBRATED_WARNING in locator.warnings
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(40)]
    sizes = pd.Series(world.country_codes[world.level_rows("city")]).value_counts()
    found = locator.ranker.rank(locator.embed([*pictures]).values)
    h = locator.ranker.hierarchy
    codes = h.country_codes[h.city_country[found.points]]
    assert (sizes[codes] <= 2).mean() <= 0.02


def test_a_calibrated_model_gives_no_warning_of_its_probabilities(fake_encoder, small_gazetteer):
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    own = RankingSettings(radius_share=0.5)
    locator = Locator(fake_encoder, index, small_gazetteer, own)
    assert locator.warnings == ["a fake encoder"]
    assert UNCALIBRATED_WARNING in locator.reranked("greedy").warnings
