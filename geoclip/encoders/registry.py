"""The encoders that have a short name.

Nothing here loads a model or uses the network. Sizes are those of the weights in 32-bit floats; the
embedded model's is the size as stored.

>>> KNOWN_MODELS["streetclip"].licence
'CC BY-NC 4.0'
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from geoclip.errors import GeoclipError

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
HUB_PREFIXES = ("hf:", "hf-hub:")


@dataclass(frozen=True)
class KnownModel:
    """An encoder with a short name.

    `reference` is the argument of its loader: `ARCHITECTURE:TAG` for open_clip, a hub id for
    transformers, the folder of an embedded model. `hub_id` is the Hugging Face repository that
    holds the weights, "" for an embedded model. `commit` is the beginning of a commit with
    safetensors, for repositories whose main branch has a pickle. A `whole` repository is loaded as
    a folder, for its own tokenizer.
    """

    name: str
    kind: Literal["open_clip", "transformers", "embedded"]
    reference: str
    size_mb: int
    licence: str
    note: str
    hub_id: str = ""
    commit: str = ""
    whole: bool = False


_HUB_MODELS = (
    KnownModel(
        "streetclip",
        "transformers",
        "geolocal/StreetCLIP",
        1711,
        "CC BY-NC 4.0",
        "the authors' own; what is fine-tuned from it inherits the licence",
        "geolocal/StreetCLIP",
        "4d1b654",
    ),
    # OpenAI trained with QuickGELU; without it in the name the features are silently wrong.
    KnownModel(
        "clip-l-336",
        "open_clip",
        "ViT-L-14-336-quickgelu:openai",
        1711,
        "MIT",
        "the starting point of StreetCLIP",
        "timm/vit_large_patch14_clip_336.openai",
    ),
    KnownModel(
        "clip-l",
        "open_clip",
        "ViT-L-14-quickgelu:openai",
        1710,
        "MIT",
        "OpenAI CLIP, 224 px",
        "timm/vit_large_patch14_clip_224.openai",
    ),
    KnownModel(
        "clip-b-16",
        "open_clip",
        "ViT-B-16-quickgelu:openai",
        599,
        "MIT",
        "OpenAI CLIP, 224 px",
        "timm/vit_base_patch16_clip_224.openai",
    ),
    KnownModel(
        "clip-b-32",
        "open_clip",
        "ViT-B-32-quickgelu:openai",
        605,
        "MIT",
        "OpenAI CLIP, 224 px, the fastest",
        "timm/vit_base_patch32_clip_224.openai",
    ),
    KnownModel(
        "laion-b-32",
        "open_clip",
        "ViT-B-32:laion2b_s34b_b79k",
        605,
        "MIT",
        "trained on LAION-2B, 224 px",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ),
    KnownModel(
        "siglip",
        "open_clip",
        "ViT-B-16-SigLIP:webli",
        813,
        "Apache-2.0",
        "sigmoid loss, 224 px",
        "timm/ViT-B-16-SigLIP",
        whole=True,
    ),
    KnownModel(
        "siglip-so400m",
        "open_clip",
        "ViT-SO400M-14-SigLIP-384:webli",
        3512,
        "Apache-2.0",
        "sigmoid loss, 384 px",
        "timm/ViT-SO400M-14-SigLIP-384",
        whole=True,
    ),
    KnownModel(
        "siglip2",
        "open_clip",
        "ViT-B-16-SigLIP2:webli",
        1501,
        "Apache-2.0",
        "sigmoid loss, texts of many languages, 224 px",
        "timm/ViT-B-16-SigLIP2",
        whole=True,
    ),
    KnownModel(
        "siglip2-so400m",
        "open_clip",
        "ViT-SO400M-16-SigLIP2-384:webli",
        4544,
        "Apache-2.0",
        "sigmoid loss, texts of many languages, 384 px, the largest",
        "timm/ViT-SO400M-16-SigLIP2-384",
        whole=True,
    ),
)

DEFAULT_MODEL = "street-tiny"
"""The model that is used when none is named."""
_STREET_TINY = KnownModel(
    DEFAULT_MODEL,
    "embedded",
    "",
    25,
    "research and demonstration only, see its LICENSE",
    "comes with geoclip, needs no download; used when no model is named",
)


def known_models(checkpoints: Path = CHECKPOINTS) -> dict[str, KnownModel]:
    """Short name → model; an embedded model is listed only where its folder is."""
    folder = checkpoints / _STREET_TINY.name
    embedded = [replace(_STREET_TINY, reference=str(folder))] if folder.is_dir() else []
    return {model.name: model for model in [*embedded, *_HUB_MODELS]}


KNOWN_MODELS = known_models()


def check_model_name(name: str) -> None:
    """Raise GeoclipError unless `name` can name a model.

    It is a known name, an existing path, a hub id (`hf:ORGANISATION/NAME`) or an open_clip
    `ARCHITECTURE:TAG`. The error offers the nearest known names.
    """
    if name not in KNOWN_MODELS and ":" not in name and not Path(name).exists():
        raise unknown_model(name)


def model_folder(name: str | Path) -> Path | None:
    """The folder that a model's name stands for; None for hub models."""
    known = KNOWN_MODELS.get(str(name))
    folder = Path(known.reference if known else name)
    return folder if folder.is_dir() else None


def model_id(name: str) -> str:
    """One name for all names of a model: its hub id if it has one, else its own name.

    >>> model_id("streetclip"), model_id("hf:geolocal/StreetCLIP")
    ('geolocal/StreetCLIP', 'geolocal/StreetCLIP')
    """
    for known in KNOWN_MODELS.values():
        if name in (known.name, known.reference):
            return known.hub_id or known.name
    for prefix in HUB_PREFIXES:
        name = name.removeprefix(prefix)
    return name


def unknown_model(name: str) -> GeoclipError:
    """The error for a name that is neither known nor a folder; offers the nearest known names."""
    names = list(KNOWN_MODELS)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    offer = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names)}."
    return GeoclipError(f"There is no model or folder called {name!r}; {offer}")
