"""Starting Ray the same way in every program, and finding this checkout on its workers."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from geoclip.name_guard import check_checkout

ROOT = Path(__file__).resolve().parents[1]
LOCAL_OBJECT_STORE = 256 * 1024 * 1024
"""Bytes for a Ray started here: photos pass as paths, so little is ever stored."""


@contextmanager
def ray_session(cpus: int | None = None) -> Iterator[None]:
    """Use the cluster this process belongs to, or start Ray on this machine and stop it after.

    A cluster is used where `RAY_ADDRESS` names one (as for `ray job submit`). Workers import
    `geoclip` and `pipelines` from this checkout.
    """
    check_checkout(ROOT)
    if ray.is_initialized():
        yield
        return
    quiet = {"RAY_DATA_DISABLE_PROGRESS_BARS": "1"} if not os.isatty(2) else {}
    environment = {
        "env_vars": {"PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false", **quiet}
    }
    if os.environ.get("RAY_ADDRESS"):
        ray.init(runtime_env=environment, log_to_driver=False)
    else:
        ray.init(
            num_cpus=cpus or os.cpu_count(),
            object_store_memory=LOCAL_OBJECT_STORE,
            include_dashboard=False,
            runtime_env=environment,
            log_to_driver=False,
            configure_logging=True,
            logging_level=logging.ERROR,
        )
    _quiet_data()
    try:
        yield
    finally:
        ray.shutdown()


def absolute_model(name: str) -> str:
    """A model folder's absolute path, since workers run elsewhere; other names stay."""
    return str(Path(name).absolute()) if Path(name).is_dir() else name


def _quiet_data() -> None:
    """Ray Data's own log lines go to its log files; our programs print what is where."""
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = os.isatty(2)
    context.print_on_execution_start = False
