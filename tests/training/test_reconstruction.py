"""The reconstruction term against ridge regressions fitted one by one, and within a step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_encoders import clip_encoder
from torch import Tensor

from geoclip.errors import GeoclipError
from geoclip.training.auxiliary import GlobalFeatures, Reconstruction
from geoclip.training.batches import Batches
from geoclip.training.settings import TrainingSettings
from geoclip.training.step import Batch, contrastive_gradients
from geoclip.training.trainer import Trainer


def features_of(images: Tensor, pictures: Tensor, readable: Tensor | None = None) -> GlobalFeatures:
    readable = torch.ones(len(images), dtype=torch.bool) if readable is None else readable
    rows, scale = np.arange(len(images)), torch.tensor(1.0)
    return GlobalFeatures(
        images, images, readable, rows, scale, lambda _: images, lambda _: pictures
    )


def slow_value(images: np.ndarray, pictures: np.ndarray, ridge: float) -> float:
    """Leave each photo out, fit the others with an intercept, and rebuild it."""
    spread = ((images - images.mean(axis=0)) ** 2).sum() / images.shape[1]
    left = []
    for i in range(len(images)):
        x, y = np.delete(images, i, axis=0), np.delete(pictures, i, axis=0)
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        gram = (x - mean_x).T @ (x - mean_x) + ridge * spread * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, (x - mean_x).T @ (y - mean_y))
        left.append(pictures[i] - mean_y - (images[i] - mean_x) @ weights)
    return float((np.array(left) ** 2).sum() / ((pictures - pictures.mean(axis=0)) ** 2).sum())


@pytest.mark.parametrize("photos", [4, 12, 40])
def test_it_is_what_is_left_of_each_photo_by_the_others(photos: int) -> None:
    generator = torch.Generator().manual_seed(photos)
    images = torch.randn(photos, 8, generator=generator, dtype=torch.float64)
    images /= images.norm(dim=1, keepdim=True)
    pictures = torch.randn(photos, 3, 2, 2, generator=generator, dtype=torch.float64)
    expected = slow_value(images.numpy(), pictures.flatten(1).numpy(), 0.1)
    value = Reconstruction(1.0).value(features_of(images, pictures))
    assert value.item() == pytest.approx(expected, rel=1e-9)
    more = [torch.cat([t, torch.full_like(t[:2], 9.0)]) for t in (images, pictures)]
    readable = torch.arange(photos + 2) < photos
    value = Reconstruction(1.0).value(features_of(more[0], more[1], readable))
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_embeddings_that_hold_the_picture_leave_nothing_and_others_all() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(200, 6, generator=generator)
    pictures = (images @ torch.randn(6, 12, generator=generator)).view(200, 3, 2, 2)
    loss = Reconstruction(1.0, ridge=1e-3)
    assert loss.value(features_of(images, pictures)) < 0.001
    strangers = torch.randn(200, 6, generator=generator)
    assert loss.value(features_of(strangers, pictures)) > 0.95
    for count in (0, 1):
        alone = loss.value(features_of(images[:count], pictures[:count]))
        assert alone.item() == 0
    same = loss.value(features_of(images, torch.ones_like(pictures)))
    assert same.isfinite()


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_its_gradient_reaches_the_image_tower(chunk_size: int | None) -> None:
    encoder = clip_encoder()
    encoder.model.double()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(7, 3, 32, 32, generator=generator, dtype=torch.float64)
    tokens = encoder.tokenize([f"town {i}" for i in range(7)])
    truth = torch.eye(7, dtype=torch.int8)
    batch = Batch(pixels, tokens, truth, torch.ones(7, dtype=torch.bool), np.arange(7))
    settings = TrainingSettings(chunk_size=chunk_size)

    def gradients(*losses: Reconstruction) -> dict[str, Tensor]:
        encoder.model.zero_grad()
        contrastive_gradients(encoder, batch, settings, auxiliary=losses)
        named = encoder.model.named_parameters()
        return {name: p.grad.clone() for name, p in named if p.grad is not None}

    plain, both = gradients(), gradients(Reconstruction(0.7, side=4))
    encoder.model.zero_grad()
    small = torch.nn.functional.avg_pool2d(pixels, 8)
    value = Reconstruction(0.7).value(features_of(encoder.image_features(pixels), small))
    (0.7 * value).backward()
    assert value > 0.1
    for name, parameter in encoder.model.named_parameters():
        added = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(both[name] - plain[name], added, rtol=1e-6, atol=1e-9)


def test_a_run_reports_it(photos, book) -> None:
    settings = TrainingSettings(epochs=1, batch_size=6, learning_rate=1e-4, reconstruction=0.5)
    trainer = Trainer(Batches(clip_encoder(), book, photos, settings))
    records = list(trainer.run())
    assert all(record["reconstruction"] > 0 for record in records)
    with pytest.raises(GeoclipError, match="reconstruction must not be negative"):
        replace(settings, reconstruction=-1.0)
