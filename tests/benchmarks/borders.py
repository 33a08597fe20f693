"""Countries of points on land: the time, and the agreement with Natural Earth in full detail.

    python -m tests.benchmarks.borders --shapes SHAPES [--points 100000]

SHAPES is Natural Earth's file of countries at 1:10m (gazetteers/README.md names a package that
carries it). Its polygons get our codes as those of the packaged outlines do, and keep all of their
detail; the points are drawn evenly over the land in them.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.timing import report, timed, use_threads

if TYPE_CHECKING:
    import numpy as np

GAZETTEERS = Path(__file__).resolve().parents[2] / "gazetteers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=Path, required=True)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    import numpy as np

    from geoclip.places.gazetteer import Gazetteer
    from geoclip.places.outlines import Outlines

    world, outlines = Gazetteer.default(), Outlines.default()
    cities = world.country_points()

    def found(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        return outlines.country_of(lat, lon, cities)

    lat, lon, true = points_on_land(arguments.shapes, arguments.points)
    found(lat[:1], lon[:1])  # the trees are made once
    time = timed(lambda: found(lat, lon))
    rows = world.level_rows("city")
    own = found(world.lat[rows], world.lon[rows])
    report(
        "borders",
        arguments.threads,
        points=len(lat),
        wall_s=round(time.wall, 2),
        cpu_s=round(time.cpu, 2),
        agree_percent=round(100 * float(np.mean(found(lat, lon) == true)), 3),
        cities=len(rows),
        cities_in_another_country=int((own != world.country_codes[rows]).sum()),
    )


def points_on_land(shapes: Path, number: int) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Latitudes, longitudes and country codes of points drawn evenly over the land of `shapes`."""
    import geopandas as gpd
    import numpy as np
    import pandas as pd

    sys.path.insert(0, str(GAZETTEERS))
    from rebuild_outlines import coded_parts

    tables = [
        pd.read_csv(GAZETTEERS / name, keep_default_na=False)
        for name in ("countries.csv", "cities.csv")
    ]
    rng = np.random.default_rng(0)
    drawn = 4 * number  # 29 % of the globe is land
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, drawn))), rng.uniform(-180, 180, drawn)
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(lon, lat), crs="EPSG:4326")
    land = gpd.sjoin(points, coded_parts(shapes, *tables), predicate="within").sort_index()[:number]
    return land.geometry.y.to_numpy(), land.geometry.x.to_numpy(), land["country_code"].to_numpy()


if __name__ == "__main__":
    main()
