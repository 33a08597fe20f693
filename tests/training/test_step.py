"""One step against plain open_clip, slow loops, plain autograd and two real workers."""

import json
import math
import os
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.loss import SigLipLoss
from safetensors.torch import load_file, save_file
from tiny_encoders import clip_encoder, siglip_like_encoder, timm_encoder
from torch import distributed, multiprocessing

from geoclip.encoders import Encoder
from geoclip.places.captions import distinct, truth_matrix
from geoclip.training import gradient_sums, towers
from geoclip.training.auxiliary import Distillation, GlobalFeatures
from geoclip.training.losses import (
    gzsl_loss,
    siglip_loss,
    soft_label_loss,
    target_entropy,
    vision_loss,
)
from geoclip.training.settings import TrainingSettings
from geoclip.training.step import Batch, contrastive_gradients
from geoclip.training.towers import freeze_batch_norm
from geoclip.training.workers import Workers

PLAIN = TrainingSettings(chunk_size=None)
WORDS = [
    "Lyon",
    "Paris",
    "Brussels",
    "Windhoek",
    "Singapore",
    "Ghent",
    "Nice",
    "Liège",
    "Gobabis",
    "Namur",
]


def global_batch(encoder: Encoder, truth: torch.Tensor, extra: int = 0, seed: int = 0) -> Batch:
    """A batch of random photos and of captions of unlike length, all on one worker."""
    generator = torch.Generator().manual_seed(seed)
    n, c = truth.shape
    pixels = torch.randn(n, 3, 32, 32, generator=generator, dtype=torch.float64)
    texts = [f"a photo {'close to the town ' * (i % 3)}of {WORDS[i]}" for i in range(c)]
    readable = torch.ones(n, dtype=torch.bool)
    return Batch(pixels, encoder.tokenize(texts), truth, readable, np.arange(n), extra)


def share(batch: Batch, workers: Workers) -> Batch:
    """One worker's share of a batch."""
    n, c = batch.truth.shape
    photos, captions = workers.share(n), workers.share(c)
    return replace(
        batch,
        pixels=batch.pixels[photos],
        tokens=batch.tokens[captions],
        readable=batch.readable[photos],
    )


def training(encoder: Encoder) -> Encoder:
    """Double precision and training mode, as the trainer sets it."""
    encoder.model.double().train()
    freeze_batch_norm(encoder.model)
    return encoder


def gradients(encoder: Encoder) -> dict[str, torch.Tensor]:
    """Copies of all gradients; none counts as zero."""
    named = encoder.model.named_parameters()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in named}


def step(encoder, batch, settings=PLAIN, auxiliary=(), seed=1):
    encoder.model.zero_grad()
    torch.manual_seed(seed)
    values = contrastive_gradients(encoder, batch, settings, auxiliary=auxiliary)
    return values, gradients(encoder)


def plain_step(encoder, batch, loss, chunk_size=None, seed=1):
    """The same by plain autograd: towers by chunks with their graphs kept, one backward pass."""
    encoder.model.zero_grad()
    torch.manual_seed(seed)
    chunks = [x.split(chunk_size or len(x)) for x in (batch.pixels, batch.tokens)]
    images = torch.cat([encoder.image_features(chunk) for chunk in chunks[0]])
    texts = torch.cat([encoder.text_features(chunk) for chunk in chunks[1]])
    value = loss(images, texts, encoder.log_logit_scale.exp())
    value.backward()
    return value.item(), gradients(encoder)


def half_sum(truth):
    return lambda i, t, s: (gzsl_loss(i, t, s, truth) + vision_loss(i, t, s, truth)) / 2


def assert_same(ours, theirs, rtol=1e-8, atol=1e-11):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(
            ours[name], theirs[name], rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )


def world_batch(encoder, tiny_world, book, extra=0):
    """Photos with collisions, ancestors and unknowns, and the captions of all of them."""
    rows = tiny_world.rows(["1", "1", "2", "3", "5", "6", "8", "FR", "9"])
    keeps = [(1, 1), (1, 1), (0, 1), (1, 0), (1, 0), (0, 0), (1, 0), (0, 0), (1, 1)]
    captions = distinct([book.caption(r, *k) for r, k in zip(rows, keeps, strict=True)])
    own = len(captions)
    others = [book.caption(r) for r in tiny_world.rows(["4", "7"])[:extra]]
    captions = distinct([*captions, *others])
    truth = torch.from_numpy(truth_matrix(rows, captions, tiny_world.ancestors))
    batch = global_batch(encoder, truth, extra=len(captions) - own)
    return replace(batch, tokens=encoder.tokenize([c.text for c in captions]))


@pytest.mark.parametrize("make", [clip_encoder, timm_encoder])
def test_distinct_places_give_the_plain_open_clip_step(make):
    encoder = training(make())
    batch = global_batch(encoder, torch.eye(7, dtype=torch.int8))
    values, ours = step(encoder, batch)
    encoder.model.zero_grad()
    uncut = torch.nn.functional.pad(batch.tokens, (0, 32 - batch.tokens.shape[1]))
    image, text, scale = encoder.model(batch.pixels, uncut)[:3]
    loss = open_clip.ClipLoss()(image, text, scale)
    loss.backward()
    assert values["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert values["excess"] == pytest.approx(values["loss"])
    assert_same(ours, gradients(encoder))


def slow_loss(images, texts, scale, truth, own):
    """½ (GZSL + vision) pair by pair from the definition."""

    def direction(rows, columns, is_known, is_true):
        terms = []
        for r in range(rows):
            known = [c for c in range(columns) if is_known(r, c)]
            true = [c for c in known if is_true(r, c)]
            if true:
                norm = torch.stack([logit(r, c) for c in known]).exp().sum().log()
                terms.append(sum(norm - logit(r, c) for c in true) / len(true))
        return sum(terms) / len(terms)

    def logit(r, c):
        return scale * (images[r] * texts[c]).sum()

    n, c = truth.shape
    gzsl = direction(n, c, lambda r, k: truth[r, k] >= 0, lambda r, k: truth[r, k] == 1)
    forward = logit

    def logit(r, c):
        return forward(c, r)

    vision = direction(own, n, lambda r, k: truth[k, r] >= 0, lambda r, k: truth[k, r] == 1)
    return (gzsl + vision) / 2


@pytest.mark.parametrize("extra", [0, 2])
def test_collisions_ancestors_and_unknowns_equal_a_slow_loop(tiny_world, book, extra):
    encoder = training(clip_encoder())
    batch = world_batch(encoder, tiny_world, book, extra)
    truth = batch.truth
    own = truth.shape[1] - extra
    assert batch.extra == extra
    assert {-1, 0, 1} <= set(truth.unique().tolist()) and (truth[:, :own] > 0).sum(0).max() > 1
    values, ours = step(encoder, batch)
    expected, theirs = plain_step(encoder, batch, lambda i, t, s: slow_loss(i, t, s, truth, own))
    assert values["loss"] == pytest.approx(expected, rel=1e-10)
    assert_same(ours, theirs)
    floor = (target_entropy(truth) + target_entropy(truth[:, :own].T)).item() / 2
    assert values["excess"] == pytest.approx(expected - floor, abs=1e-6)


def test_the_excess_of_a_marginal_loss_has_no_floor_of_shared_targets(tiny_world, book):
    """-log of all probability on true captions: 0 at best, however many are true."""
    encoder = training(clip_encoder())
    batch = world_batch(encoder, tiny_world, book)
    values, _ = step(encoder, batch, replace(PLAIN, target="marginal"))
    floor = target_entropy(batch.truth.T).item() / 2
    assert values["excess"] == pytest.approx(values["loss"] - floor, abs=1e-6)


def test_extra_captions_enter_the_gzsl_loss_alone(tiny_world, book):
    encoder = training(clip_encoder())
    with_extra, _ = step(encoder, world_batch(encoder, tiny_world, book, extra=2))
    without, _ = step(encoder, world_batch(encoder, tiny_world, book))
    assert with_extra["vision"] == pytest.approx(without["vision"], rel=1e-12)
    assert with_extra["gzsl"] > without["gzsl"]


TOWERS = {
    "clip": clip_encoder,
    "patch dropout": lambda: clip_encoder(vision_patch_dropout=0.5),
    "frozen BatchNorm": timm_encoder,
    "BatchNorm and dropout": lambda: timm_encoder(timm_drop=0.4, timm_drop_path=0.3),
    "residual network": lambda: timm_encoder("test_resnet", timm_drop=0.4),
}


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 5, 50])
@pytest.mark.parametrize("tower", TOWERS)
def test_gradient_caching_gives_the_gradient_of_plain_autograd(tower, chunk_size):
    encoder = training(TOWERS[tower]())
    truth = torch.eye(7, dtype=torch.int8)
    truth[0, 1], truth[3, 4], truth[6, 5] = 1, -1, 1
    batch = global_batch(encoder, truth)
    values, ours = step(encoder, batch, TrainingSettings(chunk_size=chunk_size))
    expected, theirs = plain_step(encoder, batch, half_sum(truth), chunk_size)
    assert values["loss"] == pytest.approx(expected, rel=1e-10)
    assert_same(ours, theirs)
    _, other_seed = step(encoder, batch, TrainingSettings(chunk_size=chunk_size), seed=2)
    differs = any((ours[n] - other_seed[n]).abs().max() > 1e-9 for n in ours)
    assert differs == ("drop" in tower or "residual" in tower)


def test_without_dropout_the_chunk_size_does_not_matter():
    encoder = training(timm_encoder())
    batch = global_batch(encoder, torch.eye(7, dtype=torch.int8))
    _, whole = step(encoder, batch)
    for chunk_size in (1, 3, 5, 50):
        assert_same(step(encoder, batch, TrainingSettings(chunk_size=chunk_size))[1], whole)


def test_batch_norm_in_training_mode_would_give_another_gradient():
    encoder = training(timm_encoder())
    batch = global_batch(encoder, torch.eye(7, dtype=torch.int8))
    _, frozen = step(encoder, batch)
    encoder.model.train()
    _, thawed = step(encoder, batch)
    assert any((frozen[n] - thawed[n]).abs().max() > 1e-6 for n in frozen)


def test_caching_leaves_the_random_state_where_the_first_pass_left_it():
    encoder = training(clip_encoder(vision_patch_dropout=0.5))
    batch = global_batch(encoder, torch.eye(4, dtype=torch.int8))
    step(encoder, batch, TrainingSettings(chunk_size=2))
    after = torch.rand(3)
    plain_step(encoder, batch, half_sum(batch.truth), 2)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_unreadable_photos_are_left_out(chunk_size):
    encoder = training(clip_encoder())
    truth = torch.eye(6, dtype=torch.int8)
    batch = global_batch(encoder, truth)
    readable = torch.tensor([True, False, True, True, False, True])
    settings = TrainingSettings(chunk_size=chunk_size)
    values, ours = step(encoder, replace(batch, readable=readable), settings)
    expected, theirs = plain_step(
        encoder, replace(batch, pixels=batch.pixels[readable]), half_sum(truth[readable])
    )
    assert values["loss"] == pytest.approx(expected, rel=1e-12)
    assert_same(ours, theirs)


def test_a_batch_without_a_readable_photo_changes_nothing():
    encoder = training(clip_encoder())
    batch = global_batch(encoder, torch.eye(3, dtype=torch.int8))
    batch = replace(batch, readable=torch.zeros(3, dtype=torch.bool))
    distillation = Distillation(deepcopy(encoder), 1.0)
    for settings, auxiliary in ((PLAIN, [distillation]), (TrainingSettings(loss="siglip"), [])):
        values, ours = step(encoder, batch, settings, auxiliary)
        assert values["loss"] == 0
        assert all((gradient == 0).all() for gradient in ours.values())


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_the_generator_of_the_own_device_is_put_back(device, monkeypatch):
    """It is not the current device's; recorded, as there is no second device."""
    kind, calls = device.split(":")[0], []
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "get_rng_state", lambda *of: calls.append(("get", *of)) or "state")
    monkeypatch.setattr(module, "set_rng_state", lambda *given: calls.append(("set", *given)))
    own = torch.device(device)
    towers._set_random_states(towers._random_states(own), own)
    of = [own] if kind == "cuda" else []
    assert calls == [("get", *of), ("set", "state", *of)]


def test_a_distance_from_the_start_has_digits_in_bf16():
    encoder = training(clip_encoder())
    encoder.model.float()
    batch = global_batch(encoder, torch.eye(4, dtype=torch.int8))
    batch = replace(batch, pixels=batch.pixels.float())
    settings = TrainingSettings(precision="bf16")
    values, _ = step(encoder, batch, settings, [Distillation(encoder, 1.0)])
    assert values["distillation"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_frozen_tower_gets_no_gradient_and_the_other_the_same(tower, chunk_size):
    encoder = training(clip_encoder())
    batch = global_batch(encoder, torch.eye(5, dtype=torch.int8))
    _, free = step(encoder, batch)
    for parameter in encoder.tower_parameters(tower):
        parameter.requires_grad_(False)
    frozen = {id(p) for p in encoder.tower_parameters(tower)}
    _, ours = step(encoder, batch, TrainingSettings(chunk_size=chunk_size))
    for name, parameter in encoder.model.named_parameters():
        if id(parameter) in frozen:
            assert parameter.grad is None
        else:
            torch.testing.assert_close(ours[name], free[name], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_bf16_step_runs_and_stays_near_full_precision(chunk_size):
    encoder = clip_encoder()
    batch = global_batch(encoder, torch.eye(6, dtype=torch.int8))
    batch = replace(batch, pixels=batch.pixels.float())
    full, exact = step(encoder, batch)
    half, ours = step(encoder, batch, TrainingSettings(precision="bf16", chunk_size=chunk_size))
    assert half["loss"] != full["loss"]
    assert half["loss"] == pytest.approx(full["loss"], rel=0.05)
    assert all(g.dtype == torch.float32 for g in ours.values())
    a, b = (torch.cat([g.reshape(-1) for g in grads.values()]) for grads in (exact, ours))
    assert torch.cosine_similarity(a, b, dim=0) > 0.98


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_distillation_adds_the_mean_distance_to_the_teachers_embeddings(chunk_size):
    encoder, teacher = training(clip_encoder()), clip_encoder()
    with torch.no_grad():
        for parameter in teacher.model.parameters():
            parameter.mul_(1.1)
    teacher.model.double()
    truth = torch.eye(5, dtype=torch.int8)
    batch = global_batch(encoder, truth)
    settings = TrainingSettings(chunk_size=chunk_size)
    values, ours = step(encoder, batch, settings, [Distillation(teacher, 0.7)])
    with torch.no_grad():
        old = teacher.image_features(batch.pixels)

    def loss(images, texts, scale):
        distance = torch.stack([1 - a @ b for a, b in zip(images, old, strict=True)]).mean()
        return half_sum(truth)(images, texts, scale) + 0.7 * distance

    expected, theirs = plain_step(encoder, batch, loss)
    assert values["distillation"] > 1e-3
    assert values["loss"] + 0.7 * values["distillation"] == pytest.approx(expected, rel=1e-10)
    assert_same(ours, theirs)
    assert all(p.grad is None for p in teacher.model.parameters())


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_siglip_step_equals_open_clips_siglip_loss(chunk_size):
    encoder = training(siglip_like_encoder())
    batch = global_batch(encoder, torch.eye(6, dtype=torch.int8))
    settings = TrainingSettings(loss="siglip", chunk_size=chunk_size)
    values, ours = step(encoder, batch, settings)
    bias = encoder.logit_bias
    theirs = plain_step(encoder, batch, lambda i, t, s: SigLipLoss()(i, t, s, bias))
    assert values["loss"] == pytest.approx(theirs[0], rel=1e-10)
    assert_same(ours, theirs[1])
    assert ours["logit_bias"].abs() > 1e-4


def test_siglip_loss_without_a_bias_takes_zero():
    encoder = training(clip_encoder())
    batch = global_batch(encoder, torch.eye(4, dtype=torch.int8))
    values, _ = step(encoder, batch, TrainingSettings(loss="siglip"))
    expected, _ = plain_step(encoder, batch, lambda i, t, s: siglip_loss(i, t, s, 0.0, batch.truth))
    assert values["loss"] == pytest.approx(expected, rel=1e-12)


# Several workers -----------------------------------------------------------------------------

CASES = {
    "even": {"photos": 8, "captions": 8},
    "odd, shared captions": {"photos": 7, "captions": 5},
    "odd, cached": {"photos": 7, "captions": 5, "settings": {"chunk_size": 2}},
    "one caption": {"photos": 5, "captions": 1},
    "one caption, cached": {"photos": 5, "captions": 1, "settings": {"chunk_size": 2}},
    "one photo": {"photos": 1, "captions": 3},
    "one photo, convolutions, cached": {
        "tower": "timm",
        "photos": 1,
        "captions": 2,
        "settings": {"chunk_size": 1},
    },
    "convolutions": {"tower": "timm", "photos": 5, "captions": 3},
    "extra captions": {"photos": 5, "captions": 6, "extra": 2},
    "unreadable": {"photos": 6, "captions": 4, "unreadable": [0, 4]},
    "siglip": {"tower": "siglip", "photos": 5, "captions": 3, "settings": {"loss": "siglip"}},
    "siglip, new bias": {
        "tower": "new bias",
        "photos": 5,
        "captions": 3,
        "unreadable": [2],
        "settings": {"loss": "siglip", "chunk_size": 2},
    },
    "distillation": {
        "photos": 5,
        "captions": 3,
        "unreadable": [1],
        "distillation": 0.5,
        "settings": {"chunk_size": 2},
    },
    "frozen text": {"photos": 5, "captions": 3, "frozen": "text"},
}


def with_new_bias() -> Encoder:
    encoder = clip_encoder()
    encoder.add_logit_bias()
    return encoder


MAKERS = {
    "clip": clip_encoder,
    "timm": timm_encoder,
    "siglip": siglip_like_encoder,
    "new bias": with_new_bias,
}


def run_case(case: dict, workers: Workers) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """This worker's values and summed gradients of a case."""
    encoder = training(MAKERS[case.get("tower", "clip")]())
    teacher = deepcopy(encoder)
    with torch.no_grad():
        next(teacher.model.parameters()).mul_(1.5)
    for parameter in encoder.tower_parameters(case.get("frozen", "")) if "frozen" in case else []:
        parameter.requires_grad_(False)
    n, c = case["photos"], case["captions"]
    truth = torch.from_numpy(np.random.default_rng(4).integers(-1, 2, (n, c)).astype(np.int8))
    truth[torch.arange(n), torch.arange(n) % c] = 1
    batch = global_batch(encoder, truth, case.get("extra", 0))
    batch.readable[case.get("unreadable", [])] = False
    settings = TrainingSettings(**case.get("settings", {}))
    auxiliary = [Distillation(teacher, case["distillation"])] if "distillation" in case else []
    values = contrastive_gradients(encoder, share(batch, workers), settings, workers, auxiliary)
    return values, gradients(encoder)


def work(rank: int, size: int, folder: str) -> None:
    """One of several processes: run all cases and save the results."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    workers = Workers.current()
    assert (workers.rank, workers.size) == (rank, size)
    gradient_sums.BUCKET = 4096  # so that there are several
    for name, case in CASES.items():
        values, grads = run_case(case, workers)
        (Path(folder) / f"{name} {rank}.json").write_text(json.dumps(values))
        save_file({n: g.contiguous() for n, g in grads.items()}, f"{folder}/{name} {rank}.st")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    multiprocessing.spawn(work, args=(2, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_workers_agree_with_one_that_has_the_whole_batch(two_workers, name):
    values, whole = run_case(CASES[name], Workers())
    assert whole["logit_scale"].abs() > 1e-6 or CASES[name]["captions"] == 1
    assert values["loss"] > 0 or CASES[name]["captions"] == 1
    for rank in range(2):
        shared = json.loads((two_workers / f"{name} {rank}.json").read_text())
        assert shared == pytest.approx(values, rel=1e-9, abs=1e-12)
        assert_same(load_file(two_workers / f"{name} {rank}.st"), whole)


def test_the_loss_is_finite_for_the_largest_logit_scale():
    encoder = clip_encoder()
    batch = global_batch(encoder, torch.eye(6, dtype=torch.int8))
    batch = replace(batch, pixels=batch.pixels.float())
    with torch.no_grad():
        encoder.log_logit_scale.fill_(math.log(100))
    values, ours = step(encoder, batch, TrainingSettings(precision="bf16"))
    assert math.isfinite(values["loss"])
    assert all(torch.isfinite(g).all() for g in ours.values())


@dataclass
class SoftLabels:
    """An auxiliary loss: soft labels (N, R) among classes (R, d)."""

    classes: torch.Tensor
    labels: torch.Tensor
    weight: float
    name: str = "soft_labels"

    def value(self, features: GlobalFeatures) -> torch.Tensor:
        readable = features.readable
        labels = self.labels[features.rows][readable]
        return soft_label_loss(
            features.images[readable], self.classes, features.logit_scale, labels
        )


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_an_auxiliary_loss_is_added_by_its_weight(chunk_size):
    encoder = training(clip_encoder())
    truth = torch.eye(5, dtype=torch.int8)
    generator = torch.Generator().manual_seed(0)
    width = encoder.model_config["embed_dim"]
    classes = torch.randn(7, width, generator=generator, dtype=torch.float64)
    classes /= classes.norm(dim=1, keepdim=True)
    labels = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    labels /= labels.sum(dim=1, keepdim=True)
    batch = global_batch(encoder, truth)
    settings = replace(PLAIN, chunk_size=chunk_size)
    values, ours = step(encoder, batch, settings, [SoftLabels(classes, labels, 0.5)])

    def whole(i, t, s):
        return half_sum(truth)(i, t, s) + 0.5 * soft_label_loss(i, classes, s, labels)

    value, theirs = plain_step(encoder, batch, whole, chunk_size)
    assert values["loss"] + 0.5 * values["soft_labels"] == pytest.approx(value)
    assert_same(ours, theirs)


def test_an_unreadable_photo_has_no_soft_label():
    encoder = training(clip_encoder())
    batch = global_batch(encoder, torch.eye(3, dtype=torch.int8))
    classes = torch.eye(encoder.model_config["embed_dim"], dtype=torch.float64)[:4]
    loss = SoftLabels(classes, torch.full((3, 4), 0.25, dtype=torch.float64), 1.0)
    readable = torch.tensor([True, False, True])
    values, _ = step(encoder, replace(batch, readable=readable), auxiliary=[loss])
    kept = replace(
        batch, pixels=batch.pixels[[0, 2]], truth=batch.truth[[0, 2]],
        readable=readable[[0, 2]], rows=batch.rows[[0, 2]],
    )  # fmt: skip
    alone = step(encoder, kept, auxiliary=[loss])[0]
    assert values["soft_labels"] == pytest.approx(alone["soft_labels"])
