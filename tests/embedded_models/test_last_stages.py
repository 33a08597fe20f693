"""The projection and the last stages, trained over cached activations of the first."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_activations import cached_in
from torch.nn import functional

from geoclip.errors import GeoclipError
from geoclip.photos.embedding import mean_of_views
from geoclip.training.label_smoothing import LabelSmoothing
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import TrainingSettings
from geoclip.training.workers import Workers
from pipelines.embedded_models.cached_activations import pooled_features
from pipelines.embedded_models.last_stages import (
    CachedBatches,
    averaged_views,
    train_last_stages,
)

PROBING = TrainingSettings(
    epochs=20, batch_size=8, learning_rate=1e-2, text_learning_rate=0.0, warmup=0.1
)
TUNING = replace(PROBING, epochs=5, learning_rate=1e-3)
KM = 700.0


def steps(encoder, last, activations, *arguments, report=lambda values: None, **options):
    """Train and return what each step reported."""
    taken = []

    def note(values):
        taken.append(values)
        report(values)

    features = pooled_features(encoder, last, activations)
    train_last_stages(encoder, last, activations, features, *arguments, report=note, **options)
    return taken


def test_smoothed_labels_are_learnt_beside_captions(start, photos, book, tmp_path):
    near = LabelSmoothing(start, book, KM)
    last, activations = cached_in(start, photos, tmp_path)
    tuning = replace(TUNING, precision="bf16")
    taken = steps(start, last, activations, photos, book, PROBING, tuning, [near])
    losses = [v["label_smoothing"] for v in taken]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_members_take_the_smoothing_by_turns(start, photos, book, tmp_path):
    taken = []

    class Noted(LabelSmoothing):
        def value(self, features):
            if taken[-1:] != [self.km]:
                taken.append(self.km)
            return super().value(features)

    near, wide = Noted(start, book, KM), Noted(start, book, 3 * KM, weight=3.0)
    last, activations = cached_in(start, photos, tmp_path)
    short = replace(PROBING, epochs=1)
    arguments = photos, book, short, short, [near, wide]
    steps(start, last, activations, *arguments, views=(1, 1, 1, 1))
    # The projection comes first, with the loss of the first member.
    assert taken == [KM, 3 * KM, KM, 3 * KM]


def test_a_photo_is_tuned_with_another_of_its_location(start, photos, book):
    some = replace(photos, locations=["a", "b", "b", "c", "c", "c", *photos.ids[6:]])
    kept = np.arange(len(some), dtype=np.float16)[None, :, None, None, None] + np.zeros(
        (2, 1, 1, 1, 1)
    )
    made = CachedBatches(kept, start, book, some, TUNING, Workers(), views=2)
    pairs = {
        tuple(made._pixels(epoch, i).flatten().tolist()) for i in range(7) for epoch in range(9)
    }
    assert pairs == {(0, 0), (1, 2), (2, 1), (3, 4), (3, 5), (4, 3), (4, 5), (5, 3), (5, 4), (6, 6)}
    kept[:, 2] = np.nan  # unreadable
    assert made._pixels(0, 1).flatten().tolist() == [1, 1] and made._pixels(0, 2) is None
    assert made.batch(0).pixels.shape == (TUNING.batch_size, 2, 1, 1)


def test_photos_of_a_location_are_averaged_as_at_prediction(start):
    visual = start.model.visual.eval()
    views = torch.rand(3, 2, 3, 64, 64)
    with torch.no_grad():
        alone = functional.normalize(visual(views.flatten(0, 1)), dim=-1)
        with averaged_views(visual, 2, torch.channels_last):
            together = functional.normalize(visual(views.flatten(1, 2)), dim=-1)
    expected = mean_of_views(alone.numpy(), [0, 0, 1, 1, 2, 2])[::2]
    assert together.numpy() == pytest.approx(expected, abs=1e-5)
    with torch.no_grad():  # averaging is undone; other batch sizes round differently
        single = functional.normalize(visual(views[:, 0]), dim=-1)
    assert single.numpy() == pytest.approx(alone.numpy()[::2], abs=1e-5)


def test_tuning_pairs_of_a_location_lowers_the_loss(start, photos, book, tmp_path):
    places = [f"place {i // 2}" for i in range(len(photos))]
    some = replace(photos, locations=places)
    last, activations = cached_in(start, some, tmp_path / "activations")
    run = partial(steps, start, last, activations, some, book, PROBING, TUNING, keep=tmp_path)
    losses = [v["loss"] for v in run(views=[2])]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    with pytest.raises(GeoclipError, match="weights of other photos or settings"):
        run()


def test_tuning_ends_with_the_mean_of_its_members_weights(start, photos, book, tmp_path):
    weight = start.model.visual.trunk.conv_head.weight
    last, activations = cached_in(start, photos, tmp_path)
    before = weight.detach().clone()
    tuned = {}

    def note(values):
        if not torch.equal(weight, before):  # until then only the projection is trained
            tuned.setdefault(values["step"], []).append(weight.detach().clone())

    arguments = photos, book, PROBING, TUNING
    steps(start, last, activations, *arguments, views=(1, 1, 1), report=note)
    ends = tuned[max(tuned)]
    assert len(ends) == 3 and not torch.equal(*ends[1:])
    assert torch.allclose(weight, sum(ends) / 3, atol=1e-6)


def test_a_cut_run_goes_on_after_the_last_tuning(start, photos, book, tmp_path):
    last, activations = cached_in(start, photos, tmp_path / "activations")
    untouched = deepcopy(start.model.state_dict())
    run = partial(
        steps, start, last, activations, photos, book, PROBING, views=(1, 1), keep=tmp_path
    )
    whole = len(run(TUNING))
    expected = deepcopy(start.model.state_dict())
    (tmp_path / "tuning1.safetensors").unlink()
    start.model.load_state_dict(untouched)
    left = [values["step"] for values in run(TUNING)]
    assert left == list(range(1, len(left) + 1)) and len(left) < whole / 2
    for name, value in start.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    start.model.load_state_dict(untouched)
    with pytest.raises(GeoclipError, match="weights of other photos or settings"):
        run(replace(TUNING, epochs=6))
    with pytest.raises(GeoclipError, match="weights of other photos or settings"):
        run(TUNING, [LabelSmoothing(start, book, KM)])
    with torch.no_grad():
        next(iter(start.tower_parameters("text"))).add_(1)
    with pytest.raises(GeoclipError, match="weights of other photos or settings"):
        run(TUNING)


def test_an_unreadable_photo_is_left_out_of_training(start, photos, book, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a photo")
    some = PhotoSet(photos.ids, [str(broken), *photos.paths[1:]], photos.rows)
    last, activations = cached_in(start, some, tmp_path / "kept")
    assert np.isnan(activations[0, 0]).all() and np.isfinite(activations[0, 1:]).all()
    taken = steps(start, last, activations, some, book, PROBING, TUNING)
    assert np.isfinite([v["loss"] for v in taken]).all()


@pytest.mark.parametrize("tuning", [None, TUNING])
def test_training_lowers_the_loss_and_the_encoder_then_reads_photos(
    start, photos, book, tmp_path, tuning
):
    texts = [p.detach().clone() for p in start.tower_parameters("text")]
    last, activations = cached_in(start, photos, tmp_path)
    stem = start.model.visual.trunk.conv_stem.weight.detach().clone()
    end = start.model.visual.trunk.conv_head.weight.detach().clone()
    losses = [v["loss"] for v in steps(start, last, activations, photos, book, PROBING, tuning)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(map(torch.equal, texts, start.tower_parameters("text")))
    trunk = start.model.visual.trunk
    assert torch.equal(trunk.conv_stem.weight, stem)
    assert torch.equal(trunk.conv_head.weight, end) == (tuning is None)
    # The first layer absorbs the standardisation of training: photos pass unchanged.
    start.model.eval()
    image = Image.open(Path(photos.paths[0])).convert("RGB")
    with torch.no_grad():
        expected = start.model.visual(start.preprocess(image)[None])
    unit = (expected / expected.norm()).numpy()
    assert start.encode_images([image]) == pytest.approx(unit, abs=1e-4)
