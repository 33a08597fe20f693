"""Activations of the trunk's first stages, cached on disk."""

import numpy as np
import pytest
import torch
from tiny_activations import cached_in
from tiny_encoders import timm_encoder

from geoclip.errors import GeoclipError
from geoclip.training.photo_set import PhotoSet
from pipelines.embedded_models.cached_activations import split_trunk, with_mlp_projection


def test_the_towers_stay_and_the_projection_is_new():
    plain = timm_encoder()
    encoder = with_mlp_projection(plain)
    new = encoder.model.state_dict()
    for name, value in plain.model.state_dict().items():
        if not name.startswith("visual.head."):
            assert torch.equal(value, new[name]), name
    assert "visual.head.mlp.fc2.weight" in new


def test_both_parts_make_the_trunk(start):
    first, last = split_trunk(start, 2)
    pixels = torch.rand(2, 3, 32, 32)
    start.model.eval()
    with torch.no_grad():
        assert torch.allclose(last(first(pixels)), start.model.visual.trunk(pixels), atol=1e-6)


@pytest.mark.parametrize("stages", [0, 99])
def test_a_trunk_that_cannot_be_split_is_refused(start, stages):
    with pytest.raises(GeoclipError, match="name another tower"):
        split_trunk(start, stages)
    with pytest.raises(GeoclipError, match="name another tower"):
        split_trunk(timm_encoder("test_convnext"), 1)


def test_an_interrupted_run_resumes_from_what_is_cached(start, photos, tmp_path, capsys):
    _, whole = cached_in(start, photos, tmp_path, versions=2)
    assert whole.shape[:2] == (2, len(photos)) and np.isfinite(whole).all()
    assert not np.array_equal(whole[0], whole[1])
    (tmp_path / "view1-0000000.npy").unlink()
    capsys.readouterr()
    assert np.array_equal(cached_in(start, photos, tmp_path, versions=2)[1], whole)
    assert capsys.readouterr().out.splitlines() == [
        f"version 1: {len(photos)} of {len(photos)} photos"
    ]


def test_activations_of_other_photos_are_refused(start, photos, tmp_path):
    cached_in(start, photos, tmp_path)
    others = PhotoSet(photos.ids[:-1], photos.paths[:-1], photos.rows[:-1])
    with pytest.raises(GeoclipError, match="other photos or weights"):
        cached_in(start, others, tmp_path)
