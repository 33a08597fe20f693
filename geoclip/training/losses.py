"""The generalized zero-shot (GZSL) loss and the vision representation loss.

A loss takes features and a truth matrix (`geoclip.places.captions.truth_matrix`), never a model.
Shapes: image features (N, d) and text features (C, d), both of unit length; `logit_scale` is the
multiplier itself (already exponentiated); truth (N, C) holds 1 true, 0 false, -1 unknown.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def gzsl_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    truth: Tensor,
    target: str = "uniform",
) -> Tensor:
    """Classify each photo among the captions; mean over photos that have a true caption.

    The target is uniform over the captions that are true of the photo, so the floor of the loss is
    the target's entropy (`target_entropy`); `target="marginal"` gives -log of the summed
    probability of the true captions instead. Unknown pairs are left out of the denominator. Returns
    a scalar in nats, 0 if no photo has a true caption. Raises ValueError for an unknown `target`.
    """
    if target not in ("uniform", "marginal"):
        raise ValueError(f"target is {target!r}; use 'uniform' or 'marginal'")
    logits = logit_scale * image_features @ text_features.T
    # The lowest finite number, not -inf: a row without known pairs must not become NaN.
    log_p = logits.masked_fill(truth < 0, torch.finfo(logits.dtype).min).log_softmax(dim=1)
    true = truth > 0
    counts = true.sum(dim=1)
    if target == "marginal":
        rows = -log_p[counts > 0].masked_fill(~true[counts > 0], float("-inf")).logsumexp(dim=1)
    else:
        rows = -log_p.masked_fill(~true, 0).sum(dim=1)[counts > 0] / counts[counts > 0]
    return rows.sum() / max(len(rows), 1)


def vision_loss(
    image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float, truth: Tensor
) -> Tensor:
    """Classify each caption among the photos; mean over captions that are true of a photo.

    Same shapes and conventions as `gzsl_loss`; a caption's target is uniform over its true photos.
    """
    return gzsl_loss(text_features, image_features, logit_scale, truth.T)


def soft_label_loss(
    image_features: Tensor, class_features: Tensor, logit_scale: Tensor | float, labels: Tensor
) -> Tensor:
    """Cross entropy of photos (N, d) among classes (R, d); the targets `labels` (N, R) sum to 1.

    Returns a scalar in nats, the mean over photos, 0 without any.
    """
    log_p = (logit_scale * image_features @ class_features.T).log_softmax(dim=1)
    return -(labels * log_p).sum() / max(len(labels), 1)


def target_entropy(truth: Tensor) -> Tensor:
    """Floor of `gzsl_loss` in nats: the mean entropy of the uniform targets."""
    counts = (truth > 0).sum(dim=1)
    counts = counts[counts > 0]
    return counts.float().log().sum() / max(len(counts), 1)


def starting_bias(
    image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float, truth: Tensor
) -> Tensor:
    """Bias of `siglip_loss` for a model without one: it makes the mean logit the log odds of a true
    pair.

    -scale · mean cosine + log(true pairs / false pairs) over the known pairs, NaN without any.
    Cosines of a CLIP lie around an uninformative value, and nearly all pairs are false: with
    another bias the loss spends its first steps on pushing all pairs apart.
    """
    cosines = image_features @ text_features.T
    centre = -logit_scale * cosines[truth >= 0].mean()
    true, false = (pairs.sum().clamp(min=1).to(centre) for pairs in (truth > 0, truth == 0))
    return centre + (true / false).log()


def siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    logit_bias: Tensor | float,
    truth: Tensor,
) -> Tensor:
    """SigLIP's pairwise sigmoid loss (Zhai et al. 2023, arXiv 2303.15343) over the known pairs.

    Sum of -log sigmoid(±(scale · cosine + bias)) over true (+) and false (-) pairs, divided by
    the number of photos. Returns a scalar in nats.
    """
    logits = logit_scale * image_features @ text_features.T + logit_bias
    signs = torch.where(truth > 0, 1.0, -1.0).to(logits.dtype)
    return -(F.logsigmoid(signs * logits) * (truth >= 0)).sum() / max(len(image_features), 1)
