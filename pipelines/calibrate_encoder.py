"""Calibrate a tuned encoder, in a folder or storage, on the photos held out of its training."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import ray
import torch

from geoclip.commands.calibration_terminal import UNCALIBRATED, tell_held_out
from geoclip.errors import GeoclipError
from geoclip.locator import default_device
from geoclip.photos.trained_photos import TrainedPhotos
from geoclip.places.gazetteer import Gazetteer
from geoclip.runs.calibrate_model import FreshPhotos, ModelCalibration, calibrate_model
from geoclip.support.process import keep_freed_memory
from geoclip.training.splits import HELD_BACK, TRAIN
from pipelines.addresses import StoredPhotos
from pipelines.cluster import cluster_nodes, cpus_for_each
from pipelines.storage import is_uri, local_copy, store_folder
from pipelines.write_captions import read_captions


def calibrate_encoder(
    model: str, captions: Path | str, gazetteer: Path | None = None, use_gpu: bool = False
) -> None:
    """Calibrate the model in a folder or URI on the held-out photos of `write_captions`.

    Of a table of levels, whose classes are fitted too, on those alone that were held back for it.
    One task does it, on a GPU if asked. If the photos are too few the model stays unchanged, and a
    message says so.
    """
    table = read_captions(captions)
    if not {"fingerprint", "source"} <= set(table):
        print(f"{UNCALIBRATED} {captions} is of an older version: write the captions anew.")
        return
    cpus = max(1, cpus_for_each(1, cluster_nodes(), gpus=int(use_gpu)))
    task = _calibrated.options(num_cpus=0.9 * cpus, num_gpus=int(use_gpu))
    held_out = table[table["split"] != TRAIN]
    if gazetteer is not None and not Gazetteer.read(gazetteer).has_positions:
        held_out = table[table["split"].isin(HELD_BACK)]
        if held_out.empty:
            print(f"{UNCALIBRATED} No photo was held back for it: write_captions has --held-back.")
            return
    seen = tuple(table.loc[table["split"] == TRAIN, "place_id"].unique())
    found = ray.get(task.remote(model, held_out, seen, gazetteer and gazetteer.absolute(), cpus))
    if isinstance(found, str):
        print(f"{UNCALIBRATED} {found}")
        return
    with tempfile.TemporaryDirectory() as draft:
        found.write(Path(draft) if is_uri(model) else Path(model))
        if is_uri(model):
            store_folder(Path(draft), model)
    tell_held_out(found)


@ray.remote
def _calibrated(
    model: str,
    held_out: pd.DataFrame,
    seen: tuple[str, ...],
    gazetteer: Path | None,
    threads: int,
) -> ModelCalibration | str:
    """The calibration, or the reason for none: an error in a task would show a traceback."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    folder = local_copy(model)
    trained = TrainedPhotos.read(folder)
    try:
        photos = replace(FreshPhotos.of(held_out, trained), seen=seen)
        places = Gazetteer.read(gazetteer)
        fetch = StoredPhotos()
        return calibrate_model(folder, photos, trained, places, default_device(), fetch=fetch)
    except GeoclipError as problem:
        return str(problem)
