"""Synthetic captions: what can be said about a place, and of which photos it is true.

The caption family and its keep probabilities follow StreetCLIP (Haas, Alberti, Skreta 2023,
arXiv 2302.00275) and its authors' later code.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING

import numpy as np

from geoclip.errors import GeoclipError
from geoclip.places.place import CITY, COUNTRY, LEVELS
from geoclip.support.seeds import seeded_uniforms

if TYPE_CHECKING:  # pandas is slow to import
    from geoclip.places.gazetteer import Gazetteer

TRUE, FALSE, UNKNOWN = 1, 0, -1
"""Values of a truth matrix."""

# fmt: off
COUNTRIES_WITH_ARTICLE = frozenset([
    "AE", "AX", "BQ", "BS", "CC", "CD", "CF", "CG", "CK", "DO", "FK",
    "FO", "GB", "GM", "IM", "IO", "KM", "KY", "MH", "MP", "MV", "NL",
    "PH", "PN", "SB", "SC", "TC", "TF", "UM", "US", "VG", "VI",
])
# fmt: on
"""ISO codes of countries whose English name takes "the" within a sentence."""


@dataclass(frozen=True)
class CaptionSettings:
    """Templates of captions and prompts, and how much of a place a training caption keeps.

    A training caption keeps the city with probability `keep_city` and the region with
    probability `keep_region`; the country always stays. The prompt templates are averaged at
    prediction; one that names a region is left out for a city that lies in none. A template may
    name the prefix, its own level and those above. Raises GeoclipError for any other.
    """

    prefix: str = "A Street View photo"
    keep_city: float = 0.4
    keep_region: float = 0.6
    country_prompts: tuple[str, ...] = ("{prefix} in {country}.",)
    region_prompts: tuple[str, ...] = ("{prefix} in the region of {region} in {country}.",)
    city_prompts: tuple[str, ...] = (
        "{prefix} from {city}, {country}.",
        "{prefix} close to the town of {city} in the region of {region} in {country}.",
    )

    def __post_init__(self) -> None:
        if not (0 <= self.keep_city <= 1 and 0 <= self.keep_region <= 1):
            raise GeoclipError(
                f"keep_city {self.keep_city} and keep_region {self.keep_region} are "
                "probabilities; give numbers from 0 to 1."
            )
        for level in range(len(LEVELS)):
            _check_templates(self.prompts(level), level)

    def prompts(self, level: int) -> tuple[str, ...]:
        """Return the templates of a level (0 country, 1 region, 2 city)."""
        return (self.country_prompts, self.region_prompts, self.city_prompts)[level]


def _check_templates(templates: Sequence[str], level: int) -> None:
    allowed = {"prefix", *LEVELS[: level + 1]}
    try:
        named = [{field for _, field, *_ in Formatter().parse(t)} - {None} for t in templates]
    except (TypeError, ValueError):  # no text, or a lone brace
        named = []
    if isinstance(templates, str) or not named or not all(names <= allowed for names in named):
        raise GeoclipError(
            f"{LEVELS[level]}_prompts {templates!r} is no list of templates; give at least one, "
            f"which names nothing but {', '.join(f'{{{name}}}' for name in sorted(allowed))}."
        )


@dataclass(frozen=True)
class Caption:
    """A text and the gazetteer rows of all places that share it."""

    text: str
    rows: tuple[int, ...]


class CaptionBook:
    """Captions of a gazetteer's places."""

    def __init__(self, gazetteer: "Gazetteer", settings: CaptionSettings | None = None) -> None:
        self.gazetteer = gazetteer
        self.settings = settings or CaptionSettings()

    def __repr__(self) -> str:
        return f"CaptionBook({self.gazetteer!r}, {self.settings!r})"

    def country_phrase(self, row: int) -> str:
        """Name of the country a place lies in, with its article: `the Netherlands`."""
        country = self.gazetteer.ancestors[row, COUNTRY]
        name = self.gazetteer.names[country]
        needs_article = self.gazetteer.ids[country] in COUNTRIES_WITH_ARTICLE
        return f"the {name}" if needs_article and not name.startswith("The ") else name

    def text(self, row: int, with_city: bool = True, with_region: bool = True) -> str:
        """Return the training caption of the place in `row`, naming what is asked for and known."""
        _, region, city = self.gazetteer.ancestors[row]
        parts = [self.settings.prefix]
        if with_city and city >= 0:
            parts.append(f"close to the town of {self.gazetteer.names[city]}")
        if with_region and region >= 0:
            parts.append(f"in the region of {self.gazetteer.names[region]}")
        return " ".join([*parts, f"in {self.country_phrase(row)}."])

    def caption(self, row: int, with_city: bool = True, with_region: bool = True) -> Caption:
        """Return the caption with the rows of every place that the same text names."""
        text = self.text(row, with_city, with_region)
        return Caption(text, self._rows_by_text[text])

    def draw(self, row: int, seed: int, epoch: int, photo_id: str) -> Caption:
        """Draw the caption that a photo of the place carries in an epoch.

        The draw depends on (seed, epoch, photo id) alone, so it is the same however many
        workers share the photos.
        """
        city, region = seeded_uniforms(2, "caption", seed, epoch, photo_id)
        return self.caption(row, city < self.settings.keep_city, region < self.settings.keep_region)

    def draw_extra(self, rows: np.ndarray, count: int, seed: int, step: int) -> list[Caption]:
        """Draw captions of at most `count` further places among `rows`, alike on all workers.

        Captions that come out alike are given once, so there may be fewer.
        """
        number = int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode()).digest()[:8], "little")
        rng = np.random.default_rng(number)
        chosen = rng.choice(rows, size=min(count, len(rows)), replace=False)
        return distinct([self.draw(int(row), seed, step, f"extra {row}") for row in chosen])

    def prompts(self, row: int) -> list[str]:
        """Return the prompts whose embeddings are averaged for the place in `row`.

        Where every template names a region and the place has none, that is its training caption.
        """
        country, region, city = self.gazetteer.ancestors[row]
        names = {
            "prefix": self.settings.prefix,
            "country": self.country_phrase(country),
            "region": self.gazetteer.names[region] if region >= 0 else "",
            "city": self.gazetteer.names[city] if city >= 0 else "",
        }
        templates = self.settings.prompts(self.gazetteer.levels[row])
        usable = [t for t in templates if region >= 0 or "{region}" not in t]
        return [template.format(**names) for template in usable] or [self.text(row)]

    @cached_property
    def _rows_by_text(self) -> dict[str, tuple[int, ...]]:
        shared: dict[str, list[int]] = {}
        for row, level in enumerate(self.gazetteer.levels):
            variants = {self.text(row, True, True)}
            if level == CITY:
                variants.add(self.text(row, True, False))
            for text in variants:
                shared.setdefault(text, []).append(row)
        return {text: tuple(rows) for text, rows in shared.items()}


def distinct(captions: Sequence[Caption]) -> list[Caption]:
    """Return the captions distinct by text, in order of first appearance."""
    return list({caption.text: caption for caption in captions}.values())


def truth_matrix(
    photo_rows: np.ndarray, captions: Sequence[Caption], ancestors: np.ndarray
) -> np.ndarray:
    """Say of which photos each caption is true.

    `photo_rows` (N,) are the gazetteer rows of the photos' places (a country's row where no more
    is known), `ancestors` (P, 3) is the gazetteer's. Returns (N, C) int8: TRUE where a place that
    the caption names is the photo's own or an ancestor of it, UNKNOWN where one lies below the
    photo's (too coarse) label, FALSE elsewhere.
    """
    sizes = np.array([len(c.rows) for c in captions], dtype=np.int64)
    owners = np.repeat(np.arange(len(captions)), sizes)
    named = np.fromiter((row for c in captions for row in c.rows), dtype=np.int64)
    photo_chains = ancestors[photo_rows]  # (N, 3)
    named_chains = ancestors[named]  # (M, 3)
    is_true = (photo_chains[:, :, None] == named[None, None, :]).any(axis=1)
    below = (named_chains.T[None, :, :] == photo_rows[:, None, None]).any(axis=1) & ~is_true
    truth = np.full((len(photo_rows), len(captions)), FALSE, dtype=np.int8)
    for value, hits in ((UNKNOWN, below), (TRUE, is_true)):
        photo, position = np.nonzero(hits)
        truth[photo, owners[position]] = value
    return truth
