"""Features of the trunk kept on disk, and the projection that is trained over them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import timm_encoder

from geoclip.errors import GeoclipError
from geoclip.training.batches import PhotoSet
from geoclip.training.kept_features import train_projection, trunk_features, with_mlp_projection
from geoclip.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=20, batch_size=8, learning_rate=1e-2, text_learning_rate=0.0, warmup=0.1
)


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


def test_features_are_kept_and_a_cut_run_goes_on(start, photos, tmp_path, capsys):
    whole = trunk_features(start, photos, 2, tmp_path)
    assert whole.shape[:2] == (2, len(photos)) and np.isfinite(whole).all()
    assert not np.array_equal(whole[0], whole[1])
    (tmp_path / "view1-0000000.npy").unlink()
    capsys.readouterr()
    assert np.array_equal(trunk_features(start, photos, 2, tmp_path), whole)
    assert capsys.readouterr().out.splitlines() == [
        f"view 1: {len(photos)} of {len(photos)} photos"
    ]


def test_features_of_other_photos_are_refused(start, photos, tmp_path):
    trunk_features(start, photos, 1, tmp_path)
    others = PhotoSet(photos.ids[:-1], photos.paths[:-1], photos.rows[:-1])
    with pytest.raises(GeoclipError, match="other photos or weights"):
        trunk_features(start, others, 1, tmp_path)


def test_an_unreadable_photo_is_left_out_of_training(start, photos, book, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a photo")
    some = PhotoSet(photos.ids, [str(broken), *photos.paths[1:]], photos.rows)
    features = trunk_features(start, some, 1, tmp_path / "kept")
    assert np.isnan(features[0, 0]).all() and np.isfinite(features[0, 1:]).all()
    losses = [v["loss"] for v in train_projection(start, features, some, book, SETTINGS)]
    assert np.isfinite(losses).all()


def test_training_lowers_the_loss_and_the_encoder_then_reads_photos(start, photos, book, tmp_path):
    texts = [p.detach().clone() for p in start.tower_parameters("text")]
    features = trunk_features(start, photos, 1, tmp_path)
    losses = [v["loss"] for v in train_projection(start, features, photos, book, SETTINGS)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(map(torch.equal, texts, start.tower_parameters("text")))
    # What was standardised in training is taken in by the first layer: photos pass unchanged.
    start.model.eval()
    image = Image.open(Path(photos.paths[0])).convert("RGB")
    with torch.no_grad():
        trunk = start.model.visual.trunk(start.preprocess(image)[None])
        expected = start.model.visual.head(trunk)
        plain = torch.from_numpy(features[0, :1].astype(np.float32))
        assert trunk.numpy() == pytest.approx(plain.numpy(), abs=0.05)
    unit = (expected / expected.norm()).numpy()
    assert start.encode_images([image]) == pytest.approx(unit, abs=1e-4)
