"""Models of the Hugging Face hub as folders on this machine: found, downloaded, converted.

A model on this machine is used without asking the hub. Weights that the hub has as a pickle only
are converted once, with `weights_only`, into the user's data folder.
"""

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from geoclip.encoders.conversion import convert_state_dict
from geoclip.encoders.model_folder import (
    PICKLES,
    SMALL_SUFFIXES,
    WEIGHTS_FILES,
    ModelFolder,
    files_in,
    library_of,
    weights_among,
)
from geoclip.encoders.registry import HUB_PREFIXES, KNOWN_MODELS, KnownModel, model_id
from geoclip.errors import GeoclipError
from geoclip.support.user_folders import data_folder


def converted_folder(hub_id: str) -> Path:
    """Where the converted weights of a hub model are kept, here or not."""
    return data_folder() / "weights" / hub_id.replace("/", "--")


def snapshots(hub_id: str, commit: str = "") -> list[Path]:
    """Snapshots of a repository in huggingface_hub's cache: `main`, then that of `commit`.

    `commit` may be the beginning of one.
    """
    from huggingface_hub import constants  # noqa: PLC0415 - listing names needs none

    repository = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    main = repository / "refs" / "main"
    commits = [main.read_text().strip()] if main.is_file() else []
    found = [repository / "snapshots" / name for name in commits]
    if commit:
        found += sorted((repository / "snapshots").glob(f"{commit}*"))
    return [folder for folder in found if folder.is_dir()]


def folders_of(hub_id: str, commit: str = "") -> list[Path]:
    """Folders on this machine that hold files of a hub model, the one to load first."""
    converted = converted_folder(hub_id)
    return [*snapshots(hub_id, commit), *([converted] if converted.is_dir() else [])]


def weights_folder(model: KnownModel) -> Path | None:
    """The folder with the model's weights on this machine; None where they are not here.

    A hub model is here when its safetensors are in huggingface_hub's cache (its environment
    variables say where), or were converted. A partly downloaded model is not here.
    """
    if model.kind == "embedded":
        return Path(model.reference)
    file = WEIGHTS_FILES[model.kind]
    folders = folders_of(model.hub_id, model.commit)
    some = next((folder for folder in folders if (folder / file).is_file()), None)
    return find_folder(model.hub_id, model.commit) or some


def check_weights(model: KnownModel) -> None:
    """Raise GeoclipError unless a model on this machine loads, as far as its files tell."""
    folder = weights_folder(model)
    if folder is None:
        raise GeoclipError(
            f"{model.name} is not on this machine; name it with --model to fetch it."
        )
    if model.kind == "open_clip" and not model.whole:  # open_clip knows the config
        ModelFolder(folder, "open_clip", (folder / WEIGHTS_FILES["open_clip"],)).check()
    else:
        ModelFolder.read(folder).check()


def find_folder(hub_id: str, commit: str = "") -> Path | None:
    """The folder on this machine from which a hub model loads; None if there is none."""
    for folder in folders_of(hub_id, commit):
        try:
            return ModelFolder.read(folder).path
        except GeoclipError:
            continue
    return None


def hub_folder(name: str) -> Path | None:
    """The same for a model's name: a known one or `hf:ID`; None for other names."""
    known = KNOWN_MODELS.get(name)
    if known is None and not name.startswith(HUB_PREFIXES):
        return None
    return find_folder(model_id(name), known.commit if known else "")


def find_pickle(hub_id: str) -> Path | None:
    """A convertible pickle of a hub model in huggingface_hub's cache; None if there is none."""
    whole = [folder for folder in snapshots(hub_id) if library_of(files_in(folder))]
    files = (folder / name for folder in whole for name in PICKLES)
    return next((file for file in files if file.is_file()), None)


def fetch_folder(hub_id: str, commit: str = "") -> tuple[Path, list[str]]:
    """A folder from which a hub model loads, downloaded and converted if needed.

    `commit` is the beginning of a commit (of a pull request, say) that has safetensors where the
    main branch has a pickle. The second value is a list of sentences to show the user. Raises
    huggingface_hub's errors where the hub cannot be reached, and GeoclipError where the hub has no
    weights or they are refused.
    """
    pickle = find_pickle(hub_id)
    if pickle is None:
        folder = _download(hub_id, commit)
        pickle = find_pickle(hub_id)
        if pickle is None or folder != pickle.parent:
            return ModelFolder.read(folder).path, []
    return _convert(hub_id, pickle)


def fetch_file(hub_id: str, name: str) -> Path:
    """One file of safetensors of a repository, downloaded where it is not on this machine.

    Raises what huggingface_hub raises where the hub cannot be reached, and GeoclipError where the
    repository has no such file.
    """
    from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415

    here = next((f / name for f in snapshots(hub_id) if (f / name).is_file()), None)
    if here is not None:
        return here
    # Asked first: a download tries again for half a minute where there is no network.
    if name not in _repository_files(HfApi().model_info(hub_id)):
        raise GeoclipError(
            f"{hub_id} has no {name} on the hub, and a pickle, which can run code when loaded, "
            "is refused; download it and convert it once with: geoclip models convert FILE"
        )
    return Path(hf_hub_download(hub_id, name))


def _download(hub_id: str, commit: str) -> Path:
    """Download config, tokenizer and weights of a repository, and nothing else."""
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415

    api = HfApi()
    revision, names = "main", _repository_files(api.model_info(hub_id))
    if commit and not _tensors(names):
        found = [ref.target_commit for ref in _pull_requests(api, hub_id)]
        pinned = [target for target in found if target.startswith(commit)]
        if pinned:
            revision = pinned[0]
            names = _repository_files(api.model_info(hub_id, revision=revision))
    weights = _tensors(names) or [name for name in PICKLES if name in names][:1]
    small = [name for name in names if Path(name).suffix in SMALL_SUFFIXES]
    return Path(snapshot_download(hub_id, revision=revision, allow_patterns=[*small, *weights]))


def _repository_files(info: Any) -> list[str]:
    """The files at the top of a repository."""
    return [file.rfilename for file in info.siblings or () if "/" not in file.rfilename]


def _tensors(names: Collection[str]) -> list[str]:
    library = library_of(names)
    return weights_among(names, library) if library else []


def _pull_requests(api: Any, hub_id: str) -> list[Any]:
    return list(api.list_repo_refs(hub_id, include_pull_requests=True).pull_requests or ())


def _convert(hub_id: str, pickle: Path) -> tuple[Path, list[str]]:
    """Convert a pickle into the user's data folder, beside copies of config and tokenizer."""
    folder = converted_folder(hub_id)
    draft = folder.with_name(f".{uuid4().hex}")
    try:
        draft.mkdir(parents=True)
        for name in files_in(pickle.parent):
            if Path(name).suffix in SMALL_SUFFIXES:
                shutil.copyfile(pickle.parent / name, draft / name)
        convert_state_dict(pickle, draft)
        with suppress(OSError):  # another process was faster
            draft.rename(folder)
    except OSError as error:
        raise GeoclipError(
            f"{folder} cannot be written ({error.strerror}); "
            "set GEOCLIP_DATA to a folder that can, for the converted weights."
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ModelFolder.read(folder).path, [
        f"The weights of {hub_id} were a pickle; they were converted once into {folder}."
    ]
