"""Names and facts that the sources lack or spell differently."""

from __future__ import annotations

import unicodedata

# Territories with their own entry, and the country they belong to. Other ISO 3166-1 entries belong
# to themselves, disputed ones included; this takes no position.
SOVEREIGNS = {
    territory: sovereign
    for sovereign, territories in {
        "AU": "CC CX HM NF",
        "CN": "HK MO",
        "DK": "FO GL",
        "FI": "AX",
        "FR": "BL GF GP MF MQ NC PF PM RE TF WF YT",
        "GB": "AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG",
        "NL": "AW BQ CW SX",
        "NO": "BV SJ",
        "NZ": "CK NU TK",
        "US": "AS GU MP PR UM VI",
    }.items()
    for territory in territories.split()
}

HISTORIC = ("AN", "CS")  # Netherlands Antilles, Serbia and Montenegro

# English names as in photo captions, where the source has no diacritics or another name.
COUNTRY_NAMES = {
    "AX": "Åland Islands",
    "BL": "Saint Barthélemy",
    "BQ": "Caribbean Netherlands",
    "CV": "Cape Verde",
    "CW": "Curaçao",
    "MO": "Macau",
    "NL": "Netherlands",
    "PN": "Pitcairn Islands",
    "PS": "Palestine",
    "RE": "Réunion",
    "ST": "São Tomé and Príncipe",
    "TL": "Timor-Leste",
    "VA": "Vatican City",
}

# A point on land for the entries without a listed city.
ANCHORS = {
    "AQ": (-77.846, 166.676),  # McMurdo Station
    "BV": (-54.42, 3.36),
    "HM": (-53.10, 73.51),
    "IO": (-7.31, 72.41),  # Diego Garcia
    "TK": (-9.38, -171.22),  # Fakaofo
    "UM": (19.28, 166.65),  # Wake Island
}

# Parishes of Macau that GeoNames lists under China.
CITY_COUNTRIES = {"13527308": "MO", "13527315": "MO", "13527316": "MO", "13527318": "MO"}

# Letters that Unicode does not decompose.
_LETTERS = str.maketrans(
    {
        "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ß": "ss", "ẞ": "SS",
        "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ħ": "h", "Ħ": "H", "ı": "i", "þ": "th",
        "Þ": "Th", "ð": "d", "Ð": "D", "ə": "a", "Ə": "A", "ŋ": "ng", "Ŋ": "Ng", "ɓ": "b",
        "Ɓ": "B", "ɗ": "d", "Ɗ": "D", "ƙ": "k", "Ƙ": "K", "ŧ": "t", "Ŧ": "T", "ɛ": "e",
        "Ɛ": "E", "ɔ": "o", "Ɔ": "O", "ʻ": "'", "ʼ": "'", "ʿ": "'", "ʾ": "'", "‘": "'",
        "’": "'", "`": "'", "ʹ": "'", "–": "-", "—": "-", "‐": "-", "\u00a0": " ",
        "ƴ": "y", "Ƴ": "Y", "º": "o", "ª": "a", "ǃ": "!",
    }
)  # fmt: skip


def fold(text: str) -> str:
    """The text in ASCII: letters by the table, then without marks; other characters are dropped."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return decomposed.encode("ascii", "ignore").decode()


def is_latin(text: str) -> bool:
    """True when every letter is of the Latin script and there is one."""
    letters = [char for char in text if char.isalpha()]
    return bool(letters) and all("LATIN" in unicodedata.name(char, "") for char in letters)
