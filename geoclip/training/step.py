"""One training step: the loss over the global batch and its gradients on this worker."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from geoclip.encoders import Encoder
from geoclip.training.auxiliary import AuxiliaryLoss, GlobalFeatures, at_least_float32
from geoclip.training.gradient_sums import GradientSums
from geoclip.training.losses import (
    gzsl_loss,
    siglip_loss,
    starting_bias,
    target_entropy,
    vision_loss,
)
from geoclip.training.settings import TrainingSettings
from geoclip.training.towers import TowerPass
from geoclip.training.workers import Workers


@dataclass(frozen=True)
class Batch:
    """This worker's share of a global batch of N photos and C + K distinct captions.

    `pixels` (n, 3, S, S) are its photos and `tokens` (c, L) its captions, both the
    `Workers.share` of the global order. `truth` (N, C + K) is global, its last `extra` = K
    columns are captions of no photo. `readable` (n,) is False where a photo could not be read.
    `rows` (N,), global, are the gazetteer rows of the photos' places.
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

    With `settings.loss` "siglip" SigLIP's loss takes the place of the first term; a bias that is
    NaN is first set from this batch (`losses.starting_bias`), alike on all workers. Every worker
    computes the loss of all N photos from gathered embeddings and carries its own embeddings'
    gradients back through its towers; the gradients summed over workers are those of one worker
    with the whole batch. With `settings.chunk_size` memory does not grow with the batch
    (`towers.TowerPass`). Returns in nats the loss without the auxiliary ones, its terms and its
    excess over the targets' entropy; each auxiliary loss by name, without its weight; and how many
    photos of the batch were `unreadable`.
    """
    workers = workers or Workers()
    n_photos, n_captions = batch.truth.shape
    photo_rows = workers.largest_share(n_photos)
    caption_rows = workers.largest_share(n_captions)
    towers = (
        TowerPass(encoder.image_features, batch.pixels, photo_rows, settings),
        TowerPass(encoder.text_features, batch.tokens, caption_rows, settings),
    )
    images = workers.gather(towers[0].features, n_photos).requires_grad_()
    texts = workers.gather(towers[1].features, n_captions).requires_grad_()
    readable = workers.gather(batch.readable, n_photos)

    @torch.no_grad()
    def images_by(other: Encoder) -> Tensor:
        own = TowerPass(other.image_features, batch.pixels, photo_rows, settings).features
        return workers.gather(own, n_photos)

    values = _losses(encoder, images[readable], texts, batch.truth[readable], batch.extra, settings)
    scale = encoder.log_logit_scale.exp()
    features = GlobalFeatures(images, texts, readable, batch.rows, scale, images_by)
    total = values["loss"]
    for loss in auxiliary:
        values[loss.name] = loss.value(features)
        total = total + loss.weight * values[loss.name]
    torch.autograd.backward(total)
    _share_scalar_gradients(encoder, workers)
    sums = GradientSums(workers, _parameter_groups(encoder))
    for tower, gathered in zip(towers, (images, texts), strict=True):
        assert gathered.grad is not None
        tower.backward(gathered.grad[workers.share(len(gathered))], sums.as_they_come)
    sums.finish()
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
    images, texts = at_least_float32(images), at_least_float32(texts)
    if settings.loss == "siglip":
        bias = encoder.logit_bias
        if bias is not None and bias.isnan().any():
            with torch.no_grad():
                bias.fill_(starting_bias(images, texts, scale, truth))
        return {"loss": siglip_loss(images, texts, scale, 0.0 if bias is None else bias, truth)}
    own = truth.shape[1] - extra
    gzsl = gzsl_loss(images, texts, scale, truth, settings.target)
    vision = vision_loss(images, texts[:own], scale, truth[:, :own])
    # A marginal loss is 0 where all probability lies on true captions, however it is shared.
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
