"""The training run: schedule, resuming, saving, loading elsewhere."""

import json
import math
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from tiny_encoders import (
    clip_encoder,
    random_tiny_clip,
    siglip_like_encoder,
    timm_encoder,
    write_transformers_clip,
)

from geoclip.encoders import load_encoder
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook, CaptionSettings
from geoclip.training.batches import Batches
from geoclip.training.optimizer import PeakRates, make_optimizer, schedule
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import STATE_FILE, Trainer, interpolate_weights

SETTINGS = TrainingSettings(
    epochs=3, batch_size=5, learning_rate=1e-3, extra_captions=1, alpha=0.7, distillation=0.1
)
TOWERS = {
    "patch dropout": lambda: clip_encoder(vision_patch_dropout=0.5),
    "BatchNorm and dropout": lambda: timm_encoder(timm_drop=0.4, timm_drop_path=0.3),
}


def trainer_of(encoder, photos, book, settings):
    return Trainer(Batches(encoder, book, photos, settings))


def undisturbed(trainer):
    losses = [record["loss"] for record in trainer.run()]
    trainer.finish()
    return losses, {n: v.clone() for n, v in trainer.encoder.model.state_dict().items()}


def take(trainer, count):
    """Take `count` steps, then leave the run."""
    running = trainer.run()
    losses = [next(running)["loss"] for _ in range(count)]
    running.close()
    return losses


def test_schedule_rises_to_the_peak_and_falls_to_zero():
    rates = [schedule(step, 50, 0.2) for step in range(50)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1 and max(rates) == 1
    assert np.diff(rates[:10]) == pytest.approx(0.1)
    assert np.diff(rates[10:]) == pytest.approx(-1 / 40)
    assert schedule(50, 50, 0.2) == 0
    assert schedule(0, 1, 0.2) == schedule(0, 50, 0.0) == 1
    assert [schedule(s, 4, 1.0) for s in range(4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("tower", TOWERS)
def test_a_run_stopped_after_any_step_and_resumed_is_the_undisturbed_run(
    tower, chunk_size, book, photos, tmp_path
):
    settings = replace(SETTINGS, chunk_size=chunk_size)
    losses, expected = undisturbed(trainer_of(TOWERS[tower](), photos, book, settings))
    assert len(losses) == 6 and len(set(losses)) == 6
    for stop in range(7) if chunk_size is None else (3,):
        first = trainer_of(TOWERS[tower](), photos, book, settings)
        begun = take(first, stop)
        first.save(tmp_path / str(stop))
        torch.rand(stop + 1)  # another random state than the first process had
        second = trainer_of(TOWERS[tower](), photos, book, settings)
        second.resume(tmp_path / str(stop))
        assert second.step == stop and second.finished == (stop == 6)
        rest, weights = undisturbed(second)
        assert begun + rest == pytest.approx(losses, rel=1e-6)
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-8)


TUNED = {
    "last block": (clip_encoder, {"tune": "last:1"}),
    "projection": (TOWERS["BatchNorm and dropout"], {"tune": "projection"}),
    "adapters": (lambda: clip_encoder(vision_patch_dropout=0.5), {"tune": "lora:2"}),
    "adapters of convolutions": (
        TOWERS["BatchNorm and dropout"],
        {"tune": "lora:2", "chunk_size": 2, "text_learning_rate": 0.0},
    ),
    "activation checkpointing": (
        TOWERS["BatchNorm and dropout"],
        {"activation_checkpointing": True, "chunk_size": 2},
    ),
    "label smoothing": (
        clip_encoder,
        {"label_smoothing": 0.5, "text_learning_rate": 0.0, "tune": "last:1"},
    ),
}


@pytest.mark.parametrize("case", TUNED)
def test_a_resumed_run_is_bit_for_bit_the_undisturbed_one_whatever_is_tuned(
    case, book, photos, tmp_path
):
    make, change = TUNED[case]
    settings = replace(SETTINGS, **change)

    def trainer():
        return trainer_of(make(), photos, book, settings)

    def end(ending):
        losses = [record["loss"] for record in ending.run()]
        ending.finish()
        ending.save(tmp_path / f"end {ending is whole}")
        return losses

    whole = trainer()
    losses = end(whole)
    first = trainer()
    begun = take(first, 3)
    first.save(tmp_path / "stopped")
    torch.rand(3)
    second = trainer()
    second.resume(tmp_path / "stopped")
    assert begun + end(second) == losses
    ours, theirs = (tmp_path / f"end {own}" for own in (False, True))
    for name in ("open_clip_model.safetensors", STATE_FILE):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    start = make().model.state_dict()
    tuned = load_file(ours / "open_clip_model.safetensors")
    assert tuned.keys() == start.keys()
    changed = {name for name, value in tuned.items() if not torch.equal(value, start[name])}
    assert changed and (settings.tune == "all") == (changed >= trained_weights(make()))
    done = trainer()
    done.resume(ours)
    assert done.finished and end(done) == []
    again = load_file(tmp_path / "end False" / "open_clip_model.safetensors")
    assert all(torch.equal(again[name], tuned[name]) for name in tuned)


def trained_weights(encoder):
    return {name for name, _ in encoder.model.named_parameters()}


def test_alpha_averages_what_adapters_add(book, photos, tmp_path):
    settings = replace(SETTINGS, distillation=0.0, tune="lora:2")
    start = clip_encoder().model.state_dict()
    found = {}
    for alpha in (1.0, 0.5):
        trainer = trainer_of(clip_encoder(), photos, book, replace(settings, alpha=alpha))
        undisturbed(trainer)
        found[alpha] = trainer.whole_encoder().model.state_dict()
    for name, value in found[0.5].items():
        torch.testing.assert_close(value, (found[1.0][name] + start[name]) / 2)


def test_without_a_chunk_size_the_one_that_was_chosen_is_kept(book, photos, tmp_path, monkeypatch):
    """Dropout draws anew for each chunk: another size would take other steps."""
    settings = replace(SETTINGS, chunk_size=None)
    found = iter([2, 3, 3])
    monkeypatch.setattr("geoclip.training.trainer.chosen_chunk_size", lambda *_: next(found))
    first = trainer_of(clip_encoder(), photos, book, settings)
    assert first.settings.chunk_size == 2 and "2 photos at a time (chosen" in first.plan
    take(first, 1)
    first.save(tmp_path)
    second = trainer_of(clip_encoder(), photos, book, settings)
    second.resume(tmp_path)
    assert second.settings.chunk_size == 2
    told = trainer_of(clip_encoder(), photos, book, replace(settings, chunk_size=4))
    told.resume(tmp_path)
    assert told.settings.chunk_size == 4 and "4 photos at a time." in told.plan


def test_a_rate_is_chosen_by_the_steps_and_told(book, photos):
    few, many = (
        trainer_of(clip_encoder(), photos, book, TrainingSettings(epochs=n, batch_size=4))
        for n in (3, 300)
    )
    assert few.rates.image == few.rates.text == pytest.approx(10 * many.rates.image)
    assert f"{few.rates.image:.2g} (chosen for 9 steps)" in few.plan
    record = next(iter(few.run()))
    assert 0 < record["learning_rate"] <= few.rates.image


def test_lora_and_fsdp_are_refused_together(book, photos):
    batches = Batches(clip_encoder(), book, photos, replace(SETTINGS, tune="lora"))
    with pytest.raises(GeoclipError, match="lora and FSDP"):
        Trainer(batches, sharded=True)


def test_a_finished_run_that_is_resumed_is_not_averaged_again(book, photos, tmp_path):
    done = trainer_of(clip_encoder(), photos, book, SETTINGS)
    _, weights = undisturbed(done)
    done.save(tmp_path)
    again = trainer_of(clip_encoder(), photos, book, SETTINGS)
    again.resume(tmp_path)
    assert again.finished
    losses, same = undisturbed(again)
    assert losses == []
    assert all(torch.equal(same[name], weights[name]) for name in weights)


def test_alpha_averages_the_tuned_with_the_starting_weights(book, photos):
    settings = replace(SETTINGS, distillation=0.0)
    start = clip_encoder().model.state_dict()
    _, tuned = undisturbed(trainer_of(clip_encoder(), photos, book, replace(settings, alpha=1.0)))
    _, half = undisturbed(trainer_of(clip_encoder(), photos, book, replace(settings, alpha=0.5)))
    _, none = undisturbed(trainer_of(clip_encoder(), photos, book, replace(settings, alpha=0.0)))
    for name in tuned:
        torch.testing.assert_close(half[name], (tuned[name] + start[name]) / 2)
        torch.testing.assert_close(none[name], start[name])
    assert any(not torch.equal(tuned[n], start[n]) for n in tuned)


def test_training_lowers_the_loss_and_keeps_the_logit_scale_in_bounds(book, photos):
    encoder = clip_encoder()
    with torch.no_grad():
        encoder.log_logit_scale.fill_(math.log(100))
    settings = replace(SETTINGS, epochs=12, augment=False, alpha=1.0, distillation=0.0)
    records = list(trainer_of(encoder, photos, book, settings).run())
    early, late = (np.mean([r["excess"] for r in part]) for part in (records[:6], records[-6:]))
    assert late < 0.8 * early
    assert all(r["logit_scale"] <= 100.001 for r in records)
    assert [r["step"] for r in records] == list(range(1, 25))
    assert records[-1]["epoch"] == 11


def test_a_siglip_scale_beyond_clips_bound_is_left_alone(book, photos):
    encoder = siglip_like_encoder()
    with torch.no_grad():
        encoder.log_logit_scale.fill_(math.log(118))
    settings = TrainingSettings(epochs=1, batch_size=5, loss="siglip", learning_rate=1e-5)
    records = list(trainer_of(encoder, photos, book, settings).run())
    assert records[-1]["logit_scale"] == pytest.approx(118, rel=1e-3)


def test_text_learning_rate_zero_freezes_the_text_tower_alone(book, photos, tmp_path):
    settings = replace(SETTINGS, text_learning_rate=0.0, alpha=1.0, chunk_size=2)
    encoder = clip_encoder()
    before = {n: p.clone() for n, p in encoder.model.named_parameters()}
    texts = {id(p) for p in encoder.tower_parameters("text")}
    trainer = trainer_of(encoder, photos, book, settings)
    take(trainer, 2)
    trainer.save(tmp_path)
    for name, parameter in encoder.model.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) in texts), name


def test_optimizer_has_a_rate_for_each_tower_and_decays_matrices_only():
    encoder = clip_encoder()
    settings = TrainingSettings(learning_rate=1e-3, text_learning_rate=1e-4, weight_decay=0.1)
    groups = make_optimizer(encoder, settings, PeakRates.of(settings, 1)).param_groups
    texts = {id(p) for p in encoder.tower_parameters("text")}
    seen = 0
    for group in groups:
        for parameter in group["params"]:
            seen += 1
            assert group["peak_lr"] == (1e-4 if id(parameter) in texts else 1e-3)
            assert group["weight_decay"] == (0.1 if parameter.ndim >= 2 else 0)
    assert seen == len(list(encoder.model.parameters()))


def test_a_saved_folder_holds_no_pickle_and_its_state_lies_apart(book, photos, tmp_path):
    trainer = trainer_of(clip_encoder(), photos, book, SETTINGS)
    take(trainer, 1)
    trainer.save(tmp_path)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "state/optimizer.safetensors",
        "state/progress.json",
    }
    for path in tmp_path.rglob("*.safetensors"):
        length = int.from_bytes(path.read_bytes()[:8], "little")
        assert json.loads(path.read_bytes()[8 : 8 + length])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 4}, "steps"),
        ({"seed": 9}, "seed"),
        ({"batch_size": 6}, "batch_size"),
        ({"learning_rate": 5e-3}, "learning_rate"),
        ({"betas": (0.8, 0.9)}, "betas"),
    ],
)
def test_the_state_of_another_run_is_refused(change, named, book, photos, tmp_path):
    trainer = trainer_of(clip_encoder(), photos, book, SETTINGS)
    take(trainer, 1)
    trainer.save(tmp_path)
    other = trainer_of(clip_encoder(), photos, book, replace(SETTINGS, **change))
    with pytest.raises(GeoclipError, match=f"another run .its {named}") as caught:
        other.resume(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_state_of_another_start_or_captions_is_refused(book, photos, tmp_path):
    trainer = trainer_of(clip_encoder(), photos, book, SETTINGS)
    take(trainer, 1)
    trainer.save(tmp_path)
    changed = clip_encoder()
    with torch.no_grad():
        next(changed.model.parameters()).add_(1)
    worded = CaptionBook(book.gazetteer, CaptionSettings(prefix="A photo"))
    for other, named in (
        (trainer_of(changed, photos, book, SETTINGS), "start"),
        (trainer_of(clip_encoder(), photos, worded, SETTINGS), "captions"),
    ):
        with pytest.raises(GeoclipError, match=f"another run .its {named}"):
            other.resume(tmp_path)
    trainer_of(clip_encoder(), photos, book, replace(SETTINGS, chunk_size=2)).resume(tmp_path)


def test_the_state_of_other_photos_is_refused(book, photos, tmp_path):
    trainer = trainer_of(clip_encoder(), photos, book, SETTINGS)
    trainer.save(tmp_path)
    moved = replace(photos, rows=photos.rows[::-1].copy())
    with pytest.raises(GeoclipError, match="its photos"):
        trainer_of(clip_encoder(), moved, book, SETTINGS).resume(tmp_path)


@pytest.mark.parametrize("damage", ["no folder", "no progress", "cut state", "bad json"])
def test_an_incomplete_state_is_one_sentence(damage, book, photos, tmp_path):
    trainer = trainer_of(clip_encoder(), photos, book, SETTINGS)
    take(trainer, 1)
    trainer.save(tmp_path)
    folder = tmp_path / "absent" if damage == "no folder" else tmp_path
    if damage == "no progress":
        (folder / "state/progress.json").unlink()
    elif damage == "cut state":
        (folder / STATE_FILE).write_bytes((folder / STATE_FILE).read_bytes()[:1000])
    elif damage == "bad json":
        (folder / "state/progress.json").write_text("{")
    with pytest.raises(GeoclipError, match="no complete training state"):
        trainer_of(clip_encoder(), photos, book, SETTINGS).resume(folder)


def tuned_folder(encoder, book, photos, folder, tune="all"):
    settings = TrainingSettings(epochs=1, batch_size=6, learning_rate=1e-3, tune=tune)
    trainer = trainer_of(encoder, photos, book, settings)
    take(trainer, 2)
    trainer.save(folder)
    return trainer.whole_encoder()


TEXTS = ["A Street View photo in France.", "Woodlands", "A Street View photo from Windhoek!"]


TUNES = ["all", "last:1", "lora:2"]


@pytest.mark.parametrize("tune", TUNES)
@pytest.mark.parametrize("tower", ["vit", "timm"])
def test_plain_open_clip_loads_what_was_tuned(tower, tune, book, photos, tmp_path):
    encoder = random_tiny_clip() if tower == "vit" else timm_encoder(full_vocabulary=True)
    encoder = tuned_folder(encoder, book, photos, tmp_path, tune)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    images = [photo_of(photos, i) for i in range(3)]
    with torch.no_grad():
        theirs = model.eval().encode_text(tokenizer(TEXTS), normalize=True)
        pixels = torch.stack([preprocess(image) for image in images])
        their_images = model.encode_image(pixels, normalize=True)
    for ours in (encoder, load_encoder(tmp_path)):
        np.testing.assert_allclose(ours.encode_texts(TEXTS), theirs, atol=1e-5)
        np.testing.assert_allclose(ours.encode_images(images), their_images, atol=1e-5)


@pytest.mark.parametrize("tune", TUNES)
def test_plain_transformers_loads_what_was_tuned(tune, book, photos, tmp_path):
    from transformers import CLIPModel, CLIPProcessor

    start = load_encoder(write_transformers_clip(tmp_path / "start"))
    before = start.encode_texts(TEXTS)
    encoder = tuned_folder(start, book, photos, tmp_path / "tuned", tune)
    assert np.abs(encoder.encode_texts(TEXTS) - before).max() > 1e-4
    model = CLIPModel.from_pretrained(str(tmp_path / "tuned")).eval()
    processor = CLIPProcessor.from_pretrained(str(tmp_path / "tuned"))
    images = [photo_of(photos, i) for i in range(3)]
    inputs = processor(text=TEXTS, images=images, return_tensors="pt", padding="max_length")
    with torch.no_grad():
        output = model(**inputs)
    for ours in (encoder, load_encoder(tmp_path / "tuned")):
        np.testing.assert_allclose(ours.encode_texts(TEXTS), output.text_embeds, atol=1e-5)
        np.testing.assert_allclose(ours.encode_images(images), output.image_embeds, atol=1e-5)


def test_a_transformers_run_goes_on_too(book, photos, tmp_path):
    write_transformers_clip(tmp_path / "start")

    def trainer():
        return trainer_of(load_encoder(tmp_path / "start"), photos, book, SETTINGS)

    losses, expected = undisturbed(trainer())
    first = trainer()
    begun = take(first, 3)
    first.save(tmp_path / "stopped")
    second = trainer()
    second.resume(tmp_path / "stopped")
    rest, weights = undisturbed(second)
    assert begun + rest == pytest.approx(losses, rel=1e-6)
    for name in weights:
        torch.testing.assert_close(weights[name], expected[name], rtol=1e-6, atol=1e-8)


def photo_of(photos, i):
    from geoclip.photos.decoding import read_photo

    return read_photo(photos.paths[i])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_every_weight_is_the_average_and_counters_keep_the_tuned_value(alpha):
    tuned, start = timm_encoder().model, timm_encoder().model
    with torch.no_grad():
        for value in tuned.state_dict().values():
            value.add_(3)
    before = {n: v.clone() for n, v in tuned.state_dict().items()}
    interpolate_weights(tuned, start, alpha)
    counters = 0
    for name, value in tuned.state_dict().items():
        if value.is_floating_point():
            expected = alpha * before[name] + (1 - alpha) * start.state_dict()[name]
            torch.testing.assert_close(value, expected)
        else:
            counters += 1
            assert torch.equal(value, before[name])
    assert counters
