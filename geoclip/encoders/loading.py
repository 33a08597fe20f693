"""From a model's name or folder to an encoder."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geoclip.encoders.encoder import Encoder
from geoclip.encoders.registry import HUB_PREFIXES, KNOWN_MODELS, WEIGHTS_FILES, unknown_model
from geoclip.errors import GeoclipError

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def load_encoder(name: str | Path, device: str = "cpu") -> Encoder:
    """Load the encoder called `name`.

    `name` is one of the known names (`geoclip models`), a local folder in open_clip's or
    transformers' layout, `hf:ID` for a hub model, or `ARCHITECTURE:TAG` of open_clip's pretrained
    list (`ARCHITECTURE:random` for tests). Only known names of hub models, `hf:` and tags may
    download. Raises GeoclipError for an unknown name, a pickle, a folder without a model, or a
    device that is not there.
    """
    if device.partition(":")[0] == "meta":
        raise GeoclipError("The device meta holds no values; name cpu or one that is there.")
    encoder = _load(str(name))
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
        encoder = load_folder(path)
        encoder.folder = path
        return encoder
    if path.is_file() or path.suffix in PICKLE_SUFFIXES:
        raise GeoclipError(_refusal(path))
    if known and known.kind == "transformers":
        return _load_hub(reference)
    for prefix in HUB_PREFIXES:
        if reference.startswith(prefix):
            return _load_hub(reference.removeprefix(prefix))
    if ":" in reference:
        return _load_tag(reference)
    raise unknown_model(name)


def load_folder(folder: Path) -> Encoder:
    """Load an encoder from a local folder; only safetensors weights are read."""
    if not (folder / "open_clip_config.json").is_file() and not (folder / "config.json").is_file():
        raise GeoclipError(
            f"{folder} holds neither open_clip_config.json nor config.json; "
            "name the folder of an open_clip or transformers model."
        )
    _refuse_pickle(folder)
    try:
        if (folder / "open_clip_config.json").is_file():
            from geoclip.encoders.open_clip_encoder import OpenClipEncoder  # noqa: PLC0415

            return OpenClipEncoder.from_folder(folder)
        from geoclip.encoders.transformers_encoder import TransformersEncoder  # noqa: PLC0415

        return TransformersEncoder.from_pretrained(folder)
    except Exception as error:  # a damaged config or weights file fails in many ways
        raise GeoclipError(
            f"{folder} does not load as a model ({_reason(error)}); copy or convert it again."
        ) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().rstrip(".:").splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _refuse_pickle(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = [p for p in sorted(folder.iterdir()) if p.suffix in PICKLE_SUFFIXES]
    if pickles:
        raise GeoclipError(_refusal(pickles[0]))
    raise GeoclipError(f"{folder} holds no *.safetensors weights; copy the model's weights there.")


def _refusal(path: Path) -> str:
    if path.suffix in PICKLE_SUFFIXES:
        return (
            f"{path} is a pickle, which can run code when loaded, and is refused; "
            f"convert it once with: geoclip models convert {path}"
        )
    return f"{path} is a file; name the folder that holds the model's config and weights."


def _load_hub(model_id: str) -> Encoder:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    advice = "check the id and the connection, or download it and name its folder"
    with _one_sentence(f"{model_id} could not be loaded from the hub", advice):
        try:
            hf_hub_download(model_id, "open_clip_config.json")
        except EntryNotFoundError:
            from geoclip.encoders.transformers_encoder import TransformersEncoder  # noqa: PLC0415

            return TransformersEncoder.from_pretrained(model_id, local=False)
        from geoclip.encoders.open_clip_encoder import OpenClipEncoder  # noqa: PLC0415

        _fetch_safetensors(model_id)
        return OpenClipEncoder.from_reference(f"hf-hub:{model_id}", name=model_id)


@contextmanager
def _one_sentence(what: str, advice: str) -> Iterator[None]:
    """Turn any failure of network and hub into one GeoclipError; the user's cure is the same."""
    try:
        yield
    except GeoclipError:
        raise
    except Exception as error:
        raise GeoclipError(f"{what} ({_reason(error)}); {advice}.") from error


def _fetch_safetensors(model_id: str, pickle: str = "") -> None:
    """Download a hub model's safetensors, unless they are here already.

    open_clip would take a pickle where it finds no safetensors of the same name. `pickle` is that
    pickle's name, "" for the usual one. Raises GeoclipError where the hub has no safetensors.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: PLC0415

    file = Path(pickle).with_suffix(".safetensors").name if pickle else WEIGHTS_FILES["open_clip"]
    try:
        hf_hub_download(model_id, file)
    except LocalEntryNotFoundError:  # no network: the hub may have the file or not
        raise
    except EntryNotFoundError:
        raise GeoclipError(
            f"{model_id} has no {file} on the hub, and a pickle, which can run code when loaded, "
            "is refused; download it and convert it once with: geoclip models convert FILE"
        ) from None


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
    with _one_sentence(f"{name} could not be loaded", "check the connection"):
        if tag != "random":
            source = open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"]
            _fetch_safetensors(*source.rsplit("/", 1))
        return OpenClipEncoder.from_reference(architecture, tag, name=name)
