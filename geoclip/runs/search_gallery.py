"""Search a gallery by texts and by example photos.

The gallery's encoder embeds texts and photos, and the gallery photos of largest cosine are found
(zero-shot retrieval, Radford et al. 2021). Recall@k is the share of queries with a true photo among
the first k.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from geoclip.encoders import Encoder, load_encoder
from geoclip.encoders.hub import hub_folder, weights_folder
from geoclip.encoders.registry import KNOWN_MODELS
from geoclip.errors import GeoclipError
from geoclip.evaluation.retrieval import RECALL_AT, chance_of_recall
from geoclip.locator import default_device
from geoclip.photos.embedding import encode_decoded
from geoclip.photos.keys import tower_key
from geoclip.photos.photo_sheet import PhotoTable
from geoclip.photos.reader import PhotoReader, in_batches, read_batches
from geoclip.ranking.gallery.lookup import GalleryLookup
from geoclip.ranking.gallery.neighbours import Neighbours
from geoclip.ranking.gallery.photo_gallery import Gallery
from geoclip.runs.build_gallery import gallery_id
from geoclip.support.files import write_for_user
from geoclip.support.paths import AnyPath, encode_path, path_list, resolve_path
from geoclip.support.tables import read_text_table, refuse_rows, require_columns

if TYPE_CHECKING:
    from typing import IO

ENDINGS = (".csv", ".parquet", ".geojson")


@dataclass(frozen=True)
class Found:
    """Results of N queries in a gallery: `queries` (N,) texts or paths, `neighbours` (N, k)."""

    gallery: Gallery
    queries: list[str]
    neighbours: Neighbours

    def table(self, names: Mapping[str, str] | None = None) -> PhotoTable:
        """A row for each query and rank: query, rank, photo_id, path, lat, lon, similarity.

        `path` is stored in the gallery, else taken from `names` (photo id → path), else "".
        """
        known = self.neighbours.rows >= 0
        which, place = np.nonzero(known)
        photos = self.gallery.photos.take(self.neighbours.rows[known]).to_pandas()
        ids = photos["photo_id"].astype(object)
        given = [(names or {}).get(photo, "") for photo in ids]
        return PhotoTable(
            {
                "query": np.array(self.queries, dtype=object)[which],
                "rank": place + 1,
                "photo_id": ids,
                "path": photos["path"].where(photos["path"] != "", given),
                "lat": photos["lat"],
                "lon": photos["lon"],
                "similarity": self.neighbours.similarity[known],
            }
        )

    def recall(self, true: Sequence[set[int]]) -> dict[str, dict[str, float]]:
        """Recall@k in percent, of the queries and of chance, for the `true` rows (N sets).

        Each maps k, of `RECALL_AT`, to the share of queries with a true row among the first k;
        chance draws k of all rows.
        """
        shares: dict[str, dict[str, float]] = {"queries": {}, "chance": {}}
        for k in RECALL_AT:
            first = self.neighbours.rows[:, :k].tolist()
            hits = [not own.isdisjoint(rows) for own, rows in zip(true, first, strict=True)]
            drawn = [chance_of_recall(len(self.gallery), len(own), k) for own in true]
            shares["queries"][str(k)] = 100 * float(np.mean(hits))
            shares["chance"][str(k)] = 100 * float(np.mean(drawn))
        return shares


def search_gallery(
    gallery: AnyPath,
    texts: str | Iterable[str] = (),
    like: AnyPath | Iterable[AnyPath] = (),
    *,
    top: int = 10,
    model: str | Path | Encoder | None = None,
) -> PhotoTable:
    """The photos of a gallery that match texts or resemble photos, best first.

    Texts come before photos. `model` is the name of an encoder, by default the gallery's, or an
    encoder prepared by `Encoder.for_photos`. See `Found.table` for the columns. Raises GeoclipError
    as `open_to_search` does, and for an unreadable photo.

    >>> from geoclip.runs.build_gallery import build_gallery, listed_photos
    >>> encoder = load_encoder("street-tiny", for_photos=True)
    >>> build_gallery(listed_photos(["photos.csv"]), Path("gallery"), encoder, "street-tiny").added
    1
    >>> search_gallery("gallery", "palm trees", model=encoder)[["lat", "lon"]].to_numpy().tolist()
    [[45.75, 4.85]]
    """
    lookup, encoder = open_to_search(Path(gallery), model)
    texts = [texts] if isinstance(texts, str) else list(texts)
    return find(lookup, encoder, texts, path_list(like), top).table()


def open_to_search(
    folder: Path, model: str | Path | Encoder | None = None, device: str | None = None
) -> tuple[GalleryLookup, Encoder]:
    """A gallery and its encoder.

    Raises GeoclipError as `Gallery.open` does, for another encoder than the gallery's, and where
    the gallery's own model is not on this machine and `model` is not given: nothing is downloaded
    unasked.
    """
    lookup = GalleryLookup.open(folder)
    own = lookup.gallery.about.model
    if model is None and not _is_here(own):
        raise GeoclipError(
            f"The gallery {folder} was made with {own}, which is not on this machine: name that "
            "model with --model."
        )
    if isinstance(model, Encoder):
        encoder = model
    else:
        encoder = load_encoder(model or own, device or default_device()).for_photos()
    lookup.gallery.about.check_encoder(tower_key(encoder), folder)
    return lookup, encoder


def _is_here(model: str) -> bool:
    known = KNOWN_MODELS.get(model)
    folder = weights_folder(known) if known else hub_folder(model)
    return folder is not None or Path(model).is_dir()


def find(
    lookup: GalleryLookup,
    encoder: Encoder,
    texts: Sequence[str],
    like: Sequence[AnyPath],
    top: int,
) -> Found:
    """The `top` gallery photos for each text, then for each photo, without itself or copies."""
    values = [encoder.encode_texts(texts), *_embedded(encoder, like)]
    paths = [encode_path(path) for path in like]
    ids = [gallery_id(resolve_path(path, Path())) for path in paths]
    neighbours = lookup.neighbours(np.concatenate(values), top, [""] * len(texts) + ids)
    return Found(lookup.gallery, [*texts, *paths], neighbours)


def _embedded(encoder: Encoder, photos: Sequence[AnyPath]) -> Iterable[np.ndarray]:
    """Embeddings of photos and videos, in parts; raises PhotoError for the first unreadable one."""
    for decoded in read_batches(in_batches(photos), PhotoReader(encoder)):
        problem = next((photo.problem for photo in decoded if photo.problem), None)
        if problem is not None:
            raise problem
        yield np.stack([value for value in encode_decoded(encoder, decoded) if value is not None])


@dataclass(frozen=True)
class Queries:
    """Texts and photos, and the rows `true` of each in the gallery, in this order, if known."""

    texts: list[str]
    like: list[str]
    true: list[set[int]]

    @classmethod
    def of(cls, texts: Iterable[str], like: Iterable[AnyPath]) -> Queries:
        """Queries without known answers, each once."""
        return cls([*dict.fromkeys(texts)], [*dict.fromkeys(map(encode_path, like))], [])


def read_queries(file: Path, gallery: Gallery) -> Queries:
    """Queries with known answers from a CSV file with the columns `photo` and `text` or `like`.

    `photo` is a photo of the gallery, by its id or path; paths are relative to the file. The rows
    of one query are its true photos. Raises GeoclipError for a bad file or row, and for a photo
    outside the gallery.
    """
    frame = read_text_table(file)
    require_columns(frame, ["photo"], file)
    for name in {"text", "like"} - set(frame.columns):
        frame[name] = ""
    unclear = (frame["text"] == "") == (frame["like"] == "")
    refuse_rows(
        file, unclear, "a query needs exactly one of text and like", "fill in one, not both"
    )
    rows = gallery.rows_of(frame["photo"])
    own = [gallery_id(resolve_path(text, file.parent)) for text in frame["photo"]]
    rows = np.where(rows < 0, gallery.rows_of(own), rows)
    absent = pd.Series(rows < 0, index=frame.index)
    what = "the photo {} is not in the gallery"
    refuse_rows(file, absent, what, "name one that is, by its id or path", frame["photo"])
    is_text = frame["text"] != ""
    like = frame["like"].map(lambda text: resolve_path(text, file.parent) if text else "")
    found = pd.DataFrame({"query": frame["text"].where(is_text, like), "rows": rows})
    true = [_true_rows(found[kind]) for kind in (is_text, ~is_text)]
    return Queries([*true[0]], [*true[1]], [*true[0].values(), *true[1].values()])


def _true_rows(rows: pd.DataFrame) -> dict[str, set[int]]:
    return {str(query): set(own) for query, own in rows.groupby("query", sort=False)["rows"]}


def write_found(table: pd.DataFrame, path: Path) -> None:
    """Write a table of `Found.table` in the format of the ending of `path`, one of `ENDINGS`.

    Parquet and GeoJSON files have the positions as points. Raises GeoclipError where the file
    cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        if path.suffix.lower() == ".csv":
            table.to_csv(file, index=False, lineterminator="\n")
            return
        import geopandas as gpd  # noqa: PLC0415 - slow to import

        points = gpd.points_from_xy(table["lon"], table["lat"])
        frame = gpd.GeoDataFrame(table, geometry=points, crs="EPSG:4326")
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(file, index=False)
        else:
            file.write(frame.to_json(drop_id=True).encode())

    write_for_user(path, write)
