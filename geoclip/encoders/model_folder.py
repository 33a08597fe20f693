"""What a model's folder holds: its layout, its weights, and whether they are all there.

Nothing here loads a model. The same rules hold for repositories of the hub and for local copies.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from geoclip.errors import GeoclipError

WEIGHTS_FILES = {"open_clip": "open_clip_model.safetensors", "transformers": "model.safetensors"}
"""Names that each library gives to a model's weights."""
OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG = "open_clip_config.json", "config.json"
OPEN_CLIP_WEIGHTS = (WEIGHTS_FILES["open_clip"], "open_clip_pytorch_model.safetensors")
SHARD_INDEX = "model.safetensors.index.json"
PICKLES = ("open_clip_pytorch_model.bin", "pytorch_model.bin")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
SMALL_SUFFIXES = (".json", ".txt", ".model")
"""Configs and tokenizers."""
IMAGE_CONFIGS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER, SENTENCEPIECE = "tokenizer.json", "spiece.model"
_TOKENIZERS = ((TOKENIZER,), ("vocab.json", "merges.txt"), (SENTENCEPIECE,), ("vocab.txt",))
PROCESSOR_FILES = (
    *IMAGE_CONFIGS,
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", TOKENIZER),
    *("vocab.json", "merges.txt", "vocab.txt", SENTENCEPIECE, "tokenizer.model"),
)
"""Files that configure the preparation of pictures and texts in transformers' layout."""
_GZIP = b"\x1f\x8b"
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of torch's archives and of other pickles."""
_BRACE = 8
_POINTER = b"version https://git-lfs.github.com/spec/"

Library = Literal["open_clip", "transformers"]


def files_in(folder: Path) -> set[str]:
    """Names of a folder's files, without broken links."""
    return {file.name for file in folder.iterdir() if file.is_file()}


def library_of(names: Collection[str]) -> Library | None:
    """The library that reads a folder of these files; None without a config among them.

    A repository with both layouts is read in the one whose weights are safetensors.
    """
    own = any(name in names for name in OPEN_CLIP_WEIGHTS)
    other = WEIGHTS_FILES["transformers"] in names or SHARD_INDEX in names
    if OPEN_CLIP_CONFIG in names and (own or not (TRANSFORMERS_CONFIG in names and other)):
        return "open_clip"
    return "transformers" if TRANSFORMERS_CONFIG in names else None


def weights_among(names: Collection[str], library: Library) -> list[str]:
    """The safetensors files that the library loads; shards are several, in order."""
    if library == "open_clip":
        tensors = sorted(name for name in names if name.endswith(".safetensors"))
        usual = (*OPEN_CLIP_WEIGHTS, WEIGHTS_FILES["transformers"])
        return [*(name for name in usual if name in names), *tensors][:1]
    if WEIGHTS_FILES["transformers"] in names:
        return [WEIGHTS_FILES["transformers"]]
    return sorted(
        name for name in names if name.startswith("model-") and name.endswith(".safetensors")
    )


@dataclass(frozen=True)
class ModelFolder:
    """A folder that one library loads: its config and its safetensors files."""

    path: Path
    library: Library
    weights: tuple[Path, ...]

    @classmethod
    def read(cls, path: Path) -> "ModelFolder":
        """Find the layout and the weights of a folder.

        Raises GeoclipError, which names the file and the cure, where there is no config, where the
        weights are missing, incomplete, pickled or packed, where Git LFS left pointers, and where
        transformers finds no tokenizer or no image processor.
        """
        names = files_in(path)
        library = library_of(names)
        if library is None:
            raise GeoclipError(
                f"{path} holds neither {OPEN_CLIP_CONFIG} nor {TRANSFORMERS_CONFIG}; "
                "name the folder of an open_clip or transformers model."
            )
        weights = tuple(path / name for name in weights_among(names, library))
        if library == "transformers" and weights != (path / WEIGHTS_FILES["transformers"],):
            _refuse_half(path, weights)
        if not weights:
            raise _without_weights(path)
        small = [path / name for name in sorted(names) if Path(name).suffix in SMALL_SUFFIXES]
        for file in (*weights, *small):
            refuse_pointer(file)
        for file in weights:
            refuse_disguised(file)
        if library == "transformers" and not any(name in names for name in IMAGE_CONFIGS):
            raise _lacking(path, IMAGE_CONFIGS[0])
        if library == "transformers" or _has_own_tokenizer(path):
            _refuse_without_tokenizer(path, names)
        return cls(path, library, weights)

    def check(self) -> None:
        """Raise GeoclipError where a weights file is damaged, as far as its header tells."""
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415

        for file in self.weights:
            try:
                with safe_open(file, "numpy"):
                    pass
            except (OSError, SafetensorError) as error:
                raise GeoclipError(
                    f"{file} is no complete file of weights ({error}); copy it again."
                ) from None


def refuse_pointer(file: Path) -> None:
    """Raise GeoclipError where a file is a Git LFS pointer to a large one."""
    with file.open("rb") as content:
        if content.read(len(_POINTER)) == _POINTER:
            raise GeoclipError(
                f"{file} is a pointer of Git LFS, not the file itself; "
                f"fetch it with: git -C {file.parent} lfs pull"
            )


def refuse_disguised(file: Path) -> None:
    """Raise GeoclipError where a file of weights is packed, or is a pickle under another name."""
    refuse_packed(file)
    if _start(file).startswith(_PICKLE_STARTS):
        raise GeoclipError(
            f"{file} is a pickle under another name, which can run code when loaded, and is "
            f"refused; rename it to {file.stem}.bin and convert it once with geoclip models convert"
        )


def refuse_packed(file: Path) -> None:
    """Raise GeoclipError where a file is packed with gzip, whatever its name says."""
    if _start(file).startswith(_GZIP):
        unpack = f"unpack it with: gzip -d {file}"
        if file.suffix != ".gz":
            unpack = "unpack it with gzip -dc, and put what that gives in its place"
        raise GeoclipError(f"{file} is packed with gzip; {unpack}")


def _start(file: Path) -> bytes:
    """The first bytes of a file; empty for safetensors, which begin with a number and a brace."""
    with file.open("rb") as content:
        start = content.read(_BRACE + 1)
    return b"" if start[_BRACE:] == b"{" else start


def pickle_refusal(file: Path) -> GeoclipError:
    """The error for a pickle, with the command that converts it."""
    return GeoclipError(
        f"{file} is a pickle, which can run code when loaded, and is refused; "
        f"convert it once with: geoclip models convert {file}"
    )


def _without_weights(path: Path) -> GeoclipError:
    pickles = [path / name for name in files_in(path) if Path(name).suffix in PICKLE_SUFFIXES]
    for name in sorted(files_in(path)):
        if name.endswith((".safetensors.gz", ".bin.gz")):
            refuse_packed(path / name)
    if not pickles:
        return GeoclipError(f"{path} holds no safetensors weights; copy the model's weights there.")
    first = min(pickles, key=lambda file: (file.name not in PICKLES, file.name))
    refuse_pointer(first)
    return pickle_refusal(first)


def _lacking(path: Path, file: str) -> GeoclipError:
    return GeoclipError(
        f"{path} does not load as a model (it lacks {file}); "
        "copy that file from the model's repository."
    )


def _has_own_tokenizer(path: Path) -> bool:
    """Whether an open_clip model has a tokenizer of its own; CLIP's comes with open_clip."""
    try:
        config = json.loads((path / OPEN_CLIP_CONFIG).read_text(encoding="utf-8"))
        return bool(config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # open_clip says what is wrong with it


def _refuse_without_tokenizer(path: Path, names: Collection[str]) -> None:
    """Raise GeoclipError where the library would invent a tokenizer, or fail without one."""
    if not any(all(name in names for name in files) for files in _TOKENIZERS):
        pair = [name for name in _TOKENIZERS[1] if name not in names]
        raise _lacking(path, pair[0] if len(pair) == 1 else TOKENIZER)
    if TOKENIZER not in names and SENTENCEPIECE in names and not find_spec("sentencepiece"):
        raise GeoclipError(
            f"{path / SENTENCEPIECE} is a tokenizer that needs sentencepiece; "
            "install it with: pip install sentencepiece protobuf"
        )


def _refuse_half(path: Path, shards: Collection[Path]) -> None:
    """Raise GeoclipError where some shards of the weights, or their index, are missing."""
    index = path / SHARD_INDEX
    if not index.is_file():
        if shards:
            raise GeoclipError(f"{path} holds shards of weights but no {SHARD_INDEX}; copy it too.")
        return
    refuse_pointer(index)
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError):
        raise GeoclipError(f"{index} does not list the shards of weights; copy it again.") from None
    missing = sorted(named - {shard.name for shard in shards})
    if missing:
        raise GeoclipError(
            f"{path} lacks {len(missing)} of the {len(named)} shards of its weights, "
            f"{missing[0]} for one; copy them there."
        )
