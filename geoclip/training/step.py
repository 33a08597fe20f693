"""One training step: the loss over the global batch and its gradients on this worker."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.nn.modules.batchnorm import _BatchNorm

from geoclip.encoders import Encoder
from geoclip.training.distance_smoothing import SoftClasses
from geoclip.training.losses import (
    gzsl_loss,
    siglip_loss,
    soft_class_loss,
    target_entropy,
    vision_loss,
)
from geoclip.training.precision import mixed_precision
from geoclip.training.settings import TrainingSettings
from geoclip.training.workers import Workers, pad_rows


@dataclass(frozen=True)
class Batch:
    """This worker's share of a global batch of N photos and C + K distinct captions.

    `pixels` (n, 3, S, S) are its photos and `tokens` (c, L) its captions, both the
    `Workers.share` of the global order; `truth` (N, C + K) is global, its last `extra` = K
    columns are captions of no photo; `readable` (n,) is False where a photo could not be read.
    `near`, if given, is global: classes that are more or less true of the photos.
    """

    pixels: Tensor
    tokens: Tensor
    truth: Tensor
    readable: Tensor
    extra: int = 0
    near: SoftClasses | None = None


def freeze_batch_norm(model: nn.Module) -> None:
    """Let BatchNorm layers use their running statistics.

    In training mode an embedding would depend on what else is in its chunk or on its worker, so
    neither gradient caching nor sharing a batch would give the gradient of the whole batch.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def contrastive_gradients(
    encoder: Encoder,
    batch: Batch,
    settings: TrainingSettings,
    workers: Workers | None = None,
    teacher: Encoder | None = None,
) -> dict[str, float]:
    """Add the gradients of ½ (GZSL + vision) over the global batch to the encoder's parameters.

    Every worker computes the loss of all N photos from gathered embeddings and carries its own
    embeddings' gradients back through its towers; the gradients summed over workers are those of
    one worker with the whole batch. With `settings.chunk_size` the towers run twice, a chunk at
    a time, and memory does not grow with the batch (Gao et al. 2021, arXiv 2101.06983).
    Returns the loss, its terms and the excess over the targets' entropy, in nats, and how many
    photos of the batch were `unreadable`.
    """
    workers = workers or Workers()
    n_photos, n_captions = batch.truth.shape
    rows = workers.largest_share(n_photos), workers.largest_share(n_captions)
    towers = (
        _TowerPass(encoder.image_features, batch.pixels, rows[0], settings),
        _TowerPass(encoder.text_features, batch.tokens, rows[1], settings),
    )
    images = workers.gather(towers[0].features, n_photos).requires_grad_()
    texts = workers.gather(towers[1].features, n_captions).requires_grad_()
    readable = workers.gather(batch.readable, n_photos)
    values = _losses(encoder, images[readable], texts, batch.truth[readable], batch.extra, settings)
    loss = values["loss"]
    if batch.near is not None:
        scale, truth = encoder.log_logit_scale.exp(), batch.near.truth[readable]
        photos = _at_least_float32(images[readable])
        values["near"] = soft_class_loss(photos, batch.near.embeddings, scale, truth)
        loss = loss + batch.near.weight * values["near"]
    if teacher is not None and settings.distillation:
        with torch.no_grad():
            own = _TowerPass(teacher.image_features, batch.pixels, rows[0], settings).features
        old = workers.gather(own, n_photos)
        # What is 1 but for some hundredths, and the unit length, have no digits left in bf16.
        cosines = cosine_similarity(_at_least_float32(images), _at_least_float32(old))
        distances = (1 - cosines)[readable]
        values["distillation"] = distances.sum() / max(len(distances), 1)
        loss = loss + settings.distillation * values["distillation"]
    loss.backward()
    _share_scalar_gradients(encoder, workers)
    for tower, gathered in zip(towers, (images, texts), strict=True):
        assert gathered.grad is not None
        tower.backward(gathered.grad[workers.share(len(gathered))])
    workers.sum_gradients(encoder.model.parameters())
    values["unreadable"] = (~readable).sum()
    return {name: float(value.detach()) for name, value in values.items()}


def _losses(
    encoder: Encoder,
    images: Tensor,
    texts: Tensor,
    truth: Tensor,
    extra: int,
    settings: TrainingSettings,
) -> dict[str, Tensor]:
    scale = encoder.log_logit_scale.exp()
    images, texts = _at_least_float32(images), _at_least_float32(texts)
    if settings.loss == "siglip":
        bias = encoder.logit_bias
        return {"loss": siglip_loss(images, texts, scale, 0.0 if bias is None else bias, truth)}
    own = truth.shape[1] - extra
    gzsl = gzsl_loss(images, texts, scale, truth, settings.target)
    vision = vision_loss(images, texts[:own], scale, truth[:, :own])
    # A marginal loss is 0 where all probability lies on true captions, however it is shared.
    lowest = target_entropy(truth) if settings.target == "uniform" else 0.0
    floor = (lowest + target_entropy(truth[:, :own].T)) / 2
    loss = (gzsl + vision) / 2
    return {"loss": loss, "gzsl": gzsl, "vision": vision, "excess": loss - floor}


def _at_least_float32(features: Tensor) -> Tensor:
    """Logits in bf16 would round away most of what tells captions apart."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _share_scalar_gradients(encoder: Encoder, workers: Workers) -> None:
    """Every worker holds the whole gradient of the logit scale: divide it before summing."""
    for scalar in (encoder.log_logit_scale, encoder.logit_bias):
        if scalar is not None and scalar.grad is not None:
            scalar.grad /= workers.size


class _TowerPass:
    """Embeddings of one tower's inputs and the way back from their gradients.

    Zeros fill the inputs up to `rows`, which is alike on all workers, so that all run the tower
    equally often (where its weights are shared out they must) and no share is empty.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        inputs: Tensor,
        rows: int,
        settings: TrainingSettings,
    ) -> None:
        self.encode = encode
        self.precision = settings.precision
        self.chunks = pad_rows(inputs, rows).split(settings.chunk_size or rows)
        self.random_states: list[list[Tensor]] = []
        if settings.chunk_size:
            with torch.no_grad():
                self.filled = torch.cat([self._first_pass(chunk) for chunk in self.chunks])
        else:
            self.filled = self._encode(self.chunks[0])
        self.features = self.filled[: len(inputs)]

    def _encode(self, chunk: Tensor) -> Tensor:
        with mixed_precision(chunk.device, self.precision):
            return self.encode(chunk)

    def _first_pass(self, chunk: Tensor) -> Tensor:
        self.random_states.append(_random_states(chunk.device))
        return self._encode(chunk)

    def backward(self, gradient: Tensor) -> None:
        """Carry the gradient (n, d) of the embeddings into the tower's parameters."""
        gradient = pad_rows(gradient.to(self.filled.dtype), len(self.filled))
        if not self.random_states:
            if self.filled.requires_grad:
                self.filled.backward(gradient)
            return
        after = _random_states(gradient.device)
        pieces = gradient.split([len(chunk) for chunk in self.chunks])
        for chunk, piece, states in zip(self.chunks, pieces, self.random_states, strict=True):
            # Dropout must fall on the same units as in the first pass.
            _set_random_states(states, chunk.device)
            features = self._encode(chunk)
            if features.requires_grad:
                features.backward(piece)
        _set_random_states(after, gradient.device)


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _set_random_states(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])
