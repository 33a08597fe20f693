"""A few scenes of the planet, for notebooks and first steps."""

import os
from pathlib import Path

from geoclip.places.gazetteer import Gazetteer
from pipelines.planet.planet import Planet, PlanetSettings

FEW = PlanetSettings(
    image_size=128, train_places=24, train_views=1, seen_places=36, unseen_places=16,
    held_out_countries=8,
)  # fmt: skip
FOLDER = Path(__file__).resolve().parents[2] / "runs" / "scenes"


def example_photos() -> Path:
    """photos.csv (path, lat, lon, country_code, location_id, split) of 76 scenes, drawn once.

    It is in `runs/scenes`, or in the folder `GEOCLIP_SCENES`, above `images/train`, `images/seen`
    and `images/unseen`.
    """
    folder = Path(os.environ.get("GEOCLIP_SCENES") or FOLDER)
    table = folder / "photos.csv"
    return table if table.is_file() else Planet(Gazetteer.default(), FEW).write(folder)
