"""Photo sets of benchmarks: the photos of a truth file, and their files.

Nothing is downloaded: the photos and the truth file are the user's own copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.evaluation.truth_tables import TRUTH_EXTRAS
from geoclip.photos.listing import list_photos
from geoclip.support.tables import (
    cell_text,
    coordinates,
    read_text_table,
    refuse_duplicates,
    refuse_no_coordinates,
    refuse_rows,
)

TRUTH_FILES = {
    "im2gps": ("im2gps_places365.csv", "im2gps.csv", "im2gps.mat"),
    "im2gps3k": ("im2gps3k_places365.csv", "im2gps3k.csv", "im2gps3k.mat", "im2gps3ktest.mat"),
    "yfcc4k": ("yfcc4k_places365.csv", "yfcc4k.csv", "yfcc4k.mat"),
    "osv5m": ("test.csv", "osv5m.csv"),
}
"""The known benchmarks, with the names of their truth files in the photos' folder."""

_NAMES = ("img_id", "path", "filename", "image", "id")
_LATITUDES = ("lat", "latitude")
_LONGITUDES = ("lon", "longitude", "lng")
_POSITIONS = ("gps", "latlon", "coordinates", "positions")


@dataclass(frozen=True)
class PhotoSet:
    """The photos of a truth file.

    `photos` has one row each: `path` (where it lies, or should lie), `name` (its file's name),
    `lat`, `lon` in degrees, `found`, and those of `TRUTH_EXTRAS` in the truth file.
    """

    name: str
    truth_file: Path
    folder: Path
    photos: pd.DataFrame

    @property
    def missing(self) -> int:
        """Listed photos missing from the folder: they count as misses."""
        return int((~self.photos["found"]).sum())

    @property
    def found(self) -> list[str]:
        """Paths of the existing photos."""
        return list(self.photos.loc[self.photos["found"], "path"])

    @classmethod
    def open(cls, benchmark: str, folder: Path, truth: Path | None = None) -> "PhotoSet":
        """The photos of a known benchmark, or of the truth file that `benchmark` names.

        `truth` is the truth file of a known benchmark; by default one of `TRUTH_FILES` in `folder`.
        Raises GeoclipError for an unknown benchmark, a folder without a truth file or without any
        listed photo, and as `read_listed` does.
        """
        if not folder.is_dir():
            raise GeoclipError(f"{folder} is no folder: name the one with the benchmark's photos.")
        file = truth or _truth_file(benchmark, folder)
        title = benchmark if benchmark in TRUTH_FILES else Path(benchmark).stem
        listed = read_listed(file)
        paths = _matched(listed["name"], folder)
        if not any(paths):
            raise GeoclipError(
                f"{folder} holds none of the {len(listed):,} photos that {file} lists (the first "
                f"is {listed['name'].iloc[0]!r}): name the folder with the benchmark's photos."
            )
        pairs = zip(paths, listed["name"], strict=True)
        where = [path or folder / name for path, name in pairs]
        photos = listed.assign(
            path=[str(path) for path in where],
            name=[path.name for path in where],
            found=[path is not None for path in paths],
        )
        refuse_duplicates(file, photos["path"], "photo")
        return cls(title, file, folder, photos)


def read_listed(path: Path) -> pd.DataFrame:
    """The photos of a truth file: `name` as listed, `lat`, `lon` in degrees, `TRUTH_EXTRAS`.

    It reads CSV tables with photos under IMG_ID, path, filename, image or id and coordinates under
    lat or latitude and lon, lng or longitude (those of GeoEstimation and OSV-5M, for instance), and
    MATLAB files with such variables. Raises GeoclipError for anything else and for invalid
    coordinates.
    """
    frame = _read_mat(path) if path.suffix.lower() == ".mat" else read_text_table(path)
    columns = [_column(frame, among) for among in (_NAMES, _LATITUDES, _LONGITUDES)]
    if None in columns:
        raise GeoclipError(
            f"{path} has {', '.join(map(str, frame.columns))}: a truth file needs IMG_ID, filename "
            "or id, and latitude and longitude."
        )
    if frame.empty:
        raise GeoclipError(f"{path} lists no photo: name another truth file with --truth.")
    extras = {name: frame[name].map(cell_text) for name in TRUTH_EXTRAS if name in frame}
    frame = frame[columns].set_axis(["name", "lat", "lon"], axis=1)
    name = frame["name"].map(cell_text)
    refuse_rows(path, name == "", "the photo's name is empty", "fill it in or drop the row")
    lat, lon = coordinates(frame, path)
    refuse_no_coordinates(lat, frame.index, path)
    refuse_duplicates(path, name, "photo")
    return pd.DataFrame({"name": name, "lat": lat, "lon": lon, **extras})


def _truth_file(benchmark: str, folder: Path) -> Path:
    if benchmark not in TRUTH_FILES:
        if not Path(benchmark).is_file():
            raise GeoclipError(
                f"{benchmark} is neither a known benchmark ({', '.join(TRUTH_FILES)}) nor a truth "
                "file: name one of these."
            )
        return Path(benchmark)
    for name in TRUTH_FILES[benchmark]:
        if (folder / name).is_file():
            return folder / name
    raise GeoclipError(
        f"{folder} holds no truth file of {benchmark} ({', '.join(TRUTH_FILES[benchmark])}): put "
        "it there or name it with --truth."
    )


def _column(frame: pd.DataFrame, among: Sequence[str]) -> str | None:
    return next((name for name in among if name in frame.columns), None)


def _matched(names: pd.Series, folder: Path) -> list[Path | None]:
    """The photo in `folder` of each listed name: by relative path, by file name, by bare id."""
    known: dict[str, Path] = {}
    photos = list_photos([folder])
    by_path = [(photo.relative_to(folder).as_posix(), photo) for photo in photos]
    by_name = [(photo.name, photo) for photo in photos]
    by_id = [(photo.stem, photo) for photo in photos]
    for name, photo in [*by_path, *by_name, *by_id]:
        known.setdefault(name, photo)
    return [known.get(name) or known.get(name.rsplit("/", 1)[-1]) for name in names]


def _read_mat(path: Path) -> pd.DataFrame:
    """The variables of a MATLAB file, or the fields of its one struct, as columns.

    A numeric variable of two columns called gps, latlon, coordinates or positions is latitude and
    longitude. Such a file cannot run code.
    """
    from scipy.io import loadmat  # noqa: PLC0415 - slow to import

    try:
        content: dict[str, Any] = loadmat(path, simplify_cells=True)
    except Exception as error:  # damaged and newer files fail in many ways
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise GeoclipError(
            f"{path} is no readable MATLAB file ({reason}): save it as version 7 or as CSV."
        ) from None
    variables = {key: value for key, value in content.items() if not key.startswith("__")}
    if len(variables) == 1:
        (only,) = variables.values()
        if isinstance(only, dict):
            variables = only
        elif isinstance(only, list | np.ndarray) and len(only) and isinstance(only[0], dict):
            variables = pd.DataFrame(list(only)).to_dict("list")
    columns: dict[str, Any] = {}
    for key, value in variables.items():
        values = np.asarray(value)
        if key.lower() in _POSITIONS and values.ndim == 2 and values.shape[1] == 2:
            columns |= {"lat": values[:, 0], "lon": values[:, 1]}
        elif values.ndim == 1:
            columns[key.lower()] = values
    try:
        frame = pd.DataFrame(columns)
    except ValueError:
        raise GeoclipError(
            f"{path} holds variables of different lengths ({', '.join(columns)}): keep one value "
            "for each photo."
        ) from None
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1))
