"""Synthetic captions of places, and of which photos each is true.

The caption family and its keep probabilities follow StreetCLIP (Haas, Alberti, Skreta 2023,
arXiv 2302.00275) and its authors' later code.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from geoclip.places.place import COUNTRY, LEVELS
from geoclip.places.wording import Wording, check_chances, check_templates
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
    """Templates of captions and prompts, and the levels that a training caption keeps.

    A training caption keeps the city with probability `keep_city` and the region with
    probability `keep_region`; the country always stays. Predictions average the prompt templates; a
    template with a region is left out for a city without one. A template may name the prefix, its
    own level and higher levels. A training caption uses its place's official name with probability
    `keep_official`, else one of its alternate names. Raises GeoclipError for other templates or
    probabilities.
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
    keep_official: float = 1.0

    def __post_init__(self) -> None:
        names = ("keep_city", "keep_region", "keep_official")
        check_chances({name: getattr(self, name) for name in names})
        for number, level in enumerate(LEVELS):
            name = f"{level}_prompts"
            check_templates(getattr(self, name), name, LEVELS[: number + 1])

    @property
    def wording(self) -> Wording:
        """The words for country, region and city."""
        return Wording(
            LEVELS,
            self.prefix,
            ("in {country}", "in the region of {region}", "close to the town of {city}"),
            (1.0, self.keep_region, self.keep_city),
            (self.country_prompts, self.region_prompts, self.city_prompts),
            self.keep_official,
        )


@dataclass(frozen=True)
class Caption:
    """A text and the gazetteer rows of all places that share it."""

    text: str
    rows: tuple[int, ...]


class CaptionBook:
    """Captions of a gazetteer's places; a table with its own wording uses that."""

    def __init__(self, gazetteer: "Gazetteer", settings: CaptionSettings | None = None) -> None:
        self.gazetteer = gazetteer
        self.settings = settings or CaptionSettings()
        self.wording = gazetteer.wording or self.settings.wording

    def __repr__(self) -> str:
        return f"CaptionBook({self.gazetteer!r}, {self.settings!r})"

    def country_phrase(self, row: int) -> str:
        """Name of the country of a place, with its article: `the Netherlands`."""
        country = self.gazetteer.ancestors[row, COUNTRY]
        name = self.gazetteer.names[country]
        needs_article = self.gazetteer.country_codes[country] in COUNTRIES_WITH_ARTICLE
        return f"the {name}" if needs_article and not name.startswith("The ") else name

    def text(self, row: int, with_city: bool = True, with_region: bool = True) -> str:
        """Return the training caption of the place in `row`; unknown levels are left out.

        In other hierarchies "city" means the deepest level and "region" all levels between.
        """
        between = len(self.wording.levels) - 2
        return self._worded(row, (True, *[with_region] * between, with_city))

    def caption(self, row: int, with_city: bool = True, with_region: bool = True) -> Caption:
        """Return the caption, with the rows of all places that share its text."""
        text = self.text(row, with_city, with_region)
        return Caption(text, self._rows_by_text[text])

    def draw(self, row: int, seed: int, epoch: int, photo_id: str) -> Caption:
        """Draw a photo's caption for one epoch from its place.

        The draw depends only on (seed, epoch, photo id), so it is the same for any number of
        workers.
        """
        keep = self.wording.keep
        chances = seeded_uniforms(len(keep) - 1, "caption", seed, epoch, photo_id)
        kept = (True, *(chances[::-1] < keep[1:]).tolist())
        text = self._worded(row, kept, self._drawn_name(row, kept, seed, epoch, photo_id))
        return Caption(text, self._rows_by_text[text])

    def draw_extra(self, rows: np.ndarray, count: int, seed: int, step: int) -> list[Caption]:
        """Draw captions of at most `count` further places among `rows`, the same on all workers.

        Equal captions are given once, so there may be fewer.
        """
        number = int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode()).digest()[:8], "little")
        rng = np.random.default_rng(number)
        chosen = rng.choice(rows, size=min(count, len(rows)), replace=False)
        return distinct([self.draw(int(row), seed, step, f"extra {row}") for row in chosen])

    def prompts(self, row: int) -> list[str]:
        """Return the prompts whose embeddings are averaged for the place in `row`.

        Where every template names a level that the place lacks, its training caption is the prompt.
        """
        chain = dict(zip(self.wording.levels, self._chains[row], strict=True))
        names = {level: self._names[above] for level, above in chain.items() if above >= 0}
        lacking = [f"{{{level}}}" for level in chain if level not in names]
        templates = self.wording.prompts[self.gazetteer.levels[row]]
        usable = [t for t in templates if not any(field in t for field in lacking)]
        worded = [template.format(prefix=self.wording.prefix, **names) for template in usable]
        return worded or [self.text(row)]

    def _worded(self, row: int, kept: Sequence[bool], name: str | None = None) -> str:
        """The caption of the kept levels (L,); `name` replaces the deepest one's."""
        parts = list[str]()
        chain = self._chains[row]
        for number, (field, phrase) in self._fields:
            above = chain[number]
            if kept[number] and above >= 0:
                own = name if name is not None and not parts else self._names[above]
                parts.append(phrase.replace(field, own))
        return " ".join([self.wording.prefix, *parts]) + "."

    @cached_property
    def _fields(self) -> list[tuple[int, tuple[str, str]]]:
        """The placeholder of each level and its phrase, deepest level first."""
        fields = (f"{{{level}}}" for level in self.wording.levels)
        return list(enumerate(zip(fields, self.wording.phrases, strict=True)))[::-1]

    @cached_property
    def _chains(self) -> list[list[int]]:
        """The gazetteer's ancestors, as lists: reading single rows is several times faster."""
        chains: list[list[int]] = self.gazetteer.ancestors.tolist()
        return chains

    @cached_property
    def _names(self) -> list[str]:
        """The name of each place within a sentence."""
        names: list[str] = self.gazetteer.names.tolist()
        for row in np.flatnonzero(self.gazetteer.levels == COUNTRY).tolist():
            names[row] = self.country_phrase(row)
        return names

    def _drawn_name(
        self, row: int, kept: Sequence[bool], seed: int, epoch: int, photo_id: str
    ) -> str | None:
        """An alternate name of a caption's deepest place; None for the official one."""
        if self.wording.keep_official == 1:
            return None
        named = [
            above for above, k in zip(self._chains[row], kept, strict=True) if k and above >= 0
        ]
        others = self._alternates.get(named[-1], [])
        official, which = seeded_uniforms(2, "name", seed, epoch, photo_id)
        if not others or official < self.wording.keep_official:
            return None
        return others[int(which * len(others))]

    @cached_property
    def _alternates(self) -> dict[int, list[str]]:
        """Alternate names by row; empty where captions never use them."""
        found: dict[int, list[str]] = {}
        if self.wording.keep_official < 1:
            table = self.gazetteer.alternate_names()
            rows = self.gazetteer.rows(table["place_id"]).tolist()
            for row, name in zip(rows, table["name"], strict=True):
                found.setdefault(row, []).append(name)
        return found

    @cached_property
    def _rows_by_text(self) -> dict[str, tuple[int, ...]]:
        """The rows of all places that each caption names."""
        shared: dict[str, list[int]] = {}
        kept = [_kept_at(level, len(self.wording.levels)) for level in range(len(self._fields))]
        for row, level in enumerate(self.gazetteer.levels.tolist()):
            for some in kept[level]:
                for name in (None, *self._alternates.get(row, ())):
                    rows = shared.setdefault(self._worded(row, some, name), [])
                    if row not in rows[-1:]:
                        rows.append(row)
        return {text: tuple(rows) for text, rows in shared.items()}


def _kept_at(level: int, levels: int) -> list[tuple[bool, ...]]:
    """All choices of levels that a caption of a place of `level` may keep: its own, the first,
    others.

    >>> _kept_at(2, 3)
    [(True, True, True), (True, False, True)]
    """
    below = [False] * (levels - level - 1)
    if level == 0:
        return [(True, *below)]
    return [(True, *some, True, *below) for some in product((True, False), repeat=level - 1)]


def distinct(captions: Sequence[Caption]) -> list[Caption]:
    """Return the captions with distinct texts, in order of first appearance."""
    return list({caption.text: caption for caption in captions}.values())


def truth_matrix(
    photo_rows: np.ndarray, captions: Sequence[Caption], ancestors: np.ndarray
) -> np.ndarray:
    """For each photo and caption: is the caption true of the photo?

    `photo_rows` (N,) are the gazetteer rows of the photos' places (a country's row if only that is
    known), `ancestors` (P, 3) is the gazetteer's. Returns (N, C) int8: TRUE where a place of the
    caption is the photo's own or its ancestor, UNKNOWN where one lies below the photo's (too
    coarse) label, FALSE elsewhere.
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
