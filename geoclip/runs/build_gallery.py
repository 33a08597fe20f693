"""Build a gallery: photos are read as in any long run, and those of known position are added.

A stopped run resumes: a journal inside the gallery's folder keeps what was read until all of it is
added.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from geoclip.encoders import Encoder
from geoclip.errors import GeoclipError
from geoclip.guesses.failures import Failure, write_failures
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.folder_rules import USUAL, FolderRules
from geoclip.photos.gps_fix import kind_of_reason
from geoclip.photos.keys import photo_key, tower_key
from geoclip.photos.listing import PHOTO_SUFFIXES, VIDEO_SUFFIXES, photos_and_locations
from geoclip.photos.photo_table import read_photo_table
from geoclip.photos.reader import PhotoReader
from geoclip.photos.records import PhotoRecord
from geoclip.ranking.gallery.approximate import Tuning, update_index
from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout
from geoclip.runs.folder_run import PhotoRun
from geoclip.runs.journal import Journal, remove_journals
from geoclip.support.paths import decode_path, encode_path

JOURNAL, LEDGER = "journal", "ledger.csv"
Begin = Callable[[str, int, int], AbstractContextManager[Callable[[int], None]]]
"""Begins a step from its name, its number of photos and those already done; returns a counter."""
PART_ROWS = 65_536
TOLD = ("lat", "lon", "country_code", "location_id", "source")
"""The facts that a photo table may state about a photo."""


@dataclass
class GalleryReport:
    """Counts of photos that were added, already known, or without a position.

    `distrusted` counts, by reason, untrusted positions of the latter.
    """

    added: int = 0
    known: int = 0
    without_position: int = 0
    distrusted: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    tuning: Tuning | None = None


def tabled_photos(tables: Sequence[Path]) -> pd.DataFrame:
    """The photos of CSV tables with the columns `gallery_id`, `photo_id`, `path` and `TOLD`.

    Raises GeoclipError as `read_photo_table` does.
    """
    photos = read_photo_table(tables)[["photo_id", "path", *TOLD]]
    return photos.assign(gallery_id=photos["path"].map(gallery_id))


def listed_photos(paths: Sequence[str], rules: FolderRules = USUAL) -> pd.DataFrame:
    """The same columns of photos in folders, globs and tables.

    Photos of folders and globs, chosen by the `rules`, have no position here (NaN), as they may
    state one. Raises GeoclipError as `tabled_photos` and `photos_and_locations` do.
    """
    tables = [Path(path) for path in paths if path.lower().endswith(".csv")]
    others = [path for path in paths if not path.lower().endswith(".csv")]
    frames = [tabled_photos(tables)] if tables else []
    if others or not tables:
        suffixes = PHOTO_SUFFIXES | VIDEO_SUFFIXES
        found, _ = photos_and_locations(others, suffixes=suffixes, rules=rules)
        texts = [encode_path(path.absolute()) for path in found]
        unknown = dict.fromkeys(TOLD, "") | {"lat": np.nan, "lon": np.nan}
        frame = pd.DataFrame({"photo_id": texts, "path": texts}).assign(**unknown)
        frames.append(frame.assign(gallery_id=frame["path"].map(gallery_id)))
    return pd.concat(frames).drop_duplicates("gallery_id", ignore_index=True)


def gallery_id(path: str) -> str:
    """The id of a photo in galleries, a hash of its path; it does not reveal the name."""
    return photo_key(decode_path(path)).hex()


def build_gallery(
    photos: pd.DataFrame,
    out: Path,
    encoder: Encoder,
    model: str,
    *,
    names: bool = False,
    jobs: int = 2,
    begin: Begin | None = None,
) -> GalleryReport:
    """Read photos of `listed_photos` and add those of known position to the gallery `out`.

    `model` is the name of the encoder. A photo's position comes from its table, else from its own
    metadata if trustworthy. `names` keeps the paths. Raises GeoclipError for a folder that is no
    gallery of this encoder, and as `Journal` and `Gallery` do.
    """
    width = encoder.encode_images([]).shape[1]
    about = GalleryAbout(tower_key(encoder), model, width)
    gallery, report = Gallery.create(out, about), GalleryReport()
    known = gallery.rows_of(photos["gallery_id"]) >= 0
    report.known, photos = int(known.sum()), photos[~known].reset_index(drop=True)
    paths = [decode_path(path) for path in photos["path"]]
    settings = LocateSettings(gps="ignore", abstention=AbstentionSettings("off"), jobs=jobs)
    reader = PhotoReader(encoder, metadata=True, frames=settings.frames)
    run = PhotoRun(encoder, reader, paths, [photo_key(path) for path in paths], settings)
    with Journal.open(out / JOURNAL / run.journal_key) as journal:
        _read(run, journal, begin)
        for start in range(0, len(run), PART_ROWS):
            rows = slice(start, start + PART_ROWS)
            _add_read(gallery, photos[rows], journal.read(run.keys[rows]), names, report)
    remove_journals(out / JOURNAL)
    if report.failures or (out / LEDGER).exists():
        write_failures(report.failures, out / LEDGER)
    report.tuning = update_index(gallery)
    return report


def _read(run: PhotoRun, journal: Journal, begin: Begin | None) -> None:
    todo = run.todo(journal)
    left = sum(map(len, todo))
    if left:
        step = begin("reading", len(run), len(run) - left) if begin else nullcontext()
        with step as advance:
            run.read(journal, todo, advance)


def _add_read(
    gallery: Gallery,
    photos: pd.DataFrame,
    records: Sequence[PhotoRecord],
    names: bool,
    report: GalleryReport,
) -> None:
    """Add the photos that were read and have a position; count the others."""
    own = [record.trusted_gps for record in records]
    for axis in ("lat", "lon"):
        stated = [np.nan if fix is None else getattr(fix, axis) for fix in own]
        photos = photos.assign(**{axis: photos[axis].fillna(pd.Series(stated, photos.index))})
    values = [record.embedding for record in records if record.embedding is not None]
    read = np.array([record.embedding is not None for record in records], dtype=bool)
    for path, record in zip(photos["path"], records, strict=True):
        if record.embedding is None:
            report.failures.append(Failure(path, record.status, record.message))
    used = read & photos["lat"].notna().to_numpy()
    report.without_position += int((read & ~used).sum())
    fixes = [r.metadata.gps for r, left in zip(records, read & ~used, strict=True) if left]
    report.distrusted.update(kind_of_reason(fix.reason) for fix in fixes if fix is not None)
    if used.any():
        report.added += gallery.add(np.stack(values)[used[read]], _rows(photos[used], names))


def add_embeddings(
    photos: pd.DataFrame, embeddings: Path, out: Path, names: bool = False
) -> GalleryReport:
    """Add photos of `tabled_photos` whose embeddings `pipelines.embed_photos` wrote to a folder.

    They are identified by `photo_id`; no photo is read. Raises GeoclipError where the embeddings'
    encoder is not noted, where there is none of the photos, and as `Gallery` does.
    """
    model, key = _made_with(embeddings)
    report, gallery = GalleryReport(), None
    for values, rows in _embedded(embeddings, photos.set_index("photo_id", drop=False)):
        located = rows["lat"].notna().to_numpy()
        report.without_position += int((~located).sum())
        if gallery is None:
            gallery = Gallery.create(out, GalleryAbout(key, model, values.shape[1]))
        added = gallery.add(values[located], _rows(rows[located], names))
        report.added, report.known = report.added + added, report.known + located.sum() - added
    if gallery is None:
        raise GeoclipError(
            f"{embeddings} holds no embedding of these photos: give the table used for embedding "
            f"them, with lat and lon."
        )
    report.tuning = update_index(gallery)
    return report


def _made_with(embeddings: Path) -> tuple[str, str]:
    """Name and key of the encoder of a folder of embeddings."""
    note = embeddings.with_name(f"{embeddings.name}-checkpoint") / "run.json"
    try:
        return embeddings.name, json.loads(note.read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError):
        raise GeoclipError(
            f"{note} does not say which encoder made {embeddings}: keep all files of "
            f"pipelines.embed_photos together."
        ) from None


def _embedded(folder: Path, photos: pd.DataFrame) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
    """Embeddings (n, d) and rows of the photos (indexed by photo_id), a row group at a time."""
    for file in sorted(folder.glob("*.parquet")):
        with file.open("rb") as stream:
            parts = pq.ParquetFile(stream)
            for group in range(parts.num_row_groups):
                table = parts.read_row_group(group, ["photo_id", "embedding"])
                ids = np.array(table["photo_id"].to_pylist(), dtype=object)
                has = table["embedding"].is_valid().to_numpy() & np.isin(ids, photos.index)
                if has.any():
                    found = table["embedding"].filter(pa.array(has)).combine_chunks()
                    values = found.flatten().to_numpy().reshape(int(has.sum()), -1)
                    yield values, photos.loc[ids[has]]


def _rows(photos: pd.DataFrame, names: bool) -> pd.DataFrame:
    """Rows of a gallery, with paths only if wanted."""
    rows = photos[["gallery_id", "path", *TOLD]].rename(columns={"gallery_id": "photo_id"})
    return rows if names else rows.assign(path="", location_id="", source="")
