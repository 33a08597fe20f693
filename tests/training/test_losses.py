"""Losses against open_clip and against loops written from the definition."""

import math

import open_clip
import pytest
import torch
from torch.nn import functional as F

from geoclip.training.losses import (
    gzsl_loss,
    siglip_loss,
    soft_label_loss,
    target_entropy,
    vision_loss,
)


def unit(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def slow_gzsl(images, texts, scale, truth):
    """The definition, pair by pair, in plain Python."""
    losses = []
    for i in range(len(images)):
        known = [c for c in range(len(texts)) if truth[i][c] >= 0]
        logits = {c: scale * dot(images[i], texts[c]) for c in known}
        top = max(logits.values(), default=0.0)
        norm = top + math.log(sum(math.exp(v - top) for v in logits.values())) if known else 0.0
        true = [c for c in known if truth[i][c] == 1]
        if true:
            losses.append(-sum(logits[c] - norm for c in true) / len(true))
    return sum(losses) / len(losses) if losses else 0.0


def test_distinct_unrelated_places_give_the_clip_loss_and_its_gradient():
    images, texts = (unit(16, 8, seed=s).requires_grad_() for s in (1, 2))
    scale = torch.tensor(14.0, dtype=torch.float64, requires_grad=True)
    truth = torch.eye(16, dtype=torch.int8)
    ours = (gzsl_loss(images, texts, scale, truth) + vision_loss(images, texts, scale, truth)) / 2
    theirs = open_clip.ClipLoss()(images, texts, scale)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for ours_grad, theirs_grad in zip(
        torch.autograd.grad(ours, (images, texts, scale)),
        torch.autograd.grad(theirs, (images, texts, scale)),
        strict=True,
    ):
        torch.testing.assert_close(ours_grad, theirs_grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scale", [1.0, 30.0, 100.0])
def test_any_truth_matrix_equals_the_slow_loop(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    n, c = int(torch.randint(1, 9, (1,), generator=generator)), 6
    truth = torch.randint(-1, 2, (n, c), generator=generator).to(torch.int8)
    images, texts = unit(n, 5, seed=seed), unit(c, 5, seed=seed + 50)
    expected = slow_gzsl(images.tolist(), texts.tolist(), scale, truth.tolist())
    assert gzsl_loss(images, texts, scale, truth).item() == pytest.approx(expected, rel=1e-9)
    expected = slow_gzsl(texts.tolist(), images.tolist(), scale, truth.T.tolist())
    assert vision_loss(images, texts, scale, truth).item() == pytest.approx(expected, rel=1e-9)


def test_gradient_equals_that_of_differences():
    images, texts = unit(4, 5, seed=3).requires_grad_(), unit(5, 5, seed=4).requires_grad_()
    truth = torch.tensor([[1, 0, -1, 0, 1], [0, 1, 0, -1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    for loss in (gzsl_loss, vision_loss):
        assert torch.autograd.gradcheck(lambda i, t, f=loss: f(i, t, 10.0, truth), (images, texts))


def test_a_row_without_known_pairs_gives_no_nan():
    truth = torch.tensor([[-1, -1], [1, 0]])
    images = unit(2, 4, seed=1).requires_grad_()
    loss = gzsl_loss(images, unit(2, 4, seed=2), 20.0, truth)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.equal(images.grad[0], torch.zeros(4, dtype=torch.float64))


def test_the_excess_over_the_floor_is_zero_at_the_best():
    texts = torch.eye(4, dtype=torch.float64)
    truth = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0]])
    images = F.normalize(truth.double(), dim=1)
    excess = gzsl_loss(images, texts, 200.0, truth) - target_entropy(truth)
    assert excess.item() == pytest.approx(0, abs=1e-9)
    assert target_entropy(truth).item() == pytest.approx(math.log(2) / 2)


def test_marginal_target_is_the_log_of_the_summed_probability():
    images, texts = unit(3, 5, seed=1), unit(4, 5, seed=2)
    truth = torch.tensor([[1, 1, 0, 0], [0, 0, 1, -1], [0, 1, 0, 1]])
    p = (7 * images @ texts.T).masked_fill(truth < 0, -torch.inf).softmax(dim=1)
    expected = -(p * (truth > 0)).sum(dim=1).log().mean()
    loss = gzsl_loss(images, texts, 7.0, truth, target="marginal")
    torch.testing.assert_close(loss, expected)


def test_unknown_target_is_refused():
    with pytest.raises(ValueError, match="uniform"):
        gzsl_loss(unit(2, 3), unit(2, 3), 1.0, torch.eye(2), target="mean")


def test_siglip_equals_open_clip_for_distinct_places():
    images, texts = unit(6, 8, seed=1), unit(6, 8, seed=2)
    theirs = open_clip.loss.SigLipLoss()(images, texts, 10.0, -10.0)
    ours = siglip_loss(images, texts, 10.0, -10.0, torch.eye(6, dtype=torch.int8))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


def test_siglip_leaves_unknown_pairs_out():
    images, texts = unit(2, 4, seed=1), unit(3, 4, seed=2)
    truth = torch.tensor([[1, -1, 0], [0, 1, -1]])
    expected = 0.0
    for i, c in ((0, 0), (0, 2), (1, 0), (1, 1)):
        sign = 1 if truth[i, c] > 0 else -1
        expected += math.log1p(math.exp(-sign * (10 * float(images[i] @ texts[c]) - 5)))
    assert siglip_loss(images, texts, 10.0, -5.0, truth).item() == pytest.approx(expected / 2)


def test_soft_labels_against_the_definition():
    images, classes = unit(5, 8, seed=1), unit(7, 8, seed=2)
    truth = torch.rand(5, 7, dtype=torch.float64).softmax(dim=1)
    expected = 0.0
    for i in range(5):
        logits = [12 * float(dot(images[i], c)) for c in classes]
        norm = math.log(sum(math.exp(v) for v in logits))
        expected -= sum(float(t) * (v - norm) for t, v in zip(truth[i], logits, strict=True)) / 5
    assert soft_label_loss(images, classes, 12.0, truth).item() == pytest.approx(expected)
    assert soft_label_loss(images[:0], classes, 12.0, truth[:0]).item() == 0


def test_classes_that_are_wholly_true_or_false_give_the_gzsl_loss():
    images, classes = unit(6, 8, seed=3), unit(4, 8, seed=4)
    truth = torch.eye(4, dtype=torch.int8)[[0, 1, 1, 2, 3, 3]]
    soft = soft_label_loss(images, classes, 9.0, truth.double())
    assert soft.item() == pytest.approx(gzsl_loss(images, classes, 9.0, truth).item())
