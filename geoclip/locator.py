"""Encoder and place index together: photos in, ranked places out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from geoclip.encoders import Encoder, load_encoder
from geoclip.encoders.registry import DEFAULT_MODEL
from geoclip.guesses.assembly import Assembler
from geoclip.guesses.geo_table import to_geodataframe
from geoclip.guesses.schema import Guess, to_guesses
from geoclip.guesses.settings import LocateSettings
from geoclip.photos.abstention import PIXEL_CHECK, AbstentionCheck, AbstentionSettings
from geoclip.photos.embedding import Embeddings, embed_named
from geoclip.photos.given_photos import checked_ids, given_photos
from geoclip.photos.keys import tower_key
from geoclip.photos.opening import Photo, named, photo_list
from geoclip.photos.reader import BATCH, PhotoReader, in_batches
from geoclip.photos.records import PhotoRecord, read_records, records_of, with_keys
from geoclip.photos.views import location_keys
from geoclip.photos.word_search import described_by
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import PlaceIndex, Watch
from geoclip.ranking.ranked_places import RankedPlaces
from geoclip.ranking.ranker import PlaceRanker
from geoclip.ranking.settings import RankingSettings
from geoclip.support.paths import encode_path, path_list

if TYPE_CHECKING:
    from geoclip.guesses.guess_frame import Guesses
    from geoclip.guesses.inline_map import InlineMap
    from geoclip.photos.photo_sheet import PhotoTable
    from geoclip.ranking.gallery.lookup import GalleryLookup

Progress = Callable[[int], None]
"""Called with the number of photos done since the last call."""


class Locator:
    """Names the places of photos.

    Without `settings` places are ranked as for an uncalibrated model (`UNCALIBRATED`). `log_prior`
    (P,), if given, is added to the log posterior of the gazetteer's rows.

    >>> locator = Locator.from_pretrained().narrowed(countries=["Iceland"])
    >>> locator.locate(np.zeros((64, 64, 3), np.uint8), top_k=1)["status"].tolist()
    ['no evidence']
    >>> locator.countries(np.zeros((64, 64, 3), np.uint8)).head(1).to_dict()
    {'Iceland': 1.0}
    """

    def __init__(
        self,
        encoder: Encoder,
        index: PlaceIndex,
        gazetteer: Gazetteer,
        settings: RankingSettings | None = None,
        log_prior: np.ndarray | None = None,
    ) -> None:
        self.encoder = encoder
        with torch.no_grad():
            logit_scale = float(encoder.log_logit_scale.exp())
        self.ranker = PlaceRanker(index, gazetteer, logit_scale, settings, log_prior)
        self._checks: dict[AbstentionSettings, AbstentionCheck] = {}

    @property
    def index(self) -> PlaceIndex:
        """The embeddings of the places."""
        return self.ranker.index

    @property
    def gazetteer(self) -> Gazetteer:
        """The places."""
        return self.ranker.gazetteer

    @property
    def settings(self) -> RankingSettings:
        """How places are ranked."""
        return self.ranker.settings

    def __repr__(self) -> str:
        return f"Locator({self.encoder!r}, {self.ranker!r})"

    def _repr_html_(self) -> str:
        lines = [repr(self.encoder), repr(self.ranker), *self.warnings]
        return f"<b>Locator</b><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_MODEL,
        gazetteer: Gazetteer | None = None,
        device: str | None = None,
        settings: RankingSettings | None = None,
        *,
        precision: str = "auto",
        compile: bool = False,
        watch: Watch | None = None,
    ) -> "Locator":
        """Load an encoder by name or folder and index the gazetteer with it.

        The index is kept in the user's cache folder and reused while encoder, gazetteer and prompts
        are the same; `watch` receives the progress of making it. The model's `geoclip.json` gives
        the ranking settings it was calibrated with (`ModelSettings.of_model`); `settings` overrides
        them. `precision` and `compile` are those of `Encoder.for_photos`. The encoder is loaded
        with `for_photos`. Raises the GeoclipErrors of both and of `load_encoder`.
        """
        encoder = load_encoder(name, device or default_device(), for_photos=True)
        encoder.for_photos(precision, compile)
        gazetteer = Gazetteer.default() if gazetteer is None else gazetteer
        stored = ModelSettings.of_model(name)
        index = PlaceIndex.cached(encoder, gazetteer, stored.captions, watch)
        return cls(encoder, index, gazetteer, settings or stored.ranking_of(gazetteer))

    def narrowed(
        self,
        countries: Sequence[str] | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        near: tuple[float, float, float] | str | None = None,
        polygon: Any = None,
    ) -> "Locator":
        """The same locator for a part of the world; arguments and errors as `narrowing.prior`."""
        log_prior = self.ranker.narrowed(countries, bbox, near, polygon).log_prior
        return type(self)(self.encoder, self.index, self.gazetteer, self.settings, log_prior)

    def reranked(self, method: str | None = None, point: str | None = None) -> "Locator":
        """The same locator with another method or point; see `RankingSettings.overridden`."""
        settings = self.settings.overridden(method, point)
        return type(self)(self.encoder, self.index, self.gazetteer, settings, self.ranker.log_prior)

    @property
    def warnings(self) -> list[str]:
        """Sentences to show the user once."""
        return [*self.encoder.warnings, *self.ranker.warnings]

    def abstention_check(self, settings: AbstentionSettings) -> AbstentionCheck:
        """The abstention check, made once for each settings."""
        if settings not in self._checks:
            self._checks[settings] = AbstentionCheck.of(self.encoder, settings)
        return self._checks[settings]

    def reader(self, settings: LocateSettings) -> PhotoReader:
        """The reader of photos for `locate` and for runs over folders.

        It judges pixels whatever the settings, so that kept embeddings serve other settings.
        """
        return PhotoReader(
            self.encoder,
            metadata=True,
            trust_gps=settings.gps == "keep" and not settings.own_gallery,
            trust_all=settings.gps == "trust-all" and not settings.own_gallery,
            check=PIXEL_CHECK,
            frames=settings.frames,
        )

    def assembler(self, settings: LocateSettings) -> Assembler:
        """The maker of guesses for photos that were read.

        Raises GeoclipError for a gallery of another encoder, a damaged or an empty one.
        """
        check, folder = self.abstention_check(settings.abstention), settings.gallery
        opened = None if folder is None or settings.own_gallery else self.gallery(folder)
        return Assembler(self.ranker, check, settings, gallery=opened)

    def gallery(self, folder: str | Path) -> "GalleryLookup":
        """Open a gallery; raises GeoclipError for a damaged one or one of another encoder."""
        from geoclip.ranking.gallery.lookup import GalleryLookup  # noqa: PLC0415  (few use it)

        return GalleryLookup.open(Path(folder), tower_key(self.encoder))

    def embed(
        self, photos: Photo | Iterable[Photo], progress: Progress | None = None
    ) -> Embeddings:
        """Embeddings of photos and videos; one batch is read while another is encoded.

        `photos` are files, bytes, PIL images or arrays, and each has one row; see `locate` for
        names. An unreadable photo gets a status and a row of NaN.
        """
        given = [named(photo, i) for i, photo in enumerate(photo_list(photos))]
        return embed_named(self.encoder, given, self.index.embeddings.shape[1], progress)

    def rank(self, values: np.ndarray, top_k: int = 5) -> RankedPlaces:
        """Rank the cities for embeddings (N, d); places are given by id."""
        ranking = self.ranker.rank(values, top_k)
        return RankedPlaces.of(ranking, self.ranker.hierarchy, self.gazetteer)

    def countries(self, photo: Photo) -> pd.Series:
        """Probabilities of all countries for one photo, the most probable first; they sum to 1.

        It is the model's posterior alone, without the photo's metadata. The index is the countries'
        names: `.head(10).plot.barh()` draws it. Raises GeoclipError for an unreadable photo, and
        for several photos.
        """
        return self.ranker.countries(self.embed(photo).only())

    def search(
        self, words: str | Iterable[str], photos: Photo | Iterable[Photo], top: int = 10
    ) -> "PhotoTable":
        """The `top` photos, among files or folders, that words describe; see `described_by`.

        Raises GeoclipError where there are no words, and the errors of `locate`.
        """
        given, _ = given_photos(photo_list(photos), None)
        embedded = embed_named(self.encoder, given, self.index.embeddings.shape[1])
        return described_by(self.encoder, [str(text) for text in path_list(words)], embedded, top)

    def show(
        self,
        photos: Photo | Iterable[Photo],
        settings: LocateSettings | None = None,
        truth: pd.DataFrame | None = None,
        **options: Any,
    ) -> "InlineMap":
        """Locate photos and show them on a map in a notebook; see `Guesses.show`."""
        return self.locate(photos, settings).show(truth, **options)

    def locate(
        self,
        photos: Photo | Iterable[Photo],
        settings: LocateSettings | None = None,
        *,
        top_k: int | None = None,
        location_ids: Iterable[object] | None = None,
        progress: Progress | None = None,
    ) -> "Guesses":
        """Locate photos and videos as `geoclip locate` does, with the same rows.

        Args:
            photos: a file, a folder, a glob, the bytes of a photo, a PIL image, an array of uint8
                (height, width, 3) or (height, width), or several of these. An input without a file
                is called `photo 0`, `photo 1`, … by its position. settings: how photos are treated;
                `top_k` overrides theirs. location_ids: one for each of `photos`; those that share
                one are views of a location: the mean of their embeddings is ranked and each gets
                that guess. Their rows stand together in the table, at the place of the first. None,
                NaN and "" are no id.
            progress: called with the number of photos read since the last call.

        Returns one row for each photo and rank with the columns of `guesses.schema`, those of
        `guesses.gps_comparison` if settings compare, and the points as geometry. An unreadable
        photo has one row. Places that a prior or a greedy choice excludes are not listed, even
        where fewer than `top_k` are left. Raises GeoclipError for an input that is no photo, for a
        folder or glob without photos, and where `location_ids` and `photos` differ in number.
        """
        settings = settings or LocateSettings()
        settings = settings if top_k is None else replace(settings, top_k=top_k)
        given, keys = given_photos(photo_list(photos), location_ids)
        self.encoder.expect(len(given))
        assembler, records = self.assembler(settings), list[PhotoRecord]()
        batches = in_batches(given, BATCH)
        for some in read_records(self.encoder, self.reader(settings), batches, settings.jobs):
            records += some
            if progress:
                progress(len(some))
        if settings.gallery is not None:
            records = with_keys(records, given)
        names = [encode_path(name) for name, _ in given]
        tables = [block.table for block in assembler.blocks(names, records, keys)]
        table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        return to_geodataframe(table, assembler.extra_columns)

    def locate_one(
        self, photo: Photo, settings: LocateSettings | None = None, *, top_k: int | None = None
    ) -> list[Guess]:
        """The guesses for one photo, best first; without any, one row whose status says why."""
        return to_guesses(self.locate(photo, settings, top_k=top_k))

    def guesses(
        self,
        embeddings: Embeddings,
        top_k: int = 5,
        location_ids: Iterable[object] | None = None,
        classes: bool = False,
    ) -> pd.DataFrame:
        """The table of guesses for embeddings, by the model alone.

        With `location_ids` readable photos that share one are views of a location, and each gets
        the guess for their mean; rows stay in order. With `classes` the columns `CLASS_COLUMNS`
        follow the schema's: each photo's place at each level and the ranked countries and
        continents (see `rows.class_rows`). Raises GeoclipError where `location_ids` and photos
        differ in number.
        """
        settings = LocateSettings.model_alone(top_k)
        check = AbstentionCheck(settings.abstention)
        assembler = Assembler(self.ranker, check, settings, candidates=top_k, classes=classes)
        ids = checked_ids(location_ids, len(embeddings.paths))
        keys = None if ids is None else location_keys(ids)
        return assembler.block(embeddings.paths, records_of(embeddings), keys).table


def default_device() -> str:
    """Return "cuda" where PyTorch sees a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"
