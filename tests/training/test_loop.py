"""The loop around a trainer: evaluations, checkpoints, resuming, and the best checkpoint."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_encoders import clip_encoder

from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.ranking.model_settings import ModelSettings
from geoclip.training.batches import Batches
from geoclip.training.checkpoints import FolderCheckpoints, History
from geoclip.training.held_out import HeldOut
from geoclip.training.loop import run_training
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer
from geoclip.training.workers import Workers

SETTINGS = TrainingSettings(epochs=3, batch_size=5, learning_rate=1e-3)
STEPS = 6
MODEL = ModelSettings()


@pytest.fixture
def trainer(book, photos):
    return lambda settings=SETTINGS: Trainer(Batches(clip_encoder(), book, photos, settings))


@pytest.fixture
def held_out(book, photos, monkeypatch):
    """An evaluation whose figure is best in the middle of a run."""
    table = pd.DataFrame({"path": photos.paths, "place_id": "1", "split": "test", "lat": 1.0})
    made = HeldOut(table, book, Workers())
    scores = iter([1.0, 3.0, 3.0, 2.0, 9.0])
    monkeypatch.setattr(made, "figures", lambda encoder: {"mean/geoscore": next(scores)})
    return made


class Noted:
    """A store that records its calls."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, set[str]]] = []

    def resume(self, trainer):
        return History()

    def keep(self, trainer, history, metrics):
        assert metrics["step"] == trainer.step == len(history.losses)
        self.kept.append((trainer.step, metrics.keys() & {"mean/geoscore"}))


def test_a_run_without_a_store_takes_all_steps_and_reports_each(trainer):
    reported = []
    one = trainer()
    history = run_training(one, report=reported.append)
    assert [record["step"] for record in reported] == list(range(1, STEPS + 1))
    assert history.losses == reported and history.evaluations == []
    assert one.finished and not one.encoder.model.training


def test_it_is_kept_at_every_checkpoint_and_evaluation_and_at_the_end(trainer, held_out):
    store, reported = Noted(), []
    history = run_training(
        trainer(),
        store,
        checkpoint_every=4,
        held_out=held_out,
        evaluate_every=3,
        report=reported.append,
    )
    figure = {"mean/geoscore"}
    assert store.kept == [(3, figure), (4, set()), (6, figure)]
    assert [record["step"] for record in history.evaluations] == [3, 6]
    assert [record["step"] for record in reported if "mean/geoscore" in record] == [3, 6]
    assert all("mean/geoscore" not in record for record in history.losses)


def test_the_end_is_averaged_before_it_is_evaluated_and_kept(trainer, book, photos):
    weights = []

    class Weights(Noted):
        def keep(self, trainer, history, metrics):
            weights.append(next(trainer.encoder.model.parameters()).detach().clone())

    one = trainer(TrainingSettings(epochs=1, batch_size=12, learning_rate=1e-2, alpha=0.0))
    run_training(one, Weights())
    assert torch.equal(weights[-1], next(clip_encoder().model.parameters()))


def test_an_interrupted_run_resumes_and_ends_like_an_uninterrupted_one(trainer, tmp_path):
    run_training(trainer(), FolderCheckpoints(tmp_path / "whole"), checkpoint_every=2)

    def stop(metrics):
        if metrics["step"] == 5:
            raise KeyboardInterrupt

    store = FolderCheckpoints(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        run_training(trainer(), store, checkpoint_every=2, report=stop)
    left = []
    history = run_training(trainer(), store, checkpoint_every=2, report=left.append)
    assert [record["step"] for record in left] == [5, 6] and len(history.losses) == STEPS
    folders = [FolderCheckpoints(tmp_path / name).export(MODEL).parent for name in ("whole", "cut")]
    whole, cut = (load_encoder(folder / "encoder").model.state_dict() for folder in folders)
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    tables = [pd.read_csv(folder / "losses.csv") for folder in folders]
    pd.testing.assert_frame_equal(*tables)


def test_a_finished_run_is_evaluated_only_if_it_was_not(trainer, held_out, tmp_path):
    store = FolderCheckpoints(tmp_path)
    run_training(trainer(), store)
    taken = []
    history = run_training(trainer(), store, held_out=held_out, report=taken.append)
    assert taken == [] and [r["step"] for r in history.evaluations] == [STEPS]
    again = run_training(trainer(), store, held_out=held_out)
    assert again.evaluations == history.evaluations


def folders(out: Path) -> set[str]:
    return {folder.name for folder in (out / "checkpoints").iterdir()}


def test_the_best_checkpoint_stays_beside_the_last_and_is_exported(trainer, held_out, tmp_path):
    store = FolderCheckpoints(tmp_path, best_by="mean/geoscore")
    weights = {}

    def note(metrics):
        weights[metrics["step"]] = next(one.encoder.model.parameters()).detach().clone()

    one = trainer()
    run_training(one, store, held_out=held_out, evaluate_every=2, report=note)
    # The figures after steps 2, 4 and 6 are 1, 3 and 3: the first best one counts.
    assert folders(tmp_path) == {"step-4", "step-6"}
    encoder = load_encoder(store.export(MODEL))
    assert torch.equal(next(encoder.model.parameters()), weights[4])
    assert len(pd.read_csv(tmp_path / "losses.csv")) == STEPS
    assert pd.read_csv(tmp_path / "evaluations.csv")["mean/geoscore"].tolist() == [1, 3, 3]
    last = load_encoder(FolderCheckpoints(tmp_path).export(MODEL))
    assert torch.equal(next(last.model.parameters()), weights[6])


def test_the_settings_come_with_the_encoder_and_an_old_one_goes_when_it_is_whole(
    trainer, tmp_path, monkeypatch
):
    store = FolderCheckpoints(tmp_path)
    run_training(trainer(), store)
    folder = store.export(MODEL)
    assert ModelSettings.read(folder) == MODEL and not (folder / "state").exists()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ModelSettings, "write", full)
    with pytest.raises(GeoclipError, match=r"cannot be written to \(No space left on device\)"):
        store.export(MODEL)
    assert ModelSettings.read(folder) == MODEL


def test_nothing_kept_is_one_sentence(tmp_path):
    with pytest.raises(GeoclipError, match="holds no checkpoint"):
        FolderCheckpoints(tmp_path).export(MODEL)


def test_the_folder_of_another_run_is_refused(trainer, tmp_path):
    run_training(trainer(), FolderCheckpoints(tmp_path))
    other = trainer(TrainingSettings(epochs=3, batch_size=5, learning_rate=1e-4))
    with pytest.raises(GeoclipError, match=r"its learning_rate: 0\.001, this one's: 0\.0001"):
        run_training(other, FolderCheckpoints(tmp_path))
