"""Further outputs of a run, made from the table: the map and the sidecars."""

from pathlib import Path

import pandas as pd

from geoclip.guesses.gps_comparison import stated_truth
from geoclip.guesses.location_tags import PositionRule
from geoclip.guesses.maps import write_map
from geoclip.guesses.schema import guess_table
from geoclip.guesses.sidecars import SidecarReport, write_sidecars


def map_of_run(table: pd.DataFrame, path: Path, thumbnails: bool) -> None:
    """Write the map, with the stated positions if guesses are compared with them."""
    write_map(guess_table(table), path, stated_truth(table), thumbnails=thumbnails)


def sidecars_of_run(
    table: pd.DataFrame, journal: Path | None, dry_run: bool, model: str, rule: PositionRule | None
) -> SidecarReport:
    """Write the sidecars; without a journal (no table) only as a dry run."""
    return write_sidecars(
        guess_table(table), journal or Path("-"), dry_run, model, rule or PositionRule()
    )
