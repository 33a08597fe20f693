"""The pure parts of the script that rebuilds the gazetteer, and what it wrote."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

GAZETTEERS = Path(__file__).resolve().parents[2] / "gazetteers"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(GAZETTEERS))
    return importlib.import_module


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Łódź", "Lodz"), ("Tromsø", "Tromso"), ("Straße", "Strasse"), ("Đà Nẵng", "Da Nang"),
     ("Þórshöfn", "Thorshofn"), ("Iğdır", "Igdir"), ("Côte d’Azur", "Cote d'Azur")],
)  # fmt: skip
def test_fold(module, name, plain):
    assert module("rebuild_names").fold(name) == plain


def test_alternate_names_leave_codes_and_other_scripts_out(module):
    names = module("rebuild").alternate_names(
        "Vienna", ["VIE", "Wien", "wien", "Вена", "Vienne", "Viennë", "wei ye na", "VIENNA", "Bécs"]
    )
    assert sorted(names) == ["Bécs", "Viennë", "Wien"]


@pytest.mark.parametrize(
    ("country", "name", "aliases", "english"),
    [
        ("DE", "Bayern", "Bavaria", "Bavaria"),
        ("RU", "Tul'skaya oblast'", "Tula vilayəti|Tula Oblast", "Tula Oblast"),
        ("CN", "Anhui Sheng", "", "Anhui"),
        ("ES", "Asturias, Principado de", "Principality of Asturias", "Asturias"),
        ("CO", "San Andrés, Providencia y S.", "", "San Andrés, Providencia y S."),
        ("SE", "Uppsala län", "Uppsala County|Uppsala", "Uppsala"),
    ],
)  # fmt: skip
def test_english_region_names(module, country, name, aliases, english):
    assert module("rebuild_regions").english_name(country, name, aliases) == english


def test_sovereigns_are_countries_that_have_none_above(module):
    names = module("rebuild_names")
    countries = pd.read_csv(GAZETTEERS / "countries.csv", keep_default_na=False)
    assert set(names.SOVEREIGNS) | set(names.SOVEREIGNS.values()) <= set(countries["place_id"])
    assert not set(names.SOVEREIGNS) & set(names.SOVEREIGNS.values())


def test_the_readme_states_the_counts():
    text = (GAZETTEERS / "README.md").read_text(encoding="utf-8")
    for name in ("countries", "regions", "cities"):
        rows = len(pd.read_csv(GAZETTEERS / f"{name}.csv", keep_default_na=False))
        assert f"{rows:,}" in text
