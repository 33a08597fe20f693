"""The fate of each photo: unread, located by its own GPS, abstained from, or guessed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoclip.photos.abstention import AbstentionCheck
from geoclip.photos.records import PhotoRecord
from geoclip.photos.refusals import READ


@dataclass(frozen=True)
class Fates:
    """The fates of some photos, as positions among them.

    `unread` could not be read, `kept` have a stated position, `abstained` carry no evidence of a
    place (`kinds` says what they look like), `guessed` are left to the model.
    """

    unread: np.ndarray
    kept: np.ndarray
    abstained: np.ndarray
    guessed: np.ndarray
    kinds: list[str]

    @classmethod
    def of(cls, records: Sequence[PhotoRecord], check: AbstentionCheck, keep_gps: bool) -> "Fates":
        """Decide by the findings in the photos; with `keep_gps` trustworthy GPS comes first."""
        seen = [i for i, record in enumerate(records) if record.embedding is not None]
        by_prompts = dict(zip(seen, check.of_embeddings(embeddings_of(records, seen)), strict=True))
        places: dict[str, list[int]] = {"unread": [], "kept": [], "abstained": [], "guessed": []}
        kinds = []
        for i, record in enumerate(records):
            if keep_gps and record.trusted_gps:  # also if its pixels were damaged
                fate = "kept"
            elif record.status not in READ:
                fate = "unread"
            else:
                kind = check.reason(record.finding, by_prompts[i])
                kinds += [kind] if kind else []
                fate = "abstained" if kind else "guessed"
            places[fate].append(i)
        return cls(**{k: np.array(v, np.int64) for k, v in places.items()}, kinds=kinds)


def embeddings_of(records: Sequence[PhotoRecord], which: Sequence[int] | np.ndarray) -> np.ndarray:
    """Embeddings (n, d) of some records, float32; normalised again if they were rounded."""
    values = [e for i in which if (e := records[i].embedding) is not None]
    if not values:
        return np.empty((0, 0), np.float32)
    stacked = np.stack(values)
    if stacked.dtype != np.float16:
        return stacked
    widened = stacked.astype(np.float32)
    widened /= np.linalg.norm(widened, axis=1, keepdims=True)
    return widened


def stated_of(
    records: Sequence[PhotoRecord], which: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (n,) of the trustworthy positions of some records."""
    fixes = [gps for i in which if (gps := records[i].trusted_gps) is not None]
    return np.array([gps.lat for gps in fixes]), np.array([gps.lon for gps in fixes])
