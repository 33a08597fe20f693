"""Facts about countries that a street shows: side of driving, paint, plates, writing, neighbours.

`country_facts.csv` is rough on purpose. Each country or territory has one row with one value per
column; a real country may have several. Neighbours come from GeoNames' country table (CC BY 4.0),
and so does the first language, which gives the script. The rest is general knowledge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError

FACTS_FILE = Path(__file__).with_name("country_facts.csv")
COLUMNS = (
    "country_code",
    "drives_on",
    "centre_line",
    "edge_line",
    "plate",
    "blue_band",
    "script",
    "neighbours",
)
_ALLOWED = {
    "drives_on": {"left", "right"},
    "centre_line": {"white", "yellow"},
    "edge_line": {"white", "yellow", "none"},
    "plate": {"white", "yellow", "black", "blue", "red"},
    "blue_band": {"yes", "no"},
}


@dataclass(frozen=True)
class CountryFacts:
    """Common features of one country's streets; `drives_on` is "left" or "right"."""

    country_code: str
    drives_on: str = "right"
    centre_line: str = "white"
    edge_line: str = "white"
    plate: str = "white"
    blue_band: bool = False
    script: str = "latin"
    neighbours: tuple[str, ...] = ()


def read_facts(path: Path = FACTS_FILE) -> dict[str, CountryFacts]:
    """Read the table of facts: country code -> facts, in the order of the file.

    Raises GeoclipError, naming file and row, for a missing column or an unknown value.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)  # "NA" is Namibia
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise GeoclipError(f"{path} lacks the column {missing[0]}; it needs {', '.join(COLUMNS)}.")
    for column, allowed in _ALLOWED.items():
        bad = ~table[column].isin(allowed)
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise GeoclipError(
                f"{path}, row {row + 2}: {column} is {table[column].iloc[row]!r}; "
                f"use one of {', '.join(sorted(allowed))}."
            )
    return {row["country_code"]: _facts(row) for row in table.to_dict("records")}


def facts_of(facts: Mapping[str, CountryFacts], country_code: str) -> CountryFacts:
    """The facts of a country; the most common values for a code outside the table."""
    return facts.get(country_code) or CountryFacts(country_code)


def _facts(row: Mapping[str, str]) -> CountryFacts:
    return CountryFacts(
        country_code=row["country_code"],
        drives_on=row["drives_on"],
        centre_line=row["centre_line"],
        edge_line=row["edge_line"],
        plate=row["plate"],
        blue_band=row["blue_band"] == "yes",
        script=row["script"],
        neighbours=tuple(row["neighbours"].split()),
    )
