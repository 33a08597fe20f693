"""Load an encoder by a model's name or folder."""

import difflib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from geoclip.encoders.encoder import Encoder
from geoclip.encoders.model_folder import (
    PICKLE_SUFFIXES,
    WEIGHTS_FILES,
    ModelFolder,
    pickle_refusal,
)
from geoclip.encoders.registry import HUB_PREFIXES, KNOWN_MODELS, model_folder, unknown_model
from geoclip.encoders.small_clip import SmallClipEncoder, can_read
from geoclip.errors import GeoclipError


def load_encoder(name: str | Path, device: str = "cpu", for_photos: bool = False) -> Encoder:
    """Load the encoder called `name`.

    `name` is one of the known names (`geoclip models`), a local folder in open_clip's or
    transformers' layout, `hf:ID` for a hub model, or `ARCHITECTURE:TAG` of open_clip's pretrained
    list (`ARCHITECTURE:random` for tests). Only known names of hub models, `hf:` and tags may
    download. With `for_photos` the encoder can be neither trained nor saved: models like the
    embedded default are then read without open_clip, whose import takes longer than a first answer.
    Raises GeoclipError for an unknown name, a pickle, a folder without a model, or an absent
    device.

    >>> load_encoder("street-tiny", for_photos=True).encode_texts(["a street in Lyon"]).shape
    (1, 192)
    """
    if device.partition(":")[0] == "meta":
        raise GeoclipError("The device meta holds no values; name cpu or one that is there.")
    folder = model_folder(name) if for_photos else None
    encoder = _load(str(name)) if folder is None else load_folder(folder, for_photos)
    try:
        encoder.model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch raises either for an absent device
        raise GeoclipError(
            f"The device {device} cannot be used ({_reason(error)}); name cpu or one that is there."
        ) from error
    return encoder


def _load(name: str) -> Encoder:
    known = KNOWN_MODELS.get(name)
    reference = known.reference if known else name
    path = Path(reference)
    if path.is_dir():
        return load_folder(path)
    if path.suffix in PICKLE_SUFFIXES:
        raise pickle_refusal(path)
    if path.is_file():
        raise GeoclipError(
            f"{path} is a file; name the folder that holds the model's config and weights."
        )
    if known and (known.kind == "transformers" or known.whole):
        return _load_hub(known.hub_id)
    for prefix in HUB_PREFIXES:
        if reference.startswith(prefix):
            return _load_hub(reference.removeprefix(prefix))
    if ":" in reference:
        return _load_tag(reference)
    raise unknown_model(name)


def load_folder(path: Path, for_photos: bool = False) -> Encoder:
    """Load an encoder from a local folder; only safetensors weights are read.

    `for_photos` is that of `load_encoder`. Raises GeoclipError where the folder is incomplete
    (`ModelFolder.read`) or does not load, where its tokenizer makes two captions equal, and where
    its picture size does not fit its image tower.
    """
    library = ModelFolder.read(path).library
    with _one_sentence(f"{path} does not load as a model", "copy or convert it again"):
        if library == "open_clip" and for_photos and can_read(path):
            encoder: Encoder = SmallClipEncoder.from_folder(path)
        elif library == "open_clip":
            from geoclip.encoders.open_clip_encoder import OpenClipEncoder  # noqa: PLC0415

            encoder = OpenClipEncoder.from_folder(path)
        else:
            from geoclip.encoders.transformers_encoder import TransformersEncoder  # noqa: PLC0415

            encoder = TransformersEncoder.from_pretrained(path)
    encoder.folder = path
    return encoder


def _reason(error: Exception) -> str:
    lines = str(error).strip().rstrip(".:").splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _load_hub(hub_id: str) -> Encoder:
    """Load a hub model from its folder on this machine, fetched first if needed."""
    from geoclip.encoders.hub import fetch_folder, find_folder  # noqa: PLC0415 - imports the hub

    commit = next((m.commit for m in KNOWN_MODELS.values() if m.hub_id == hub_id), "")
    notes: list[str] = []
    folder = find_folder(hub_id, commit)
    if folder is None:
        with _from_hub(hub_id):
            folder, notes = fetch_folder(hub_id, commit)
    encoder = load_folder(folder)
    encoder.name = hub_id
    encoder.warnings += notes
    return encoder


@contextmanager
def _one_sentence(what: str, advice: str) -> Iterator[None]:
    """Turn any failure of network and hub into one GeoclipError; the cure is the same."""
    try:
        yield
    except GeoclipError:
        raise
    except Exception as error:
        raise GeoclipError(f"{what} ({_reason(error)}); {advice}.") from error


def _from_hub(hub_id: str) -> AbstractContextManager[None]:
    advice = "check the id and the connection, or download it and name its folder"
    return _one_sentence(f"{hub_id} could not be loaded from the hub", advice)


def _load_tag(name: str) -> Encoder:
    import open_clip  # noqa: PLC0415

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder  # noqa: PLC0415

    architecture, tag = name.split(":", 1)
    if architecture not in open_clip.list_models():
        near = difflib.get_close_matches(architecture, open_clip.list_models(), n=3)
        raise GeoclipError(
            f"open_clip has no architecture {architecture!r}; nearest: {', '.join(near) or 'none'}."
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in (*tags, "random"):
        raise GeoclipError(
            f"{architecture} has no pretrained tag {tag!r}; "
            f"its tags are {', '.join(tags) or 'none'}."
        )
    weights = None if tag == "random" else _tag_weights(architecture, tag)
    with _one_sentence(f"{name} does not load as a model", "download it again"):
        return OpenClipEncoder.from_reference(architecture, tag, name, weights)


def _tag_weights(architecture: str, tag: str) -> Path:
    """The safetensors of a tag; open_clip would take a pickle where the hub has none."""
    import open_clip  # noqa: PLC0415

    from geoclip.encoders.hub import fetch_file  # noqa: PLC0415 - imports the hub

    hub_id, pickle = open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"].rsplit("/", 1)
    file = Path(pickle).with_suffix(".safetensors").name if pickle else WEIGHTS_FILES["open_clip"]
    with _from_hub(hub_id):
        return fetch_file(hub_id, file)
