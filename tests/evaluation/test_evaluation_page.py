import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.evaluation.html_page import page, sentences, table
from geoclip.evaluation.svg_figures import Dots, world_map

HOSTILE = '<script>alert("x")</script>.jpg'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    """The page and the JSON of a report on three photos, one with a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    names = ["a.jpg", HOSTILE, "c.jpg"]
    truth = {"img_id": names, "lat": [45.75, 48.85, -12.0], "lon": [4.85, 2.35, -77.0]}
    truth |= {"source": ["<b>s</b>"] * 3}
    guesses = {
        "path": names[:2], "lat": [45.75, 0.0], "lon": [4.85, 0.0], "country_code": ["FR", "GA"],
        "place_id": ["2996944", ""], "probability": [0.9, 0.2], "radius_km": [100.0, 50.0],
    }  # fmt: skip
    pd.DataFrame(truth).to_csv(folder / "t.csv", index=False)
    pd.DataFrame(guesses).to_csv(folder / "g.csv", index=False)
    command = ["evaluate", folder / "g.csv", "--truth", folder / "t.csv", "--oracle"]
    told = CliRunner().invoke(app, [str(w) for w in [*command, "--report", folder / "r.html"]])
    assert told.exit_code == 0, told.output
    return (
        (folder / "r.html").read_text(encoding="utf-8"),
        json.loads((folder / "r.json").read_text(encoding="utf-8")),
    )


def test_the_page_loads_nothing_and_runs_nothing(written):
    text, _ = written
    assert "default-src 'none'; style-src 'sha256-" in text
    assert not re.search(r"<(script|img|link|iframe|object|embed)|url\(|https?://|@import", text)
    assert not re.search(r"\s(style|on\w+|src|href)=", text)


def test_names_stay_text(written):
    text, _ = written
    assert "<script" not in text
    assert "<b>s</b>" not in text
    assert "&lt;b&gt;s&lt;/b&gt;" in text
    assert "script&gt;.jpg: " in text


def test_the_page_is_well_formed_and_has_every_part(written):
    text, report = written
    opened: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta",):
                opened.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Checker().feed(text)
    assert opened == []
    for words in (
        "Answers by level",
        "Calibration",
        "Radii",
        "Reliability",
        "Risk against coverage",
        "Recall against area",
        "Where the errors are",
        "no answer: 1",
        "GeoNames",
    ):
        assert words in text, words
    assert f"{report['within_km']['25']:.2f} %" in text
    assert report["oracle"]["all"]["within_km"]["25"] == 100


def test_the_page_must_be_html_before_anything_is_read(tmp_path):
    told = CliRunner().invoke(app, ["evaluate", "no.csv", "--truth", "no.csv", "--report", "r.pdf"])
    assert told.exit_code == 2
    assert "does not end in .html" in told.stderr


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "t.csv").write_text("path,lat,lon\na,1,2\n")
    command = ["evaluate", "t.csv", "--truth", "t.csv", "--report", "none/r.html"]
    told = CliRunner().invoke(app, [w.replace("t.csv", str(tmp_path / "t.csv")) for w in command])
    assert told.exit_code == 2
    assert "cannot be written" in told.stderr


def test_parts_escape():
    made = page("<i>", [sentences(["a & b"]), table([["<h>"], ["<c>"]])])
    assert "<i>" not in made
    assert "a &amp; b" in made
    assert "<h>" not in made
    assert "<c>" not in made
    assert table([]) == ""


def test_many_dots_are_thinned_and_counted(monkeypatch):
    monkeypatch.setattr("geoclip.evaluation.svg_figures.MOST_DOTS", 10)
    drawn = world_map([Dots("all", "#000", [1.0] * 25, [2.0] * 25, ["n"] * 25)], "Map.")
    assert drawn.count("<title>") == 9
    assert "One photo in 3 is drawn." in drawn
    assert "all: 25" in drawn
