"""Training on Ray Train workers: evaluation, the best checkpoint, metrics, storage, bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from tiny_encoders import random_tiny_clip

from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.photos.photo_table import read_photo_table
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.photo_set import label_photos, split_photos
from geoclip.training.settings import EvaluationSettings, TrainingSettings
from pipelines.cluster import cpus_for_each
from pipelines.train_encoder import check_training, train_encoder
from pipelines.training_metrics import tell_mlflow

SETTINGS = TrainingSettings(epochs=2, batch_size=32, learning_rate=3e-3, text_learning_rate=0.0)
WEIGHTS = "open_clip_model.safetensors"
EVALUATION = EvaluationSettings(evaluate_every=2, evaluate_photos=10, best_by="unseen/geoscore")


@pytest.fixture(scope="session")
def captions(
    few_places: Path, planet_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The table of `write_captions`, made without Ray."""
    labelled = label_photos(read_photo_table([planet_photos]), Gazetteer.read(few_places))
    path = tmp_path_factory.mktemp("captions") / "captions.parquet"
    split_photos(labelled)[0].to_parquet(path, index=False)
    return path


@pytest.fixture(scope="session")
def tiny_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    random_tiny_clip().save(folder)
    return folder


@pytest.fixture(scope="module")
def trained(
    captions: Path,
    tiny_start: Path,
    few_places: Path,
    ray_on_two_cpus: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run of six steps on two workers with three evaluations, of which the best is exported."""
    out = tmp_path_factory.mktemp("trained")
    train_encoder(
        captions,
        str(tiny_start),
        out,
        SETTINGS,
        gazetteer=few_places,
        evaluation=EVALUATION,
        keep="best",
    )
    return out


def test_figures_of_every_split_are_reported_as_often_as_asked(trained: Path) -> None:
    table = pd.read_csv(trained / "evaluations.csv")
    assert table["step"].tolist() == [2, 4, 6]
    for split in ("seen", "unseen", "mean"):
        assert table[f"{split}/geoscore"].between(0, 5000).all()
        assert table[f"{split}/country_top5"].ge(table[f"{split}/country_top1"]).all()
    both = table[["seen/geoscore", "unseen/geoscore"]].mean(axis=1)
    np.testing.assert_allclose(table["mean/geoscore"], both)


def test_the_encoder_is_that_of_the_best_evaluation(
    trained: Path, captions: Path, few_places: Path
) -> None:
    """Its figures, computed anew in this process, are the best of the table."""
    from geoclip.places.captions import CaptionBook
    from geoclip.training.held_out import HeldOut, draw_held_out
    from geoclip.training.workers import Workers

    drawn = draw_held_out(pd.read_parquet(captions), EVALUATION, SETTINGS.seed)
    assert drawn["split"].value_counts().to_dict() == {"seen": 10, "unseen": 10}
    book = CaptionBook(Gazetteer.read(few_places))
    figures = HeldOut(drawn, book, Workers()).figures(load_encoder(trained / "encoder"))
    best = pd.read_csv(trained / "evaluations.csv")["unseen/geoscore"].max()
    assert figures["unseen/geoscore"] == pytest.approx(best, rel=1e-3)


def test_the_encoder_knows_the_photos_that_it_was_trained_on(trained: Path, captions: Path) -> None:
    photos, known = pd.read_parquet(captions), TrainedPhotos.read(trained / "encoder")
    found = known.holds(photos["fingerprint"].to_numpy())
    assert (found == (photos["split"] == "train")).all()
    trained_in = photos.loc[photos["split"] == "train", "country_code"]
    assert set(known.countries) == set(trained_in)


def test_losses_are_in_tensorboards_files(trained: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[int]] = {}
    for file in sorted((trained / "tensorboard").iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):  # length, its checksum, the record, its checksum
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    assert found["train/loss"] == [1, 2, 3, 4, 5, 6]
    assert found["unseen/geoscore"] == [2, 4, 6]


def test_more_workers_than_this_machine_has_room_for(
    captions: Path, tiny_start: Path, few_places: Path, ray_on_two_cpus: None, tmp_path: Path
) -> None:
    """They would be waited for for ever."""
    with pytest.raises(GeoclipError, match="no room for 3 workers at a time; give fewer"):
        train_encoder(
            captions, str(tiny_start), tmp_path, SETTINGS, gazetteer=few_places, workers=3
        )


def test_a_finished_run_given_again_changes_nothing(
    trained: Path, captions: Path, tiny_start: Path, few_places: Path
) -> None:
    before = (trained / "losses.csv").read_text(), load_file(trained / "encoder" / WEIGHTS)
    options = {"gazetteer": few_places, "evaluation": EVALUATION, "keep": "best"}
    photos = pd.read_parquet(captions)
    needed = [Path(path) for path in photos.loc[photos["split"] == "train", "path"]]
    for photo in needed:  # a retrained run would miss them
        photo.rename(f"{photo}.away")
    try:
        train_encoder(captions, str(tiny_start), trained, SETTINGS, **options)
    finally:
        for photo in needed:
            Path(f"{photo}.away").rename(photo)
    assert (trained / "losses.csv").read_text() == before[0]
    again = load_file(trained / "encoder" / WEIGHTS)
    assert all((again[name] == value).all() for name, value in before[1].items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evaluation": EvaluationSettings(5, best_by="moon/geoscore")}, "use one of mean/"),
        ({"keep": "best"}, "evaluate_every"),
        ({"fsdp": True, "settings": TrainingSettings(compile=True)}, "leave one of them out"),
        ({"fsdp": True, "settings": TrainingSettings(tune="lora")}, "lora and FSDP cannot"),
    ],
)
def test_what_cannot_work_is_refused_before_ray_starts(
    change: dict, said: str, captions: Path
) -> None:
    with pytest.raises(GeoclipError, match=said):
        check_training(captions, **({"settings": SETTINGS} | change))


def test_captions_that_are_no_table_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "captions.parquet").write_text("path,lat,lon\n")
    for name in ("captions.parquet", "absent.parquet"):
        with pytest.raises(GeoclipError, match=f"{name} is no readable table"):
            check_training(tmp_path / name, SETTINGS)


@pytest.mark.parametrize(
    ("cpus", "workers", "each"),
    [([8], 2, 4), ([2, 2, 2], 2, 2), ([3, 5], 3, 2), ([1], 2, 0), ([0, 16], 3, 5)],
)
def test_workers_get_the_cpus_of_one_node_each(cpus: list[int], workers: int, each: int) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": float(c)} if c else {}} for c in cpus]
    assert cpus_for_each(workers, [*nodes, {"Alive": False, "Resources": {"CPU": 99.0}}]) == each


@pytest.mark.parametrize(
    ("nodes", "workers", "each"),
    [
        ([(64, 0), (8, 1), (8, 1)], 2, 8),
        ([(64, 0), (16, 4)], 4, 4),
        ([(16, 1)], 2, 0),
        ([(64, 0)], 1, 0),
    ],
)
def test_workers_on_gpus_get_the_cpus_beside_them(
    nodes: list[tuple[int, int]], workers: int, each: int
) -> None:
    found = [{"Alive": True, "Resources": {"CPU": float(c), "GPU": float(g)}} for c, g in nodes]
    assert cpus_for_each(workers, found, gpus=1) == each


def test_the_best_checkpoint_is_not_an_average(captions: Path) -> None:
    with pytest.raises(GeoclipError, match="alpha averages"):
        check_training(captions, replace(SETTINGS, alpha=0.5), EVALUATION, "best")


def test_mlflow_gets_losses_and_figures(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    server = f"sqlite:///{tmp_path}/mlflow.db" if hasattr(mlflow, "server") else f"{tmp_path}/ml"
    records = [[{"step": float(s), "loss": 1 / s}] for s in (1, 2)]
    tell_mlflow(server, "s3://bucket/run", records[0], [])
    tell_mlflow(server, "s3://bucket/run", records[1], [{"step": 2.0, "seen/geoscore": 7.0}])
    client = mlflow.MlflowClient(tracking_uri=server)
    (experiment,) = (e for e in client.search_experiments() if e.name == "geoclip")
    (run,) = client.search_runs([experiment.experiment_id])
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in losses] == [(1, 1.0), (2, 0.5)]
    assert run.data.metrics["seen/geoscore"] == 7
