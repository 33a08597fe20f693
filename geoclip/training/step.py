"""One training step: the loss over the global batch and its gradients on this worker."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from geoclip.encoders import Encoder
from geoclip.training.auxiliary import AuxiliaryLoss, GlobalFeatures, at_least_float32
from geoclip.training.gradient_sums import GradientSums
from geoclip.training.losses import (
    gzsl_loss,
    starting_bias,
    target_entropy,
    vision_loss,
)
from geoclip.training.settings import TrainingSettings
from geoclip.training.text_ring import ring_siglip_loss
from geoclip.training.towers import TowerPass
from geoclip.training.workers import Workers


@dataclass(frozen=True)
class Batch:
    """This worker's share of a global batch of N photos and C + K distinct captions.

    `pixels` (n, 3, S, S) are its photos and `tokens` (c, L) its captions, both the
    `Workers.share` of the global order. `truth` (N, C + K) is global; its last `extra` = K columns
    are captions of no photo. `readable` (n,) is False for an unreadable photo. `rows` (N,), global,
    are the gazetteer rows of the photos' places.
    """

    pixels: Tensor
    tokens: Tensor
    truth: Tensor
    readable: Tensor
    rows: np.ndarray
    extra: int = 0


def contrastive_gradients(
    encoder: Encoder,
    batch: Batch,
    settings: TrainingSettings,
    workers: Workers | None = None,
    auxiliary: Sequence[AuxiliaryLoss] = (),
) -> dict[str, float]:
    """Add the gradients of ½ (GZSL + vision) + auxiliary losses to the encoder's parameters.

    With `settings.loss` "siglip" SigLIP's loss replaces the first term; a bias that is NaN is first
    set from this batch (`losses.starting_bias`), the same on all workers. Every worker computes the
    loss of all N photos from gathered embeddings, SigLIP's from one chunk of captions at a time
    (`text_ring`), and backpropagates its own embeddings' gradients through its towers; the
    gradients summed over workers are those of one worker with the whole batch. With
    `settings.chunk_size` memory does not grow with the batch (`towers.TowerPass`). Returns in nats
    the loss without the auxiliary ones, its terms and its excess over the targets' entropy; each
    auxiliary loss by name, without its weight; and how many photos of the batch were `unreadable`.
    """
    workers = workers or Workers()
    n_photos, n_captions = batch.truth.shape
    photo_rows = workers.largest_share(n_photos)
    caption_rows = workers.largest_share(n_captions)
    towers = (
        TowerPass(encoder.image_features, batch.pixels, photo_rows, settings),
        TowerPass(encoder.text_features, batch.tokens, caption_rows, settings),
    )
    own = [tower.features.detach().requires_grad_() for tower in towers]
    readable = workers.gather(batch.readable, n_photos)
    in_ring = settings.loss == "siglip"
    whole: list[Tensor] = []
    if auxiliary or not in_ring:
        counts = (n_photos, n_captions)
        whole = [workers.gather(*one).requires_grad_() for one in zip(own, counts, strict=True)]

    @torch.no_grad()
    def images_by(other: Encoder) -> Tensor:
        own = TowerPass(other.image_features, batch.pixels, photo_rows, settings).features
        return workers.gather(own, n_photos)

    def pictures(side: int) -> Tensor:
        return workers.gather(adaptive_avg_pool2d(batch.pixels, side), n_photos)

    if in_ring:
        values = _siglip(encoder, own, batch, readable, workers)
    else:
        values = _losses(encoder, whole, batch, readable, settings)
    total = values["loss"]
    if auxiliary:
        scale = encoder.log_logit_scale.exp()
        features = GlobalFeatures(
            whole[0], whole[1], readable, batch.rows, scale, images_by, pictures
        )
        for loss in auxiliary:
            values[loss.name] = loss.value(features)
            total = total + loss.weight * values[loss.name]
    torch.autograd.backward(total)
    _share_scalar_gradients(encoder, workers)
    for mine, gathered in zip(own, whole, strict=False):
        if gathered.grad is not None:
            part = gathered.grad[workers.share(len(gathered))]
            mine.grad = part if mine.grad is None else mine.grad + part
    sums = GradientSums(workers, _parameter_groups(encoder))
    for tower, mine in zip(towers, own, strict=True):
        assert mine.grad is not None
        tower.backward(mine.grad, sums.as_they_come)
    sums.finish()
    values["unreadable"] = (~readable).sum()
    return {name: float(value.detach()) for name, value in values.items()}


def _siglip(
    encoder: Encoder, own: list[Tensor], batch: Batch, readable: Tensor, workers: Workers
) -> dict[str, Tensor]:
    """The loss of this worker's photos and captions against those of all workers."""
    scale, bias = encoder.log_logit_scale.exp(), encoder.logit_bias
    images, texts = map(at_least_float32, own)
    n_photos, n_captions = batch.truth.shape
    if bias is not None and bias.isnan().any():
        with torch.no_grad():  # once in a run: all pairs set the first bias
            every = workers.gather(images, n_photos), workers.gather(texts, n_captions)
            truth = batch.truth[readable]
            bias.fill_(starting_bias(every[0][readable], every[1], scale, truth))
    truth = batch.truth[workers.share(n_photos)][batch.readable]
    given = torch.zeros_like(scale) if bias is None else bias
    photos = readable.sum()
    loss = ring_siglip_loss(images[batch.readable], texts, scale, given, truth, photos, workers)
    return {"loss": loss}


def _losses(
    encoder: Encoder,
    features: Sequence[Tensor],
    batch: Batch,
    readable: Tensor,
    settings: TrainingSettings,
) -> dict[str, Tensor]:
    """The loss of all photos and captions, from the features of all."""
    scale = encoder.log_logit_scale.exp()
    images, texts = map(at_least_float32, (features[0][readable], features[1]))
    truth = batch.truth[readable]
    own = truth.shape[1] - batch.extra
    gzsl = gzsl_loss(images, texts, scale, truth, settings.target)
    vision = vision_loss(images, texts[:own], scale, truth[:, :own])
    # A marginal loss is 0 where all probability lies on true captions, in any proportions.
    lowest = target_entropy(truth) if settings.target == "uniform" else 0.0
    floor = (lowest + target_entropy(truth[:, :own].T)) / 2
    loss = (gzsl + vision) / 2
    return {"loss": loss, "gzsl": gzsl, "vision": vision, "excess": loss - floor}


def _parameter_groups(encoder: Encoder) -> list[list[nn.Parameter]]:
    """The parameters of the image tower, of the text tower, and the others."""
    towers = [encoder.tower_parameters(tower) for tower in ("image", "text")]
    known = {p for tower in towers for p in tower}
    return [*towers, [p for p in encoder.model.parameters() if p not in known]]


def _share_scalar_gradients(encoder: Encoder, workers: Workers) -> None:
    """Every worker holds the whole gradient of scale and bias: divide it before summing."""
    for scalar in (encoder.log_logit_scale, encoder.logit_bias):
        if scalar is not None and scalar.grad is not None:
            scalar.grad /= workers.size
