"""Countries as people write them."""

import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.places.country_names import advice, code_or_word, codes_of, country_codes
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.gazetteer_tables import packaged_countries
from geoclip.places.narrowing import prior

TYPED = {
    "GB": "UK U.K. GBR 826 Großbritannien Royaume-Uni",
    "US": "USA U.S.A. us 840 America Estados_Unidos Vereinigte_Staaten",
    "TR": "Türkiye Turkey turkiye TUR 792 Turquie",
    "CZ": "Czech_Republic Czechia Česko Tschechien CZE",
    "NL": "Holland The_Netherlands Nederland Pays-Bas",
    "MK": "Macedonia North_Macedonia FYR_Macedonia",
    "MM": "Burma Myanmar", "SZ": "Swaziland Eswatini", "CI": "Ivory_Coast Côte_d’Ivoire",
    "CD": "Zaire DR_Congo DRC", "LK": "Ceylon", "TH": "Siam ประเทศไทย ไทย", "IR": "Persia",
    "GR": "Ελλάδα Hellas EL", "JP": "日本 Nippon Giappone", "CN": "中国 China PRC",
    "DE": "Deutschland Allemagne",
    "RU": "Россия Russian_Federation", "EG": "مصر", "IN": "भारत Bharat", "AT": "40 040 Österreich",
    "TT": "Trinidad_&_Tobago", "LC": "St._Lucia", "TZ": "Tanzania,_United_Republic_of",
    "NA": "NA Namibia", "KR": "South_Korea Korea,_Republic_of", "XK": "Kosovo XKX",
}  # fmt: skip
WRITTEN = [
    (word.replace("_", " "), code) for code, words in TYPED.items() for word in words.split()
]


@pytest.mark.parametrize(("word", "code"), WRITTEN)
def test_names_people_type(word, code):
    assert codes_of(word) == codes_of(f" {word.upper()} ") == (code,)


def test_every_country_has_its_own_names_and_codes():
    countries = packaged_countries()
    for column in ("place_id", "iso3", "name", "ascii_name"):
        assert [codes_of(text) for text in countries[column]] == [
            (code,) for code in countries["place_id"]
        ]


@pytest.mark.parametrize(
    ("word", "codes"),
    [("Korea", "KP KR"), ("Congo", "CD CG"), ("Czechoslovakia", "CZ SK")],
)
def test_a_name_of_several_countries_names_them(word, codes):
    assert codes_of(word) == tuple(codes.split())
    assert all(f"{code} (" in advice(word) for code in codes.split())


@pytest.mark.parametrize("word", ["", "Atlantis", "England", "Bavaria", "ZZ", "999", "Europe"])
def test_other_words_name_none(word):
    assert codes_of(word) == ()
    assert code_or_word(word) == word.upper()


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("England", "a part of GB (United Kingdom); write GB"),
        ("Scotland", "write GB"),
        ("bavaria", "it is a part of DE (Germany); write DE"),
        ("Germny", "did you mean DE (Germany)"),
        ("Portgual", "did you mean PT (Portugal)"),
        ("qqqq", "FR, FRA or France"),
    ],
)
def test_advice_says_what_to_write(word, words):
    assert words in advice(word)


def test_codes_of_a_column():
    given = pd.Series([" uk", "Türkiye", "", "zz", "250"], name="country_code")
    assert country_codes(given, "t.csv").tolist() == ["GB", "TR", "", "ZZ", "FR"]
    bad = pd.Series(["FR", "Korea", "nowhere"], name="country", index=[2, 3, 4])
    with pytest.raises(GeoclipError, match=r"t\.csv, row 3 \(and 1 more rows\): .*'Korea' .* KR"):
        country_codes(bad, "t.csv")


def test_narrowing_takes_the_same_words(world, tmp_path):
    for word, code in (("UK", "GB"), ("Holland", "NL"), ("CZE", "CZ"), ("ประเทศไทย", "TH")):
        assert (prior(world, countries=[word]) == prior(world, countries=[code])).all()
    with pytest.raises(GeoclipError, match=r"'Germny'; did you mean DE"):
        prior(world, countries=["Germny"])
    (tmp_path / "alps.csv").write_text("name,lat,lon\nWien,48.2,16.37\n")
    with pytest.raises(GeoclipError, match="no country 'UK'; name one that it has: AT"):
        prior(Gazetteer.read(tmp_path / "alps.csv"), countries=["UK"])
