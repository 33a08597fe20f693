"""Pointing game of evidence maps on planet scenes whose deciding object is known.

    python -m tests.benchmarks.evidence_planet --scenes 150

For each of three facts (the writing on the board, the plate, the paint of the centre line) a copy
of planet-start learns to tell five or two stand-in countries that differ in that fact alone; their
streets are drawn with random traits and climates, so nothing else decides. Then it shows for new
scenes which pixel speaks most for their own country. It is a hit where this lies in the box of the
pixels that change with the fact (`pipelines.planet.twins`). Chance is the box's share of the
picture. Scenes that the encoder gets wrong, or that do not show the object, do not count.
"""

import argparse
import time

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from geoclip.encoders import Encoder
from geoclip.encoders.evidence_maps import METHODS, caption_logits, evidence_maps, strongest
from geoclip.encoders.loading import load_folder
from pipelines.end_to_end import START
from pipelines.planet.climate import Climate, generator
from pipelines.planet.facts import CountryFacts
from pipelines.planet.scene import draw_scene
from pipelines.planet.traits import NAMES, SceneTraits
from pipelines.planet.twins import draw_twins

FACTS: dict[str, list[str]] = {
    "script": ["latin", "han", "arabic", "devanagari", "hebrew"],
    "plate": ["white", "yellow", "black", "blue", "red"],
    "centre_line": ["white", "yellow"],
}
COUNTRIES = ("Chile", "Japan", "Kenya", "Norway", "Fiji")
CAPTIONS = [f"A Street View photo in {name}." for name in COUNTRIES]


def traits_of(key: tuple[object, ...], **facts: str) -> SceneTraits:
    """Random traits and climate with the given facts."""
    rng = generator(*key, "traits")
    style = dict(zip(NAMES, rng.normal(0, 1, len(NAMES)).tolist(), strict=True))
    climate = Climate(*(float(v) for v in rng.uniform((5, 0, 0, 0), (28, 0.8, 0.6, 1))))
    return SceneTraits(CountryFacts("XX", **facts), climate, style)


def learn(encoder: Encoder, fact: str, scenes: int, epochs: int) -> None:
    """Tune the image tower to tell the values of a fact by the countries' captions."""
    values = FACTS[fact]
    labels = torch.tensor([number % len(values) for number in range(scenes)])
    pictures = [
        draw_scene(traits_of((fact, n), **{fact: values[n % len(values)]}), generator(fact, n))
        for n in range(scenes)
    ]
    pixels = torch.stack([encoder.preprocess(picture) for picture in pictures])
    texts = torch.from_numpy(encoder.encode_texts(CAPTIONS[: len(values)]))
    optimizer = torch.optim.AdamW(encoder.tower_parameters("image"), lr=2e-3, weight_decay=0.05)
    encoder.model.train()
    steps = epochs * (scenes // 64)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 5 * step / steps, 1.25 * (1 - step / steps))
        chosen = torch.randint(scenes, (64,), generator=torch.Generator().manual_seed(step))
        logits = 20 * encoder.image_features(pixels[chosen]) @ texts.T
        loss = cross_entropy(logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.model.eval()


def play(encoder: Encoder, fact: str, scenes: int) -> dict[str, float]:
    """Shares of hits by method, and chance, over new scenes."""
    values = FACTS[fact]
    captions = CAPTIONS[: len(values)]
    hits: dict[str, list[bool]] = {method: [] for method in METHODS}
    shares, right = [], []
    for number in range(scenes):
        value, other = values[number % len(values)], values[(number + 1) % len(values)]
        twins = draw_twins(traits_of((fact, "new", number), **{fact: value}), (fact, "new", number),
                           **{fact: other})  # fmt: skip
        if twins.box is None:
            continue
        image: Image.Image = twins.scene
        own = number % len(values)
        right.append(int(caption_logits(encoder, image, captions).argmax()) == own)
        if not right[-1]:
            continue
        shares.append(twins.share)
        for method in METHODS:
            maps = evidence_maps(encoder, image, captions, method)
            hits[method].append(twins.hits(*strongest(maps[own])))
    found = {method: 100 * float(np.mean(own)) for method, own in hits.items()}
    chance = {"chance": 100 * float(np.mean(shares)), "right": 100 * float(np.mean(right))}
    return {**found, **chance, "n": len(shares)}


def main() -> None:
    """Print a row for each fact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--train", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--facts", nargs="+", default=list(FACTS), choices=FACTS)
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for fact in given.facts:
        encoder, began = load_folder(START), time.process_time()
        learn(encoder, fact, given.train, given.epochs)
        found = {name: round(value, 1) for name, value in play(encoder, fact, given.scenes).items()}
        print(fact, found, f"{time.process_time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
