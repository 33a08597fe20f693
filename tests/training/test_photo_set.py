"""The set of training photos of a table."""

import pandas as pd

from geoclip.places.gazetteer import Gazetteer
from geoclip.training.photo_set import training_photos

TABLE = pd.DataFrame(
    {
        "photo_id": ["a", "b", "c", "d"],
        "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "place_id": ["1", "3", "1", "7"],
        "location_id": ["square", "road", "square", "hill"],
        "split": ["train", "dev_seen", "train", "train"],
    }
)


def test_photos_of_the_training_split_have_their_places_and_locations(
    tiny_world: Gazetteer,
) -> None:
    photos = training_photos(TABLE, tiny_world)
    assert photos.ids == ["a", "c", "d"] and photos.paths == ["a.jpg", "c.jpg", "d.jpg"]
    assert tiny_world.ids[photos.rows].tolist() == ["1", "1", "7"]
    assert photos.locations == ["square", "square", "hill"]


def test_a_table_without_locations_trains_too(tiny_world: Gazetteer) -> None:
    photos = training_photos(TABLE.drop(columns="location_id"), tiny_world)
    assert photos.ids == ["a", "c", "d"] and photos.locations is None
