"""Accuracy against the number of frames looked at in a clip, on drives through the planet.

    python -m tests.benchmarks.clip_frames --model DIR --clips 300

A clip is sixteen moments on four stretches of road in one town (`pipelines.planet.drives`). It
begins anywhere in a stretch, so that no number of frames has the better moments. Of them 1, 2, 4,
8 or 16 are taken, the middles of as many parts, as of a video file. Their embeddings are averaged;
or by learned weights, which a softmax over the frames gives from their embeddings, fitted on
training clips to name the country. As the default are proposed the fewest frames that lose less
than 1 % of the best GeoScore on other training clips: twice the frames take twice the time. The
clips of held-out places measure. DIR is an encoder tuned on the planet.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, normalize

from geoclip.encoders.loading import load_folder
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.geoscore import geoscore
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.place_index import PlaceIndex
from pipelines.end_to_end import RANKING
from pipelines.planet.climate import generator
from pipelines.planet.drives import draw_drive
from pipelines.planet.planet import Planet, PlanetSettings

FRAMES = (1, 2, 4, 8, 16)
STRETCHES = 4
LENGTH = FRAMES[-1] // STRETCHES
WORTH = 0.01
"""Share of the GeoScore that twice the frames must gain."""


class Clips:
    """Embeddings (N, 16, d) of clips, and their truth."""

    def __init__(self, planet: Planet, photos: pd.DataFrame, locator: Locator) -> None:
        self.photos = photos.reset_index(drop=True)
        self.values = np.stack([self._embedded(planet, p, locator) for p in photos["place_id"]])

    @staticmethod
    def _embedded(planet: Planet, place: str, locator: Locator) -> np.ndarray:
        stretches = [planet.traits_of(place)] * (STRETCHES + 1)
        key, size = (planet.settings.seed, place, "clip"), planet.settings.image_size
        drive = list(draw_drive(stretches, key, FRAMES[-1] + LENGTH, size))
        begin = int(generator(*key, "begin").integers(LENGTH))
        return locator.encoder.encode_images(drive[begin : begin + FRAMES[-1]])

    def taken(self, frames: int) -> np.ndarray:
        """The middles of `frames` equal parts, (N, frames, d)."""
        count = self.values.shape[1]
        return self.values[:, [int(count * (part + 0.5) / frames) for part in range(frames)]]


def learned_weights(
    values: np.ndarray, targets: np.ndarray, classes: np.ndarray, scale: float
) -> np.ndarray:
    """Weights (d,) whose product with a frame is its share before the softmax."""
    frames, texts = torch.from_numpy(values), torch.from_numpy(classes)
    weights = torch.zeros(values.shape[2], requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.1)
    for _ in range(200):
        shares = (frames @ weights).softmax(dim=1)
        fused = normalize((shares[..., None] * frames).sum(dim=1), dim=-1)
        loss = cross_entropy(scale * fused @ texts.T, torch.from_numpy(targets))
        loss = loss + 1e-3 * weights.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weights.detach().numpy()


def fused(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """One unit vector a clip (N, d)."""
    if weights is None:
        means = values.mean(axis=1)
    else:
        shares = np.exp(values @ weights)
        means = (values * (shares / shares.sum(axis=1, keepdims=True))[..., None]).sum(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def figures(
    locator: Locator, embedded: np.ndarray, photos: pd.DataFrame
) -> tuple[np.ndarray, dict[str, float]]:
    """GeoScores (N,); their mean and its error, within 750 km and country right in percent."""
    names = [str(number) for number in range(len(embedded))]
    found = Embeddings(names, embedded, ["ok"] * len(names), {})
    guesses = locator.guesses(found, top_k=1, classes=True)
    km = great_circle_km(guesses["lat"], guesses["lon"], photos["lat"], photos["lon"])
    scores = geoscore(np.asarray(km))
    right = guesses["country_ranking"].str.split().str[0] == photos["country_code"]
    return scores, {
        "geoscore": float(scores.mean()),
        "error": float(scores.std() / len(scores) ** 0.5),
        "within_750": 100 * float((np.asarray(km) <= 750).mean()),
        "country": 100 * float(right.mean()),
    }


def main() -> None:
    """Print a row for each split, fusion and number of frames, and the proposed default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=300, help="of each split; twice in training")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    places = Gazetteer.default()
    encoder = load_folder(given.model)
    locator = Locator(encoder, PlaceIndex.cached(encoder, places), places, RANKING)
    sizes = {"seen_places": 2 * given.clips, "unseen_places": given.clips}
    planet = Planet(places, PlanetSettings(given.seed, **sizes))
    train = planet.train.drop_duplicates("place_id").sample(
        2 * given.clips, random_state=given.seed
    )
    clips = {
        "train": Clips(planet, train[: given.clips], locator),
        "choose": Clips(planet, train[given.clips :], locator),
        "seen": Clips(planet, planet.seen[-given.clips :], locator),  # untrained cities
        "unseen": Clips(planet, planet.unseen, locator),
    }
    countries = locator.ranker.hierarchy.countries
    codes = places.country_codes[countries].tolist()
    targets = np.array([codes.index(code) for code in clips["train"].photos["country_code"]])
    scale = float(encoder.log_logit_scale.detach().exp())
    rows, chosen = [], dict[int, np.ndarray]()
    for frames in FRAMES:
        texts = locator.index.embeddings[countries].astype(np.float32)
        known = clips["train"].taken(frames), targets, texts, scale
        for fusion, weights in (("mean", None), ("learned", learned_weights(*known))):
            for split in ("choose", "seen", "unseen"):
                embedded = fused(clips[split].taken(frames), weights)
                scores, measured = figures(locator, embedded, clips[split].photos)
                if (split, fusion) == ("choose", "mean"):
                    chosen[frames] = scores
                rows.append({"split": split, "fusion": fusion, "frames": frames, **measured})
    table = pd.DataFrame(rows).sort_values(["split", "fusion", "frames"])
    print(table.round(1).to_string(index=False))
    best = max(chosen.values(), key=lambda scores: scores.mean())
    lost = {frames: best - scores for frames, scores in chosen.items()}
    for frames, of in lost.items():
        print(
            f"{frames:2} frames lose {of.mean():.1f} ± {of.std() / len(of) ** 0.5:.1f} to the best"
        )
    enough = [n for n, of in lost.items() if of.mean() < WORTH * best.mean()]
    print(f"Fewest frames that lose less than {WORTH:.0%}: {min(enough)}")


if __name__ == "__main__":
    main()
