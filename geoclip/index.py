"""The text embeddings of a gazetteer's places, kept with the key of what made them."""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoclip.captions import CaptionBook, CaptionSettings
from geoclip.errors import GeoclipError
from geoclip.gazetteer import Gazetteer

if TYPE_CHECKING:
    from geoclip.encoders import Encoder

EMBEDDINGS_FILE = "embeddings.npy"
ABOUT_FILE = "index.json"


def index_key(encoder: "Encoder", gazetteer: Gazetteer, settings: CaptionSettings) -> str:
    """Hash of all that an index depends on: text tower, gazetteer and prompts."""
    prompts = {k: v for k, v in asdict(settings).items() if not k.startswith("keep_")}
    parts = [encoder.fingerprint(), gazetteer.fingerprint, json.dumps(prompts, sort_keys=True)]
    return sha256("\n".join(parts).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class PlaceIndex:
    """One unit-length text embedding for every gazetteer row.

    `embeddings` is (P, d) float32 in the gazetteer's row order, `key` says what made it.
    """

    embeddings: np.ndarray
    key: str

    def __len__(self) -> int:
        return len(self.embeddings)

    def __repr__(self) -> str:
        return f"PlaceIndex({len(self):,} places, d={self.embeddings.shape[1]}, key={self.key})"

    @classmethod
    def build(
        cls, encoder: "Encoder", gazetteer: Gazetteer, settings: CaptionSettings | None = None
    ) -> "PlaceIndex":
        """Encode the prompts of every place; the mean over a place's prompts is normalised."""
        book = CaptionBook(gazetteer, settings)
        embeddings = embed_rows(encoder, book, range(len(gazetteer)))
        return cls(embeddings, index_key(encoder, gazetteer, book.settings))

    @classmethod
    def read(cls, folder: Path) -> "PlaceIndex":
        """Read a saved index, memory-mapped. Raises GeoclipError if it is damaged."""
        try:
            key = json.loads((folder / ABOUT_FILE).read_text())["key"]
            embeddings = np.load(folder / EMBEDDINGS_FILE, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, KeyError) as error:
            raise GeoclipError(f"{folder} holds no readable place index; delete it.") from error
        return cls(embeddings, key)

    def save(self, folder: Path) -> None:
        """Write the index; the key comes last, so that a half-written one is never taken."""
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / EMBEDDINGS_FILE, lambda f: np.save(f, self.embeddings))
        about = json.dumps({"key": self.key, "places": len(self)}).encode()
        _replace(folder / ABOUT_FILE, lambda f: f.write(about))

    @classmethod
    def cached(
        cls,
        encoder: "Encoder",
        gazetteer: Gazetteer,
        settings: CaptionSettings | None = None,
        folder: Path | None = None,
    ) -> "PlaceIndex":
        """Read the index of this encoder, gazetteer and prompts, or build and keep it.

        It is kept under `folder` (default: `places` in the user's cache folder). A cache that
        cannot be written is no reason to fail.
        """
        key = index_key(encoder, gazetteer, settings or CaptionSettings())
        home = (folder or cache_folder()) / key
        if (home / ABOUT_FILE).is_file():
            try:
                index = cls.read(home)
                if index.key == key and len(index) == len(gazetteer):
                    return index
            except GeoclipError:
                pass
        index = cls.build(encoder, gazetteer, settings)
        try:
            index.save(home)
        except OSError:
            pass
        return index


def embed_rows(encoder: "Encoder", book: CaptionBook, rows: Iterable[int]) -> np.ndarray:
    """Embeddings (n, d) of places by gazetteer row: the normalised mean over their prompts."""
    prompts = [book.prompts(row) for row in rows]
    features = encoder.encode_texts([text for texts in prompts for text in texts])
    starts = np.cumsum([0, *(len(texts) for texts in prompts[:-1])])
    sums = np.add.reduceat(features, starts, axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def cache_folder() -> Path:
    """Folder of kept indexes: `$GEOCLIP_CACHE`, else the platform's cache folder."""
    if "GEOCLIP_CACHE" in os.environ:
        return Path(os.environ["GEOCLIP_CACHE"])
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "geoclip" / "places"


def _replace(path: Path, write) -> None:  # type: ignore[no-untyped-def]
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        write(file)
    Path(temporary).replace(path)
