"""A run of inference: its precision, what is noted of it, and its output with how far it is."""

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
    """The precision for so many photos, the key of the image tower, how photos are prepared."""
    torch.set_num_threads(pool.threads or 1)
    encoder = load_model(model, default_device(), True).for_photos(pool.precision)
    encoder.expect(photos)
    return encoder.precision, tower_key(encoder), Preparation.of(model, encoder)


def settled(model: str, parts: Sequence[Part], pool: Pool) -> tuple[Pool, str]:
    """The pool with a precision that is not "auto", and the key of the model's image tower.

    With GPUs it has a preparation, so that other actors decode photos and make answers.
    A processor tries precisions out for a job of `WORTH_A_TRIAL` photos or more, for which one is
    taken whose photos nobody has counted. Raises GeoclipError where there are no such GPUs.
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
    """Begin a run, or go on with one, whose rows are made by a model and of what `about` says.

    `check` may refuse the key of the model's image tower before anything is noted. Returns the pool
    with the precision of the run: "auto" is what it was when the run began.
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
    """Write what is not done of an output, on actors as `on_actors` has them, and tell how far."""
    with remote_progress("photos") as counter:

        def work(left: Sequence[Part]) -> Dataset:
            counter.set.remote(0, photo_count(left), "")
            return on_actors(left, kind, arguments, replace(pool, counter=counter))

        output.complete(parts, work, schema, pool.piece_rows)
