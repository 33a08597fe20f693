"""The value of each part of the embedded model's recipe, on held-out street photos.

    python -m tests.benchmarks.street_tiny_ablation --photos photos.csv \\
        --photos photos_country.csv --work street-tiny-work

Needs the folder that `train_street_tiny` keeps. Each variant differs from the recipe with
a frozen trunk in one thing: no label smoothing by distance; further captions from places seen or
unseen in training; or, besides without label smoothing, the text tower not pretrained (and trained
with photos instead) or the plain CLIP loss (a photo's own caption is the only true one). The rules
of ranking are compared on one model. Seeds are averaged.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from geoclip.encoders.loading import load_folder
from geoclip.encoders.open_clip_encoder import OpenClipEncoder
from geoclip.evaluation.split_figures import locations, split_figures
from geoclip.locator import Locator
from geoclip.photos.photo_table import read_photo_table
from geoclip.places.captions import COUNTRY, FALSE, TRUE, CaptionBook, CaptionSettings, distinct
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.settings import PointEstimate, RankingSettings, Temperatures
from geoclip.support.paths import decode_path
from geoclip.training.label_smoothing import LabelSmoothing
from geoclip.training.photo_set import label_photos, split_photos, training_photos
from geoclip.training.step import Batch
from pipelines.embedded_models.cached_activations import (
    cached_activations,
    pooled_features,
    split_trunk,
    with_mlp_projection,
)
from pipelines.embedded_models.last_stages import CachedBatches, train_last_stages
from pipelines.embedded_models.train_street_tiny import (
    PROBING,
    STREET_TINY,
    weighted_by_kind,
    write_model,
)
from tests.benchmarks.street_tiny import brief, held_out, located

EXTRA = 256
REGIONS = PointEstimate.expected_score_regions()
RULES = {
    "point by region over the whole posterior (the recipe)": {},
    "expected-score point of 100 cities": {"point": PointEstimate.expected_score()},
    "best city of the joint posterior": {"point": PointEstimate.city()},
    "greedy": {
        "method": "greedy", "point": PointEstimate.city(), "temperatures": Temperatures(),
        "country_size_exponent": 0.0,
    },
    "point of the posterior as it is": {"point": REGIONS},
    "temperatures of 2.1": {"temperatures": Temperatures(2.1, 2.1, 2.1), "point": REGIONS},
    "temperatures of 1": {"temperatures": Temperatures(), "point": REGIONS},
    "no calibrated stacking": {"seen_countries": (), "stacking_factor": 0.0},
    "countries weigh alike": {"country_size_exponent": 0.0},
}  # fmt: skip


def ruled_by(settings: RankingSettings, rule: dict[str, Any]) -> RankingSettings:
    """Settings with the changes of a rule, which may be of the prior."""
    prior = {name: rule[name] for name in rule.keys() & asdict(settings.prior).keys()}
    others = {name: rule[name] for name in rule.keys() - prior.keys()}
    return replace(settings, prior=replace(settings.prior, **prior), **others)


class OwnCaption(CachedBatches):
    """Batches in which no caption but the one drawn for it is true of a photo (plain CLIP)."""

    def batch(self, step: int, *arguments: Any) -> Batch:
        made = super().batch(step, *arguments)
        chosen, epoch = self._chosen(step), step // self.steps_per_epoch
        rows, seed = self.photos.rows, self.settings.seed
        drawn = [
            self.book.draw(rows[i], seed, epoch, self._showing(i, earlier))
            for i, earlier in zip(*chosen, strict=True)
        ]
        column = {caption.text: j for j, caption in enumerate(distinct(drawn))}
        truth = torch.full_like(made.truth, FALSE)
        truth[np.arange(len(drawn)), [column[caption.text] for caption in drawn]] = TRUE
        return replace(made, truth=truth)


class UnseenPlaces(CachedBatches):
    """Batches whose further captions are of places in countries without a training photo."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        ancestors = self.book.gazetteer.ancestors
        seen = np.isin(ancestors[:, COUNTRY], np.unique(self.photos.countries(ancestors)))
        self.seen_rows = np.flatnonzero(~seen)


def unpretrained(encoder: OpenClipEncoder, seed: int) -> OpenClipEncoder:
    """The same encoder with a text tower that is not pretrained."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mean, std = encoder.normalization
        fresh = OpenClipEncoder.from_config(
            "unpretrained", encoder.model_config, mean=mean, std=std
        )
    weights = {k: v for k, v in encoder.model.state_dict().items() if k.startswith("visual.")}
    fresh.model.load_state_dict(weights, strict=False)
    fresh.tokenizer = encoder.tokenizer
    return fresh


VARIANTS: dict[str, tuple[dict[str, Any], type[CachedBatches], bool]] = {
    "frozen trunk": ({}, CachedBatches, True),
    "no label smoothing": ({}, CachedBatches, False),
    "text tower not pretrained": ({"text_learning_rate": 1e-3}, CachedBatches, False),
    "plain CLIP loss": ({}, OwnCaption, False),
    f"{EXTRA} further captions of seen places": ({"extra_captions": EXTRA}, CachedBatches, True),
    f"{EXTRA} further captions of unseen places": ({"extra_captions": EXTRA}, UnseenPlaces, True),
}
"""Changes of the settings, kind of batches, and whether labels are smoothed."""


def main() -> None:
    """Print the figures as JSON, one line a variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rules-of", type=Path, help="model whose ranking rules are compared")
    given = parser.parse_args()
    gazetteer = Gazetteer.default()
    table, _ = split_photos(label_photos(read_photo_table(given.photos), gazetteer))
    photos = weighted_by_kind(training_photos(table, gazetteer), "gsv_", STREET_TINY.other_weight)
    held = held_out(given.photos, "gsv_", gazetteer)
    book = CaptionBook(gazetteer, CaptionSettings())

    start = with_mlp_projection(load_folder(given.work / "pretrained"))  # type: ignore[arg-type]
    first, last = split_trunk(start, STREET_TINY.frozen_stages)
    versions = STREET_TINY.versions
    activations = cached_activations(start, first, photos, versions, given.work / "stages")
    features = pooled_features(start, last, activations)

    def trained(name: str, seed: int) -> OpenClipEncoder:
        changes, batches, smoothed = VARIANTS[name]
        encoder = with_mlp_projection(load_folder(given.work / "pretrained"), seed)  # type: ignore[arg-type]
        if name == "text tower not pretrained":
            encoder = unpretrained(encoder, seed)
        settings = replace(PROBING, seed=seed, **changes)
        first_member = STREET_TINY.smoothing[0]
        smoothing = [LabelSmoothing(encoder, book, *first_member)] if smoothed else []
        train_last_stages(
            encoder, last, activations, features, photos, book, settings, None, smoothing, batches
        )
        return encoder

    def figures(locator: Locator, rules: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        of_split = {}
        for split in ("dev_seen", "dev_unseen"):
            part = held[held["split"] == split].reset_index(drop=True)
            found = locator.embed([decode_path(path) for path in part["path"]])
            of_split[split] = part, found, locations(part)
        for name, rule in rules.items():
            settings = ruled_by(locator.settings, rule)
            ruled = Locator(locator.encoder, locator.index, gazetteer, settings)
            yield (
                name,
                {
                    split: brief(split_figures(located(ruled, found, part), truth, gazetteer))
                    for split, (part, found, truth) in of_split.items()
                },
            )

    for name in VARIANTS:
        each = []
        for seed in given.seeds:
            with TemporaryDirectory() as folder:
                out = Path(folder) / "model"
                write_model(trained(name, seed), out, photos, gazetteer)
                each.append(dict(figures(Locator.from_pretrained(out), {name: {}}))[name])
        mean = {
            split: {
                k: round(float(np.mean([e[split][k] for e in each])), 1) for k in each[0][split]
            }
            for split in each[0]
        }
        print(json.dumps({name: mean}), flush=True)
    if given.rules_of:
        locator = Locator.from_pretrained(given.rules_of)
        for name, values in figures(locator, RULES):
            print(json.dumps({name: values}), flush=True)


if __name__ == "__main__":
    main()
