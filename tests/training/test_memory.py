"""The memory that passes take, against a slow count, and the chunk size that is chosen by it."""

from dataclasses import replace

import pytest
import torch
from tiny_encoders import clip_encoder, timm_encoder

from geoclip.training import memory
from geoclip.training.batches import Batches
from geoclip.training.memory import chosen_chunk_size, memory_for_training, peak_bytes
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import Trainer

SETTINGS = TrainingSettings(batch_size=12)


@pytest.fixture
def batches(book, photos):
    return Batches(clip_encoder(), book, photos, SETTINGS)


def test_the_peak_of_a_chain_of_tensors_is_counted_by_hand():
    """Two layers without bias: hidden (100, 50), output, their gradients one after another."""
    model = torch.nn.Sequential(torch.nn.Linear(10, 50, False), torch.nn.Linear(50, 20, False))
    inputs = torch.randn(100, 10)
    hidden, output = 100 * 50 * 4, 100 * 20 * 4
    found = peak_bytes(model, [lambda: model(inputs)], SETTINGS)
    # Forward: both. Backward: the hidden one, its gradient and that of the output beside a
    # weight's.
    assert hidden + output < found < 2 * hidden + 2 * output + 50 * 20 * 4 + 1000
    assert peak_bytes(model, [lambda: model(inputs)] * 2, SETTINGS) == 2 * found


@pytest.mark.parametrize("make", [clip_encoder, timm_encoder])
def test_memory_is_proportional_to_the_photos_and_nothing_else_changes(make):
    encoder = make()
    before = {n: v.clone() for n, v in encoder.model.state_dict().items()}
    peaks = []
    for rows in (8, 16, 32):
        pixels = torch.zeros(rows, 3, 32, 32)
        run = lambda pixels=pixels: encoder.image_features(pixels)  # noqa: E731
        peaks.append(peak_bytes(encoder.model, [run], SETTINGS))
    first, second = peaks[1] - peaks[0], peaks[2] - peaks[1]
    assert second == pytest.approx(2 * first, rel=0.1) and first > 0
    assert all(p.grad is None for p in encoder.model.parameters())
    assert not encoder.model.training
    assert all(torch.equal(v, before[n]) for n, v in encoder.model.state_dict().items())


def test_frozen_blocks_and_activation_checkpointing_take_less(book, photos):
    def peak(**change):
        encoder = clip_encoder(vision_layers=6)
        Trainer(Batches(encoder, book, photos, replace(SETTINGS, chunk_size=1, **change)))
        run = lambda: encoder.image_features(torch.zeros(16, 3, 32, 32))  # noqa: E731
        return peak_bytes(encoder.model, [run], SETTINGS)

    assert peak(tune="last:1") < 0.5 * peak()
    assert peak(activation_checkpointing=True) < 0.6 * peak()


def test_what_fits_passes_at_once_and_else_in_even_parts(batches, monkeypatch):
    monkeypatch.setattr(memory, "WITH_SCRATCH", 2.0)
    monkeypatch.setattr(memory, "peak_bytes", lambda *_: 4 * 500)
    fixed = 3 * sum(p.nbytes for p in batches.encoder.model.parameters()) + 3 * 12 * 3 * 32 * 32 * 4
    for room, chunk in ((12_000, 12), (11_999, 6), (5_500, 4), (999, 1), (-1, 1)):
        monkeypatch.setattr(memory, "memory_for_training", lambda device, r=room: fixed + r)
        assert chosen_chunk_size(batches, batches.settings) == chunk


def test_frozen_weights_need_no_optimizer(batches, monkeypatch):
    monkeypatch.setattr(memory, "WITH_SCRATCH", 2.0)
    monkeypatch.setattr(memory, "peak_bytes", lambda *_: 4 * 500)
    batches.encoder.model.requires_grad_(False)
    held = 3 * 12 * 3 * 32 * 32 * 4
    monkeypatch.setattr(memory, "memory_for_training", lambda device: held + 12_000)
    assert chosen_chunk_size(batches, batches.settings) == 12


def test_workers_of_one_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
    cpu = torch.device("cpu")
    alone = memory_for_training(cpu)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory_for_training(cpu) == alone / 4 == 2000
    monkeypatch.setattr(memory, "free_memory", lambda: 2**50)
    assert memory_for_training(cpu) < 4 * 2**30


@pytest.mark.parametrize("batch_size", [5, 12])
def test_by_default_no_more_rows_pass_a_tower_at_a_time_than_memory_is_meant_for(
    batch_size, book, photos, monkeypatch
):
    """It bounds memory: this does not grow with the batch."""
    encoder = clip_encoder()
    settings = TrainingSettings(batch_size=batch_size, epochs=1)
    monkeypatch.setattr(memory, "WITH_SCRATCH", 2.0)
    monkeypatch.setattr(memory, "peak_bytes", lambda *_: 2 * 10**9)
    monkeypatch.setattr(memory, "memory_for_training", lambda device: 5.5e9)
    trainer = Trainer(Batches(encoder, book, photos, settings))
    passed = {"image": [], "text": []}
    for tower, encode in (("image", encoder.image_features), ("text", encoder.text_features)):

        def noted(inputs, tower=tower, encode=encode):
            passed[tower].append(len(inputs))
            return encode(inputs)

        setattr(encoder, f"{tower}_features", noted)
    next(iter(trainer.run()))
    assert max(passed["image"] + passed["text"]) <= 5
    # A batch that fits at once is not computed twice.
    assert passed["image"] == ([5] if batch_size == 5 else [4, 4, 4] * 2)
