"""Mixes of starting and tuned weights, measured side by side (WiSE-FT).

Wortsman et al. 2022, arXiv 2109.01903: a share of the starting weights restores some of what an
encoder forgot in tuning.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.evaluation.split_figures import gzsl_figures, locations, split_figures
from geoclip.locator import Locator
from geoclip.photos.refusals import READ
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import PlaceIndex
from geoclip.support.paths import decode_path
from geoclip.training.checkpoints import UNFINISHED, writing_to
from geoclip.training.splits import SEEN, TRAIN, UNSEEN
from geoclip.training.trainer import interpolate_weights


def mixed(start: Encoder, tuned: Encoder, alpha: float) -> Encoder:
    """A new encoder with the weights alpha · tuned + (1 - alpha) · start.

    A logit bias that `start` lacks keeps its tuned value. Raises GeoclipError if their towers
    differ in shape.
    """
    shapes = [{k: tuple(v.shape) for k, v in e.model.state_dict().items()} for e in (start, tuned)]
    for name in sorted((shapes[0].keys() | shapes[1].keys()) - {"logit_bias"}):
        first, second = (own.get(name, "none") for own in shapes)
        if first != second:
            raise GeoclipError(
                f"{start.name} and {tuned.name} have towers of different shapes ({name}: {first} "
                f"and {second}); mix a model with one that was tuned from it."
            )
    mix = deepcopy(tuned)
    interpolate_weights(mix.model, start.model, alpha)
    return mix


def mix_figures(
    encoder: Encoder,
    settings: ModelSettings,
    photos: pd.DataFrame,
    gazetteer: Gazetteer,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Figures of an encoder on the labelled photos outside training, one row per location.

    `photos` are rows of `label_photos`; `settings` are those of the ranking and the captions. The
    result has the keys of `report.json`: `splits` by the photos' split, and for "seen" and "unseen"
    also `gzsl`, with the classes of the photos "train" and "seen" as the seen ones.
    """
    measured = photos[photos["split"] != TRAIN]
    index = PlaceIndex.cached(encoder, gazetteer, settings.captions)
    locator = Locator(encoder, index, gazetteer, settings.ranking_of(gazetteer))
    found = locator.embed([decode_path(path) for path in measured["path"]], progress)
    guesses = locator.guesses(found, 1, measured["location_id"], classes=True)
    answers = guesses.assign(location_id=measured["location_id"].to_numpy())
    answers = answers[answers["status"].isin(READ)].drop_duplicates("location_id")
    answers = answers.set_index("location_id")
    splits = {
        str(split): split_figures(answers, locations(own), gazetteer)
        for split, own in measured.groupby("split")
    }
    if not {SEEN, UNSEEN} <= splits.keys():
        return {"splits": splits}
    known = photos.loc[photos["split"].isin([TRAIN, SEEN]), "place_row"].to_numpy()
    return {
        "splits": splits,
        "gzsl": gzsl_figures(answers, locations(measured), known, gazetteer),
    }


def refuse_folder(folder: Path) -> None:
    """Raise GeoclipError if a new model folder already exists."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GeoclipError(f"{folder} is there already; name another folder for the mix.")


def write_mix(encoder: Encoder, settings: ModelSettings, folder: Path) -> None:
    """Write a mix as a model folder, whole or not at all.

    `encoder` is that of `mixed`. The ranking and the list of training photos are the tuned model's;
    the radii are dropped, as they were calibrated for other weights. Raises GeoclipError if the
    folder exists or cannot be written.
    """
    refuse_folder(folder)
    draft = folder.with_name(folder.name + UNFINISHED)
    with writing_to(folder.parent):
        encoder.save(draft)
        ModelSettings(settings.captions, settings.ranking.without_radius()).write(draft)
        TrainedPhotos.read(encoder.folder).write(draft)
        draft.replace(folder)


def alphas_of(text: str) -> list[float]:
    """The shares in a comma-separated list, each once, smallest first.

    Raises GeoclipError for anything but numbers from 0 to 1.

    >>> alphas_of("0.5,0,1")
    [0.0, 0.5, 1.0]
    """
    return sorted({_alpha(part) for part in text.split(",")})


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = -1.0
    if not 0 <= alpha <= 1:
        raise GeoclipError(f"alpha is {text.strip()!r}; use numbers from 0 to 1, such as 0,0.5,1.")
    return alpha
