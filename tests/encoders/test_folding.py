"""An image tower without its batch normalisations gives the same features."""

from copy import deepcopy

import open_clip
import pytest
import torch
from tiny_encoders import random_tiny_clip
from torch import nn

from geoclip.encoders.folding import folded
from geoclip.encoders.open_clip_encoder import OpenClipEncoder

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "tf_efficientnet_lite0", "image_size": 64},
    "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    """In double precision, where rounding hides no fault; no statistics or weights are trivial."""
    torch.manual_seed(0)
    encoder = OpenClipEncoder.from_config("convolves", deepcopy(CONFIG))
    for module in encoder.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 2.0)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(std=0.3)
    encoder.model.double().eval()
    return encoder


@torch.inference_mode()
def test_features_are_the_same_and_no_normalisation_is_left(encoder):
    tower = encoder.model.visual
    copy = folded(tower)
    pixels = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    features = tower(pixels)
    assert features.std() > 1e-3
    torch.testing.assert_close(copy(pixels), features, rtol=1e-9, atol=1e-9)
    assert not [m for m in copy.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m for m in tower.modules() if isinstance(m, nn.BatchNorm2d)]


@torch.inference_mode()
def test_an_encoder_for_photos_keeps_its_weights_and_uses_the_copy(encoder):
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    pixels = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    plain = encoder.raw_image_features(pixels)
    ready = deepcopy(encoder).for_photos()
    after = ready.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    torch.testing.assert_close(ready.raw_image_features(pixels), plain, rtol=1e-9, atol=1e-9)
    nn.init.zeros_(ready.model.visual.trunk.conv_stem.weight)  # the module that photos do not pass
    assert ready.raw_image_features(pixels).std() > 1e-3


def test_other_towers_are_left_alone():
    assert folded(random_tiny_clip().model.visual) is None


@torch.inference_mode()
def test_a_tower_that_says_more_than_features_is_asked_through_its_model():
    sizes = {"context_length": 16, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8, "output_tokens": True}
    text = sizes | {"embed_cls": True, "output_tokens": True}
    model = open_clip.CoCa(16, multimodal_cfg=sizes, text_cfg=text, vision_cfg=vision).eval()
    encoder = OpenClipEncoder("captions too", model, None, {"vision_cfg": vision})
    pixels = torch.randn(2, 3, 32, 32)
    assert isinstance(model.visual(pixels), tuple)
    plain = encoder.raw_image_features(pixels)
    torch.testing.assert_close(encoder.for_photos().raw_image_features(pixels), plain)
