"""Losses and figures of a training run for TensorBoard and, if installed, MLflow.

Every checkpoint sends both the news since the last one, so a resumed run repeats neither steps nor
files.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from geoclip.training.checkpoints import Record
from pipelines.storage import join, write_bytes

FOLDER = "tensorboard"
MLFLOW_BATCH = 1000
"""The most values per call to MLflow."""
RUN_TAG = "geoclip.out"


def write_events(out: str, losses: list[Record], evaluations: list[Record]) -> None:
    """Write the event file of some steps to `out`/tensorboard; the same steps overwrite it."""
    steps = [int(record["step"]) for record in [*losses, *evaluations]]
    if not steps:
        return
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for name, value, step in scalars(losses, evaluations):
                writer.add_scalar(name, value, step)
        (file,) = Path(folder).glob("*tfevents*")
        name = f"events.out.tfevents.{min(steps):010d}"
        write_bytes(join(join(out, FOLDER), name), file.read_bytes())


def scalars(losses: list[Record], evaluations: list[Record]) -> Iterable[tuple[str, float, int]]:
    """Name, value and step of everything reported; figures are named by their splits."""
    for prefix, records in (("train/", losses), ("", evaluations)):
        for record in records:
            for name, value in record.items():
                if name not in ("step", "epoch"):
                    yield prefix + name, value, int(record["step"])


def mlflow_server() -> str | None:
    """MLflow's address: `MLFLOW_TRACKING_URI`, None without it or without MLflow."""
    return os.environ.get("MLFLOW_TRACKING_URI") if importlib.util.find_spec("mlflow") else None


def tell_mlflow(server: str, out: str, losses: list[Record], evaluations: list[Record]) -> None:
    """Add reports to the MLflow run of `out`, made if needed.

    A silent tracking server is no reason to stop training.
    """
    import mlflow  # noqa: PLC0415 (optional)
    from mlflow.entities import Metric  # noqa: PLC0415

    now = int(1000 * time.time())
    values = [
        Metric(name, float(value), now, step) for name, value, step in scalars(losses, evaluations)
    ]
    try:
        client = mlflow.MlflowClient(tracking_uri=server)
        run = _mlflow_run(client, out)
        for start in range(0, len(values), MLFLOW_BATCH):
            client.log_batch(run, metrics=values[start : start + MLFLOW_BATCH])
    except mlflow.exceptions.MlflowException as problem:
        print(f"geoclip: MLflow at {server} received no figures ({problem}).")


def _mlflow_run(client: Any, out: str) -> str:
    """Id of the run tagged with `out` in the experiment "geoclip"."""
    experiment = client.get_experiment_by_name("geoclip")
    number = experiment.experiment_id if experiment else client.create_experiment("geoclip")
    found = client.search_runs([number], f"tags.`{RUN_TAG}` = '{out}'", max_results=1)
    run = found[0] if found else client.create_run(number, tags={RUN_TAG: out}, run_name=out)
    return str(run.info.run_id)
