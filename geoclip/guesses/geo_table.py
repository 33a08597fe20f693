"""Tables of guesses with a point for every answer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from geoclip.guesses.schema import with_extra

if TYPE_CHECKING:
    from geoclip.guesses.guess_frame import Guesses


def to_geodataframe(table: pd.DataFrame, extra: Mapping[str, str] | None = None) -> "Guesses":
    """The table in the schema's dtypes with a point (EPSG:4326) for every row with an answer.

    `extra` columns (name → dtype) come between those of the schema and the points; a table without
    rows may lack them. Other columns are dropped.

    >>> to_geodataframe(pd.DataFrame({"path": ["a.jpg"], "lat": [45.75], "lon": [4.85]})).geometry
    0    POINT (4.85 45.75)
    Name: geometry, dtype: geometry
    """
    import geopandas as gpd  # noqa: PLC0415 - slow to import

    from geoclip.guesses.guess_frame import Guesses  # noqa: PLC0415

    guesses = with_extra(table, extra)
    points = np.full(len(guesses), None, dtype=object)
    answered = guesses["lat"].notna() & guesses["lon"].notna()
    located = guesses[answered]
    points[answered.to_numpy()] = gpd.points_from_xy(located["lon"], located["lat"])
    return Guesses(guesses, geometry=points, crs="EPSG:4326")
