"""Convert a pickled state dict to safetensors, once; no pickle is ever loaded for use."""

import warnings
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from geoclip.encoders.model_folder import WEIGHTS_FILES, refuse_packed, refuse_pointer
from geoclip.errors import GeoclipError
from geoclip.support.files import write_tensors

# The names that open_clip and transformers look for in a model folder.
_TARGET_NAMES = {
    "open_clip_pytorch_model.bin": WEIGHTS_FILES["open_clip"],
    "pytorch_model.bin": WEIGHTS_FILES["transformers"],
}


def convert_state_dict(source: str | Path, folder: str | Path | None = None) -> Path:
    """Write the tensors of a `.bin` or `.pt` file as safetensors into `folder`.

    Returns the new file. torch reads the old one with `weights_only`, which runs no code from it.
    `folder` defaults to the folder of `source`. Raises GeoclipError when the file is missing, holds
    anything but a state dict of tensors, or has been converted before.
    """
    source = Path(source)
    target = Path(folder or source.parent) / _TARGET_NAMES.get(
        source.name, f"{source.stem}.safetensors"
    )
    if not source.is_file():
        raise GeoclipError(f"There is no file {source}: name the .bin or .pt file to convert.")
    refuse_pointer(source)
    refuse_packed(source)
    if target.exists():
        raise GeoclipError(f"{target} exists already: remove it first, or name another --out.")
    tensors = _tensors(_load(source), source)
    _save(tensors, target)
    return target


def _load(source: Path) -> Any:
    import torch  # noqa: PLC0415

    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that are refused below
            return torch.load(source, map_location="cpu", weights_only=True)
    except Exception as problem:  # pickle, zip and torch each have their own kinds
        raise GeoclipError(
            f"{source} is damaged or holds more than tensors, which is refused "
            f"({type(problem).__name__}): ask its publisher for safetensors."
        ) from None


def _tensors(loaded: Any, source: Path) -> dict[str, Any]:
    """The state dict, from inside a training checkpoint if need be, without parallel prefixes."""
    import torch  # noqa: PLC0415

    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    named = loaded if isinstance(loaded, dict) else {}
    if not named or not all(isinstance(value, torch.Tensor) for value in named.values()):
        raise GeoclipError(f"{source} is no state dict: it must hold named tensors only.")
    # safetensors refuses tensors that share memory, as tied weights do.
    return {
        str(name).removeprefix("module."): tensor.detach().clone().contiguous()
        for name, tensor in named.items()
    }


def _save(tensors: dict[str, Any], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(target, tensors, metadata={"format": "pt"})
    except (OSError, SafetensorError) as problem:  # the latter for a full disk
        reason = getattr(problem, "strerror", None) or problem
        raise GeoclipError(f"{target} cannot be written: {reason}.") from None
