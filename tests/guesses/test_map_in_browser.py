"""A map in headless Chromium: hostile names do nothing, and no network is needed."""

import base64
import io
from pathlib import Path

import pandas as pd
import pytest
from chromium import HOSTILE, Browser
from PIL import Image

from geoclip.guesses.inline_map import InlineMap
from geoclip.guesses.maps import write_map


@pytest.fixture(scope="module")
def hostile_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map in which every text that comes from outside is hostile."""
    rows = [
        {
            "path": name, "rank": rank, "lat": 10.0 * i, "lon": 5.0, "city": name, "region": name,
            "country": name, "country_code": name, "place_id": name, "probability": 0.5,
            "radius_km": 20.0, "status": "ok", "source": name,
        }
        for i, name in enumerate(HOSTILE)
        for rank in (1, 2)
    ]  # fmt: skip
    unread = {"path": f"unread {HOSTILE[2]}", "rank": 1, "status": HOSTILE[0]}
    path = tmp_path_factory.mktemp("map") / "map.html"
    truth = pd.DataFrame({"path": HOSTILE, "lat": 1.0, "lon": 2.0})
    table = pd.DataFrame([*rows, unread])
    write_map(table, path, truth, title=" ".join(HOSTILE), show_paths=True)
    return path


def test_the_marker_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    """Without care the same names do run, so the next tests can fail."""
    careless = tmp_path / "careless.html"
    careless.write_text("<title>x</title>" + "\n".join(HOSTILE), encoding="utf-8")
    browser.open(careless.as_uri())
    assert browser.run("window.marker") >= 3


def test_hostile_names_do_nothing(browser: Browser, hostile_map: Path) -> None:
    browser.open(hostile_map.as_uri())
    photos = browser.run("document.querySelectorAll('#photos button').length")
    assert photos == len(HOSTILE) + 1
    popups = browser.run(
        """(async () => {
          const texts = [];
          for (const button of document.querySelectorAll('#photos button')) {
            button.click();
            await new Promise((done) => setTimeout(done, 20));
            texts.push(document.getElementById('popup').textContent);
          }
          const filter = document.getElementById('filter');
          filter.value = '<script>';
          filter.dispatchEvent(new Event('input'));
          await new Promise((done) => setTimeout(done, 100));
          return texts;
        })()"""
    )
    # The names appear unchanged, in the list and in the details.
    assert [text for text, name in zip(popups, HOSTILE, strict=False) if name not in text] == []
    assert browser.run("window.marker") is None
    assert browser.run("document.querySelectorAll('img, iframe, svg, object').length") == 0
    links = browser.run("[...document.querySelectorAll('a:not(.skip)')].map((a) => a.href)")
    assert all(link.startswith("https://www.openstreetmap.org/?mlat=") for link in links)
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("document.title") == " ".join(HOSTILE)
    assert browser.seen("Page.javascriptDialogOpening") == []
    assert browser.seen("Runtime.exceptionThrown") == []


def test_the_map_opens_without_a_network(browser: Browser, hostile_map: Path) -> None:
    browser.call(
        "Network.emulateNetworkConditions",
        offline=True, latency=0, downloadThroughput=0, uploadThroughput=0,
    )  # fmt: skip
    browser.open(hostile_map.as_uri())
    requested = [event["request"]["url"] for event in browser.seen("Network.requestWillBeSent")]
    assert requested == [hostile_map.as_uri()]
    assert browser.seen("Log.entryAdded") == []
    assert "located" in browser.run("document.getElementById('summary').textContent")
    colours = browser.run(
        """(() => {
          const canvas = document.getElementById('map');
          const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(pixels.data.buffer)).size;
        })()"""
    )
    assert colours > 3  # sea, land, borders and photos are drawn


@pytest.mark.parametrize("lons", [(179.0, -179.0), (-179.5, 178.0), (10.0, 12.0)])
def test_photos_on_both_sides_of_the_date_line_are_shown_side_by_side(
    browser: Browser, tmp_path: Path, lons: tuple[float, float]
) -> None:
    rows = [
        {
            "path": f"{i}.jpg", "rank": 1, "lat": -17.0, "lon": lon, "city": "c", "region": "r",
            "country": "k", "country_code": "FJ", "place_id": "p", "probability": 0.9,
            "status": "ok", "source": "model",
        }
        for i, lon in enumerate(lons)
    ]  # fmt: skip
    write_map(pd.DataFrame(rows), tmp_path / "map.html")
    browser.open((tmp_path / "map.html").as_uri())
    lit = browser.run(
        """new Promise((done) => setTimeout(() => {
          const canvas = document.getElementById('map');
          const { width, height } = canvas;
          const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
          const found = [];
          for (let i = 0; i < data.length; i += 4)
            if (data[i] === 255 && data[i + 1] === 255 && data[i + 2] === 255)
              found.push((i / 4) % width / width);
          done([Math.min(...found), Math.max(...found)]);
        }, 200))"""
    )
    assert 0.02 < lit[0] < lit[1] < 0.98  # the dots' white rings, away from the edges


def test_the_map_is_drawn_in_the_frame_of_a_notebook(
    browser: Browser, hostile_map: Path, tmp_path: Path
) -> None:
    """The frame isolates scripts, so the test examines a picture of the window."""
    shown = InlineMap(hostile_map.read_text(encoding="utf-8"), 8)._repr_html_()
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f'<meta charset="utf-8"><title>a</title>{shown}', encoding="utf-8")
    browser.open(notebook.as_uri())
    browser.run("new Promise((done) => setTimeout(done, 1000))")
    picture = base64.b64decode(browser.call("Page.captureScreenshot")["data"])
    colours = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 24)
    sea_and_land = {(0xDB, 0xE8, 0xF1), (0xF7, 0xF4, 0xEC)}
    assert {colour for n, colour in colours if n > 5000} >= sea_and_land
    assert browser.run("window.marker") is None
    assert browser.seen("Page.javascriptDialogOpening") == []


def test_a_line_joins_the_moments_of_a_clip(browser: Browser, tmp_path: Path) -> None:
    """Two moments on the equator: with a path, the columns between show the accent colour."""
    columns = ("path", "rank", "lat", "lon", "city", "probability")
    rows = [("a.mp4#t=0", 1, 0.0, -20.0, "c", 0.9), ("a.mp4#t=1", 1, 0.0, 40.0, "c", 0.9)]
    shares = []
    for way in (False, True):
        write_map(pd.DataFrame(rows, columns=columns), tmp_path / "map.html", way=way)
        browser.open((tmp_path / "map.html").as_uri())
        found = browser.run(
            """new Promise((done) => setTimeout(() => {
              const { width, height } = document.getElementById('map');
              const context = document.getElementById('map').getContext('2d');
              const { data } = context.getImageData(0, 0, width, height);
              context.fillStyle =
                getComputedStyle(document.documentElement).getPropertyValue('--accent');
              const wanted = [1, 3, 5].map((i) => parseInt(context.fillStyle.slice(i, i + 2), 16));
              const near = (i) => wanted.every((one, n) => Math.abs(data[i + n] - one) < 40);
              const columns = new Set();
              for (let i = 0; i < data.length; i += 4) if (near(i)) columns.add((i / 4) % width);
              done(columns.size / width);
            }, 200))"""
        )
        shares.append(found)
    assert shares[0] < 0.1 and shares[1] > 0.3


def test_one_probability_needs_no_scale_and_doubt_names_the_continent(
    browser: Browser, tmp_path: Path
) -> None:
    columns = ("path", "rank", "lat", "lon", "city", "probability", "level")
    more = ("continent", "continent_probability")
    rows = [
        ("a.jpg", 1, 45.8, 4.8, "Lyon", 0.6, "city", "Europe", 0.9),
        ("b.jpg", 1, 48.0, 9.0, "", None, "none", "Europe", 0.31),
    ]
    write_map(pd.DataFrame(rows, columns=columns + more), tmp_path / "map.html")
    browser.open((tmp_path / "map.html").as_uri())
    told = browser.run("document.getElementById('list').textContent")
    assert "cannot tell (Europe 31\u00a0%)" in told.replace("31 %", "31\u00a0%")
    assert "probability 60" in browser.run("document.body.textContent")
    assert browser.run("document.querySelectorAll('.bar').length") == 0
