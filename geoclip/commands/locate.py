"""`geoclip locate`: photos in, a table of guesses, a map and sidecars out."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoclip.commands.narrowing_options import (
    BboxOption,
    CountriesOption,
    Narrowing,
    NearOption,
    WithinOption,
)
from geoclip.commands.options import (
    MODEL_HELP,
    CompileOption,
    DeviceOption,
    Evidence,
    EvidenceOption,
    ExcludeOption,
    Gps,
    GpxOffsetOption,
    GpxOption,
    IncludeHiddenOption,
    JobsOption,
    Level,
    LevelOption,
    MaxRadiusOption,
    MethodOption,
    MinProbabilityOption,
    PlacesOrClassesOption,
    PointOption,
    Precision,
    PrecisionOption,
    ThumbnailsOption,
    own_levels,
    without_tracks,
)
from geoclip.commands.terminal import SOME_UNREAD
from geoclip.encoders.registry import DEFAULT_MODEL, KNOWN_MODELS, check_model_name
from geoclip.errors import GeoclipError
from geoclip.support.process import made_to_last

if TYPE_CHECKING:
    from geoclip.locator import Locator

TABLE_ENDINGS = (".parquet", ".geojson", ".csv", ".gpkg", ".xlsx")


def locate(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Photos, videos, folders, patterns such as `'trip/*.jpg'`, a .csv with a `path` "
            "column, or - for a list on standard input."
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Table of guesses: .parquet, .geojson, .csv, .gpkg, .xlsx."),
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="A map as one .html file.")] = None,
    thumbnails: ThumbnailsOption = False,
    model: Annotated[
        str | None,
        typer.Option(help=MODEL_HELP, show_default=DEFAULT_MODEL),
    ] = None,
    gazetteer: PlacesOrClassesOption = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|self",
            help="Geotagged photos to compare with: a folder of `geoclip gallery build`, or self "
            "for those in PATHS with a position.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses for each photo.")] = 5,
    method: MethodOption = None,
    point: PointOption = None,
    confidence: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Name the most precise place of at least this probability."
        ),
    ] = 0.5,
    level: LevelOption = Level.auto,
    location_id: Annotated[
        str | None,
        typer.Option(
            "--location-id",
            metavar="COLUMN",
            help="Column of the .csv; photos that share a value are views of one location and get "
            "one guess, unless they have a position of their own.",
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="folder",
            help="folder: the photos of a folder are views of one location, as with --location-id.",
        ),
    ] = None,
    gps: Annotated[
        Gps,
        typer.Option(
            help="Positions in the files: report trustworthy ones, report all, ignore or compare "
            "with them."
        ),
    ] = Gps.keep,
    gpx: GpxOption = None,
    gpx_offset: GpxOffsetOption = None,
    countries: CountriesOption = None,
    bbox: BboxOption = None,
    near: NearOption = None,
    within: WithinOption = None,
    album: Annotated[
        bool, typer.Option("--album", help="Photos taken close in time help to place each other.")
    ] = False,
    evidence: EvidenceOption = Evidence.prompts,
    evidence_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="The higher, the fewer photos are so found.")
    ] = 0.5,
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar",
            help="Write a sidecar beside each guessed photo: a small .xmp file with the place, "
            "which photo programs read.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the sidecars that would be written.")
    ] = False,
    sidecar_max_radius: MaxRadiusOption = 50.0,
    sidecar_min_probability: MinProbabilityOption = 0.5,
    keep_embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what the model saw in each photo (its embedding, a list of "
            "numbers), so that a run with other settings reads no photo again."
        ),
    ] = None,
    keep_journal: Annotated[
        bool,
        typer.Option("--keep-journal", help="Keep OUT.journal (see above) at the end."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace guesses for other photos in OUT, and a map of other folders."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only errors, and guesses without --out.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print why each file could not be read.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Most photos to locate.")] = None,
    exclude: ExcludeOption = None,
    include_hidden: IncludeHiddenOption = False,
    jobs: JobsOption = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames sampled from each video.")] = 4,
    device: DeviceOption = None,
    precision: PrecisionOption = Precision.auto,
    compile: CompileOption = False,
) -> None:
    """Guess where photos and videos were taken.

    Originals are only read. With --out the run may be stopped at any moment, and the same command
    goes on where it was: what is done stands in the folder OUT.journal until the table is in place.
    Files that could not be read are listed in OUT-ledger.csv, each with the reason. Exits with 0
    when all photos were read, 3 when some were not, and 2 for bad arguments. With a table of other
    levels as --gazetteer (.csv: kingdom to species, say) its classes are named instead of places.
    """
    from geoclip.commands.locate_terminal import Terminal, print_report  # noqa: PLC0415
    from geoclip.guesses.location_tags import PositionRule  # noqa: PLC0415
    from geoclip.guesses.settings import LocateSettings  # noqa: PLC0415
    from geoclip.photos.abstention import AbstentionSettings  # noqa: PLC0415
    from geoclip.photos.camera_clocks import clock_offset  # noqa: PLC0415
    from geoclip.photos.folder_rules import FolderRules  # noqa: PLC0415
    from geoclip.ranking.travel import TripSettings  # noqa: PLC0415
    from geoclip.runs.locate_folder import locate_folder  # noqa: PLC0415  (pandas is slow to import)
    from geoclip.runs.run_files import MAP_ENDINGS, RunFiles, check_output  # noqa: PLC0415

    check_output(out, "--out", TABLE_ENDINGS)
    check_output(map_file, "--map", MAP_ENDINGS)
    if thumbnails and map_file is None:
        raise GeoclipError("--thumbnails goes with --map: name a map as FILE.html.")
    if (sidecar and not dry_run and out is None) or (dry_run and not sidecar):
        raise GeoclipError(
            "--sidecar needs --out, beside which its journal stands; --dry-run goes with --sidecar."
        )
    by_folder = group_by == "folder"
    if location_id and group_by:
        raise GeoclipError("--location-id and --group-by say the same twice: give one of them.")
    narrowing = Narrowing(countries, bbox, near, within)
    default, model = model is None, _chosen_model(model)
    paths, tracks = without_tracks(_with_list_on_stdin(paths), gpx or [])
    read = filter(None, [gazetteer, within, *tracks])
    RunFiles(out, map_file).refuse_replacing([*map(str, read)])

    terminal = Terminal([_larger_models()] if default else [], quiet)

    def load(name: str | Path) -> "Locator":
        how = {"device": device, "precision": precision, "compile": compile}
        locator = _load(name, gazetteer, watch=terminal.indexing, **how)
        return narrowing.of(locator.reranked(method, point))

    settings = LocateSettings(
        top_k=top_k,
        gps=gps.value,
        abstention=AbstentionSettings(evidence.value, evidence_threshold),
        trip=TripSettings() if album else None,
        frames=frames,
        jobs=jobs or os.cpu_count() or 1,
        confidence=confidence,
        level=str(level),
        own_levels=own_levels(level, gazetteer),
        gallery=gallery,
        gpx=tuple(tracks),
        gpx_offset=None if gpx_offset is None else clock_offset(gpx_offset),
    )
    report = locate_folder(
        paths,
        model,
        settings,
        out,
        map_file=map_file,
        thumbnails=thumbnails,
        position_rule=PositionRule(sidecar_max_radius, sidecar_min_probability),
        sidecars=("dry run" if dry_run else "write") if sidecar else "off",
        location_column=location_id or (None if by_folder else group_by),
        by_folder=by_folder,
        limit=limit,
        rules=FolderRules(tuple(exclude or ()), include_hidden),
        keep_embeddings=keep_embeddings,
        keep_journal=keep_journal,
        force=force,
        load=load,
        watch=terminal,
    )
    if not quiet:
        print_report(report, verbose)
    if report.failures:
        raise typer.Exit(SOME_UNREAD)


def _chosen_model(model: str | None) -> str:
    if model is not None:
        check_model_name(model)
        return model
    if DEFAULT_MODEL in KNOWN_MODELS:
        return DEFAULT_MODEL
    raise GeoclipError(
        f"{DEFAULT_MODEL} is missing from this installation: name a model with --model, a folder "
        "or a name from `geoclip models`, or install geoclip again."
    )


def _with_list_on_stdin(paths: list[str]) -> list[str]:
    """The paths, with `-` replaced by the list on standard input, one per line."""
    if "-" not in paths:
        return paths
    from geoclip.photos.listing import read_path_list  # noqa: PLC0415

    position = paths.index("-")
    if sys.stdin is None:
        raise GeoclipError("- stands for a list on standard input, which is closed; pipe one in.")
    return [*paths[:position], *read_path_list(sys.stdin.buffer), *paths[position + 1 :]]


def _load(model: str | Path, gazetteer: Path | None, **how: Any) -> "Locator":
    """A locator; `how` are arguments of `Locator.from_pretrained`."""
    with made_to_last():
        from geoclip.locator import Locator  # noqa: PLC0415
        from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
        from geoclip.support.process import keep_freed_memory  # noqa: PLC0415

        keep_freed_memory()
        places = None if gazetteer is None else Gazetteer.read(gazetteer)
        return Locator.from_pretrained(model, places, **how)


def _larger_models() -> str:
    larger = ", ".join(
        f"--model {m.name} ({m.size_mb:,} MB, {m.licence})"
        for m in (KNOWN_MODELS["streetclip"], KNOWN_MODELS["clip-b-32"])
    )
    return (
        f"These guesses are {DEFAULT_MODEL}'s, a small model for demonstration. A larger one is "
        f"downloaded once when asked for: {larger}; `geoclip models` lists more."
    )
