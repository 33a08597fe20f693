"""A map of photos in headless Chromium: click, keyboard, filters, phones, dark pages."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chromium import Browser
from PIL import Image

from geoclip.guesses.maps import write_map
from geoclip.places.sphere import great_circle_km


def row(path: Path | str, lat: float, lon: float, **values: Any) -> dict[str, Any]:
    usual = {
        "rank": 1, "source": "model", "level": "city", "continent": "Europe", "country": "France",
        "country_code": "FR", "region": "", "city": "Lyon", "place_id": "p", "probability": 0.9,
        "radius_km": 100.0, "radius_90_km": 400.0, "status": "ok",
    }  # fmt: skip
    return {"path": str(path), "lat": lat, "lon": lon, **usual, **values}


@pytest.fixture(scope="module")
def photo_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of all kinds, two in one place, two of one name; their files state where they are."""
    folder = tmp_path_factory.mktemp("private")
    exif = Image.Exif()
    exif[0x010E] = "a secret description"
    for name, hour in (("one/1.jpg", 10), ("two/1.jpg", 12), ("one/gps.jpg", 13)):
        exif.get_ifd(0x8769)[0x9003] = f"2024:05:31 {hour}:20:00"
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (640, 480), "red").save(folder / name, exif=exif)
    swiss = {"country": "Switzerland", "country_code": "CH", "city": "Z\u00fcrich"}
    rows = [
        row(folder / "one/1.jpg", 45.75, 4.85),
        row(folder / "one/1.jpg", 48.85, 2.35, rank=2, city="Paris", probability=0.05),
        row(folder / "two/1.jpg", 47.37, 8.54, probability=0.3, **swiss),
        row(folder / "one/gps.jpg", 51.5, -0.1, source="gps", city="London", probability=1.0),
        row(folder / "one/album.jpg", 40.4, -3.7, source="album", city="Madrid", probability=0.6),
        row(folder / "twin.jpg", 40.4, -3.7, source="gallery", city="Madrid", probability=0.8),
        row(folder / "fr.jpg", 44.0, 1.0, level="country", city="", probability=0.7),
        row(folder / "none.jpg", 46.5, 2.5, level="none", city="", continent_probability=0.4),
        {"path": str(folder / "bad.jpg"), "rank": 1, "status": "truncated"},
    ]
    truth = pd.DataFrame({"path": [rows[0]["path"]], "lat": [43.3], "lon": [5.4]})
    write_map(pd.DataFrame(rows), folder / "map.html", truth, thumbnails=True)
    return folder / "map.html"


@pytest.fixture(scope="module")
def opened(browser: Browser, photo_map: Path) -> Browser:
    browser.dark(False)
    browser.resize(1280)
    browser.open(photo_map.as_uri())
    return browser


@pytest.fixture
def shown(opened: Browser) -> Browser:
    """The map as it is at first."""
    opened.press("Escape")
    opened.run("document.getElementById('clear').click()")
    opened.run("document.activeElement.blur()")
    opened.frame()
    return opened


def text(browser: Browser, selector: str) -> str:
    return str(browser.run(f"document.querySelector('{selector}').textContent"))


def listed(browser: Browser) -> list[str]:
    names = "[...document.querySelectorAll('#photos .name')].map((name) => name.textContent)"
    return list(browser.run(names))


def choose(browser: Browser, control: str, value: str) -> None:
    browser.run(
        f"""(() => {{ const control = document.getElementById('{control}');
        control.value = '{value}'; control.dispatchEvent(new Event('input')); }})()"""
    )
    browser.frame()


def test_pictures_are_small_and_without_metadata(photo_map: Path, shown: Browser) -> None:
    sources = shown.run("[...document.querySelectorAll('#photos img')].map((one) => one.src)")
    assert len(sources) == 3
    content = base64.b64decode(sources[0].removeprefix("data:image/jpeg;base64,"))
    picture = Image.open(BytesIO(content))
    assert max(picture.size) <= 200 and not picture.getexif()
    assert picture.getpixel((9, 9))[0] > 200
    page = photo_map.read_text("utf-8")
    assert "secret" not in page and str(photo_map.parent) not in page


def test_two_files_of_one_name_are_told_apart(shown: Browser) -> None:
    assert listed(shown)[:3] == ["one/1.jpg", "two/1.jpg", "gps.jpg"]


def test_filters_act_on_the_list_and_the_marks(shown: Browser) -> None:
    assert text(shown, "#summary") == "6 photos located, 1 cannot be told, 1 not located"
    choose(shown, "filter", "zurich")
    assert listed(shown) == ["two/1.jpg"]
    assert text(shown, "#summary") == "1 photo located"
    before = marked(shown)
    choose(shown, "filter", "")
    assert marked(shown) > before > 0
    for control, value, names in (
        ("kind", "gps", ["gps.jpg"]),
        ("country", "Switzerland", ["two/1.jpg"]),
        ("folder", "one", ["one/1.jpg", "gps.jpg", "album.jpg"]),
        ("sure", "0.75", ["one/1.jpg", "gps.jpg", "twin.jpg"]),
        ("from", "2024-05-31", ["one/1.jpg", "two/1.jpg", "gps.jpg"]),
        ("to", "2024-05-30", []),
    ):
        choose(shown, control, value)
        assert listed(shown) == names, control
        shown.run("document.getElementById('clear').click()")
    assert len(listed(shown)) == 8
    choose(shown, "sort", "unsure")
    assert listed(shown)[0] == "two/1.jpg"


def test_the_list_and_the_marks_follow_the_timeline(shown: Browser) -> None:
    """Photos of 10:20, 12:20 and 13:20, and five without a time."""
    assert text(shown, "#stretch") == "2024-05-31 10:20 to 2024-05-31 13:24"
    assert shown.run("document.querySelectorAll('#bars .chosen').length") == 37
    before = marked(shown)
    shown.run("document.getElementById('begin').focus()")
    shown.press("ArrowRight")
    shown.frame()
    assert listed(shown) == ["two/1.jpg", "gps.jpg"] and marked(shown) < before
    told = "2024-05-31 10:25 to 2024-05-31 13:24, without 5 that state no time"
    assert text(shown, "#stretch") == told
    assert shown.run("document.getElementById('from').value") == "2024-05-31"
    choose(shown, "end", "25")
    assert listed(shown) == ["two/1.jpg"]
    choose(shown, "begin", "30")  # it stops before the other
    assert shown.run("document.getElementById('begin').value") == "24"
    assert shown.run("document.getElementById('begin').ariaValueText") == "2024-05-31 12:20"
    choose(shown, "from", "2024-06-01")
    assert listed(shown) == []
    shown.run("document.getElementById('clear').click()")
    assert len(listed(shown)) == 8 and text(shown, "#stretch").endswith("13:24")


def marked(browser: Browser) -> int:
    """How many pixels of the map are of the marks' white rings."""
    return int(
        browser.run(
            """(() => {
              const canvas = document.getElementById('map');
              const { width, height } = canvas;
              const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
              let n = 0;
              for (let i = 0; i < data.length; i += 4)
                n += data[i] === 255 && data[i + 1] === 255 && data[i + 2] === 255;
              return n;
            })()"""
        )
    )


def middle(browser: Browser) -> tuple[float, float]:
    """The pixel in the middle of the map."""
    box = browser.run(
        "(({ x, y, width, height }) => [x + width / 2, y + height / 2])"
        "(document.getElementById('map').getBoundingClientRect())"
    )
    return box[0], box[1]


def test_a_click_opens_a_photo(shown: Browser) -> None:
    choose(shown, "filter", "zurich")  # the only photo stands in the middle
    shown.click(*middle(shown))
    assert "two/1.jpg" in text(shown, "#popup") and "30 %" in text(shown, "#popup")
    link = shown.run("document.querySelector('#popup a').href")
    assert link == "https://www.openstreetmap.org/?mlat=47.37&mlon=8.54#map=12/47.37/8.54"
    assert shown.run("document.querySelector('#popup a').rel") == "noopener noreferrer"
    shown.press("Escape")
    assert shown.run("document.getElementById('popup').hidden")
    shown.click(middle(shown)[0] + 90, middle(shown)[1] + 90)
    assert shown.run("document.getElementById('popup').hidden")


def test_a_mark_of_two_photos_shows_one_after_the_other(shown: Browser) -> None:
    choose(shown, "filter", "madrid")
    shown.click(*middle(shown))
    assert "album.jpg" in text(shown, "#popup")
    shown.run("document.querySelector('#popup .next').click()")
    assert "twin.jpg" in text(shown, "#popup")


def test_coordinates_are_copied(shown: Browser) -> None:
    shown.run("document.querySelectorAll('#photos button')[0].click()")
    shown.run(
        "Object.defineProperty(navigator, 'clipboard', "
        "{ configurable: true, value: { writeText: async (text) => { window.copied = text; } } })"
    )
    shown.run("document.querySelector('#popup .small').click()")
    assert shown.run("window.copied") == "45.75000, 4.85000"
    km = great_circle_km(45.75, 4.85, 43.3, 5.4)
    assert f"{km:.0f} km from the true place" in text(shown, "#popup")


def test_the_keyboard_alone_is_enough(shown: Browser) -> None:
    shown.run("document.querySelector('.skip').focus()")
    assert shown.run("document.querySelector('.skip').getBoundingClientRect().top") >= 0
    shown.press("Enter")
    assert shown.run("document.activeElement.id") == "list"
    shown.run("document.querySelector('#photos button').focus()")
    shown.press("Enter")
    assert shown.run("document.activeElement.id") == "popup"
    shown.press("Escape")
    assert shown.run("document.activeElement.closest('#photos') !== null")
    choose(shown, "filter", "zurich")
    shown.run("document.getElementById('map').focus()")
    aimed = "getComputedStyle(document.getElementById('aim')).display"
    assert shown.run(aimed) == "block"
    shown.press("Enter")
    assert shown.run(aimed) == "none"
    assert "two/1.jpg" in text(shown, "#popup")


def test_the_area_of_the_level_is_filled(shown: Browser) -> None:
    """A named country is tinted as a whole, the circles of a city are; else land is plain."""
    beside = []
    for name in ("fr.jpg", "one/1.jpg", "none.jpg"):
        choose(shown, "filter", name)
        assert listed(shown) == [name]
        shown.run("document.querySelector('#photos button').click()")
        shown.frame()
        beside.append(usual_colour(shown))
    assert beside[2] == [247, 244, 236]
    assert all(blue > red for red, _, blue in beside[:2])
    choose(shown, "filter", "fr.jpg")
    assert usual_colour(shown) == beside[2]  # nothing is selected


def usual_colour(browser: Browser) -> list[int]:
    """The most frequent colour of a patch below and beside the middle of the map."""
    return list(
        browser.run(
            """(() => {
              const canvas = document.getElementById('map');
              const [x, y] = [canvas.width / 2 + 15, canvas.height / 2 + 15];
              const { data } = canvas.getContext('2d').getImageData(x, y, 30, 30);
              const counts = new Map();
              for (let i = 0; i < data.length; i += 4) {
                const colour = data.slice(i, i + 3).join();
                counts.set(colour, (counts.get(colour) || 0) + 1);
              }
              return [...counts].sort((a, b) => b[1] - a[1])[0][0].split(',').map(Number);
            })()"""
        )
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_size_and_scheme_is_sound(
    browser: Browser, photo_map: Path, width: int, dark: bool
) -> None:
    browser.dark(dark)
    browser.resize(width)
    browser.open(photo_map.as_uri())
    browser.frame()
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(22, 27, 33)") == dark
    land = browser.run(
        "[...document.getElementById('map').getContext('2d').getImageData(0, 0, 1, 1).data]"
    )
    assert (sum(land[:3]) < 300) == dark
    browser.run("document.querySelector('details').open = true")
    browser.run("document.querySelector('#photos button').click()")
    browser.frame()
    sheet = browser.run(
        "(({ left, right, bottom }) => [left, right, bottom])"
        "(document.getElementById('popup').getBoundingClientRect())"
    )
    height = browser.run("innerHeight")
    assert (sheet == [0, 390, height]) if width == 390 else sheet[2] <= height
    assert browser.faults() == []
    for event in ("Runtime.exceptionThrown", "Log.entryAdded"):
        assert browser.seen(event) == []
    browser.dark(False)


def test_without_times_there_is_no_timeline(browser: Browser, tmp_path: Path) -> None:
    write_map(pd.DataFrame([row("a.jpg", 45.75, 4.85)]), tmp_path / "map.html", thumbnails=True)
    browser.open((tmp_path / "map.html").as_uri())
    assert browser.run("document.getElementById('timeline').hidden")
    assert browser.run("document.getElementById('from').parentElement.hidden")
