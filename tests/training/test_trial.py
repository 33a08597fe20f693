"""The precision of training: tried once in long runs, alike on all workers, kept by a run."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from tiny_encoders import clip_encoder, timm_encoder
from torch import Tensor

from geoclip.encoders.precision import kept_finding
from geoclip.training import trial
from geoclip.training.batches import Batches
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import PROGRESS_FILE, Trainer
from geoclip.training.trial import TRAINING, chosen_precision
from geoclip.training.workers import Workers

LONG = TrainingSettings(epochs=500, batch_size=5, learning_rate=1e-3, precision="auto")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path / "cache"))


def found(monkeypatch, precision):
    """Let trials end with a precision after one pass in each; returns the trials."""
    tried = []

    def try_out(what, model, work):
        for each in ("fp32", "bf16"):
            work(each, 2)
            tried.append(each)
        return precision

    monkeypatch.setattr(trial, "try_out", try_out)
    return tried


@pytest.mark.parametrize("make", [clip_encoder, timm_encoder])
def test_a_trial_leaves_weights_gradients_chance_and_mode_alone(make, book, photos, monkeypatch):
    tried = found(monkeypatch, "bf16")
    encoder = make()
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    state, training = torch.get_rng_state(), encoder.model.training
    assert chosen_precision(Batches(encoder, book, photos, LONG)) == "bf16"
    assert tried == ["fp32", "bf16"]
    assert torch.equal(torch.get_rng_state(), state) and encoder.model.training == training
    assert all(torch.equal(before[n], v) for n, v in encoder.model.state_dict().items())
    assert all(p.grad is None for p in encoder.model.parameters())


def test_a_real_trial_finds_one_of_both_and_keeps_it(book, photos):
    encoder = clip_encoder()
    chosen = chosen_precision(Batches(encoder, book, photos, LONG))
    assert chosen in ("fp32", "bf16")
    assert kept_finding(TRAINING, encoder.image_tower) == chosen


def test_short_runs_and_named_precisions_are_not_tried(book, photos, monkeypatch):
    tried = found(monkeypatch, "bf16")
    for settings in (
        replace(LONG, epochs=2),
        replace(LONG, precision="fp32"),
        replace(LONG, precision="bf16"),
    ):
        chosen = chosen_precision(Batches(clip_encoder(), book, photos, settings))
        assert chosen == settings.precision.replace("auto", "fp32")
    assert not tried


@dataclass(frozen=True)
class SecondWorker(Workers):
    """The second of two workers, whose first found another precision."""

    rank: int = 1
    size: int = 2
    first: int = 0

    def gather(self, own: Tensor, count: int) -> Tensor:
        assert own.shape == (1,) and count == 2
        return torch.cat([torch.full_like(own, self.first), own])


@pytest.mark.parametrize(("first", "mine"), [("fp32", "bf16"), ("bf16", "fp32")])
def test_workers_take_what_the_first_found(first, mine, book, photos, monkeypatch):
    found(monkeypatch, mine)
    workers = SecondWorker(first=int(first == "bf16"))
    assert chosen_precision(Batches(clip_encoder(), book, photos, LONG, workers)) == first


def test_a_run_that_goes_on_keeps_its_precision(book, photos, monkeypatch, tmp_path):
    found(monkeypatch, "bf16")
    first = Trainer(Batches(clip_encoder(), book, photos, LONG))
    assert first.settings.precision == "bf16"
    first.save(tmp_path / "run")
    assert json.loads((tmp_path / "run" / PROGRESS_FILE).read_text())["precision"] == "bf16"
    found(monkeypatch, "fp32")
    second = Trainer(Batches(clip_encoder(), book, photos, LONG))
    assert second.settings.precision == "fp32"
    second.resume(tmp_path / "run")
    assert second.settings.precision == "bf16"
