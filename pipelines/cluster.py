"""Start Ray the same way in every program, and find this checkout on its workers."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import ray

from geoclip.errors import GeoclipError
from geoclip.support.name_guard import check_checkout
from pipelines.actor_arguments import send_with_actors
from pipelines.storage import is_uri

ROOT = Path(__file__).resolve().parents[1]
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The variable with a job's submission settings, set by `ray job submit` for its entry point."""
LOCAL_OBJECT_STORE, DECODED_OBJECT_STORE = 256 * 1024 * 1024, 2 * 1024 * 1024 * 1024
"""Bytes for a Ray started here: few, as photos pass as paths; more if decoded ones pass (GPUs)."""
START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
START_SECONDS = "600"
"""Of training workers: within Ray's own 60 a busy machine may not have imported PyTorch."""


@contextmanager
def ray_session(
    cpus: int | None = None, gpus: int | None = None, *, decoding: bool = False
) -> Iterator[None]:
    """Use the cluster this process belongs to, or start Ray on this machine and stop it after.

    A cluster is used if `RAY_ADDRESS` names one (as in a job). A Ray started here has the CPUs and
    GPUs of this machine by default, and room for decoded photos if some actors decode for others.
    """
    check_checkout(ROOT)
    send_with_actors()
    if ray.is_initialized():
        yield
        return
    _start_ray(cpus, gpus, decoding)
    _quiet_data()
    try:
        yield
    finally:
        ray.shutdown()


def _start_ray(cpus: int | None, gpus: int | None, decoding: bool) -> None:
    environment = worker_environment(joins_cluster())
    try:
        if joins_cluster():
            ray.init(runtime_env=environment, log_to_driver=False)
            return
        # Inherited: workers with a runtime environment could not be started ahead.
        with inherited(environment["env_vars"]):
            ray.init(
                address="local",  # not a cluster that happens to run on this machine
                num_cpus=cpus or os.cpu_count(),
                num_gpus=gpus,
                object_store_memory=DECODED_OBJECT_STORE if decoding else LOCAL_OBJECT_STORE,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=True,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises a bare one where its processes take over 30 s to start
        ray.shutdown()
        where = f"at {os.environ['RAY_ADDRESS']}" if joins_cluster() else "on this machine"
        cure = "check RAY_ADDRESS" if joins_cluster() else "try again when it is less busy"
        reason = str(error).partition("\n")[0].rstrip(".")
        raise GeoclipError(f"Ray did not start {where} ({reason}); {cure}.") from error


@contextmanager
def inherited(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = os.environ.copy()
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]


def joins_cluster() -> bool:
    """Whether `RAY_ADDRESS` names a cluster to work on.

    A job server's address (http) serves `ray job submit` alone, which sets the variable anew for
    the job; no program can join a cluster by it.
    """
    return bool(os.environ.get("RAY_ADDRESS")) and not os.environ["RAY_ADDRESS"].startswith("http")


def worker_environment(on_cluster: bool) -> dict[str, Any]:
    """Runtime environment in which workers import `geoclip` and `pipelines` of this checkout.

    Workers on this machine read the checkout itself, workers of a cluster get a copy of it (without
    files in `.gitignore`). A job with `--working-dir` already brought that copy.
    """
    variables = {
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        START_TIMEOUT: os.environ.get(START_TIMEOUT, START_SECONDS),
    }
    if not on_cluster:  # whose machine is not taken away, so that nobody has to watch for it
        own = {"PYTHONPATH": str(ROOT), "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
        return {"env_vars": variables | own}
    code = {} if _job_brought_code() else {"working_dir": str(ROOT)}
    return {"env_vars": variables, **code}


def _job_brought_code() -> bool:
    """Whether this program is the entry point of a job submitted with a working directory."""
    job = json.loads(os.environ.get(JOB_CONFIG, "{}"))
    return bool(job.get("runtime_env", {}).get("working_dir"))


def check_lasting(out: str | Path) -> None:
    """Raise GeoclipError if Ray would delete results together with a job's files."""
    if _job_brought_code() and not is_uri(out) and Path(out).absolute().is_relative_to(ROOT):
        raise GeoclipError(
            f"{out} lies in the job's copy of the checkout, which Ray deletes after the job; "
            "give an absolute path or a URI of storage that all nodes share."
        )


def cpus_for_each(workers: int, nodes: list[dict[str, Any]], gpus: int = 0) -> int:
    """The most whole CPUs for each of some workers, each on one of `ray.nodes()`.

    A worker with `gpus` needs a node that has them. 0 if not all workers fit.
    """
    there = [node["Resources"] for node in nodes if node["Alive"]]
    free = [(int(r.get("CPU", 0)), r.get("GPU", 0) // gpus if gpus else workers) for r in there]

    def places(cpus: int) -> float:
        return sum(min(own // cpus, most) for own, most in free)

    largest = max((own for own, _ in free), default=0)
    return next((cpus for cpus in range(largest, 0, -1) if places(cpus) >= workers), 0)


def cluster_nodes() -> list[dict[str, Any]]:
    """`ray.nodes()`: the machines of the cluster, including lost ones."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def room_for_actors(gpus: float) -> int:
    """How many actors find a CPU, and their `gpus`, on the present machines."""
    live = [node["Resources"] for node in cluster_nodes() if node["Alive"]]
    room = sum(int(own.get("GPU", 0) / gpus if gpus else own.get("CPU", 0)) for own in live)
    return max(1, min(room, int(sum(own.get("CPU", 0) for own in live))))


def check_gpus(gpus: float) -> None:
    """Raise GeoclipError if no machine, now or later, has an actor's `gpus`.

    If PyTorch cannot use them, one message says so.
    """
    if not gpus:
        return
    live = [node["Resources"] for node in cluster_nodes() if node["Alive"]]
    most = max((resources.get("GPU", 0) for resources in live), default=0)
    if gpus > most and not may_grow():
        raise GeoclipError(
            f"Ray finds {most:g} GPUs on this machine and each actor needs {gpus:g}; ask for "
            f"fewer, or name a cluster in RAY_ADDRESS."
        )
    computes_on_gpu(gpus)


@cache
def computes_on_gpu(gpus: float) -> bool:
    """Whether PyTorch can use a worker's GPUs from Ray; prints one message if not."""
    usable = bool(ray.get(_sees_cuda.options(num_gpus=gpus).remote()))
    if not usable:
        print("geoclip: PyTorch cannot use Ray's GPUs, so CPUs compute.", file=sys.stderr)
    return usable


@ray.remote(num_cpus=0)
def _sees_cuda() -> bool:
    import torch  # noqa: PLC0415  (takes seconds)

    return torch.cuda.is_available()


def may_grow() -> bool:
    """Whether more machines may join: not if Ray was started here for this program."""
    return joins_cluster() or len(cluster_nodes()) > 1


def absolute_model(name: str) -> str:
    """A model folder's absolute path, since workers run elsewhere; other names stay."""
    return str(Path(name).absolute()) if Path(name).is_dir() else name


def _quiet_data() -> None:
    """Hide Ray Data's own lines and bars; our programs print their progress."""
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
