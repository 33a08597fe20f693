"""The pages of an evaluation and of a comparison in headless Chromium, wide and on a phone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chromium import HOSTILE, Browser
from typer.testing import CliRunner

from geoclip.commands.app import app

SECTIONS = {
    "evaluate": [
        "Photos that the training photos give away", "Photos within a distance",
        "Baselines", "Oracle: the nearest listed city",
        "Answers by level", "Calibration", "Reliability: how many are right, by stated probability",
        "Radii", "Selective prediction: risk–coverage", "Recall against area", "Curves",
        "Where the errors are",
    ],
    "compare": [
        "Every figure", "Countries where they differ most", "Photos where they differ most",
        "Who is nearer, photo by photo",
    ],
}  # fmt: skip


def photos() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A truth table and two tables of guesses in which every text from outside is hostile."""
    random = np.random.default_rng(0)
    n = 5 * len(HOSTILE)
    names = [f"{i} {HOSTILE[i % len(HOSTILE)]}".replace("/", "\u2215") for i in range(n)]
    truth = pd.DataFrame({"path": names, "lat": random.uniform(-70, 60, n)})
    truth["lon"] = random.uniform(-180, 180, n)
    truth = truth.assign(author=names, source=HOSTILE * 5, country_code=HOSTILE * 5)
    tables = []
    for spread in (1, 9):
        lat = np.clip(truth["lat"] + random.normal(scale=spread, size=n), -90, 90)
        first = pd.DataFrame({"path": names, "rank": 1, "lat": lat, "lon": truth["lon"]})
        first["level"] = random.choice(["country", "city"], n)
        first = first.assign(country_code=HOSTILE * 5, place_id="2996944", status="ok")
        first["probability"] = random.uniform(0.5, 1, n)
        first["country_probability"] = random.uniform(0.9, 1, n)
        first = first.assign(radius_km=100.0 * spread, radius_90_km=200.0 * spread)
        tables.append(first)
    return truth, *tables


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("<b>pages")
    truth, first, second = photos()
    truth.to_csv(folder / "t.csv", index=False)
    truth[["path", "lat", "lon"]].to_csv(folder / "train.csv", index=False)
    names = folder / f"{HOSTILE[5]}.csv".replace("/", "\u2215"), folder / "second.csv"
    first.to_csv(names[0], index=False)
    second.to_csv(names[1], index=False)
    both = ["--truth", folder / "t.csv", "--report"]
    evaluate = ["evaluate", names[0], *both, folder / "e.html", "--oracle"]
    for command in (
        [*evaluate, "--train", folder / "train.csv", "--no-photo-hashes"],
        ["compare", *names, *both, folder / "c.html"],
    ):
        told = CliRunner().invoke(app, [str(word) for word in command])
        assert told.exit_code == 0, told.output
    return {"evaluate": folder / "e.html", "compare": folder / "c.html"}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", SECTIONS)
def test_a_page_shows_everything(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    browser.resize(width)
    browser.open(pages[name].as_uri())
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    titles = "[...document.querySelectorAll('h2')].map((title) => title.textContent)"
    assert browser.run(titles) == SECTIONS[name]
    for what in ("table tbody tr td", "svg[role=img]"):
        seen: list[dict[str, Any]] = browser.run(
            f"[...document.querySelectorAll('{what}')].map((e) => e.getBoundingClientRect().width)"
        )
        assert seen and min(seen) > 0, what


@pytest.mark.parametrize("name", SECTIONS)
def test_hostile_names_do_nothing_on_a_page(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.open(pages[name].as_uri())
    text = browser.run("document.body.textContent")
    shown = [one for one in HOSTILE if one.replace("/", "\u2215") in text or one in text]
    assert shown == HOSTILE
    assert browser.run("window.marker") is None
    assert browser.run("document.querySelectorAll('script, img, iframe, a, object, b').length") == 0
    for event in ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"):
        assert browser.seen(event) == []
    requested = [event["request"]["url"] for event in browser.seen("Network.requestWillBeSent")]
    assert requested == [pages[name].as_uri()]


def test_too_wide_a_page_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    wide = tmp_path / "wide.html"
    head = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    wide.write_text(f"{head}<pre>{'x' * 500}</pre>")
    browser.resize(390)
    browser.open(wide.as_uri())
    assert browser.run("document.documentElement.scrollWidth > 390")
