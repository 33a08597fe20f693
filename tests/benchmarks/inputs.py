"""Inputs of several benchmarks: photos made here, random encoders and indexes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geoclip.encoders import Encoder
    from geoclip.ranking.place_index import PlaceIndex


def make_photos(folder: Path, megapixels: float, distinct: int) -> list[Path]:
    """Smooth colours with a sensor's noise, 4:3."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    height = int((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    files = []
    for i in range(distinct):
        colours = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        smooth = np.asarray(colours.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noise = rng.integers(-6, 7, (height, width, 1), dtype=np.int16)
        files.append(folder / f"{i}.jpg")
        pixels = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(files[-1], quality=88)
    return files


def link_photos(photos: Sequence[Path], folder: Path, count: int) -> Path:
    """A folder of `count` links to the photos."""
    folder.mkdir()
    for i in range(count):
        os.link(photos[i % len(photos)], folder / f"{i:05d}.jpg")
    return folder


def random_index(width: int, key: str = "random") -> "PlaceIndex":
    """Unit vectors for the packaged gazetteer's places."""
    import numpy as np

    from geoclip.places.gazetteer import Gazetteer
    from geoclip.ranking.place_index import PlaceIndex

    vectors = np.random.default_rng(0).normal(size=(len(Gazetteer.default()), width))
    return PlaceIndex(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), key)


def prepared_encoder(model: str, home: Path) -> tuple["Encoder", Path]:
    """The encoder and the folder to load it from; the cache in `home` gets a random index."""
    from geoclip.encoders import load_encoder
    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.places.captions import CaptionSettings
    from geoclip.places.gazetteer import Gazetteer
    from geoclip.ranking.place_index import index_key

    if Path(model).is_dir():
        return load_encoder(model), Path(model)
    made = OpenClipEncoder.from_reference(model, "random")
    made.save(home / "model")
    encoder = load_encoder(home / "model")
    key = index_key(encoder, Gazetteer.default(), CaptionSettings())
    random_index(made.model_config["embed_dim"], key).save(home / "cache" / key)
    return encoder, home / "model"
