"""The file `geoclip.json` of a model: its prompts and its calibrated ranking.

It lies in the model's folder. For a hub's or embedded model it lies in the user's data folder.

Version 2 has the layout of the settings' dataclasses. Files without a version are of version 1,
with a flat ranking; they are translated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from geoclip.encoders.hub import hub_folder
from geoclip.encoders.registry import CHECKPOINTS, model_folder, model_id
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionSettings
from geoclip.places.place import LEVELS
from geoclip.ranking.conformal import Calibration, ConformalRadii
from geoclip.ranking.gallery_weights import GallerySettings, GalleryWeights
from geoclip.ranking.settings import (
    UNCALIBRATED,
    PointEstimate,
    Prior,
    RankingSettings,
    Temperatures,
)
from geoclip.support.files import write_whole
from geoclip.support.user_folders import data_folder

if TYPE_CHECKING:  # pandas is slow to import
    from geoclip.places.gazetteer import Gazetteer

SETTINGS_FILE = "geoclip.json"
VERSION = 2

Values = dict[str, Any]


@dataclass(frozen=True)
class ModelSettings:
    """A model folder's own settings: prompts and calibrated ranking.

    A model without ranking settings uses `UNCALIBRATED`. `tables` are the rankings of classes by
    the names of their levels, joined by "/".
    """

    captions: CaptionSettings = field(default_factory=CaptionSettings)
    ranking: RankingSettings = UNCALIBRATED
    tables: dict[str, RankingSettings] = field(default_factory=dict)

    @classmethod
    def of_model(cls, name: str | Path) -> ModelSettings:
        """The settings of the model called `name`: the user's calibration, else its own.

        Raises GeoclipError as `read` does.
        """
        own = settings_folder(name)
        if (own / SETTINGS_FILE).is_file():
            return cls.read(own)
        return cls.read(model_folder(name) or hub_folder(str(name)))

    @classmethod
    def read(cls, folder: Path | None) -> ModelSettings:
        """Read `geoclip.json` of a model folder; defaults where there is none.

        Raises GeoclipError naming the file for other content, and for an unknown key also the key
        and the version of geoclip that wrote the file.
        """
        path = None if folder is None else folder / SETTINGS_FILE
        if path is None or not path.is_file():
            return cls()
        try:
            return _read(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError, GeoclipError) as error:
            reason = str(error).rstrip(".")
            raise GeoclipError(f"{path} is not readable ({reason}); delete or mend it.") from error

    def ranking_of(self, gazetteer: Gazetteer) -> RankingSettings:
        """The ranking of places, or of a table of levels its own.

        What was fitted to the one says nothing of the other.
        """
        if gazetteer.has_positions:
            return self.ranking
        return self.tables.get("/".join(gazetteer.level_names), UNCALIBRATED)

    def with_ranking(self, gazetteer: Gazetteer, ranking: RankingSettings) -> ModelSettings:
        """The same with another ranking of a gazetteer's places or classes."""
        if gazetteer.has_positions:
            return replace(self, ranking=ranking)
        return replace(self, tables={**self.tables, "/".join(gazetteer.level_names): ranking})

    def tuned(self, countries: Iterable[str]) -> ModelSettings:
        """The settings after further fine-tuning on photos of `countries` (ISO codes).

        These join the seen countries of calibrated stacking, if there is one. The radii are
        dropped: they were calibrated for the old model.
        """
        ranking = self.ranking.without_radius()
        if ranking.prior.seen_countries:
            seen = tuple(sorted({*ranking.prior.seen_countries, *countries}))
            ranking = replace(ranking, prior=replace(ranking.prior, seen_countries=seen))
        return replace(self, ranking=ranking, tables={})

    def write(self, folder: Path) -> None:
        """Write `geoclip.json` beside a model's weights."""
        stored = {
            "version": VERSION,
            "geoclip": _own_version(),
            "captions": asdict(self.captions),
            "ranking": asdict(self.ranking, dict_factory=_given),
        }
        if self.tables:
            own = self.tables.items()
            stored["tables"] = {key: asdict(r, dict_factory=_given) for key, r in own}
        text = json.dumps(stored) + "\n"
        write_whole(folder / SETTINGS_FILE, lambda file: file.write(text.encode()))


def settings_folder(name: str | Path) -> Path:
    """The folder of the settings of the model called `name` once a user has calibrated it.

    That is the model's folder. Hub models have none, and embedded ones belong to the package, which
    is not written to: their settings go to the user's data folder, under the model's id.
    """
    folder = model_folder(name)
    if folder is not None and folder.resolve().parent != CHECKPOINTS:
        return folder
    known_by = model_id(str(name)) if folder is None else folder.resolve().name
    return data_folder() / "models" / quote(known_by, safe="")


def ranking_of(stored: Values, writer: str = "") -> RankingSettings:
    """Ranking settings from the layout of version 2; absent keys have defaults.

    Raises GeoclipError for an unknown key, naming the `writer`, and for an invalid value.
    """
    parts = as_tuples(_known(stored, RankingSettings, "ranking", writer))
    for name, make in (("temperatures", Temperatures), ("prior", Prior)):
        if name in parts:
            parts[name] = make(**as_tuples(_known(parts[name], make, name, writer)))
    if "calibration" in parts:
        parts["calibration"] = _calibration(parts["calibration"], writer)
    if "gallery" in parts:
        parts["gallery"] = _gallery(parts["gallery"], writer)
    if "point" in parts:
        parts["point"] = PointEstimate.of(**_known(parts["point"], PointEstimate, "point", writer))
    return RankingSettings(**parts)


def _calibration(stored: Values, writer: str) -> Calibration:
    parts = _known(stored, Calibration, "calibration", writer)
    for name in ("radius", "radius_90"):
        if name in parts:
            parts[name] = ConformalRadii(
                **as_tuples(_known(parts[name], ConformalRadii, name, writer))
            )
    return Calibration(**parts)


def _gallery(stored: Values, writer: str) -> GallerySettings:
    parts = _known(stored, GallerySettings, "gallery", writer)
    if "weights" in parts:
        parts["weights"] = GalleryWeights(
            **_known(parts["weights"], GalleryWeights, "weights", writer)
        )
    if "calibration" in parts:
        parts["calibration"] = _calibration(parts["calibration"], writer)
    return GallerySettings(**parts)


def as_tuples(values: Values) -> Values:
    """Values of JSON or options in the form of settings: tuples for lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _read(stored: Values) -> ModelSettings:
    writer = f"geoclip {stored.get('geoclip', 'of version 0.1.0 or before')}"
    layout = stored.get("version", 1)
    if layout not in (1, VERSION):
        raise GeoclipError(
            f"its layout is version {layout!r} of {writer}, this geoclip reads versions up to "
            f"{VERSION}"
        )
    _refuse_unknown(
        stored, {"version", "geoclip", "captions", "ranking", "tables"}, "the file", writer
    )
    captions, ranking = stored.get("captions", {}), stored.get("ranking", {})
    if layout == 1:
        captions, ranking = _captions_of_version_1(captions), _from_version_1(ranking, writer)
    captions = CaptionSettings(**as_tuples(_known(captions, CaptionSettings, "captions", writer)))
    tables = {key: ranking_of(own, writer) for key, own in stored.get("tables", {}).items()}
    if "ranking" not in stored:
        return ModelSettings(captions, tables=tables)
    return ModelSettings(captions, ranking_of(ranking, writer), tables)


def _known(values: Values, kind: type, where: str, writer: str) -> Values:
    """The arguments of a settings class among the values, without nulls."""
    _refuse_unknown(values, {f.name for f in fields(kind)}, where, writer)
    return _given(values.items())


def _refuse_unknown(values: Values, known: set[str], where: str, writer: str) -> None:
    for key in values.keys() - known:
        by = f"; {writer} wrote the file" if writer else ""
        raise GeoclipError(f"{where} has the unknown key {key!r}{by}")


def _given(pairs: Iterable[tuple[str, Any]]) -> Values:
    return {name: value for name, value in pairs if value is not None}


_VERSION_1 = {
    "method", "point", "temperatures", "greedy_cities", "point_cities", "point_temperature",
    "radius_share", "seen_countries", "seen_penalty", "size_power",
}  # fmt: skip


def _from_version_1(old: Values, writer: str) -> Values:
    """The ranking of version 1, which stored all settings, even those without effect."""
    _refuse_unknown(old, _VERSION_1, "ranking", writer)
    new: Values = {name: old[name] for name in ("method", "radius_share") if name in old}
    prior: Values = {}
    if old.get("method") == "greedy":
        new["greedy_cities"] = old.get("greedy_cities")
    else:
        if "temperatures" in old:
            new["temperatures"] = dict(zip(LEVELS, old["temperatures"], strict=True))
        prior["country_size_exponent"] = old.get("size_power")
    if old.get("seen_countries") and old.get("seen_penalty"):
        prior["seen_countries"] = old["seen_countries"]
        prior["stacking_factor"] = old["seen_penalty"]
    point = {"rule": old.get("point", "expected_score")}
    if point["rule"] == "expected_score":
        point["cities"] = old.get("point_cities")
    if point["rule"] == "expected_score_regions":
        point["temperature"] = old.get("point_temperature")
    return {**new, "prior": prior, "point": point}


def _captions_of_version_1(old: Values) -> Values:
    """The captions of version 1, whose "opening" is the prefix."""
    new = {"prefix" if name == "opening" else name: value for name, value in old.items()}
    for name, value in new.items():
        if name.endswith("_prompts") and isinstance(value, list):
            new[name] = [str(text).replace("{opening}", "{prefix}") for text in value]
    return new


def _own_version() -> str:
    try:
        return version("geoclip-gzsl")
    except PackageNotFoundError:  # a checkout on the import path, not installed
        return "of a checkout"
