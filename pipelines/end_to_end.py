"""The main job: captions → fine-tuning → hierarchical zero-shot prediction → accuracy by distance.

    python -m pipelines.end_to_end --photos photos.csv --out DIR

Without --photos it runs on the demonstration planet. Some training countries and 1° blocks are held
back; the ranking is fitted on their photos, so that the measured photos choose nothing. It writes
report.json, predictions.parquet, map.html and the fine-tuned encoder under --out.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from geoclip.commands.options import read_settings, with_settings
from geoclip.commands.report_table import print_report
from geoclip.encoders.registry import CHECKPOINTS, check_model_name
from geoclip.errors import GeoclipError
from geoclip.guesses.maps import write_map
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.settings import RankingSettings
from geoclip.runs.calibrate_model import write_calibration
from geoclip.training.settings import TrainingSettings
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import Gpu, Places, Workers, on_this_machine, run
from pipelines.embed_photos import embed_table
from pipelines.embed_places import embed_places
from pipelines.evaluate_guesses import caption_report, evaluate_guesses, measured
from pipelines.held_back import fit_held_back, held_back
from pipelines.photo_actors import Pool, load_model, model_settings
from pipelines.photo_locator import answers
from pipelines.planet.planet import Planet, PlanetSettings
from pipelines.train_encoder import train_encoder
from pipelines.write_captions import write_captions

START = CHECKPOINTS / "planet-start"
START_NOTE = (
    "image tower with random weights; text tower pretrained on the packaged gazetteer, so that "
    "captions of near places lie near: it knows the position of every country, also of untrained "
    "ones"
)
FROM_START = TrainingSettings(
    epochs=6,
    batch_size=128,
    augment=False,  # on the planet colours tell places, and six epochs are too few to memorise any
    learning_rate=2e-3,
    text_learning_rate=0.0,
    weight_decay=0.05,
)
"""For the random image tower of planet-start; a trained one would forget its photos."""
RANKING = RankingSettings()
"""For planet-start: on the planet large countries have few photos more than small ones."""
HELD_BACK = 0.1
"""Share of the training countries on which the ranking is fitted instead."""
console = Console(stderr=True)


@contextmanager
def stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Print the running step and keep its time."""
    console.print(f"[bold]{name}[/bold] …")
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 1)
    console.print(f"  {seconds[name]:.0f} s")


def end_to_end(
    out: Path,
    photos: list[Path] | None = None,
    start: str | None = None,
    settings: TrainingSettings | None = None,
    *,
    gazetteer: Path | None = None,
    workers: int = 2,
    use_gpu: bool = False,
    planet: PlanetSettings | None = None,
    hold_back: float = HELD_BACK,
) -> dict[str, Any]:
    """Run the whole pipeline and return the report, which is also in `out`/report.json.

    `settings` default to the start's `default_settings`; `hold_back` is the share of
    `splits.hold_back`.
    """
    settings = settings or default_settings(start)
    start = start or str(START)
    check_model_name(start)
    check_lasting(out)
    out.mkdir(parents=True, exist_ok=True)
    places, captions = Gazetteer.read(gazetteer), model_settings(start).captions
    places.check_has_positions()
    own_ranking = RANKING if _is_ours(start) else None
    seconds: dict[str, float] = {}
    if not photos:
        with stage("Draw the demonstration planet", seconds):
            world = Planet(places, planet or PlanetSettings(seed=settings.seed))
            photos = [world.write(out / "planet", jobs=workers)]
    listed = read_photo_table(photos)
    with ray_session(decoding=use_gpu):
        with stage("Write captions", seconds):
            file = out / "captions.parquet"
            table = write_captions(listed, file, gazetteer, captions, settings.seed, hold_back)
        held_out = _held_out(table)

        def embedded(model: str, photos: pd.DataFrame) -> tuple[Locator, Embeddings]:
            """A model's locator, with its ranking before any fit, and the photos' embeddings."""
            index = embed_places(model, out / "places", gazetteer, captions, workers, int(use_gpu))
            ranking = own_ranking or model_settings(model).ranking
            found = embed_table(photos, model, Pool(workers, int(use_gpu)))
            return Locator(load_model(model), index, places, ranking), found

        with stage("Locate before fine-tuning", seconds):
            untuned, first = embedded(start, held_out)
            before = _located(untuned, first, held_out)
        with stage("Fine-tune", seconds):
            tuned = train_encoder(
                file,
                start,
                out,
                settings,
                gazetteer=gazetteer,
                workers=workers,
                use_gpu=use_gpu,
                ranking=own_ranking,
            )
        with stage("Embed after fine-tuning", seconds):
            locator, found = embedded(tuned, pd.concat([held_out, held_back(table)]))
            mine, known = found.part(slice(len(held_out))), found.part(slice(len(held_out), None))
    with stage("Fit the ranking", seconds):
        fitted = fit_held_back(locator, table, known)
    with stage("Locate after fine-tuning", seconds):
        predictions = {"before": before, "after": _located(locator, mine, held_out)}
        if fitted is not None:
            predictions["uncalibrated"] = predictions["after"]
            locator = Locator(locator.encoder, locator.index, places, fitted.settings)
            predictions["after"] = _located(locator, mine, held_out)
            calibrated = ModelSettings(captions, fitted.settings)
            write_calibration(Path(tuned), calibrated, fitted.figures)
    with stage("Evaluate", seconds):
        report = evaluate_guesses(table, predictions, places)
        report |= caption_report(
            held_out,
            {"before": (untuned.encoder, first), "after": (locator.encoder, mine)},
            CaptionBook(places, captions),
            settings.seed,
        )
    report |= _about(start, settings, locator.settings, table, seconds)
    report["calibration"] = fitted and fitted.figures
    _write(out, report, predictions["after"], held_out)
    return report


def _held_out(table: pd.DataFrame) -> pd.DataFrame:
    """The photos to measure on; raises GeoclipError if there is none."""
    held_out = measured(table)
    if held_out.empty:
        raise GeoclipError(
            "No photo of known position is held out, so nothing can be measured: give some "
            "photos another split than train, or only train with pipelines.train_encoder."
        )
    return held_out


def _located(locator: Locator, found: Embeddings, photos: pd.DataFrame) -> pd.DataFrame:
    table: pd.DataFrame = answers(locator, found, photos).drop("geometry").to_pandas()
    return table


def default_settings(start: str | None) -> TrainingSettings:
    """The main job's own settings for planet-start, the library's for an encoder of photos."""
    return FROM_START if start is None or _is_ours(start) else TrainingSettings()


def _is_ours(start: str) -> bool:
    return Path(start) == START


def _about(
    start: str,
    settings: TrainingSettings,
    ranking: RankingSettings,
    table: pd.DataFrame,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Facts that a reader of the figures needs."""
    is_ours = _is_ours(start)
    return {
        "starting_point": {
            "model": START.name if is_ours else start,
            "note": START_NOTE if is_ours else "",
        },
        "training": asdict(settings),
        "ranking": asdict(ranking),
        "calibrated": ranking.calibrated,
        "photos": {str(k): int(v) for k, v in table["split"].value_counts().items()},
        "seconds": seconds,
    }


def _write(out: Path, report: dict[str, Any], after: pd.DataFrame, held_out: pd.DataFrame) -> None:
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    after.to_parquet(out / "predictions.parquet", index=False)
    truth = held_out[["path", "lat", "lon"]]
    write_map(after[after["rank"] == 1], out / "map.html", truth, title="Held-out photos")
    print_report(report)
    for name, what in (
        ("report.json", "all figures"),
        ("predictions.parquet", "ranked places of every held-out photo"),
        ("map.html", "predictions and truth, opens in a browser without network"),
        ("encoder", "the fine-tuned encoder; use it with: geoclip locate PATH --model"),
    ):
        print(f"{out / name}: {what}")


@with_settings(FROM_START)
def main(
    *,
    photos: Annotated[
        list[Path] | None, on_this_machine("Photo table instead of the planet; may be repeated.")
    ] = None,
    out: Annotated[Path, on_this_machine("Folder of all outputs.")] = Path("runs/demo"),
    model: Annotated[
        str | None,
        typer.Option(
            help="Encoder to start from instead of planet-start; another one is trained with the "
            "defaults of pipelines.train_encoder."
        ),
    ] = None,
    gazetteer: Places = None,
    workers: Workers = 2,
    gpu: Gpu = False,
    hold_back: Annotated[
        float,
        typer.Option(min=0, max=0.5, help="Share of training countries to fit the ranking on."),
    ] = HELD_BACK,
    **settings: Any,
) -> None:
    """Run from the command line."""
    end_to_end(
        out,
        photos,
        model,
        read_settings(default_settings(model), settings),
        gazetteer=gazetteer,
        workers=workers,
        use_gpu=gpu,
        hold_back=hold_back,
    )


if __name__ == "__main__":
    run(main)
