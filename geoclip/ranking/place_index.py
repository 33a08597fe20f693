"""The text embeddings of a gazetteer's places, kept with a key of their inputs."""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoclip.encoders.precision import FULL
from geoclip.errors import GeoclipError
from geoclip.places.captions import COUNTRIES_WITH_ARTICLE, CaptionBook, CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.files import write_whole
from geoclip.support.user_folders import cache_folder

if TYPE_CHECKING:
    from geoclip.encoders import Encoder

EMBEDDINGS_FILE = "embeddings.npy"
ABOUT_FILE = "index.json"
SHIPPED_FOLDER = "places"
"""Subfolder of a model folder that may hold the packaged gazetteer's index."""
STORED = np.float16
Watch = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows a step's progress: from its name and total it makes a counter."""


def index_key(encoder: "Encoder", gazetteer: Gazetteer, settings: CaptionSettings) -> str:
    """Hash of all inputs of an index: text tower, gazetteer and prompts.

    It ends with the precision of the texts, unless that is full.
    """
    prompts = {k: v for k, v in asdict(settings).items() if not k.startswith("keep_")}
    templates = json.dumps([prompts, sorted(COUNTRIES_WITH_ARTICLE)], sort_keys=True)
    parts = [encoder.fingerprint(), gazetteer.fingerprint, templates]
    key = sha256("\n".join(parts).encode()).hexdigest()[:20]
    return key if encoder.text_precision == FULL else f"{key}-{encoder.text_precision}"


def keys_for(key: str) -> list[str]:
    """The keys of the indexes usable for `key`, best first.

    An index in full precision serves any encoder of these texts.
    """
    return list(dict.fromkeys([key.partition("-")[0], key]))


@dataclass(frozen=True)
class PlaceIndex:
    """One unit-length text embedding for every gazetteer row.

    `embeddings` is (P, d) float16 in the gazetteer's row order, `key` identifies its inputs. Half
    precision moves a cosine by some 1e-5; products are computed in float32 (`LevelEmbeddings`).

    >>> PlaceIndex(np.zeros((2, 8), np.float16), "key")
    PlaceIndex(2 places, d=8, key=key)
    """

    embeddings: np.ndarray
    key: str

    def __len__(self) -> int:
        return len(self.embeddings)

    def __repr__(self) -> str:
        return f"PlaceIndex({len(self):,} places, d={self.embeddings.shape[1]}, key={self.key})"

    @classmethod
    def build(
        cls,
        encoder: "Encoder",
        gazetteer: Gazetteer,
        settings: CaptionSettings | None = None,
        watch: Watch | None = None,
    ) -> "PlaceIndex":
        """Encode the prompts of every place; the mean over a place's prompts is normalised.

        `watch` receives the number of distinct prompts.
        """
        book = CaptionBook(gazetteer, settings)
        embeddings = embed_rows(encoder, book, range(len(gazetteer)), watch)
        return cls(embeddings.astype(STORED), index_key(encoder, gazetteer, book.settings))

    @classmethod
    def read(cls, folder: Path) -> "PlaceIndex":
        """Read a saved index, memory-mapped. Raises GeoclipError if it is damaged."""
        try:
            about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
            key, shape = str(about["key"]), (int(about["places"]), int(about["width"]))
            embeddings = np.lib.format.open_memmap(folder / EMBEDDINGS_FILE, mode="r")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GeoclipError(
                f"{folder} holds no readable place index ({error}); delete it and make it anew."
            ) from error
        if embeddings.shape != shape or embeddings.dtype != STORED:
            raise GeoclipError(
                f"{folder} holds a place index whose {EMBEDDINGS_FILE} and {ABOUT_FILE} do not "
                f"belong together; delete it and make it anew."
            )
        return cls(embeddings, key)

    def save(self, folder: Path) -> None:
        """Write the index; the key comes last, so that a half-written one is never read."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ABOUT_FILE).unlink(missing_ok=True)  # an older key would match a half-new index
        embeddings = np.asarray(self.embeddings, dtype=STORED)
        write_whole(folder / EMBEDDINGS_FILE, lambda f: np.save(f, embeddings))
        places, width = self.embeddings.shape
        about = {"key": self.key, "places": places, "width": width}
        write_whole(folder / ABOUT_FILE, lambda f: f.write(json.dumps(about).encode()))

    @classmethod
    def cached(
        cls,
        encoder: "Encoder",
        gazetteer: Gazetteer,
        settings: CaptionSettings | None = None,
        watch: Watch | None = None,
    ) -> "PlaceIndex":
        """Read the index of this encoder, gazetteer and prompts, or build and keep it.

        The encoder's own index, in its folder's `places`, is used first, then the one in
        `cache_folder`. A new index is kept there, if the folder can be written, and `watch`
        receives its progress.
        """
        key = index_key(encoder, gazetteer, settings or CaptionSettings())
        count = len(gazetteer)
        index = cls.shipped(encoder.folder, key, count)
        for own in keys_for(key):
            index = index or cls._kept(cache_folder() / own, own, count)
        if index is not None:
            return index
        index = cls.build(encoder, gazetteer, settings, watch)
        with suppress(OSError):
            index.save(cache_folder() / key)
        return index

    @classmethod
    def shipped(cls, model: Path | None, key: str, places: int) -> "PlaceIndex | None":
        """The index of this many places in a model folder, if it has one of this key."""
        return None if model is None else cls._kept(model / SHIPPED_FOLDER, key, places)

    @classmethod
    def _kept(cls, folder: Path, key: str, places: int) -> "PlaceIndex | None":
        with suppress(GeoclipError):
            index = cls.read(folder)
            if index.key in keys_for(key) and len(index) == places:
                return index
        return None


def embed_rows(
    encoder: "Encoder", book: CaptionBook, rows: Iterable[int], watch: Watch | None = None
) -> np.ndarray:
    """Places by gazetteer row → the normalised mean over their prompts (n, d), float32."""
    prompts = [book.prompts(row) for row in rows]
    texts = [text for own in prompts for text in own]
    with watch("indexing places", len(set(texts))) if watch else nullcontext() as progress:
        features = encoder.encode_texts(texts, progress=progress)
    starts = np.cumsum([0, *(len(own) for own in prompts[:-1])])
    sums = np.add.reduceat(features, starts, axis=0)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True))
