"""The identity of a run, and whether a folder belongs to the same run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geoclip.encoders import Encoder
from geoclip.encoders.encoder import weight_sample
from geoclip.errors import GeoclipError
from geoclip.training.batches import Batches


def made_of(batches: Batches) -> dict[str, Any]:
    """The inputs that must be equal for a saved state to belong to a run of these batches.

    Settings that only change memory and speed may differ (`TrainingSettings.identity`). Call it
    before the first step: the starting weights are part of it.
    """
    return {
        "steps": batches.steps,
        **batches.settings.identity(),
        "photos": batches.photos.digest()[:16],
        "start": weights_digest(batches.encoder),
        "gazetteer": batches.book.gazetteer.fingerprint,
        "captions": asdict(batches.book.settings),
    }


def check_same_run(
    folder: Path, noted: Mapping[str, Any], present: Mapping[str, Any], within: str = ""
) -> None:
    """Raise GeoclipError where a folder's run, as noted in it, had other inputs than this one.

    `noted` comes from JSON. A name missing there does not count: earlier versions did not write it.
    `within` precedes the names.
    """
    for name, value in json.loads(json.dumps(present)).items():
        if name not in noted or noted[name] == value:
            continue
        if isinstance(value, dict) and isinstance(noted[name], dict):
            check_same_run(folder, noted[name], value, f"{within}{name}.")
            continue
        raise GeoclipError(
            f"{folder} belongs to another run (its {within}{name}: {noted[name]}, this one's: "
            f"{value}); use the same photos and settings to resume, or name another folder."
        )


def weights_digest(encoder: Encoder) -> str:
    """Short hash of an even sample of all weights: a run resumes only from the same model."""
    digest = hashlib.sha256()
    for name, value in encoder.model.state_dict().items():
        digest.update(f"{name} ".encode() + weight_sample(value, 256))
    return digest.hexdigest()[:16]
