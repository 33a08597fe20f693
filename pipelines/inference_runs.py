"""A run of inference: its precision, its notes, its output and its progress."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import ray
import torch
from ray.data import Dataset

from geoclip.encoders.precision import AUTO, WORTH_A_TRIAL
from geoclip.locator import default_device
from geoclip.photos.keys import tower_key
from pipelines.cluster import check_gpus
from pipelines.outputs import IO_CPUS, Output
from pipelines.photo_actors import Pool, load_model
from pipelines.photo_source import Part, photo_count
from pipelines.photo_stages import on_actors
from pipelines.preparation import Preparation
from pipelines.remote_progress import remote_progress


@ray.remote(num_cpus=IO_CPUS)
def _settled(model: str, pool: Pool, photos: int) -> tuple[str, str, Preparation]:
    """The precision for this many photos, the image tower's key, and the preparation of photos."""
    torch.set_num_threads(pool.threads or 1)
    encoder = load_model(model, default_device(), True).for_photos(pool.precision)
    encoder.expect(photos)
    return encoder.precision, tower_key(encoder), Preparation.of(model, encoder)


def settled(model: str, parts: Sequence[Part], pool: Pool) -> tuple[Pool, str]:
    """The pool with a precision that is not "auto", and the key of the model's image tower.

    With GPUs it has a preparation, so that other actors decode photos and make guesses. A CPU tries
    precisions for a job of `WORTH_A_TRIAL` photos or more; uncounted photos count as enough. Raises
    GeoclipError if there are no such GPUs.
    """
    check_gpus(pool.gpus)
    counted = photo_count(parts)
    photos = WORTH_A_TRIAL if counted is None else counted
    task = _settled.options(num_gpus=pool.gpus)
    precision, key, preparation = ray.get(task.remote(model, pool, photos))
    if pool.gpus:
        pool = replace(pool, preparation=preparation)
    return replace(pool, precision=precision), key


def begun(
    output: Output,
    model: str,
    parts: Sequence[Part],
    pool: Pool,
    about: dict[str, Any],
    check: Callable[[str], None] = lambda _: None,
) -> Pool:
    """Begin or resume a run whose rows depend on a model and on the contents of `about`.

    `check` may refuse the key of the model's image tower before anything is noted. Returns the pool
    with the precision of the run: "auto" keeps its first meaning.
    """
    if pool.precision == AUTO:
        pool = replace(pool, precision=output.noted().get("precision", AUTO))
    pool, key = settled(model, parts, pool)
    check(key)
    output.begin({"model": key, "precision": pool.precision, **about})
    return pool


def complete(
    output: Output,
    parts: Sequence[Part],
    kind: type,
    arguments: tuple[Any, ...],
    schema: pa.Schema,
    pool: Pool,
) -> None:
    """Write the missing rows of an output, on actors as in `on_actors`, and report progress."""
    with remote_progress("photos") as counter:

        def work(left: Sequence[Part]) -> Dataset:
            counter.set.remote(0, photo_count(left), "")
            return on_actors(left, kind, arguments, replace(pool, counter=counter))

        output.complete(parts, work, schema, pool.piece_rows)
