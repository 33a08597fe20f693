"""The page of `geoclip review` in headless Chromium, from the guesses to sidecars."""

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chromium import HOSTILE, Browser
from PIL import Image
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.guesses.schema import guess_table
from geoclip.guesses.writer import write_guesses

EXPORTED = "window.exported"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos: two of a city, one of a country, one of no place, one that states its own."""
    folder = tmp_path_factory.mktemp("review")
    lyon = {"level": "city", "city": "Lyon", "country": "France", "country_code": "FR"}
    lyon |= {"lat": 45.75, "lon": 4.85, "place_id": "2996944", "probability": 0.6}
    paris = {**lyon, "rank": 2, "city": "Paris", "lat": 48.86, "lon": 2.35, "probability": 0.2}
    austria = {"level": "country", "country": "Austria", "country_code": "AT", "lat": 48.2}
    austria |= {"lon": 16.37, "place_id": "AT", "probability": 0.8}
    rows = [
        {"path": "0.jpg", **lyon}, {"path": "0.jpg", **paris},
        {"path": HOSTILE[2].replace("/", "|"), **lyon, "region": HOSTILE[0]},
        {"path": "2.jpg", **austria},
        {"path": "3.jpg", "level": "none", "lat": 1.0, "lon": 2.0},
        {"path": "gps.jpg", **lyon, "source": "gps"},
        {"path": "broken.jpg", "status": "unreadable"},
    ]  # fmt: skip
    for path in {row["path"] for row in rows}:
        Image.new("RGB", (90, 60), "green").save(folder / path, "JPEG")
    table = guess_table([{"status": "ok", **row} for row in rows])
    write_guesses(table.assign(path=str(folder) + "/" + table["path"]), folder / "g.parquet")
    command = ["review", str(folder / "g.parquet"), "--out", str(folder / "review.html")]
    told = CliRunner().invoke(app, [*command, "--limit", "3"])
    assert told.exit_code == 0 and "for 3 photos" in told.stderr, told.output
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0 and "for 4 photos" in told.stderr, told.output
    return folder / "review.html"


@pytest.fixture
def review(browser: Browser, page: Path) -> Browser:
    """The page before any decision; its export is kept for the test."""
    browser.dark(False)
    browser.resize(1280)
    browser.open(page.as_uri())
    browser.run("localStorage.clear()")
    browser.open(page.as_uri())
    browser.run(f"URL.createObjectURL = (file) => {{ {EXPORTED} = file; return 'data:,'; }}")
    browser.run("HTMLAnchorElement.prototype.click = () => {}")
    return browser


def text(browser: Browser, name: str) -> str:
    return str(browser.run(f"document.getElementById('{name}').textContent"))


def press(browser: Browser, keys: str) -> None:
    for key in keys:
        browser.press(key)


def exported(browser: Browser) -> list[dict[str, Any]]:
    browser.press("e")
    return list(csv.DictReader(io.StringIO(browser.run(f"{EXPORTED}.text()"), newline="")))


def test_by_keyboard_from_guesses_to_sidecars(review: Browser, page: Path) -> None:
    assert "1 of 4: 0.jpg" in text(review, "where")
    press(review, "2")  # it was Paris
    assert "2 of 4" in text(review, "where")
    press(review, "r")
    press(review, "a")  # Austria
    press(review, "a")  # nothing to accept
    assert "names no country" in text(review, "decision")
    press(review, "/")
    press(review, "lyon")
    assert "Lyon, " in text(review, "found")
    review.press("Enter")
    summary = "4 of 4 photos decided: 1 accepted, 2 corrected, 1 rejected"
    assert text(review, "summary") == summary
    rows = exported(review)
    assert [Path(row["path"]).name for row in rows] == ["0.jpg", "2.jpg", "3.jpg"]
    assert [row["city"] for row in rows] == ["Paris", "", "Lyon"]
    assert (rows[1]["lat"], rows[1]["country_code"], rows[2]["place_id"]) == ("", "AT", "2996944")
    (page.parent / "reviewed.csv").write_text(review.run(f"{EXPORTED}.text()"), encoding="utf-8")
    told = CliRunner().invoke(app, ["sidecar", "write", str(page.parent / "reviewed.csv")])
    assert told.exit_code == 0, told.output
    written = sorted(path.name for path in page.parent.glob("*.xmp"))
    assert written == ["0.jpg.xmp", "2.jpg.xmp", "3.jpg.xmp"]
    assert b'photoshop:City="Paris"' in (page.parent / "0.jpg.xmp").read_bytes()
    assert b"GPSLatitude" not in (page.parent / "2.jpg.xmp").read_bytes()


def test_undo_and_moving_about(review: Browser) -> None:
    press(review, "ar")
    assert text(review, "summary").startswith("2 of 4")
    press(review, "u")
    assert "2 of 4" in text(review, "where") and "Not decided" in text(review, "decision")
    press(review, "p")
    assert text(review, "decision") == "accepted: Lyon, France"
    press(review, "pn")
    assert "1 of 4" in text(review, "where")
    press(review, "uuu")
    assert text(review, "summary").startswith("0 of 4")
    assert review.run("document.getElementById('export').disabled")
    press(review, "e")
    assert review.run(f"{EXPORTED} === undefined")


def test_a_click_on_the_map_is_a_position(review: Browser) -> None:
    """The middle of the map lies between the two guesses."""
    box = review.run(
        "(({ x, y, width, height }) => [x + width / 2, y + height / 2])"
        "(document.getElementById('map').getBoundingClientRect())"
    )
    review.frame()
    review.click(*box)
    assert "1 of 4" in text(review, "where")  # one may want to correct it
    assert text(review, "decision").startswith("corrected: 47.")
    rows = exported(review)
    assert float(rows[0]["lat"]) == pytest.approx(47.33, abs=0.1)  # the middle on Mercator's map
    assert float(rows[0]["lon"]) == pytest.approx(3.6, abs=0.05)
    assert rows[0]["country"] == ""


def test_what_was_decided_is_there_again(review: Browser, page: Path) -> None:
    press(review, "ar")
    review.open(page.as_uri())
    assert text(review, "summary").startswith("2 of 4 photos decided: 1 accepted")
    assert "3 of 4" in text(review, "where")


def test_on_a_phone_what_matters_is_in_sight(review: Browser) -> None:
    """The places found while a name is typed, then the next photo."""
    review.resize(390)
    review.frame()
    press(review, "/lyon")
    review.frame()
    assert review.run("document.querySelector('main').scrollTop") > 0
    in_sight = """(({ top, bottom }) => top >= 0 && bottom <= innerHeight)
        (document.querySelector('%s').getBoundingClientRect())"""
    assert review.run(in_sight % "#found li:last-child")
    review.press("Enter")
    review.frame()
    assert "2 of 4" in text(review, "where") and review.run(in_sight % "#where")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_size_and_scheme_is_sound(review: Browser, width: int, dark: bool) -> None:
    review.resize(width)
    review.dark(dark)
    review.frame()
    press(review, "n/par")
    assert review.run("document.documentElement.scrollWidth <= innerWidth")
    assert review.faults() == []
    assert review.run("window.marker") is None
    requested = [event["request"]["url"] for event in review.seen("Network.requestWillBeSent")]
    assert [url for url in requested if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in requested if url.startswith("file:")]) == 1
    for event in ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"):
        assert review.seen(event) == []


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    known = pd.DataFrame(
        [
            {"path": "a.jpg", "lat": 1, "lon": 2, "source": "gps", "status": "ok"},
            {"path": "b.jpg", "status": "truncated"},
        ]
    )
    write_guesses(guess_table(known), tmp_path / "g.csv")
    for words, told in (
        ([tmp_path / "g.csv", "--out", tmp_path / "r.html"], "no guesses to review"),
        ([tmp_path / "absent.csv", "--out", tmp_path / "r.html"], "does not exist"),
        ([tmp_path / "g.csv", "--out", tmp_path / "r.txt"], "unknown ending"),
    ):
        result = CliRunner().invoke(app, ["review", *map(str, words)])
        assert result.exit_code == 2 and told in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["g.csv"]
