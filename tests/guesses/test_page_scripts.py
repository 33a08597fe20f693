"""The pages' scripts, apart from what draws: in Node, or in Chromium where Node is absent."""

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from geoclip.guesses.page_files import PAGE_FOLDER, joined
from geoclip.places.sphere import great_circle_km

Run = Callable[..., Any]
LOOP = """require("readline").createInterface({ input: process.stdin })
  .on("line", (line) => console.log((0, eval)(JSON.parse(line))))"""
"""A program for Node that prints what each line of JSON text evaluates to."""


@pytest.fixture(scope="module")
def script(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs an expression after some modules; `given` is its data."""

    def text(modules: str, expression: str, given: Any = None) -> str:
        body = f'"use strict"; const given = {json.dumps(given)}; {joined(*modules.split())}'
        return f"(() => {{ {body}\nreturn JSON.stringify({expression}); }})()"

    node = shutil.which("node")
    if node is None:
        browser = request.getfixturevalue("browser")
        yield lambda *what: json.loads(browser.run(text(*what)))
        return
    with subprocess.Popen(
        [node, "-e", LOOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def run(*what: Any) -> Any:
            print(json.dumps(text(*what)), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


def test_no_file_of_a_page_is_long() -> None:
    files = [file for file in PAGE_FOLDER.iterdir() if file.suffix in (".mjs", ".css", ".html")]
    assert len(files) > 15
    lengths = {file.name: len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: n for name, n in lengths.items() if n > 300} == {}


def test_distances_and_projection_agree_with_the_library(script: Run) -> None:
    draw = np.random.default_rng(0)
    lat, lon = draw.uniform(-84, 84, (2, 200)), draw.uniform(-180, 180, (2, 200))
    pairs = np.stack([lat[0], lon[0], lat[1], lon[1]], 1).round(6).tolist()
    km, back, ends = script(
        "geometry",
        """[given.map(([a, b, c, d]) => distanceKm([a, b], [c, d])),
            given.map(([a, b]) => [latAt(worldY(a)), lonAt(worldX(b))]),
            given.map(([a, b, c]) => destination(a, b, c, 500))]""",
        pairs,
    )
    at = np.array(pairs)
    np.testing.assert_allclose(km, great_circle_km(*at.T), rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(back, at[:, :2], atol=1e-9)
    np.testing.assert_allclose(great_circle_km(*at[:, :2].T, *np.array(ends).T), 500, rtol=1e-6)


def test_a_great_circle_goes_the_short_way(script: Run) -> None:
    line = np.array(script("geometry", "greatCircle([50, -120], [48, 10], 8)"))
    parts = great_circle_km(*line[:-1].T, *line[1:].T)
    np.testing.assert_allclose(parts.sum(), great_circle_km(50, -120, 48, 10), rtol=1e-9)
    np.testing.assert_allclose(parts, parts[0], rtol=1e-9)


def test_the_scale_is_filled_by_the_photos(script: Run) -> None:
    draw = np.random.default_rng(1)
    lists = [draw.beta(a, b, n).tolist() for a, b, n in ((1, 9, 7), (9, 1, 200), (2, 2, 1001))]
    knots, places = script(
        "scale",
        "[given.map(quantiles), given.map((ps) => ps.map((p) => standing(quantiles(ps), p)))]",
        lists,
    )
    for values, found, standing in zip(lists, knots, places, strict=True):
        np.testing.assert_allclose(found, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
        assert (np.diff(np.array(standing)[np.argsort(values)]) >= 0).all()
        assert (min(standing), max(standing)) == (0, 1)
        share = np.histogram(standing, 4, (0, 1))[0] / len(values)
        assert (abs(share - 0.25) < 0.2).all()
    assert script("scale", "standing(quantiles([0.3, 0.3]), 0.3)") == 1


def test_each_photo_is_in_one_mark_near_it(script: Run) -> None:
    draw = np.random.default_rng(2)
    items = [{"id": i, "x": x, "y": y} for i, (x, y) in enumerate(draw.random((3000, 2)))]
    marks = script("clusters", "clusters(given, 2000, 26)", items)
    ids = [item["id"] for mark in marks for item in mark["items"]]
    assert sorted(ids) == list(range(3000))
    assert len(marks) < 2500
    for mark in marks:
        places = np.array([[item["x"], item["y"]] for item in mark["items"]])
        np.testing.assert_allclose([mark["x"], mark["y"]], places.mean(0))
        # All lie within the radius of one of them: the one that the mark began with.
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        assert apart.max(1).min() * 2000 < 26
    far = script("clusters", "clusters(given, 1e9, 26).length", items)
    assert far == 3000


def test_accents_are_folded(script: Run) -> None:
    names = ["Zürich", "São Paulo", "Łódź", "Straße", "Tromsø", "Kraków", "ÅLESUND", "東京", "Īr"]
    found = script("words", "given.map(folded)", names)
    plain = "".join(c for c in unicodedata.normalize("NFD", "zürich") if c.isascii())
    assert found[0] == plain == "zurich"
    assert found[1:] == [
        "sao paulo", "lodz", "strasse", "tromso", "krakow", "alesund", "東京", "ir",
    ]  # fmt: skip


def photo(name: str, **values: Any) -> dict[str, Any]:
    best = {"sure": True, "place": "Zürich, Switzerland", "country": "Switzerland"}
    best |= {"probability": values.pop("probability", 0.5)}
    usual = {"name": name, "folder": "", "source": "model", "status": "ok", "error_km": None}
    return {**usual, "guesses": [best], **values}


PHOTOS = [
    photo("a.jpg", probability=0.9, folder="trip/day 1", taken="2024-05-31T10:00", error_km=3.0),
    photo("b.jpg", probability=0.2, folder="trip", taken="2024-06-02T10:00"),
    photo("c.jpg", source="gps", probability=1.0, error_km=400.0),
    photo("d.jpg", guesses=[], status="truncated"),
]
NOTHING = {
    "text": "", "kind": "", "country": "", "folder": "", "sure": 0, "from": "", "to": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, "abcd"),
        ({"text": "zurich"}, "abc"),
        ({"text": "ZÜRICH b.jpg"}, "b"),
        ({"text": "day"}, "a"),
        ({"text": "truncated"}, "d"),
        ({"kind": "gps"}, "c"),
        ({"kind": "none"}, "d"),
        ({"country": "Switzerland"}, "abc"),
        ({"folder": "trip"}, "b"),
        ({"sure": 0.5}, "ac"),
        ({"from": "2024-05-31", "to": "2024-05-31"}, "a"),
        ({"from": "2024-06-01"}, "b"),
        ({"from": "2024-05-31T10:00", "to": "2024-06-02T09:59"}, "a"),
        ({"from": "2024-05-31T10:01", "to": "2024-06-02T10:00"}, "b"),
    ],
)
def test_filters(script: Run, wanted: dict[str, Any], names: str) -> None:
    expression = """given[0].map((p) => ({ ...p, search: searchText(p) }))
        .filter(matching(given[1])).map((p) => p.name[0]).join("")"""
    assert script("photo_filter", expression, [PHOTOS, NOTHING | wanted]) == names


def text_of(minutes: int) -> str:
    return str(np.datetime64("1970-01-01T00:00") + np.timedelta64(minutes, "m"))


@pytest.mark.parametrize("minutes", [3, 200, 3000, 80_000, 500_000, 3_000_000, 60_000_000])
def test_a_histogram_counts_every_time_once(script: Run, minutes: int) -> None:
    """Beside numpy's own, for times from minutes to a century apart, before and after 1970."""
    draw = np.random.default_rng(minutes)
    at = np.append(draw.integers(0, minutes, 300), [0, minutes]) - minutes // 3
    times = [text_of(one) for one in at]
    expression = """(() => { const { edges, counts } = histogram(given);
      return [edges, counts, given.map((time) => stepOf(edges, minutesOf(time))),
        edges.map(timeOf), [stepOf(edges, -1e12), stepOf(edges, Infinity)]]; })()"""
    edges, counts, steps, told, outside = script("histogram", expression, times)
    assert counts == np.histogram(at, edges)[0].tolist() and sum(counts) == len(at)
    assert steps == (np.searchsorted(edges, at, "right") - 1).tolist()
    assert 3 <= len(counts) <= 90 and counts[0] > 0 and counts[-1] > 0
    assert told == [text_of(edge) for edge in edges]
    assert outside == [0, len(counts) - 1]


def test_long_histograms_go_by_the_calendar(script: Run) -> None:
    expression = "given.map((times) => histogram(times).edges.map(timeOf))"
    two_years, decades = script(
        "histogram",
        expression,
        [["2021-12-31T23:59", "2024-02-29T00:00"], ["1903-05-01T00:00", "2024-01-01T00:00"]],
    )
    assert two_years[:2] == ["2021-12-01T00:00", "2022-01-01T00:00"]
    assert two_years[-1] == "2024-03-01T00:00" and len(two_years) == 28
    assert decades == [f"{year}-01-01T00:00" for year in range(1900, 2031, 10)]


def test_orders_put_what_is_not_known_last(script: Run) -> None:
    orders = ["", "sure", "unsure", "far", "near", "name", "taken"]
    expression = """given[1].map((o) => sorted(given[0], o).map((p) => p.name[0]).join(""))"""
    found = script("photo_filter", expression, [PHOTOS, orders])
    assert found == ["abcd", "cabd", "bacd", "cabd", "acbd", "abcd", "abcd"]


GUESS = {
    "rank": 1, "level": "city", "place_id": "1", "country": "Switzerland", "country_code": "CH",
    "region": 'The "Zürich" one', "city": "Zürich", "lat": 47.4, "lon": 8.5, "place": "Zürich",
}  # fmt: skip


def test_the_exported_table(script: Run) -> None:
    expression = """(() => {
      const d = new Decisions(5);
      d.set(0, accepted(given));
      d.set(1, accepted({ ...given, rank: 2, level: "country", city: "", region: "" }));
      d.set(2, rejected());
      d.set(3, pointed(-1.5, 2.25, "somewhere"));
      return [table(["/a,b.jpg", '/"q".jpg', "/c.jpg", "/d\\n.jpg", "/e.jpg"], d),
        acceptable(given), acceptable({ ...given, country_code: "" }), acceptable(undefined)];
    })()"""
    text, *able = script("decisions", expression, GUESS)
    assert able == [True, False, False]
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in rows] == ["/a,b.jpg", '/"q".jpg', "/d\n.jpg"]
    assert [row["decision"] for row in rows] == ["accepted", "corrected", "corrected"]
    assert [(row["lat"], row["lon"]) for row in rows] == [
        ("47.4", "8.5"),
        ("", ""),
        ("-1.5", "2.25"),
    ]
    assert [row["country_code"] for row in rows] == ["CH", "CH", ""]
    assert rows[0]["region"] == 'The "Zürich" one'


def test_undo_takes_back_whatever_was_decided(script: Run) -> None:
    """Random steps, beside a list of all earlier states."""
    draw = np.random.default_rng(3)
    steps = [int(n) for n in draw.integers(-3, 6, 300)]
    expression = """(() => {
      const d = new Decisions(6);
      return given.map((step, n) => {
        if (step < 0) d.undo(); else d.set(step, { decision: `d${n}` });
        return [...d.of].map(([i, one]) => [i, one.decision]).sort((a, b) => a[0] - b[0]);
      });
    })()"""
    found = script("decisions", expression, steps)
    states: list[dict[int, str]] = [{}]
    for n, (step, seen) in enumerate(zip(steps, found, strict=True)):
        if step >= 0:
            states.append({**states[-1], step: f"d{n}"})
        elif len(states) > 1:
            states.pop()
        assert dict(map(tuple, seen)) == states[-1]


def test_the_next_open_photo(script: Run) -> None:
    expression = """(() => {
      const d = new Decisions(4, [[0, rejected()], [2, rejected()], [9, rejected()]]);
      const done = new Decisions(1, [[0, rejected()]]);
      return [d.open(0), d.open(1), d.open(3), done.open(0), d.of.size];
    })()"""
    assert script("decisions", expression) == [1, 3, 1, 0, 2]


def test_places_are_found_by_name(script: Run) -> None:
    rows = [
        ["ES", "Spain", 0, "ES", "", 40.4, -3.7],
        ["VE", "Venezuela", 0, "VE", "", 10.5, -66.9],
        ["ES.60", "Valencia", 1, "ES", "", 39.5, -0.4],
        ["1", "Valencia", 2, "VE", "Carabobo", 10.2, -68.0],
        ["2", "València", 2, "ES", "Valencia", 39.5, -0.4],
        ["3", "New Valencia", 2, "ES", "", 1.0, 1.0],
    ]
    expression = """(() => {
      const places = new Places(given);
      const ids = (text, n) => places.search(text, n).map((place) => place.place_id);
      return [ids("valencia"), ids("VALÈNCIA, ve"), ids("val", 2), ids(""), ids("zz"),
        places.search("valencia")[2], places.nearest(39, 0).place_id, places.nearest(39, 0).km];
    })()"""
    every, one, two, none, unknown, place, near, km = script("place_search", expression, rows)
    assert every == ["ES.60", "1", "2", "3"]
    assert (one, two, none, unknown) == (["1"], ["ES.60", "1"], [], [])
    assert (place["city"], place["region"], place["country"]) == ("València", "Valencia", "Spain")
    assert near == "2" and km == pytest.approx(great_circle_km(39, 0, 39.5, -0.4), rel=1e-6)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    colour = "".join(2 * letter for letter in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_and_texts_stand_out(script: Run, scheme: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", (PAGE_FOLDER / "style.css").read_text("utf-8"), re.S)
    colours = dict(re.findall(r"--(\w+): (#\w+)", blocks[scheme == "dark"]))
    for ground in ("land", "sea"):
        for sign in ("ink", "truth", "gps", "accent", "cluster"):
            assert contrast(colours[sign], colours[ground]) >= (1.5 if sign == "cluster" else 3)
        assert contrast(colours["halo"], colours["cluster"]) >= 3  # its ring
        assert contrast(colours["muted"], colours[ground]) >= 4.5  # names of countries
    for ground in ("page", "field", "hover", "chosen"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5
        assert contrast(colours["quiet"], colours[ground]) >= 4.5
    assert contrast("#fff", colours["cluster"]) >= 4.5
    steps = script(
        "scale", f"[0, 0.25, 0.5, 0.75, 1].map(partial => scaleColour('{scheme}', partial))"
    )
    shown = ["#{:02x}{:02x}{:02x}".format(*step) for step in steps]
    assert min(map(partial(contrast, colours["land"]), shown)) >= 3
