"""The map is one file that asks the network for nothing and runs nothing but its own script."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely

from geoclip.errors import GeoclipError
from geoclip.guesses.basemap import STEPS_PER_DEGREE
from geoclip.guesses.gps_comparison import EXTRA_COLUMNS, stated_truth
from geoclip.guesses.guess_files import read_guess_frame
from geoclip.guesses.maps import ATTRIBUTION, write_map
from geoclip.guesses.writer import GuessWriter

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028'\"{{data}}"
STREET_MAP = "https://www.openstreetmap.org/?mlat="


class FakeOutlines:
    """Two square countries and an islet."""

    def __init__(self) -> None:
        import geopandas

        square = shapely.box(0, 0, 10, 10)
        both = shapely.MultiPolygon([shapely.box(20, -10, 30, -5), shapely.box(40, 0, 40.05, 0.05)])
        shapes = [square, both]
        self.frame = geopandas.GeoDataFrame({"country_code": ["AA", "BB"]}, geometry=shapes)


def guess(path: str, rank: int = 1, **values: Any) -> dict[str, Any]:
    usual = {
        "source": "model", "place_id": "1", "city": "Lyon", "region": "", "country": "France",
        "lat": 45.75, "lon": 4.85, "probability": 0.5, "radius_km": np.nan, "status": "ok",
    }  # fmt: skip
    return {"path": path, "rank": rank, **usual, **values}


def written(folder: Path, rows: list[dict[str, Any]], **options: Any) -> tuple[str, dict[str, Any]]:
    path = folder / "map.html"
    write_map(pd.DataFrame(rows), path, outlines=FakeOutlines(), **options)  # type: ignore[arg-type]
    page = path.read_bytes().decode("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return page, json.loads(found[1])


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_photos_keep_their_order_and_guesses_their_rank(tmp_path: Path) -> None:
    rows = [guess("b/2.jpg", 2, lat=1.0), guess("b/2.jpg", 1), guess("a/1.jpg")]
    _, data = written(tmp_path, rows)
    assert [photo["name"] for photo in data["photos"]] == ["2.jpg", "1.jpg"]
    assert [entry["rank"] for entry in data["photos"][0]["guesses"]] == [1, 2]
    assert data["photos"][0]["guesses"][0]["place"] == "Lyon, France"
    assert data["photos"][0]["guesses"][0]["radius"] is None


def test_a_guess_is_told_at_its_level(tmp_path: Path) -> None:
    below = {"city": "", "country": "", "place_id": "EU", "continent": "Europe"}
    rows = [
        guess("a.jpg", radius_km=480.0, radius_90_km=2000.0),
        guess("b.jpg", level="continent", **below),
        guess("c.jpg", level="none", probability=np.nan, continent_probability=0.3, **below),
    ]
    _, data = written(tmp_path, rows)
    first = [photo["guesses"][0] for photo in data["photos"]]
    assert [entry["told"] for entry in first] == [
        "Lyon, France 50 %, half the time within 480 km",
        "Europe 50 %",
        "cannot tell (Europe 30 %)",
    ]
    assert [entry["sure"] for entry in first] == [True, True, False]
    assert [entry["drawn"] for entry in first] == [True, False, False]
    assert [entry["probability"] for entry in first] == [0.5, 0.5, 0.3]
    assert [entry["radius_90"] for entry in first] == [2000.0, None, None]


def test_unread_photos_are_listed_without_a_point(tmp_path: Path) -> None:
    unread = guess("x.jpg", lat=np.nan, lon=np.nan, status="truncated", source="")
    _, data = written(tmp_path, [unread])
    assert data["photos"][0]["guesses"] == []
    assert data["photos"][0]["status"] == "truncated"


def test_truth_gives_the_error(tmp_path: Path) -> None:
    truth = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "lat": [45.75, np.nan], "lon": [5.85, 1.0]})
    _, data = written(tmp_path, [guess("a.jpg"), guess("b.jpg")], truth=truth)
    # One degree of longitude at this latitude.
    assert data["photos"][0]["error_km"] == pytest.approx(77.6, abs=0.1)
    assert data["photos"][1]["truth"] is None


def test_paths_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    page, _ = written(tmp_path, [guess("/home/someone/private/a.jpg")])
    assert "someone" not in page
    page, _ = written(tmp_path, [guess("/home/someone/private/a.jpg")], show_paths=True)
    assert "/home/someone/private/a.jpg" in page


def test_html_in_names_stays_text(tmp_path: Path) -> None:
    plain = Tags(written(tmp_path, [guess("a.jpg")])[0])
    rows = [guess(NASTY, city=NASTY, status="ok")]
    page, data = written(tmp_path, rows, title=NASTY, show_paths=True)
    assert Tags(page).tags[0] == plain.tags[0]
    assert [tag for tag, _ in Tags(page).tags] == [tag for tag, _ in plain.tags]
    assert data["photos"][0]["name"] == NASTY
    assert data["photos"][0]["guesses"][0]["place"].startswith(NASTY)


def test_policy_allows_exactly_this_script_and_style(tmp_path: Path) -> None:
    page, _ = written(tmp_path, [guess("a.jpg")])
    policies = [a["content"] for t, a in Tags(page).tags if a.get("http-equiv")]
    assert len(policies) == 1
    policy = policies[0] or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    style = re.findall(r"<style>(.*?)</style>", page, re.S)
    for kind, texts in (("script", script), ("style", style)):
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_nothing_is_fetched_and_nothing_is_parsed_as_html(tmp_path: Path) -> None:
    page, _ = written(tmp_path, [guess("a.jpg")])
    assert not [a for _, a in Tags(page).tags if {"src", "style", "onclick"} & a.keys()]
    # The skip link stays on the page; a street map opens only when a reader follows its link.
    assert [a["href"] for _, a in Tags(page).tags if "href" in a] == ["#list"]
    assert page.count(STREET_MAP) == 1
    page = page.replace(STREET_MAP, "")
    for banned in (
        "http:",
        "https:",
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "eval(",
        "fetch(",
    ):
        assert banned not in page
    assert ATTRIBUTION in page


def test_outlines_are_stepped_and_small_islets_dropped(tmp_path: Path) -> None:
    _, data = written(tmp_path, [guess("a.jpg")])
    assert [len(rings) for rings in data["countries"]] == [1, 1]
    steps = np.array(data["countries"][0][0]).reshape(-1, 2)
    corners = steps.cumsum(axis=0) / STEPS_PER_DEGREE
    assert {tuple(corner) for corner in corners.tolist()} == {(0, 0), (0, 10), (10, 0), (10, 10)}


def test_the_packaged_world_fits_into_a_small_file(tmp_path: Path) -> None:
    write_map(pd.DataFrame([guess("a.jpg")]), tmp_path / "map.html")
    assert 100_000 < (tmp_path / "map.html").stat().st_size < 300_000


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(GeoclipError, match=r"map\.html has no column rank, lon"):
        write_map(pd.DataFrame({"path": [], "lat": []}), tmp_path / "map.html")
    with pytest.raises(GeoclipError, match="cannot be written"):
        written(tmp_path / "absent", [guess("a.jpg")])
    assert list(tmp_path.iterdir()) == []


def test_a_small_probability_is_not_rounded_to_none_at_all(tmp_path):
    _, data = written(tmp_path, [guess("a.jpg", probability=1.4916e-6, lat=45.7512345)])
    best = data["photos"][0]["guesses"][0]
    assert best["probability"] == 1.49e-6
    assert best["lat"] == 45.75123


def test_folders_below_the_common_one_tell_photos_apart(tmp_path: Path) -> None:
    paths = [
        "/home/someone/trip/a/1.jpg",
        "/home/someone/trip/b/c/1.jpg",
        "/home/someone/trip/2.jpg",
    ]
    page, data = written(tmp_path, [guess(path) for path in paths])
    found = [(photo["name"], photo["folder"]) for photo in data["photos"]]
    assert found == [("a/1.jpg", "a"), ("b/c/1.jpg", "b/c"), ("2.jpg", "")]
    assert "someone" not in page


def test_countries_and_large_cities_are_named(tmp_path: Path) -> None:
    path = tmp_path / "map.html"
    write_map(pd.DataFrame([guess("a.jpg")]), path)
    found = re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert found is not None
    data = json.loads(found[1])
    assert len(data["codes"]) == len(data["continents"]) == len(data["countries"]) > 200
    france = data["codes"].index("FR")
    assert data["continents"][france] == "Europe"
    names = {name: (lat, lon) for name, lat, lon, _ in data["country_names"]}
    assert 43 < names["France"][0] < 50 and -1 < names["France"][1] < 7  # not French Guiana
    cities = [name for name, _, _ in data["city_names"]]
    assert cities.index("Tokyo") < cities.index("Paris") and "Lyon" in cities
    widths = [width for *_, width in data["country_names"]]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_stated_positions_of_a_table_are_the_truth(tmp_path: Path, ending: str) -> None:
    rows = pd.DataFrame([guess(f"{i}.jpg", rank=1 + (i == 3)) for i in range(4)])
    extra = {
        "gps_lat": [45.0, np.nan, 1.0, 2.0],
        "gps_lon": [5.0, np.nan, 1.0, 2.0],
        "error_km": [84.0, np.nan, np.nan, 1.0],  # NaN: the third position is not trustworthy
        "gps_note": ["", "", "the position is 0,0", ""],
        "gps_file": [""] * 4,
    }
    path = tmp_path / f"g.{ending}"
    with GuessWriter(path, tmp_path / "scratch", EXTRA_COLUMNS) as writer:
        writer.write(rows.assign(**extra))
    truth = stated_truth(read_guess_frame(path))
    assert truth is not None
    assert truth.to_dict("records") == [{"path": "0.jpg", "lat": 45.0, "lon": 5.0}]
    assert stated_truth(rows) is None
