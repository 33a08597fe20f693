"""Features of the trunk kept on disk, and the projection that is trained over them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import timm_encoder

from geoclip.errors import GeoclipError
from geoclip.training.batches import PhotoSet
from geoclip.training.kept_features import (
    AVERAGING,
    FeatureBatches,
    pooled_features,
    split_trunk,
    stage_outputs,
    train_last_stages,
    with_mlp_projection,
)
from geoclip.training.neighbourhoods import Neighbourhoods
from geoclip.training.settings import TrainingSettings
from geoclip.training.workers import Workers

PROBING = TrainingSettings(
    epochs=20, batch_size=8, learning_rate=1e-2, text_learning_rate=0.0, warmup=0.1
)
TUNING = replace(PROBING, epochs=5, learning_rate=1e-3)


@pytest.fixture
def start():
    return with_mlp_projection(timm_encoder())


def test_the_towers_stay_and_the_projection_is_new():
    plain = timm_encoder()
    encoder = with_mlp_projection(plain)
    new = encoder.model.state_dict()
    for name, value in plain.model.state_dict().items():
        if not name.startswith("visual.head."):
            assert torch.equal(value, new[name]), name
    assert "visual.head.mlp.fc2.weight" in new


def kept(encoder, photos, folder, views=1):
    first, last = split_trunk(encoder, 2)
    outputs = stage_outputs(encoder, first, photos, views, folder)
    return last, outputs


def steps(encoder, last, outputs, *arguments):
    features = pooled_features(encoder, last, outputs)
    return list(train_last_stages(encoder, last, outputs, features, *arguments))


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


def test_outputs_are_kept_and_a_cut_run_goes_on(start, photos, tmp_path, capsys):
    _, whole = kept(start, photos, tmp_path, views=2)
    assert whole.shape[:2] == (2, len(photos)) and np.isfinite(whole).all()
    assert not np.array_equal(whole[0], whole[1])
    (tmp_path / "view1-0000000.npy").unlink()
    capsys.readouterr()
    assert np.array_equal(kept(start, photos, tmp_path, views=2)[1], whole)
    assert capsys.readouterr().out.splitlines() == [
        f"view 1: {len(photos)} of {len(photos)} photos"
    ]


def test_outputs_of_other_photos_are_refused(start, photos, tmp_path):
    kept(start, photos, tmp_path)
    others = PhotoSet(photos.ids[:-1], photos.paths[:-1], photos.rows[:-1])
    with pytest.raises(GeoclipError, match="other photos or weights"):
        kept(start, others, tmp_path)


def test_neighbourhoods_are_learnt_beside_captions(start, photos, book, tmp_path):
    near = Neighbourhoods(start, book)
    last, outputs = kept(start, photos, tmp_path)
    tuning = replace(TUNING, precision="bf16")
    taken = steps(start, last, outputs, photos, book, PROBING, tuning, near)
    losses = [v["near"] for v in taken]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("sides", [(), (4, 7)])
def test_a_random_part_of_a_random_view_is_seen(start, photos, book, sides):
    shape = (2, len(photos), 3, *sides)
    maps = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    batches = FeatureBatches(maps, start, book, photos, PROBING, Workers())
    size = (3, 3, 6) if sides else (3,)
    windows = [
        maps[view, 1, :, y : y + 3, x : x + 6] if sides else maps[view, 1]
        for view in range(2)
        for y in range(2 if sides else 1)
        for x in range(2 if sides else 1)
    ]
    seen = [batches._pixels(1, epoch).numpy() for epoch in range(100)]
    assert batches._blank().shape == size
    found = [[np.array_equal(part, window) for window in windows] for part in seen]
    assert np.sum(found, axis=1).tolist() == [1] * 100
    assert np.any(found, axis=0).all()


def test_tuning_ends_with_the_running_mean_of_its_weights(start, photos, book, tmp_path):
    last, outputs = kept(start, photos, tmp_path)
    features = pooled_features(start, last, outputs)
    weight = start.model.visual.trunk.conv_head.weight
    before = weight.detach().clone()
    mean = None
    for _ in train_last_stages(start, last, outputs, features, photos, book, PROBING, TUNING):
        now = weight.detach().clone()
        if not torch.equal(now, before):
            mean = now if mean is None else AVERAGING * mean + (1 - AVERAGING) * now
    assert not torch.equal(weight, now)
    assert torch.allclose(weight, mean, atol=1e-6)


def test_an_unreadable_photo_is_left_out_of_training(start, photos, book, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a photo")
    some = PhotoSet(photos.ids, [str(broken), *photos.paths[1:]], photos.rows)
    last, outputs = kept(start, some, tmp_path / "kept")
    assert np.isnan(outputs[0, 0]).all() and np.isfinite(outputs[0, 1:]).all()
    taken = steps(start, last, outputs, some, book, PROBING, TUNING)
    assert np.isfinite([v["loss"] for v in taken]).all()


@pytest.mark.parametrize("tuning", [None, TUNING])
def test_training_lowers_the_loss_and_the_encoder_then_reads_photos(
    start, photos, book, tmp_path, tuning
):
    texts = [p.detach().clone() for p in start.tower_parameters("text")]
    last, outputs = kept(start, photos, tmp_path)
    stem = start.model.visual.trunk.conv_stem.weight.detach().clone()
    end = start.model.visual.trunk.conv_head.weight.detach().clone()
    losses = [v["loss"] for v in steps(start, last, outputs, photos, book, PROBING, tuning)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(map(torch.equal, texts, start.tower_parameters("text")))
    trunk = start.model.visual.trunk
    assert torch.equal(trunk.conv_stem.weight, stem)
    assert torch.equal(trunk.conv_head.weight, end) == (tuning is None)
    # What was standardised in training is taken in by the first layer: photos pass unchanged.
    start.model.eval()
    image = Image.open(Path(photos.paths[0])).convert("RGB")
    with torch.no_grad():
        expected = start.model.visual(start.preprocess(image)[None])
    unit = (expected / expected.norm()).numpy()
    assert start.encode_images([image]) == pytest.approx(unit, abs=1e-4)
