"""The projection and the last stages, trained over kept outputs of the first."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kept_outputs import kept_outputs
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.training.batches import PhotoSet
from geoclip.training.kept_features import pooled_features
from geoclip.training.last_stages import AVERAGING, FeatureBatches, train_last_stages
from geoclip.training.neighbourhoods import Neighbourhoods
from geoclip.training.settings import TrainingSettings
from geoclip.training.workers import Workers

PROBING = TrainingSettings(
    epochs=20, batch_size=8, learning_rate=1e-2, text_learning_rate=0.0, warmup=0.1
)
TUNING = replace(PROBING, epochs=5, learning_rate=1e-3)


def steps(encoder, last, outputs, *arguments, **options):
    features = pooled_features(encoder, last, outputs)
    return train_last_stages(encoder, last, outputs, features, *arguments, **options)


def test_neighbourhoods_are_learnt_beside_captions(start, photos, book, tmp_path):
    near = Neighbourhoods(start, book)
    last, outputs = kept_outputs(start, photos, tmp_path)
    tuning = replace(TUNING, precision="bf16")
    taken = list(steps(start, last, outputs, photos, book, PROBING, tuning, near))
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


def test_tuning_ends_with_the_mean_of_running_means_of_its_weights(start, photos, book, tmp_path):
    weight = start.model.visual.trunk.conv_head.weight
    last, outputs = kept_outputs(start, photos, tmp_path)
    before = weight.detach().clone()
    means = []
    for values in steps(start, last, outputs, photos, book, PROBING, TUNING, tunings=2):
        now = weight.detach().clone()
        if torch.equal(now, before):
            continue  # the projection alone is trained
        if values["step"] == 1:
            means.append(now)
        means[-1] = AVERAGING * means[-1] + (1 - AVERAGING) * now
    assert len(means) == 2 and not torch.equal(*means)
    assert not torch.equal(weight, now)
    assert torch.allclose(weight, (means[0] + means[1]) / 2, atol=1e-6)


def test_a_cut_run_goes_on_after_the_last_tuning(start, photos, book, tmp_path):
    last, outputs = kept_outputs(start, photos, tmp_path / "outputs")
    arguments = (photos, book, PROBING, TUNING)
    untouched = deepcopy(start.model.state_dict())
    run = partial(steps, start, last, outputs, *arguments, tunings=2, keep=tmp_path / "kept")
    whole = len(list(run()))
    expected = deepcopy(start.model.state_dict())
    (tmp_path / "kept" / "1.safetensors").unlink()
    start.model.load_state_dict(untouched)
    left = [values["step"] for values in run()]
    assert left == list(range(1, len(left) + 1)) and len(left) < whole / 2
    for name, value in start.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    with pytest.raises(GeoclipError, match="weights of other photos or settings"):
        list(run(tunings=3))


def test_an_unreadable_photo_is_left_out_of_training(start, photos, book, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a photo")
    some = PhotoSet(photos.ids, [str(broken), *photos.paths[1:]], photos.rows)
    last, outputs = kept_outputs(start, some, tmp_path / "kept")
    assert np.isnan(outputs[0, 0]).all() and np.isfinite(outputs[0, 1:]).all()
    taken = list(steps(start, last, outputs, some, book, PROBING, TUNING))
    assert np.isfinite([v["loss"] for v in taken]).all()


@pytest.mark.parametrize("tuning", [None, TUNING])
def test_training_lowers_the_loss_and_the_encoder_then_reads_photos(
    start, photos, book, tmp_path, tuning
):
    texts = [p.detach().clone() for p in start.tower_parameters("text")]
    last, outputs = kept_outputs(start, photos, tmp_path)
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
