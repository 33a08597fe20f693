"""The fastest precision for training here, by trial on CPUs."""

import torch

from geoclip.encoders import Encoder
from geoclip.encoders.precision import (
    AUTO,
    BF16,
    FULL,
    WORTH_A_TRIAL,
    kept_finding,
    of_gpu,
    try_out,
)
from geoclip.training.batches import Batches
from geoclip.training.towers import mixed_precision, on_trial

TRAINING = "training"


def chosen_precision(batches: Batches) -> str:
    """The settings' precision; for "auto" the fastest, the same on all workers.

    On a GPU it is bf16 if supported. On a CPU it is the result of a trial of the image tower, now
    or earlier on this machine. A run of less than `WORTH_A_TRIAL` photos over all epochs is too
    short for a trial and uses fp32.
    """
    wanted, encoder, workers = batches.settings.precision, batches.encoder, batches.workers
    if wanted != AUTO:
        return wanted
    if encoder.device.type != "cpu":
        return BF16 if of_gpu(encoder.device) == BF16 else FULL  # fp16 needs its gradients scaled
    found = kept_finding(TRAINING, encoder.image_tower)
    if found is None and batches.steps * batches.settings.batch_size >= WORTH_A_TRIAL:
        found = _try(encoder)
    mine = torch.tensor([int(found == BF16)])
    return BF16 if workers.gather(mine, workers.size)[0] else FULL


def _try(encoder: Encoder) -> str:
    """Try forward and backward passes of the image tower."""
    side = encoder.image_size

    def work(precision: str, photos: int) -> None:
        with mixed_precision(encoder.device, precision):
            features = encoder.image_features(torch.randn(photos, 3, side, side))
        if features.requires_grad:
            torch.autograd.backward(features.float().sum())

    with on_trial(encoder.model):
        return try_out(TRAINING, encoder.image_tower, work)
