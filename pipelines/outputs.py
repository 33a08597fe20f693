"""A run's output: Parquet parts in a folder, a checkpoint to go on from, a list of failures.

Beside the folder `OUT` stand `OUT-checkpoint`, where Ray Data notes the photo ids of every part
that is whole, and `OUT-ledger`, the photos that could not be read, Parquet again. The order of rows
is not fixed: sort by photo_id (and rank).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import ray
from ray.data import DataContext, Dataset, SaveMode
from ray.data.checkpoint import CheckpointConfig
from ray.data.expressions import col

from geoclip.errors import GeoclipError
from pipelines.storage import TRANSIENT, exists, filesystem, list_files, read_bytes, write_bytes

ID = "photo_id"
FAILURE = [ID, "path", "status", "message"]
BLOCK_BYTES = 32 * 1024 * 1024
"""Of a block between two steps: small, as a block is what is lost with a worker."""
IO_CPUS = 0.25
"""Of a task that reads or writes: it waits most of the time, and must find room beside actors.

Not less: Ray starts a process for each task at a time, and starting one takes seconds.
"""


@dataclass(frozen=True)
class Output:
    """The output folder `name` (a local path or a URI) of one run."""

    name: str

    @property
    def failures(self) -> str:
        """Where the failures are listed."""
        return f"{self.name}-ledger"

    @property
    def checkpoint(self) -> str:
        """Where it is noted what is done."""
        return f"{self.name}-checkpoint"

    def noted(self) -> dict[str, Any]:
        """What makes the rows of a run that was begun; nothing where none was."""
        note = f"{self.checkpoint}/run.json"
        found: dict[str, Any] = json.loads(read_bytes(note)) if exists(note) else {}
        return found

    def begin(self, about: dict[str, Any]) -> None:
        """Note what makes the rows (`about`), so that a run only goes on with its own like.

        Raises GeoclipError where the folder holds what something else made.
        """
        before = self.noted()
        if not before:
            if list_files(self.name):
                raise GeoclipError(
                    f"{self.name} holds files, but {self.checkpoint} does not say of which run: "
                    "name another --out."
                )
            note = f"{self.checkpoint}/run.json"
            write_bytes(note, json.dumps(about, indent=2).encode())
            return
        changed = [key for key in about if before.get(key) != json.loads(json.dumps(about[key]))]
        if changed:
            raise GeoclipError(
                f"{self.name} was begun with another {', '.join(changed)}: give what it was begun "
                "with, or name another --out."
            )

    def write(self, rows: Dataset, schema: pa.Schema) -> None:
        """Write what is not there yet; `rows` must have been made within `resuming`."""
        system, path = filesystem(self.name)
        rows.write_parquet(
            path,
            filesystem=system,
            schema=schema,
            ray_remote_args={"num_cpus": IO_CPUS},
        )

    @contextmanager
    def resuming(self) -> Iterator[None]:
        """Within it datasets leave out the photos that are done, and note those they write."""
        system, path = filesystem(f"{self.checkpoint}/done")
        config = CheckpointConfig(
            ID, path, override_filesystem=system, delete_checkpoint_on_success=False
        )
        with data_context(config):
            yield

    def write_failures(self) -> None:
        """List the photos that could not be read, anew from the rows that are there."""
        if not list_files(self.name):
            return
        system, path = filesystem(self.name)
        with data_context():
            rows = ray.data.read_parquet(path, filesystem=system, num_cpus=IO_CPUS)
            failed = rows.select_columns(FAILURE).filter(
                expr=col("status") != "ok", num_cpus=IO_CPUS
            )
            system, path = filesystem(self.failures)
            failed.write_parquet(
                path,
                filesystem=system,
                mode=SaveMode.OVERWRITE,
                ray_remote_args={"num_cpus": IO_CPUS},
            )

    def summary(self) -> str:
        """How many photos there are, and how many could not be read."""
        done, failed = self._count(f"{self.checkpoint}/done"), self._count(self.failures)
        where = f" ({self.failures})" if failed else ""
        return f"{done:,} photos in {self.name}; {failed:,} could not be read{where}."

    def _count(self, name: str) -> int:
        if not list_files(name):
            return 0
        system, path = filesystem(name)
        table = pyarrow.dataset.dataset(path, filesystem=system, format="parquet")
        ids = (batch[ID] for batch in table.to_batches(columns=[ID]))
        return sum(len(part.unique()) for part in ids)


@contextmanager
def data_context(checkpoint: CheckpointConfig | None = None) -> Iterator[None]:
    """Ray Data's settings for datasets that are made within it."""
    context = DataContext.get_current().copy()
    context.target_max_block_size = BLOCK_BYTES
    context.use_datasource_v2 = False  # which starts 32 actors for every Parquet folder it reads
    context.retried_io_errors = [*context.retried_io_errors, *TRANSIENT]
    context.checkpoint_config = checkpoint
    with DataContext.current(context):
        yield
