"""Fine-tune an encoder on captioned photos, on Ray Train workers.

    python -m pipelines.train_encoder --captions captions.parquet --start NAME --out DIR

The contrast set is the global batch of all workers. Checkpoints hold weights, optimizer state and
position; the same command resumes an interrupted run. DIR is a folder or a URI of storage that all
nodes reach. The fine-tuned encoder is in DIR/encoder, calibrated on the held-out photos if these
have at least 50 places. The losses are in DIR/losses.csv, figures on held-out photos in
DIR/evaluations.csv, both in DIR/tensorboard too.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import ray.train
import ray.train.torch
import typer

from geoclip.commands.options import RecipeOption, read_settings, with_settings
from geoclip.encoders.registry import check_model_name
from geoclip.errors import GeoclipError
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.settings import RankingSettings
from geoclip.training.checkpoints import ENCODER, History, export_encoder
from geoclip.training.held_out import draw_held_out, settled
from geoclip.training.photo_set import training_photos
from geoclip.training.settings import (
    LORA,
    EvaluationSettings,
    Keep,
    Recipe,
    TrainingSettings,
    check_keep,
)
from geoclip.training.splits import TRAIN
from pipelines.calibrate_encoder import calibrate_encoder
from pipelines.cluster import (
    absolute_model,
    check_lasting,
    cluster_nodes,
    computes_on_gpu,
    cpus_for_each,
    may_grow,
    ray_session,
)
from pipelines.command_line import Gpu, Model, OutFolder, Places, Workers, run
from pipelines.decoders import Decoders
from pipelines.photo_actors import local_folder, model_settings
from pipelines.remote_progress import remote_progress
from pipelines.storage import absolute, filesystem, is_uri, join, store_folder
from pipelines.training_metrics import mlflow_server
from pipelines.training_worker import train_on_worker
from pipelines.write_captions import read_captions

RUN_NAME = "training"
CHECKPOINTS_KEPT = 2
NO_EVALUATION = EvaluationSettings()


def train_encoder(
    captions: Path | str,
    start: str,
    out: Path | str,
    settings: TrainingSettings,
    *,
    gazetteer: Path | None = None,
    workers: int = 2,
    use_gpu: bool = False,
    decoders: int = 0,
    checkpoint_every: int = 500,
    fsdp: bool = False,
    evaluation: EvaluationSettings = NO_EVALUATION,
    keep: str = Keep.LAST,
    ranking: RankingSettings | None = None,
) -> str:
    """Fine-tune `start` and return the folder or URI of the tuned encoder.

    `decoders` processes read the photos for all workers; without them each worker reads its own.
    With `fsdp` weights and optimizer state are sharded among the workers
    (`geoclip.training.workers`). `keep` chooses the checkpoint that becomes the tuned encoder, the
    "last" or the "best" evaluated. The tuned encoder keeps the start's caption settings, and its
    ranking unless another is given.
    """
    places = Gazetteer.read(gazetteer)
    evaluation = settled(evaluation, places)
    check_training(captions, settings, evaluation, keep, fsdp, places)
    out = absolute(out)
    stored = model_settings(start)
    stored = replace(stored, ranking=ranking or stored.ranking)
    cpus = cpus_for_each(workers, cluster_nodes(), gpus=int(use_gpu))
    if not cpus and not may_grow():
        raise GeoclipError(
            f"This machine has no room for {workers} workers{' with a GPU each' * use_gpu} at a "
            f"time; give fewer --workers, or name a cluster in RAY_ADDRESS."
        )
    if not cpus:
        print(f"The cluster has no room for {workers} workers yet; waiting for it.")
    config = {
        "captions": absolute(captions),
        "start": absolute_model(start),
        "out": out,
        "gazetteer": gazetteer and gazetteer.absolute(),
        "settings": settings,
        "captioning": stored.captions,
        "ranking": stored.ranking_of(places),
        "evaluation": evaluation,
        "threads": max(1, cpus),
        "checkpoint_every": checkpoint_every,
        "fsdp": fsdp,
        "decoders": Decoders.start(decoders, workers),
        "mlflow": mlflow_server(),
    }
    with remote_progress("fine-tuning") as counter:
        trainer = ray.train.torch.TorchTrainer(
            train_on_worker,
            train_loop_config={**config, "counter": counter},
            torch_config=ray.train.torch.TorchConfig(
                backend="gloo" if use_gpu and not computes_on_gpu(1) else None  # None: Ray chooses
            ),
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers,
                use_gpu=use_gpu,
                resources_per_worker={"CPU": 0.9 * max(1, cpus)},
            ),
            run_config=run_config(out, evaluation),
        )
        result = trainer.fit()
    before = TrainedPhotos.read(local_folder(start))
    trained = training_photos(read_captions(captions), places).trained(places, before)
    best_by = evaluation.best_by if keep == Keep.BEST else None
    return _collect(result, out, stored.tuned(trained.countries), trained, best_by)


def run_config(out: str, evaluation: EvaluationSettings) -> ray.train.RunConfig:
    """The place of checkpoints and which are kept: the last, and the best if there are evaluations.

    The storage path and name are those of an earlier run of the same command, so that Ray Train
    resumes from its last checkpoint.
    """
    system, path = filesystem(out)
    return ray.train.RunConfig(
        name=RUN_NAME,
        storage_path=path,
        storage_filesystem=system,
        checkpoint_config=ray.train.CheckpointConfig(
            num_to_keep=CHECKPOINTS_KEPT,
            checkpoint_score_attribute=evaluation.best_by if evaluation.evaluate_every else None,
        ),
        failure_config=ray.train.FailureConfig(max_failures=3),
    )


def check_training(
    captions: Path | str,
    settings: TrainingSettings,
    evaluation: EvaluationSettings = NO_EVALUATION,
    keep: str = Keep.LAST,
    fsdp: bool = False,
    places: Gazetteer | None = None,
) -> None:
    """Refuse invalid combinations before any worker is started."""
    check_photos(captions)
    if evaluation.evaluate_every:
        columns = ["photo_id", "lat", "location_id", "split"]
        draw_held_out(read_captions(captions, columns), evaluation, gazetteer=places)
    check_keep(keep, settings, evaluation)
    if fsdp and settings.compile:
        raise GeoclipError("compile and FSDP cannot be combined; leave one of them out.")
    if fsdp and settings.tuned.kind == LORA:
        raise GeoclipError("lora and FSDP cannot be combined; leave one of them out.")


def check_photos(captions: Path | str) -> None:
    """Refuse an empty training set."""
    if not (read_captions(captions, ["split"])["split"] == TRAIN).any():
        raise GeoclipError(
            f"{captions} has no photo in split '{TRAIN}'; give the training photos this split."
        )


def _collect(
    result: ray.train.Result,
    out: str,
    settings: ModelSettings,
    trained: TrainedPhotos,
    best_by: str | None,
) -> str:
    """Copy the last or the best checkpoint's encoder and the last one's reports to `out`."""
    if result.checkpoint is None:
        raise GeoclipError(f"Training wrote no checkpoint; see Ray's log in {out}.")
    chosen = result.checkpoint
    if best_by is not None:
        scored = [(m[best_by], c) for c, m in result.best_checkpoints or [] if best_by in m]
        score, chosen = max(scored, key=lambda pair: pair[0])
        print(f"The best checkpoint has {best_by} {score:.1f}.")
    with tempfile.TemporaryDirectory() as draft:
        target = Path(draft) if is_uri(out) else Path(out)
        target.mkdir(parents=True, exist_ok=True)
        with chosen.as_directory() as checkpoint, result.checkpoint.as_directory() as last:
            export_encoder(Path(checkpoint), target, settings, trained, Path(last))
        unreadable = sum(step.get("unreadable", 0) for step in History.read(target).losses)
        if is_uri(out):
            store_folder(target, out)
    if unreadable:
        print(
            f"{unreadable:,.0f} times a photo could not be read and was left out (see `unreadable` "
            "in losses.csv)."
        )
    print(f"Fine-tuned encoder in {join(out, ENCODER)}, losses of all steps beside it.")
    return join(out, ENCODER)


@with_settings(EvaluationSettings, TrainingSettings)
def main(
    *,
    captions: Annotated[str, typer.Option(help="Output of write_captions; a path or URI.")],
    start: Model,
    out: OutFolder,
    gazetteer: Places = None,
    workers: Workers = 2,
    gpu: Gpu = False,
    decoders: Annotated[
        int, typer.Option(min=0, help="Processes that decode photos; 0: threads of the workers.")
    ] = 0,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps.")] = 500,
    fsdp: Annotated[bool, typer.Option("--fsdp", help="Shard weights among workers.")] = False,
    keep: Annotated[
        Keep, typer.Option(help="Checkpoint that becomes the tuned encoder.")
    ] = Keep.LAST,
    recipe: RecipeOption = Recipe.DEFAULT,
    **settings: Any,
) -> None:
    """Fine-tune from the command line."""
    training = read_settings(recipe.settings, settings)
    evaluation = read_settings(EvaluationSettings, settings)
    check_lasting(out)
    check_model_name(start)
    places = Gazetteer.read(gazetteer)
    check_training(captions, training, settled(evaluation, places), keep, fsdp, places)
    with ray_session():
        tuned = train_encoder(
            captions,
            start,
            out,
            training,
            gazetteer=gazetteer,
            workers=workers,
            use_gpu=gpu,
            decoders=decoders,
            checkpoint_every=checkpoint_every,
            fsdp=fsdp,
            evaluation=evaluation,
            keep=keep,
        )
        calibrate_encoder(tuned, captions, gazetteer, gpu)


if __name__ == "__main__":
    run(main)
