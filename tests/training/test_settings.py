"""Settings that make no sense are refused with one sentence."""

from dataclasses import FrozenInstanceError

import pytest

from geoclip.errors import GeoclipError
from geoclip.training.settings import Recipe, TrainingSettings


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"loss": "triplet"}, "loss"),
        ({"target": "soft"}, "target"),
        ({"precision": "fp8"}, "precision"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"chunk_size": -1}, "chunk_size"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"alpha": 1.5}, "alpha"),
        ({"balance": -0.1}, "balance"),
        ({"warmup": 2}, "warmup"),
        ({"learning_rate": -1e-6}, "learning_rate"),
        ({"text_learning_rate": -1.0}, "text_learning_rate"),
        ({"extra_captions": -1}, "extra_captions"),
        ({"distillation": -1.0}, "distillation"),
        ({"learning_rate": 0.0}, "nothing is tuned"),
        ({"learning_rate": float("nan")}, "finite"),
        ({"betas": (1.0, 0.9)}, "betas"),
        ({"tune": "most"}, "tune"),
        ({"crop_area": (0.0, 1.0)}, "crop_area"),
        ({"crop_area": (0.9, 0.5)}, "crop_area"),
        ({"crop_area": (0.5, 1.1)}, "crop_area"),
        ({"colour": 1.5}, "colour"),
        ({"label_smoothing": -1.0, "text_learning_rate": 0.0}, "label_smoothing"),
        ({"smoothing_km": 0.0}, "smoothing_km"),
        ({"label_smoothing": 1.0}, "text_learning_rate to 0"),
    ],
)
def test_wrong_values_are_refused(wrong, named):
    with pytest.raises(GeoclipError, match=named) as caught:
        TrainingSettings(**wrong)
    assert len(str(caught.value).splitlines()) == 1


def test_the_published_recipe_has_a_name_and_is_frozen():
    settings = Recipe.STREETCLIP.settings
    assert (settings.learning_rate, settings.betas, settings.weight_decay) == (
        1e-6,
        (0.9, 0.98),
        1e-3,
    )
    assert (settings.warmup, settings.epochs) == (0.2, 3)
    with pytest.raises(FrozenInstanceError):
        settings.epochs = 4  # type: ignore[misc]
