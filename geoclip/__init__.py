"""Say where on Earth a photo was taken.

The distribution is called geoclip-gzsl. The names below are loaded when first used, so that
`import geoclip` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geoclip.support.name_guard import refuse_other_distribution

refuse_other_distribution()

if TYPE_CHECKING:
    from geoclip.encoders.registry import KNOWN_MODELS
    from geoclip.errors import GeoclipError, PhotoError
    from geoclip.evaluation.distances import evaluate_files
    from geoclip.guesses.maps import write_map
    from geoclip.guesses.schema import Guess, read_guesses, to_geodataframe
    from geoclip.guesses.writer import write_guesses
    from geoclip.locator import Locator
    from geoclip.photos.decoding import read_photo
    from geoclip.photos.listing import list_photos
    from geoclip.photos.photo_table import read_photo_table
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.places.outlines import Outlines
    from geoclip.places.place import Place
    from geoclip.places.sphere import great_circle_km
    from geoclip.ranking.settings import RankingSettings

    __version__: str

__all__ = [
    "KNOWN_MODELS",
    "Gazetteer",
    "GeoclipError",
    "Guess",
    "Locator",
    "Outlines",
    "PhotoError",
    "Place",
    "RankingSettings",
    "__version__",
    "evaluate_files",
    "great_circle_km",
    "list_photos",
    "read_guesses",
    "read_photo",
    "read_photo_table",
    "to_geodataframe",
    "write_guesses",
    "write_map",
]

_HOMES = {
    "KNOWN_MODELS": "geoclip.encoders.registry",
    "Gazetteer": "geoclip.places.gazetteer",
    "GeoclipError": "geoclip.errors",
    "Guess": "geoclip.guesses.schema",
    "Locator": "geoclip.locator",
    "Outlines": "geoclip.places.outlines",
    "PhotoError": "geoclip.errors",
    "Place": "geoclip.places.place",
    "RankingSettings": "geoclip.ranking.settings",
    "evaluate_files": "geoclip.evaluation.distances",
    "great_circle_km": "geoclip.places.sphere",
    "list_photos": "geoclip.photos.listing",
    "read_guesses": "geoclip.guesses.schema",
    "read_photo": "geoclip.photos.decoding",
    "read_photo_table": "geoclip.photos.photo_table",
    "to_geodataframe": "geoclip.guesses.schema",
    "write_guesses": "geoclip.guesses.writer",
    "write_map": "geoclip.guesses.maps",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("geoclip-gzsl")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'geoclip' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
