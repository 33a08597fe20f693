"""What a model folder says about its own use."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from geoclip.captions import CaptionSettings
from geoclip.errors import GeoclipError
from geoclip.ranking import RankingSettings

SETTINGS_FILE = "geoclip.json"


@dataclass(frozen=True)
class ModelSettings:
    """What a model folder says about its own use: prompts and calibrated ranking."""

    captions: CaptionSettings = CaptionSettings()
    ranking: RankingSettings = RankingSettings()

    @classmethod
    def read(cls, folder: Path | None) -> "ModelSettings":
        """Read `geoclip.json` of a model folder; defaults where there is none."""
        path = None if folder is None else folder / SETTINGS_FILE
        if path is None or not path.is_file():
            return cls()
        try:
            stored = json.loads(path.read_text())
            captions = replace(CaptionSettings(), **_tuples(stored.get("captions", {})))
            return cls(captions, replace(RankingSettings(), **_tuples(stored.get("ranking", {}))))
        except (ValueError, TypeError) as error:
            raise GeoclipError(f"{path} is not readable ({error}); delete or mend it.") from error

    def write(self, folder: Path) -> None:
        """Write `geoclip.json` beside a model's weights."""
        text = json.dumps({"captions": asdict(self.captions), "ranking": asdict(self.ranking)})
        (folder / SETTINGS_FILE).write_text(text + "\n")


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
