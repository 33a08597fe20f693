"""Command-line options made from settings dataclasses."""

import inspect
from collections.abc import Callable
from dataclasses import Field, fields, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from geoclip.training.settings import Recipe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class RankingMethod(StrEnum):
    """How places are ranked: `ranking.settings.METHODS`."""

    joint = "joint"
    greedy = "greedy"


class PointRule(StrEnum):
    """Which point is reported: the rules of `PointEstimate`."""

    city = "city"
    expected_score = "expected_score"
    expected_score_regions = "expected_score_regions"


class Gps(StrEnum):
    """What to do with positions stated in files."""

    keep = "keep"
    trust_all = "trust-all"
    ignore = "ignore"
    compare = "compare"


class Level(StrEnum):
    """How precise guesses are."""

    auto = "auto"
    city = "city"
    region = "region"
    country = "country"
    continent = "continent"


LevelOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(Level),
        help="Name places of this level, however probable they are; of a table of levels, one of "
        "its own.",
    ),
]


class Evidence(StrEnum):
    """How far to look for photos that show no place."""

    off = "off"
    pixels = "pixels"
    prompts = "prompts"


class Precision(StrEnum):
    """In which precision photos and texts are encoded: `encoders.precision.PRECISIONS`."""

    auto = "auto"
    fp32 = "fp32"
    tf32 = "tf32"
    bf16 = "bf16"
    fp16 = "fp16"


MODEL_HELP = "A name that `geoclip models` lists, a folder, or hf:ID of the Hugging Face hub."
GazetteerOption = Annotated[
    Path | None,
    typer.Option(help="Folder or file of places (a gazetteer) instead of the built-in one."),
]
PlacesOrClassesOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder or file of places (a gazetteer) instead of the built-in one, or a .csv of "
        "other levels (kingdom to species, say), whose classes are named instead."
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="Where the model runs: cpu, cuda (an NVIDIA card; cuda:1 is the second) or mps "
        "(Apple). Default: cuda where there is one."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Photos read at the same time (default: one a processor core)."),
]
MethodOption = Annotated[
    RankingMethod | None,
    typer.Option(
        "--method",
        help="How places are ranked, where not in the model's own way. joint: all cities of the "
        "world against each other; greedy: the best country, then its 30 most populous cities, as "
        "StreetCLIP does.",
    ),
]
PointOption = Annotated[
    PointRule | None,
    typer.Option(
        "--point",
        help="Which point is reported, where not the model's own. city: that of the most probable "
        "city; expected_score: the one that costs least on average (GeoScore: points that fall "
        "with distance).",
    ),
]
GpxOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--gpx",
        metavar="FILE…",
        help="Tracks of a GPS logger (.gpx), which place photos without a position by their time.",
    ),
]
GpxOffsetOption = Annotated[
    str | None,
    typer.Option(
        "--gpx-offset",
        metavar="[+-]HH:MM[:SS]",
        help="How far ahead of UTC, the world's time, the cameras' clocks are (default: the zone "
        "that a photo states, else estimated from photos with a position).",
    ),
]


def without_tracks(paths: list[str], tracks: list[Path]) -> tuple[list[str], list[Path]]:
    """The paths of photos and those of tracks: a shell puts all of `--gpx *.gpx` but one there."""
    named = [path for path in paths if tracks and path.lower().endswith(".gpx")]
    return [path for path in paths if path not in named], [*tracks, *map(Path, named)]


PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="How exactly the model calculates; auto suits nearly all. auto: on a graphics card "
        "bf16, or fp16 where it has none; on a processor fp32, or what a trial in a job of 1,000 "
        "photos or more found faster. tf32 and fp16 are for graphics cards.",
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="Make the model faster on this machine first, which takes minutes once."
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave these files and folders out of folders: `'*_small.jpg'`, `'trip/raw/*'`. May "
        "be given several times.",
    ),
]
IncludeHiddenOption = Annotated[
    bool,
    typer.Option(
        "--include-hidden",
        help="Also read what is left out of folders else: names that begin with a dot, thumbnails, "
        "trash and previews of network disks and photo programs.",
    ),
]

EvidenceOption = Annotated[
    Evidence,
    typer.Option(
        help="How to find photos without evidence of a place (documents, screenshots, blank "
        "pictures), which are not guessed. pixels: by their colours; prompts: also by asking the "
        "model; off: guess all."
    ),
]
ThumbnailsOption = Annotated[
    bool,
    typer.Option(
        "--thumbnails", help="Show small pictures of the photos on the map, and their days."
    ),
]
MaxRadiusOption = Annotated[
    float,
    typer.Option(
        min=0,
        help="Sidecars state a position only where nine photos in ten lie within so many km, "
        "else the names of country, region and city.",
    ),
]
MinProbabilityOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="Sidecars state only what is at least so probable."),
]
RecipeOption = Annotated[
    Recipe,
    typer.Option(
        help="Settings by name, which options replace one by one. streetclip: the published ones, "
        "for a million photos."
    ),
]

Settings = TypeVar("Settings", bound="DataclassInstance")


def with_settings(
    *settings: "DataclassInstance | type[DataclassInstance]",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's `**settings` by one option for each field of each of `settings`.

    They are dataclasses, or instances whose values are the defaults. An option's help is that of
    its field. The command is called with the options that the user gave: see `read_settings`.
    """
    options = [_option(one, field) for one in map(_instance, settings) for field in fields(one)]
    names = {option.name for option in options}

    def replaced(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(*arguments: Any, **given: Any) -> None:
            command(
                *arguments, **{k: v for k, v in given.items() if k not in names or v is not None}
            )

        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        called.__signature__ = signature.replace(parameters=own + options)  # type: ignore[attr-defined]
        return called

    return replaced


def read_settings(settings: Settings | type[Settings], given: dict[str, Any]) -> Settings:
    """The settings, a dataclass or an instance, with the `given` values of their fields."""
    names = {field.name for field in fields(settings)}
    own = {name: value for name, value in given.items() if name in names}
    return replace(_instance(settings), **own)


def _instance(settings: Settings | type[Settings]) -> Settings:
    return settings() if isinstance(settings, type) else settings


def _option(settings: "DataclassInstance", field: "Field[Any]") -> inspect.Parameter:
    """The option of a field. It has no value unless the user gives one, whatever the help says."""
    kind = get_type_hints(type(settings))[field.name]
    told = typer.Option(
        help=field.metadata["help"] + _shown(field.name, getattr(settings, field.name)),
        rich_help_panel=type(settings).__name__.removesuffix("Settings"),
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, told],
    )


def _shown(name: str, value: Any) -> str:
    """A default as a user would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        value = f"--{'' if value else 'no-'}{name.replace('_', '-')}"
    return f" (default: {' '.join(map(str, value)) if isinstance(value, tuple) else value})"


def own_levels(level: str, gazetteer: Path | None) -> tuple[str, ...]:
    """The levels of a table, where the one asked for is none of ours."""
    if level in set(Level) or gazetteer is None:
        return ()
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415  (pandas is slow to import)

    places = Gazetteer.read(gazetteer)
    return () if places.has_positions else places.level_names
