"""How well the encoder in training places photos that it is not trained on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.evaluation.metrics import UNKNOWN, class_mean_accuracy
from geoclip.evaluation.split_figures import by_location, locations, split_figures
from geoclip.guesses.class_guesses import class_guesses
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings, embed_named
from geoclip.photos.opening import Fetch
from geoclip.photos.refusals import UNREADABLE
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import NO_ROW, Gazetteer
from geoclip.ranking.place_index import PlaceIndex, embed_rows
from geoclip.ranking.settings import UNCALIBRATED, RankingSettings
from geoclip.support.seeds import seeded_uniforms
from geoclip.training.settings import EvaluationSettings
from geoclip.training.splits import TRAIN
from geoclip.training.workers import Workers

FIGURES = ("within_25_km", "within_750_km", "country_top1", "country_top5", "geoscore")
TOP1 = "_top1"
"""Behind a level's name: the top-1 accuracy of its classes in percent, averaged over them."""
MEAN = "mean"
"""Key of the mean over the splits, each with the same weight."""


def figure_names(gazetteer: Gazetteer | None = None) -> tuple[str, ...]:
    """`FIGURES`, or of a table of levels, which has no distances, LEVEL_top1 of every level."""
    if gazetteer is None or gazetteer.has_positions:
        return FIGURES
    return tuple(f"{level}{TOP1}" for level in gazetteer.level_names)


def settled(settings: EvaluationSettings, gazetteer: Gazetteer) -> EvaluationSettings:
    """The settings; a table of levels has the accuracy of the deepest one for the GeoScore."""
    if gazetteer.has_positions or settings.best_by != EvaluationSettings.best_by:
        return settings
    return replace(settings, best_by=f"{MEAN}/{figure_names(gazetteer)[-1]}")


def draw_held_out(
    captions: pd.DataFrame,
    settings: EvaluationSettings,
    seed: int = 0,
    gazetteer: Gazetteer | None = None,
) -> pd.DataFrame:
    """Draw the photos to evaluate from a table of labelled photos, the same on all workers.

    The table has photo_id, path, lat, lon, place_id, location_id and split. Photos without a
    position count where the gazetteer has none. Raises GeoclipError where no photo is held out, or
    none in the split of `best_by`.
    """
    located = gazetteer is None or gazetteer.has_positions
    held_out = captions[captions["split"] != TRAIN]
    held_out = locations(held_out) if located else by_location(held_out)
    if held_out.empty:
        raise GeoclipError(
            f"There is no located photo outside split '{TRAIN}' to evaluate on; hold some out, or "
            "train without evaluation."
        )
    chance = [seeded_uniforms(1, "held out", seed, name)[0] for name in held_out["photo_id"]]
    drawn = held_out.assign(chance=chance).sort_values("chance").groupby("split", sort=False)
    table = drawn.head(settings.evaluate_photos).drop(columns="chance").sort_index()
    names = figure_names(gazetteer)
    known = [
        f"{split}/{figure}" for split in (MEAN, *sorted(set(table["split"]))) for figure in names
    ]
    if settings.best_by not in known:
        raise GeoclipError(f"best_by is {settings.best_by!r}; use one of {', '.join(known)}.")
    return table


class HeldOut:
    """Evaluates an encoder on the photos of `draw_held_out`; the workers share the encoding.

    `fetch` gives the bytes of photos outside this machine.
    """

    def __init__(
        self,
        photos: pd.DataFrame,
        book: CaptionBook,
        workers: Workers,
        ranking: RankingSettings | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        rows = book.gazetteer.rows(photos["place_id"])
        self.photos = photos.assign(place_row=rows)
        self.book = book
        self.workers = workers
        self.ranking = ranking or UNCALIBRATED
        self.fetch = fetch
        self._index: PlaceIndex | None = None
        self._names = figure_names(book.gazetteer)

    def figures(self, encoder: Encoder) -> dict[str, float]:
        """Figures of every split and their mean by `SPLIT/FIGURE`, percent or GeoScore points.

        All workers must call this; they get the same.
        """
        locator = Locator(encoder, self._place_index(encoder), self.book.gazetteer, self.ranking)
        names = self.photos["path"].tolist()
        photos = [(name, None) for name in names[self.workers.share(len(names))]]
        width = locator.index.embeddings.shape[1]
        own = embed_named(encoder, photos, width, fetch=self.fetch)
        values = self._gather(own.values, len(names), encoder)
        status = np.where(np.isfinite(values).all(axis=1), "ok", UNREADABLE).tolist()
        embedded = Embeddings(names, values, status, {})
        guesses = (
            locator.guesses(embedded, classes=True)
            if self._names is FIGURES
            else class_guesses(locator.ranker, embedded, top_k=1)
        )
        answers = guesses[guesses["rank"] == 1].set_axis(self.photos.index)
        answers = answers[answers["status"] == "ok"]
        found: dict[str, float] = {}
        for split, truth in self.photos.groupby("split"):
            of_split = self._of_split(answers, truth)
            found.update({f"{split}/{name}": value for name, value in of_split.items()})
        for name in self._names:
            every = [value for key, value in found.items() if key.endswith(f"/{name}")]
            found[f"{MEAN}/{name}"] = float(np.mean(every))
        return found

    def _of_split(self, answers: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
        gazetteer = self.book.gazetteer
        if self._names is FIGURES:
            report = split_figures(answers, truth, gazetteer)
            return {name: figure_of(report, name) for name in FIGURES}
        found, guessed = {}, answers.reindex(truth.index)
        for number, level in enumerate(gazetteer.level_names):
            true = gazetteer.ancestors[truth["place_row"], number]
            classes = np.where(true == NO_ROW, UNKNOWN, gazetteer.ids[true])
            named = guessed[f"{level}_id"].fillna("-").to_numpy(object)
            found[f"{level}{TOP1}"] = class_mean_accuracy(classes, named) or 0.0
        return found

    def _place_index(self, encoder: Encoder) -> PlaceIndex:
        """The places' embeddings, made anew after a change of the text tower."""
        key = encoder.fingerprint()
        if self._index is None or self._index.key != key:
            count = len(self.book.gazetteer)
            own = range(count)[self.workers.share(count)]
            embeddings = self._gather(embed_rows(encoder, self.book, own), count, encoder)
            self._index = PlaceIndex(embeddings, key)
        return self._index

    def _gather(self, own: np.ndarray, count: int, encoder: Encoder) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(own, np.float32)).to(encoder.device)
        return self.workers.gather(rows, count).cpu().numpy()


def figure_of(report: dict[str, Any], name: str) -> float:
    """One of `FIGURES` in a report of `split_figures`; 0 if undefined."""
    value = report["within_km"][name.split("_")[1]] if name.startswith("within") else report[name]
    return float(value or 0.0)
