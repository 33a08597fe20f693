"""The main job: captions → fine-tuning → hierarchical zero-shot prediction → accuracy by distance.

    python -m pipelines.end_to_end --photos photos.csv --out DIR

Without --photos it runs on the demonstration planet. It writes report.json, predictions.parquet,
map.html and the fine-tuned encoder under --out.
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
from geoclip.encoders.registry import CHECKPOINTS, check_model_name
from geoclip.errors import GeoclipError
from geoclip.guesses.maps import write_map
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.settings import RankingSettings
from geoclip.training.settings import TrainingSettings
from geoclip.training.splits import TRAIN
from pipelines.cluster import check_lasting, ray_session
from pipelines.command_line import Gpu, Places, Workers, on_this_machine, run
from pipelines.embed_places import embed_places
from pipelines.evaluate_guesses import evaluate_guesses
from pipelines.locate_photos import locate_photos
from pipelines.photo_actors import model_settings
from pipelines.planet.planet import Planet, PlanetSettings
from pipelines.report_table import print_report
from pipelines.train_encoder import train_encoder
from pipelines.write_captions import write_captions

START = CHECKPOINTS / "planet-start"
START_NOTE = (
    "image tower with random weights; text tower taught the packaged gazetteer, so that captions "
    "of near places lie near: it knows where every country is, also those never trained on"
)
FROM_START = TrainingSettings(
    epochs=6,
    batch_size=128,
    learning_rate=2e-3,
    text_learning_rate=0.0,
    weight_decay=0.05,
    chunk_size=None,  # so small a tower needs no gradient caching
)
"""For the random image tower of planet-start; one that knows photos would forget them."""
RANKING = RankingSettings()
"""For planet-start: on the planet large countries have few photos more than small ones."""
console = Console(stderr=True)


@contextmanager
def stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Say which step runs and keep how long it took."""
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
) -> dict[str, Any]:
    """Run the whole pipeline and return the report that is in `out`/report.json.

    `settings` are `default_settings` of the start unless given.
    """
    settings = settings or default_settings(start)
    start = start or str(START)
    check_model_name(start)
    check_lasting(out)
    out.mkdir(parents=True, exist_ok=True)
    places, captions = Gazetteer.read(gazetteer), model_settings(start).captions
    own_ranking = RANKING if _is_ours(start) else None
    seconds: dict[str, float] = {}
    if not photos:
        with stage("Draw the demonstration planet", seconds):
            world = Planet(places, planet or PlanetSettings(seed=settings.seed))
            photos = [world.write(out / "planet", jobs=workers)]
    listed = read_photo_table(photos)
    with ray_session():
        with stage("Write captions", seconds):
            table = write_captions(
                listed, out / "captions.parquet", gazetteer, captions, settings.seed
            )
        held_out = table[(table["split"] != TRAIN) & table["lat"].notna()]
        if held_out.empty:
            raise GeoclipError(
                "No photo of known position is held out, so nothing can be measured: give some "
                "another split than train, or train alone with pipelines.train_encoder."
            )
        gpus = 1 if use_gpu else 0

        def predict(model: str) -> pd.DataFrame:
            index = out / "places"
            embed_places(model, index, gazetteer, captions, workers)
            return locate_photos(
                held_out, model, index, gazetteer, own_ranking, actors=workers, gpus=gpus
            )

        with stage("Locate before fine-tuning", seconds):
            before = predict(start)
        with stage("Fine-tune", seconds):
            tuned = train_encoder(
                out / "captions.parquet",
                start,
                out,
                settings,
                gazetteer=gazetteer,
                workers=workers,
                use_gpu=use_gpu,
                ranking=own_ranking,
            )
        with stage("Locate after fine-tuning", seconds):
            after = predict(tuned)
    with stage("Evaluate", seconds):
        report = evaluate_guesses(table, {"before": before, "after": after}, places)
    ranking = model_settings(tuned).ranking
    report.update(_about(start, settings, ranking, table, seconds))
    _write(out, report, after, held_out)
    return report


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
    """What a reader of the figures has to know."""
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
    out: Annotated[Path, on_this_machine("Folder of all that is written.")] = Path("runs/demo"),
    model: Annotated[
        str | None,
        typer.Option(
            help="Encoder to start from instead of planet-start; with another one the defaults of "
            "training are those of pipelines.train_encoder."
        ),
    ] = None,
    gazetteer: Places = None,
    workers: Workers = 2,
    gpu: Gpu = False,
    **settings: Any,
) -> None:
    """Run from the command line."""
    training = read_settings(default_settings(model), settings)
    end_to_end(out, photos, model, training, gazetteer=gazetteer, workers=workers, use_gpu=gpu)


if __name__ == "__main__":
    run(main)
