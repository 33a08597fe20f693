"""`geoclip benchmark`: models on photo sets, beside the published rows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from geoclip.commands.options import (
    MODEL_HELP,
    DeviceOption,
    GazetteerOption,
    JobsOption,
    PointOption,
    RankingMethod,
)
from geoclip.commands.progress import progress
from geoclip.encoders.registry import check_model_name
from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    from geoclip.evaluation.benchmark_rows import Row
    from geoclip.evaluation.benchmark_sets import PhotoSet
    from geoclip.locator import Locator
    from geoclip.places.gazetteer import Gazetteer


def benchmark(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="SET...",
            help="im2gps, im2gps3k, yfcc4k, osv5m, or a truth file (.csv, .mat) of other photos.",
        ),
    ],
    *,
    images: Annotated[
        list[Path], typer.Option(help="Folder with the photos; one for each SET, in order.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"{MODEL_HELP} May be repeated."),
    ] = None,
    guesses: Annotated[
        list[Path] | None,
        typer.Option(
            help="Guesses made before: a table, or the folder of `pipelines.locate_photos`; may be "
            "repeated."
        ),
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option(help="Truth file of each SET, if not among the photos."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a table, a JSON file, a plot and finished work."),
    ] = None,
    method: Annotated[
        list[RankingMethod] | None,
        typer.Option(
            help="Ranking of places, as in `geoclip locate`; may be repeated, one row each."
        ),
    ] = None,
    point: PointOption = None,
    gazetteer: GazetteerOption = None,
    jobs: JobsOption = None,
    device: DeviceOption = None,
) -> None:
    """Run models on benchmark photos of yours and show the figures beside published ones.

    Nothing is downloaded except a named hub model. A missing or unreadable photo is a miss. With
    --out the same command resumes a stopped run. For instance: geoclip benchmark im2gps3k --images
    photos/ --model streetclip --method greedy --point city
    """
    from geoclip.evaluation.benchmark_files import differences  # noqa: PLC0415
    from geoclip.evaluation.benchmark_rows import published_rows  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415

    if not model and not guesses:
        raise GeoclipError("Name what to measure: --model NAME, or --guesses FILE.")
    for name in model or []:
        check_model_name(name)
    photo_sets = _open_sets(sets, images, truth)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    places = None if gazetteer is None else Gazetteer.read(gazetteer)
    if places is not None:
        places.check_has_positions()
    rows: list[Row] = []
    methods: list[RankingMethod | None] = [*method] if method else [None]
    with _kept_embeddings(out) as kept:
        for name in model or []:
            locator = _load(name, places, device)
            for how in methods:
                system = _system(name, how if len(methods) > 1 else None)
                ranked = locator.reranked(how, point)
                for photos in photo_sets:
                    rows += _run(ranked, system, photos, kept, jobs)
    for file in guesses or []:
        rows += _read(file, photo_sets, places)
    ordered = []
    for photos in photo_sets:
        ordered += published_rows(photos.name)
        ordered += [row for row in rows if row.benchmark == photos.name]
    _show(ordered)
    for photos in photo_sets:
        for sentence in differences(photos):
            typer.echo(sentence, err=True)
    if out is not None:
        _write(out, photo_sets, ordered)


def _open_sets(sets: list[str], images: list[Path], truth: list[Path] | None) -> "list[PhotoSet]":
    from geoclip.evaluation.benchmark_sets import PhotoSet  # noqa: PLC0415  (pandas is slow to import)

    truths: list[Path | None] = list(truth or []) or [None] * len(sets)
    if not len(sets) == len(images) == len(truths):
        raise GeoclipError(
            f"{len(sets)} sets, {len(images)} --images and {len(truths)} --truth do not match: "
            f"give one of each for every set."
        )
    photo_sets = [PhotoSet.open(*one) for one in zip(sets, images, truths, strict=True)]
    if len({photos.name for photos in photo_sets}) < len(photo_sets):
        raise GeoclipError("Two sets have one name: rename one of the truth files.")
    return photo_sets


def _load(model: str, places: "Gazetteer | None", device: str | None) -> "Locator":
    from geoclip.locator import Locator  # noqa: PLC0415  (torch)

    return Locator.from_pretrained(model, places, device, watch=progress)


@contextmanager
def _kept_embeddings(out: Path | None) -> Iterator[Path]:
    """The journal of read photos, so that each ranking reuses them."""
    if out is not None:
        yield out / "journal"
        return
    with TemporaryDirectory(prefix="geoclip-") as folder:
        yield Path(folder) / "journal"


def _system(model: str, method: RankingMethod | None) -> str:
    name = Path(model).name if Path(model).exists() else model
    return name if method is None else f"{name}, {method}"


def _run(
    locator: "Locator", system: str, photos: "PhotoSet", kept: Path, jobs: int | None
) -> "list[Row]":
    """Locate the photos of a set by their pixels alone: no GPS, no abstention."""
    from geoclip.commands.locate_terminal import Terminal  # noqa: PLC0415
    from geoclip.evaluation.benchmark_rows import evaluated_rows  # noqa: PLC0415
    from geoclip.guesses.settings import LocateSettings  # noqa: PLC0415
    from geoclip.runs.locate_folder import locate_folder  # noqa: PLC0415

    class Watch(Terminal):
        """The messages of `geoclip locate`, without its table."""

        def located(self, table: object) -> None:
            """Say nothing: only the row is shown."""

    settings = replace(LocateSettings.model_alone(top_k=1), jobs=jobs or os.cpu_count() or 1)
    report = locate_folder(photos.found, locator, settings, keep_embeddings=kept, watch=Watch())
    how = locator.settings
    cities = len(locator.ranker.hierarchy.cities)
    protocol = f"{how.method}, point {how.point.rule}, {cities:,} cities, pixels alone"
    if not how.calibrated:
        protocol += ", not calibrated"
    return evaluated_rows(photos, report.table, system, protocol, locator.gazetteer)


def _read(file: Path, sets: "list[PhotoSet]", places: "Gazetteer | None") -> "list[Row]":
    """The rows of existing guesses, on each set with photos of theirs."""
    from geoclip.evaluation.benchmark_rows import (  # noqa: PLC0415
        evaluated_rows,
        has_guesses,
        read_guess_parts,
    )

    table, rows = read_guess_parts(file), []
    for photos in sets:
        if has_guesses(photos, table):
            rows += evaluated_rows(photos, table, file.stem, f"guesses of {file}", places)
    if not rows:
        raise GeoclipError(
            f"{file} has no guess for a photo of {', '.join(photos.name for photos in sets)}: name "
            "the guesses for these photos."
        )
    return rows


def _show(rows: "list[Row]") -> None:
    from geoclip.commands.terminal import print_table  # noqa: PLC0415
    from geoclip.evaluation.benchmark_rows import COLUMNS, measured_table  # noqa: PLC0415

    columns = (*COLUMNS, "source or protocol")
    print_table(columns, [[*row.cells(), _about(row)] for row in rows], right=COLUMNS[2:])
    measured = measured_table(rows)
    print_table(
        measured[0], measured[1:], measured[0][3:], title="Measured here, with 95 % intervals"
    )


def _about(row: "Row") -> str:
    return f"{row.source}: {row.protocol}" if row.source else row.protocol


def _write(out: Path, sets: "list[PhotoSet]", rows: "list[Row]") -> None:
    from geoclip.evaluation.benchmark_files import write_plot, write_report  # noqa: PLC0415

    write_report(out, sets, rows)
    if not write_plot(out / "benchmark.png", rows):
        typer.echo("No plot: matplotlib is not installed (pip install matplotlib).", err=True)
    typer.echo(f"Wrote {out}", err=True)
