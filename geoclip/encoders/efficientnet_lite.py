"""EfficientNet-Lite2 in plain PyTorch: timm and what it imports take seconds.

The network is that of Tan and Le 2019 (arXiv 1905.11946) with ReLU6 and without squeeze and
excitation, which is what Lite stands for. Parts have the names of timm's `tf_efficientnet_lite2`,
so that its weights fit, and stand in call order. It is for prediction: it has no dropout.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

STEM, FEATURES = 32, 1280
EXPANSION = 6
SIDES = 32
"""The side is a multiple of this, so that each halving pads only at the right and bottom."""
FIRST = 16
STAGES = (
    *((24, 3, 3, 2), (48, 3, 5, 2), (88, 4, 3, 2)),
    *((120, 4, 5, 1), (208, 5, 5, 2), (352, 1, 3, 1)),
)
"""Channels, blocks, kernel and stride of the stages after the first."""


def efficientnet_lite2() -> nn.Sequential:
    """The network: pixels (N, 3, S, S) → features (N, 1280)."""
    stages, taken = [nn.Sequential(_first_block())], FIRST
    for channels, blocks, kernel, stride in STAGES:
        made = [_InvertedResidual(taken, channels, kernel, stride)]
        made += [_InvertedResidual(channels, channels, kernel, 1) for _ in range(blocks - 1)]
        stages.append(nn.Sequential(*made))
        taken = channels
    return nn.Sequential(
        OrderedDict(
            conv_stem=_convolution(3, STEM, kernel=3, stride=2),
            bn1=_Norm(STEM),
            blocks=nn.Sequential(*stages),
            conv_head=_convolution(taken, FEATURES),
            bn2=_Norm(FEATURES),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
        )
    )


class _HalvingConvolution(nn.Conv2d):
    """A convolution of stride 2, padded as TensorFlow does: more at the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        more = self.kernel_size[0] - 2
        return super().forward(F.pad(x, (more // 2, more - more // 2) * 2))


class _Norm(nn.BatchNorm2d):
    """A batch normalisation and its activation."""

    def __init__(self, channels: int, activated: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if activated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(super().forward(x))
        return activated


class _InvertedResidual(nn.Sequential):
    """Expand the channels, convolve each alone, and project to fewer."""

    def __init__(self, taken: int, given: int, kernel: int, stride: int) -> None:
        inner = EXPANSION * taken
        parts: dict[str, nn.Module] = {
            "conv_pw": _convolution(taken, inner),
            "bn1": _Norm(inner),
            "conv_dw": _convolution(inner, inner, kernel, stride, groups=inner),
            "bn2": _Norm(inner),
            "conv_pwl": _convolution(inner, given),
            "bn3": _Norm(given, activated=False),
        }
        super().__init__(OrderedDict(parts))
        self.shortcut = stride == 1 and taken == given

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return made + x if self.shortcut else made


def _first_block() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv_dw=_convolution(STEM, STEM, kernel=3, groups=STEM),
            bn1=_Norm(STEM),
            conv_pw=_convolution(STEM, FIRST),
            bn2=_Norm(FIRST, activated=False),
        )
    )


def _convolution(
    taken: int, given: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    kind, padding = (nn.Conv2d, kernel // 2) if stride == 1 else (_HalvingConvolution, 0)
    return kind(taken, given, kernel, stride, padding, groups=groups, bias=False)
