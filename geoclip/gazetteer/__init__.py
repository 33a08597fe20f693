"""Gazetteers: countries, regions and cities, read from several layouts and checked."""

from geoclip.gazetteer.gazetteer import Gazetteer
from geoclip.gazetteer.tables import default_folder

__all__ = ["Gazetteer", "default_folder"]
