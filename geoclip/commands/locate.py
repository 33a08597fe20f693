"""`geoclip locate`: photos in, a table of guesses, a map and sidecars out."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.commands.options import (
    CompileOption,
    Evidence,
    ExcludeOption,
    Gps,
    GpxOffsetOption,
    GpxOption,
    IncludeHiddenOption,
    Level,
    LevelOption,
    MaxRadiusOption,
    MethodOption,
    MinProbabilityOption,
    PointOption,
    Precision,
    PrecisionOption,
    ThumbnailsOption,
    own_levels,
    without_tracks,
)
from geoclip.commands.progress import progress
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
            help="Photos, videos, folders, globs, a .csv with a `path` column, or - for a list on "
            "standard input."
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
        typer.Option(
            help="A name of `geoclip models`, a folder, or hf:ID.", show_default=DEFAULT_MODEL
        ),
    ] = None,
    gazetteer: Annotated[
        Path | None,
        typer.Option(
            help="Folder or file of places instead of the built-in ones, or a .csv of other levels "
            "(kingdom to species, say), whose classes are named instead."
        ),
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|self",
            help="Geotagged photos to compare with: a folder of `geoclip gallery build`, or self "
            "for those among PATHS that state a position.",
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
            help="CSV column; photos that share a value are views of one location and get one "
            "guess, unless they have a position of their own.",
        ),
    ] = None,
    group_by: Annotated[str | None, typer.Option(hidden=True)] = None,
    gps: Annotated[
        Gps,
        typer.Option(
            help="Positions in the files: report trustworthy ones, report all, ignore or compare "
            "with them."
        ),
    ] = Gps.keep,
    gpx: GpxOption = None,
    gpx_offset: GpxOffsetOption = None,
    countries: Annotated[
        str | None, typer.Option(help="Only places in these countries: FR,DE or names.")
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="Only places in this box: WEST,SOUTH,EAST,NORTH.")
    ] = None,
    near: Annotated[str | None, typer.Option(help="Only places within LAT,LON,KM.")] = None,
    within: Annotated[
        Path | None,
        typer.Option(
            help="Only places in the polygons of a file: .geojson, .gpkg, .shp, .parquet."
        ),
    ] = None,
    album: Annotated[
        bool, typer.Option("--album", help="Photos close in time share evidence.")
    ] = False,
    evidence: Annotated[
        Evidence, typer.Option(help="How to find photos without evidence of a place.")
    ] = Evidence.prompts,
    evidence_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Higher abstains less.")
    ] = 0.5,
    sidecar: Annotated[
        bool, typer.Option("--sidecar", help="Write an XMP sidecar beside each guessed photo.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what sidecars would be written.")
    ] = False,
    sidecar_max_radius: MaxRadiusOption = 50.0,
    sidecar_min_probability: MinProbabilityOption = 0.5,
    keep_embeddings: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps what was read, for runs with other settings."),
    ] = None,
    keep_journal: Annotated[
        bool, typer.Option("--keep-journal", help="Leave OUT.journal when all is done.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace guesses for other photos in OUT.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but errors, and guesses without --out.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Say why each file could not be read.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many photos.")] = None,
    exclude: ExcludeOption = None,
    include_hidden: IncludeHiddenOption = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode photos (default: one a core).")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames looked at in each video.")] = 4,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    precision: PrecisionOption = Precision.auto,
    compile: CompileOption = False,
) -> None:
    """Guess where photos and videos were taken.

    Originals are only read. With --out the run may be stopped at any moment, and the same command
    goes on where it was: what is done stands in OUT.journal until the table is in place. Files
    that could not be read are listed in OUT-ledger.csv. Exits with 0 when all photos were read, 3
    when some were not, and 2 for bad arguments.
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
    box = None if bbox is None else _numbers(bbox, "--bbox", "WEST,SOUTH,EAST,NORTH")
    circle = None if near is None else _numbers(near, "--near", "LAT,LON,KM")
    default, model = model is None, _chosen_model(model)
    paths, tracks = without_tracks(_with_list_on_stdin(paths), gpx or [])
    read = filter(None, [gazetteer, within, *tracks])
    RunFiles(out, map_file).refuse_replacing([*map(str, read)])

    def load(name: str | Path) -> "Locator":
        locator = _load(name, gazetteer, device, precision, compile).reranked(method, point)
        if not (countries or box or circle or within):
            return locator
        named = countries.split(",") if countries else None
        return locator.narrowed(named, box, circle, within)  # type: ignore[arg-type]

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
        location_column=location_id or group_by,
        limit=limit,
        rules=FolderRules(tuple(exclude or ()), include_hidden),
        keep_embeddings=keep_embeddings,
        keep_journal=keep_journal,
        force=force,
        load=load,
        watch=Terminal([_larger_models()] if default else [], quiet),
    )
    if not quiet:
        print_report(report, verbose)
    if report.failures:
        raise typer.Exit(SOME_UNREAD)


def _numbers(text: str, option: str, form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(form.split(",")):
        raise GeoclipError(f"{option} {text} is not of the form {form}: give numbers in degrees.")
    return numbers


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
    """The paths with those of a list on standard input, one a line, for `-`."""
    if "-" not in paths:
        return paths
    from geoclip.photos.listing import read_path_list  # noqa: PLC0415

    position = paths.index("-")
    if sys.stdin is None:
        raise GeoclipError("- stands for a list on standard input, which is closed; pipe one in.")
    return [*paths[:position], *read_path_list(sys.stdin.buffer), *paths[position + 1 :]]


def _load(
    model: str | Path, gazetteer: Path | None, device: str | None, precision: str, compile: bool
) -> "Locator":
    with made_to_last():
        from geoclip.locator import Locator  # noqa: PLC0415
        from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
        from geoclip.support.process import keep_freed_memory  # noqa: PLC0415

        keep_freed_memory()
        places = None if gazetteer is None else Gazetteer.read(gazetteer)
        return Locator.from_pretrained(
            model, places, device, precision=precision, compile=compile, watch=progress
        )


def _larger_models() -> str:
    larger = ", ".join(
        f"--model {m.name} ({m.size_mb:,} MB, {m.licence})"
        for m in (KNOWN_MODELS["streetclip"], KNOWN_MODELS["clip-b-32"])
    )
    return (
        f"These guesses are {DEFAULT_MODEL}'s, a small model for demonstration. A larger one is "
        f"downloaded once when asked for: {larger}; `geoclip models` lists more."
    )
