"""Say where on Earth a photo was taken.

The distribution is called geoclip-gzsl. The names below are loaded when first used, so that
`import geoclip` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geoclip.name_guard import refuse_other_distribution

refuse_other_distribution()

if TYPE_CHECKING:
    from geoclip.errors import GeoclipError, PhotoError
    from geoclip.evaluation import evaluate_files
    from geoclip.gazetteer import Gazetteer
    from geoclip.guesses import Guess, read_guesses, to_geodataframe
    from geoclip.guesses_writer import write_guesses
    from geoclip.known_models import KNOWN_MODELS
    from geoclip.locator import Locator
    from geoclip.maps import write_map
    from geoclip.outlines import Outlines
    from geoclip.photo_files import list_photos
    from geoclip.photo_table import read_photo_table
    from geoclip.photos import read_photo
    from geoclip.place import Place
    from geoclip.ranking import RankingSettings
    from geoclip.sphere import great_circle_km

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
    "KNOWN_MODELS": "geoclip.known_models",
    "Gazetteer": "geoclip.gazetteer",
    "GeoclipError": "geoclip.errors",
    "Guess": "geoclip.guesses",
    "Locator": "geoclip.locator",
    "Outlines": "geoclip.outlines",
    "PhotoError": "geoclip.errors",
    "Place": "geoclip.place",
    "RankingSettings": "geoclip.ranking",
    "evaluate_files": "geoclip.evaluation",
    "great_circle_km": "geoclip.sphere",
    "list_photos": "geoclip.photo_files",
    "read_guesses": "geoclip.guesses",
    "read_photo": "geoclip.photos",
    "read_photo_table": "geoclip.photo_table",
    "to_geodataframe": "geoclip.guesses",
    "write_guesses": "geoclip.guesses_writer",
    "write_map": "geoclip.maps",
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
