"""What a model folder says about its own use."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionSettings
from geoclip.ranking.ranking import RankingSettings

SETTINGS_FILE = "geoclip.json"


@dataclass(frozen=True)
class ModelSettings:
    """What a model folder says about its own use: prompts and calibrated ranking."""

    captions: CaptionSettings = field(default_factory=CaptionSettings)
    ranking: RankingSettings = field(default_factory=RankingSettings)

    @classmethod
    def read(cls, folder: Path | None) -> "ModelSettings":
        """Read `geoclip.json` of a model folder; defaults where there is none.

        Raises GeoclipError naming the file where it holds something else.
        """
        path = None if folder is None else folder / SETTINGS_FILE
        if path is None or not path.is_file():
            return cls()
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            captions = replace(CaptionSettings(), **as_tuples(stored.get("captions", {})))
            return cls(captions, replace(RankingSettings(), **as_tuples(stored.get("ranking", {}))))
        except (OSError, ValueError, TypeError, AttributeError, GeoclipError) as error:
            reason = str(error).rstrip(".")
            raise GeoclipError(f"{path} is not readable ({reason}); delete or mend it.") from error

    def tuned(self, countries: Iterable[str]) -> "ModelSettings":
        """Those of a model that was tuned further on photos of `countries` (ISO codes).

        They join the seen ones where those matter; a radius was judged for the model before.
        """
        ranking = replace(self.ranking, radius_share=0.0)
        if ranking.seen_countries:
            seen = tuple(sorted({*ranking.seen_countries, *countries}))
            ranking = replace(ranking, seen_countries=seen)
        return replace(self, ranking=ranking)

    def write(self, folder: Path) -> None:
        """Write `geoclip.json` beside a model's weights."""
        text = json.dumps({"captions": asdict(self.captions), "ranking": asdict(self.ranking)})
        (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def as_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Values of JSON or options as settings hold them: tuples for lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
