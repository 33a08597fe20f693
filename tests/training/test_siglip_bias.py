"""The bias that the siglip loss gives to a model without one; two workers are in test_step."""

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.loss import SigLipLoss
from safetensors.torch import load_file
from tiny_encoders import clip_encoder, random_tiny_clip, write_transformers_clip
from torch import Tensor
from torch.nn import functional as F

from geoclip.encoders import Encoder, load_encoder
from geoclip.training.batches import Batches
from geoclip.training.mixing import mixed
from geoclip.training.settings import TrainingSettings
from geoclip.training.step import Batch, contrastive_gradients
from geoclip.training.trainer import Trainer

SIGLIP = TrainingSettings(
    epochs=2, batch_size=5, learning_rate=1e-3, loss="siglip", alpha=0.7, distillation=0.1
)
TEXTS = ["A Street View photo in France.", "Woodlands"]


def batch_of(encoder: Encoder, truth: Tensor, unreadable: tuple[int, ...] = ()) -> Batch:
    generator = torch.Generator().manual_seed(1)
    n, c = truth.shape
    pixels = torch.randn(n, 3, 32, 32, generator=generator, dtype=torch.float64)
    tokens = encoder.tokenize([f"a town called w{i}" for i in range(c)])
    readable = torch.tensor([i not in unreadable for i in range(n)])
    return Batch(pixels, tokens, truth, readable, np.arange(n))


def slow_bias(encoder: Encoder, batch: Batch) -> float:
    """-scale · mean cosine + log(true pairs / false pairs) over the known pairs, one by one."""
    with torch.no_grad():
        images = encoder.image_features(batch.pixels).tolist()
        texts = encoder.text_features(batch.tokens).tolist()
    cosines, true = [], 0
    for i, row in enumerate(batch.truth.tolist()):
        for c, known in enumerate(row):
            if bool(batch.readable[i]) and known >= 0:
                cosines.append(sum(a * b for a, b in zip(images[i], texts[c], strict=True)))
                true += known
    scale = math.exp(encoder.log_logit_scale.item())
    return -scale * sum(cosines) / len(cosines) + math.log(true / (len(cosines) - true))


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_the_first_batch_sets_the_bias_and_gradients_are_those_of_plain_autograd(chunk_size):
    encoder = clip_encoder()
    encoder.model.double()
    encoder.add_logit_bias()
    batch = batch_of(encoder, torch.eye(5, dtype=torch.int8))
    settings = TrainingSettings(loss="siglip", chunk_size=chunk_size)
    expected = slow_bias(encoder, batch)
    values = contrastive_gradients(encoder, batch, settings)
    assert encoder.logit_bias.item() == pytest.approx(expected, rel=1e-12)
    ours = {name: p.grad for name, p in encoder.model.named_parameters() if p.grad is not None}
    encoder.model.zero_grad()
    images, texts = encoder.image_features(batch.pixels), encoder.text_features(batch.tokens)
    loss = SigLipLoss()(images, texts, encoder.log_logit_scale.exp(), encoder.logit_bias)
    loss.backward()
    assert values["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert abs(ours["logit_bias"].item()) > 1e-3
    for name, gradient in ours.items():
        theirs = encoder.model.get_parameter(name).grad
        torch.testing.assert_close(gradient, theirs, rtol=1e-8, atol=1e-12)
    contrastive_gradients(encoder, replace(batch, pixels=batch.pixels.flip(0)), settings)
    assert encoder.logit_bias.item() == pytest.approx(expected, rel=1e-12)  # set once


def test_unknown_pairs_and_unreadable_photos_do_not_count():
    encoder = clip_encoder()
    encoder.model.double()
    encoder.add_logit_bias()
    truth = torch.tensor([[1, 0, -1, 1], [0, 1, 0, -1], [1, 1, 1, 1]], dtype=torch.int8)
    batch = batch_of(encoder, truth, unreadable=(2,))
    expected = slow_bias(encoder, batch)
    contrastive_gradients(encoder, batch, TrainingSettings(loss="siglip"))
    assert encoder.logit_bias.item() == pytest.approx(expected, rel=1e-12)


def test_a_batch_without_a_readable_photo_leaves_the_bias_to_the_next():
    encoder = clip_encoder()
    encoder.model.double()
    encoder.add_logit_bias()
    settings = TrainingSettings(loss="siglip")
    batch = batch_of(encoder, torch.eye(3, dtype=torch.int8), unreadable=(0, 1, 2))
    assert contrastive_gradients(encoder, batch, settings)["loss"] == 0
    assert encoder.logit_bias.isnan()
    readable = torch.ones(3, dtype=torch.bool)
    contrastive_gradients(encoder, replace(batch, readable=readable), settings)
    assert encoder.logit_bias.isfinite()


def test_a_batch_in_which_every_pair_is_true_gives_a_finite_bias():
    encoder = clip_encoder()
    encoder.model.double()
    encoder.add_logit_bias()
    batch = batch_of(encoder, torch.ones(2, 1, dtype=torch.int8))
    contrastive_gradients(encoder, batch, TrainingSettings(loss="siglip"))
    assert encoder.logit_bias.isfinite()


def trainer_of(encoder, photos, book, settings=SIGLIP):
    return Trainer(Batches(encoder, book, photos, settings))


def take(trainer, count):
    running = trainer.run()
    losses = [next(running)["loss"] for _ in range(count)]
    running.close()
    return losses


def undisturbed(trainer):
    losses = [record["loss"] for record in trainer.run()]
    trainer.finish()
    return losses, {n: v.clone() for n, v in trainer.encoder.model.state_dict().items()}


@pytest.mark.parametrize("layout", ["open_clip", "transformers"])
def test_a_run_stopped_before_or_after_the_bias_is_set_goes_on_exactly(
    layout, book, photos, tmp_path
):
    if layout == "transformers":
        write_transformers_clip(tmp_path / "start")

    def trainer():
        start = layout == "transformers"
        return trainer_of(
            load_encoder(tmp_path / "start") if start else clip_encoder(), photos, book
        )

    losses, expected = undisturbed(trainer())
    assert expected["logit_bias"].isfinite()
    for stop in (0, 1, 3):
        first = trainer()
        begun = take(first, stop)
        first.save(tmp_path / str(stop))
        second = trainer()
        second.resume(tmp_path / str(stop))
        rest, weights = undisturbed(second)
        assert begun + rest == pytest.approx(losses, rel=1e-6)
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-8)


def tuned(encoder, photos, book, folder: Path) -> Encoder:
    trainer = trainer_of(encoder, photos, book, replace(SIGLIP, alpha=1.0, distillation=0.0))
    take(trainer, 2)
    trainer.save(folder)
    return encoder


def test_plain_open_clip_builds_the_model_with_its_bias(book, photos, tmp_path):
    encoder = tuned(random_tiny_clip(), photos, book, tmp_path)
    model = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(TEXTS)
    with torch.no_grad():
        images, texts, scale, bias = model(pixels, tokens)
        ours = encoder.image_features(pixels), encoder.text_features(encoder.tokenize(TEXTS))
    assert bias.item() == encoder.logit_bias.item() != 0
    assert scale.item() == pytest.approx(encoder.log_logit_scale.exp().item())
    torch.testing.assert_close(ours, (images, texts), atol=1e-5, rtol=1e-5)
    assert load_encoder(tmp_path).logit_bias.item() == bias.item()


def test_plain_transformers_leaves_the_bias_aside_and_we_read_it(book, photos, tmp_path):
    from transformers import CLIPModel

    start = load_encoder(write_transformers_clip(tmp_path / "start"))
    assert start.logit_bias is None
    encoder = tuned(start, photos, book, tmp_path / "tuned")
    weights = load_file(tmp_path / "tuned" / "model.safetensors")
    assert weights["logit_bias"].item() == encoder.logit_bias.item() != 0
    model, found = CLIPModel.from_pretrained(str(tmp_path / "tuned"), output_loading_info=True)
    assert set(found["unexpected_keys"]) == {"logit_bias"} and not found["missing_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    again = load_encoder(tmp_path / "tuned")
    assert again.logit_bias.item() == encoder.logit_bias.item() and again.logit_bias.requires_grad
    assert again.fingerprint() == encoder.fingerprint()


def test_a_bias_is_kept_when_a_tuned_model_is_tuned_further(book, photos, tmp_path):
    first = tuned(clip_encoder(), photos, book, tmp_path)
    bias = first.logit_bias.item()
    again = trainer_of(first, photos, book, replace(SIGLIP, learning_rate=1e-9))
    take(again, 1)
    assert again.encoder.logit_bias.item() == pytest.approx(bias, abs=1e-6)


def test_a_mix_keeps_the_bias_that_the_start_lacks(book, photos, tmp_path):
    start = clip_encoder()
    after = tuned(deepcopy(start), photos, book, tmp_path)
    mix = mixed(start, after, 0.5)
    assert mix.logit_bias.item() == after.logit_bias.item()
    scales = [e.log_logit_scale.item() for e in (start, after)]
    assert mix.log_logit_scale.item() == pytest.approx(sum(scales) / 2)


def test_the_clip_loss_gives_no_bias(book, photos):
    trainer = trainer_of(clip_encoder(), photos, book, replace(SIGLIP, loss="clip"))
    take(trainer, 1)
    assert trainer.encoder.logit_bias is None


TOWNS = 20


class Toy:
    """Twenty towns, each with a look of its own under noise, and a CLIP that knows a little."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.looks = F.interpolate(torch.randn(TOWNS, 3, 8, 8, generator=generator), size=32)
        self.encoder = clip_encoder()
        self.tokens = self.encoder.tokenize([f"town w{i}x in w{i * 7}y" for i in range(TOWNS)])
        with torch.no_grad():
            self.encoder.log_logit_scale.fill_(math.log(100))
        self.train(self.encoder, "clip", 30, 3e-4, seed=1)

    def pixels(self, generator: torch.Generator) -> Tensor:
        return self.looks + 1.5 * torch.randn(self.looks.shape, generator=generator)

    def train(self, encoder: Encoder, loss: str, steps: int, rate: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        settings = TrainingSettings(loss=loss, chunk_size=None)
        optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=rate)
        truth, readable = torch.eye(TOWNS, dtype=torch.int8), torch.ones(TOWNS, dtype=torch.bool)
        encoder.model.train()
        for _ in range(steps):
            pixels = self.pixels(generator)
            batch = Batch(pixels, self.tokens, truth, readable, np.arange(TOWNS))
            optimizer.zero_grad()
            contrastive_gradients(encoder, batch, settings)
            optimizer.step()

    def top1(self, encoder: Encoder) -> float:
        """Percent of new photos whose town is first."""
        generator = torch.Generator().manual_seed(99)
        encoder.model.eval()
        with torch.no_grad():
            texts = encoder.text_features(self.tokens)
            views = [encoder.image_features(self.pixels(generator)) for _ in range(10)]
        right = [(v @ texts.T).argmax(1) == torch.arange(TOWNS) for v in views]
        return 100 * torch.stack(right).float().mean().item()


def test_a_clip_learns_by_the_sigmoid_loss_with_a_bias_and_forgets_without():
    toy = Toy()
    before = toy.top1(toy.encoder)
    without, with_bias = deepcopy(toy.encoder), deepcopy(toy.encoder)
    with_bias.add_logit_bias()
    for encoder in (without, with_bias):
        toy.train(encoder, "siglip", 40, 1e-4, seed=2)
    assert toy.top1(without) < 0.5 * before  # 5 of 20 %
    assert toy.top1(with_bias) > 1.3 * before  # 36 %
