"""A gazetteer of ten cities and an encoder without weights, for tests of logic."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from geoclip.encoders import Encoder
from geoclip.guesses.gps_comparison import NOTE_COLUMNS

WIDTH = 16

COUNTRIES = [  # id, name, continent, sovereign
    ("FR", "France", "EU", "FR"),
    ("HK", "Hong Kong", "AS", "CN"),
    ("CN", "China", "AS", "CN"),
    ("NL", "Netherlands", "EU", "NL"),
    ("RE", "Réunion", "AF", "FR"),
    ("BV", "Bouvet Island", "AN", "NO"),  # a country without a city
]
REGIONS = [  # id, name
    ("FR.84", "Auvergne-Rhône-Alpes"),
    ("FR.11", "Île-de-France"),
    ("CN.22", "Beijing"),
    ("NL.07", "North Holland"),
    ("RE.RE", "Réunion"),
]
CITIES = [  # id, name, parent, lat, lon, population
    ("lyon", "Lyon", "FR.84", 45.75, 4.85, 500_000),
    ("paris", "Paris", "FR.11", 48.85, 2.35, 2_100_000),
    ("denis1", "Saint-Denis", "FR.11", 48.94, 2.36, 110_000),
    ("denis2", "Saint-Denis", "FR.84", 45.90, 5.10, 20_000),
    ("kowloon", "Kowloon", "HK", 22.32, 114.18, 2_000_000),
    ("central", "Central", "HK", 22.28, 114.16, 260_000),
    ("beijing", "Beijing", "CN.22", 39.91, 116.40, 18_900_000),
    ("shenzhen", "Shenzhen", "CN", 22.55, 114.06, 17_500_000),  # a mixed country
    ("amsterdam", "Amsterdam", "NL.07", 52.37, 4.89, 740_000),
    ("denis3", "Saint-Denis", "RE.RE", -20.88, 55.45, 137_000),
]


def place_table(
    countries: Sequence[tuple[str, str, str, str]],
    regions: Sequence[tuple[str, str]],
    cities: Sequence[tuple[str, str, str, float, float, int]],
) -> pd.DataFrame:
    """The table that a Gazetteer is built from; a region's id begins with its country's."""
    rows = [(i, name, 0, "", i, s, c, 0.0, 0.0, 0) for i, name, c, s in countries]
    of = {i: (sovereign, continent) for i, _, continent, sovereign in countries}
    for place_id, name in regions:
        code = place_id.split(".")[0]
        rows.append((place_id, name, 1, code, code, *of[code], 0.0, 0.0, 0))
    for place_id, name, parent, lat, lon, population in cities:
        code = parent.split(".")[0]
        rows.append((place_id, name, 2, parent, code, *of[code], lat, lon, population))
    columns = ["place_id", "name", "level", "parent_id", "country_code", "sovereign", "continent"]
    frame = pd.DataFrame(rows, columns=[*columns, "lat", "lon", "population"])
    return frame.assign(ascii_name=frame["name"])


def without_notes(table: pd.DataFrame) -> pd.DataFrame:
    """A table of photos without positions, as if they were not read."""
    assert (table[list(NOTE_COLUMNS)] == "").all(axis=None)
    return table.drop(columns=list(NOTE_COLUMNS))


def hashed_vector(content: bytes) -> np.ndarray:
    """A unit vector (WIDTH,) that depends on the content alone."""
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return vector / np.linalg.norm(vector)


class FakeEncoder(Encoder):
    """Embeds a text or a picture as a vector hashed from it; `known` overrides single texts.

    A picture whose top left pixel is (r, 0, 0) with r > 0 is embedded like the text
    `pictured[r]`, so that a test can paint a photo "of" a caption. `encoded` lists the texts that
    were encoded.
    """

    image_side = 8

    def __init__(self, scale: float = 10.0, salt: str = "") -> None:
        model = nn.Module()
        model.logit_scale = nn.Parameter(torch.tensor(scale).log())
        super().__init__("fake", model, pil_to_tensor, self.image_side, ["a fake encoder"])
        self.salt = salt
        self.known: dict[str, np.ndarray] = {}
        self.pictured: dict[int, str] = {}
        self.encoded: list[str] = []

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        return (0, 0, 0), (1, 1, 1)

    def vector(self, text: str) -> np.ndarray:
        """The embedding (WIDTH,) of a text."""
        return self.known.get(text, hashed_vector((self.salt + text).encode()))

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        width = max(len(text.encode()) for text in texts)
        return torch.tensor([list(text.encode().ljust(width, b"\0")) for text in texts])

    def raw_text_features(self, tokens: Tensor) -> Tensor:
        texts = [bytes(row).rstrip(b"\0").decode() for row in tokens.tolist()]
        self.encoded += texts
        return torch.tensor(np.array([self.vector(text) for text in texts]), dtype=torch.float32)

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        vectors = [self._picture_vector(picture) for picture in pixels]
        return torch.tensor(np.array(vectors), dtype=torch.float32)

    def _picture_vector(self, picture: Tensor) -> np.ndarray:
        red, green, blue = picture[:, 0, 0].tolist()
        if red and not green and not blue:
            return self.vector(self.pictured[red])
        return hashed_vector(picture.numpy().tobytes())

    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        return [nn.Parameter(torch.tensor(hashed_vector(self.salt.encode())))]

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError
