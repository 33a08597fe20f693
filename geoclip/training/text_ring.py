"""SigLIP's loss with one chunk of texts on each worker at a time (Zhai et al. 2023, section 3.2).

No worker holds all embeddings or the whole matrix of pairs: it compares its own photos with its
current chunk of texts, then passes the chunk to the next worker and takes the previous one's. A
chunk carries its accumulated gradient, and both return after a whole round.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from geoclip.training.losses import siglip_loss
from geoclip.training.workers import Workers, pad_rows


def ring_siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    truth: Tensor,
    photos: Tensor | int,
    workers: Workers,
) -> Tensor:
    """`siglip_loss` of the global batch from the shares of the workers; all must call this.

    Shapes: this worker's photos (n, d) and texts (c, d), `truth` (n, C) of its photos and all
    captions in the global order; `photos` counts all readable ones. Every worker gets the whole
    loss; its gradient is whole for scale and bias, and of the global loss for the worker's own
    features.
    """
    loss: Tensor = _RingSiglip.apply(
        image_features, text_features, logit_scale, logit_bias, truth, photos, workers
    )
    return loss


class _RingSiglip(torch.autograd.Function):
    """Computes the gradients in the forward pass: otherwise the chunks would go round again."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        texts: Tensor,
        scale: Tensor,
        bias: Tensor,
        truth: Tensor,
        photos: Tensor | int,
        workers: Workers,
    ) -> Tensor:
        captions = truth.shape[1]
        held = pad_rows(texts.detach(), workers.largest_share(captions))
        gathered, image_gradient = torch.zeros_like(held), torch.zeros_like(images)
        sums = torch.zeros(3, dtype=images.dtype, device=images.device)  # loss, scale, bias
        share = len(images) / max(int(photos), 1)  # from the mean over its own photos
        for turn in range(workers.size):
            part = workers.share(captions, (workers.rank - turn) % workers.size)
            own = [one.detach().requires_grad_() for one in (images, held, scale, bias)]
            with torch.enable_grad():
                chunk = own[1][: part.stop - part.start]
                loss = share * siglip_loss(own[0], chunk, own[2], own[3], truth[:, part])
            gradients = torch.autograd.grad(loss, own)
            image_gradient += gradients[0]
            gathered += gradients[1]
            sums += torch.stack([loss.detach(), *(one.sum() for one in gradients[2:])])
            held, gathered = workers.pass_on(torch.stack([held, gathered])).unbind()
        loss, scale_gradient, bias_gradient = workers.sum(sums).unbind()
        # In transformers' models both have the shape (1,).
        scalars = scale_gradient.reshape(scale.shape), bias_gradient.reshape(bias.shape)
        ctx.save_for_backward(image_gradient, gathered[: len(texts)], *scalars)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return (*(gradient * one for one in ctx.saved_tensors), None, None, None)
