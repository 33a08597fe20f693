"""A cluster of several nodes on this machine, and runs on it whose processes can be killed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).with_name("fault_hooks")
DRIVER = """
import importlib, json, os, sys
import ray
from pipelines.command_line import command_of
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator

start_actor = ActorPoolMapOperator._start_actor
def start_and_forget(self, *arguments):
    try:
        return start_actor(self, *arguments)
    finally:  # nothing that the driver put away for the actor is there when it is started again
        for name in ("_map_transformer_ref", "_data_context_ref"):
            vars(self).pop(name, None)
ActorPoolMapOperator._start_actor = start_and_forget

ray.init(
    os.environ["CLUSTER"],
    runtime_env={"env_vars": json.loads(os.environ["WORKER_ENVIRONMENT"])},
    log_to_driver=False,
    logging_level="error",
)
command_of(importlib.import_module(sys.argv.pop(1)).main)()
"""


OBJECT_STORE = 100 * 1024**2
"""Bytes of a node."""
ERROR_LINE = re.compile(r"^\[[^]]* E \d+ \d+\].*", re.M)
"""What Ray's core prints of level E."""


class Nodes:
    """A cluster on this machine: a head and two workers, of which one may be lost."""

    def __init__(self) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args=self._size(2))
        self.workers = [self.cluster.add_node(**self._size(1)) for _ in range(2)]

    @staticmethod
    def _size(cpus: int) -> dict[str, Any]:
        return {"num_cpus": cpus, "object_store_memory": OBJECT_STORE, "include_dashboard": False}

    def lose_one(self) -> None:
        self.cluster.remove_node(self.workers.pop(), allow_graceful=False)

    def complete(self) -> None:
        while len(self.workers) < 2:
            self.workers.append(self.cluster.add_node(**self._size(1)))


class Run:
    """One run of the program as a process of its own, with marked workers on the cluster."""

    def __init__(self, nodes: Nodes, program: str, arguments: list[str], **faults: str) -> None:
        self.mark = uuid4().hex
        workers = {"PYTHONPATH": f"{HOOKS}:{ROOT}", "RUN_MARK": self.mark, **faults}
        environment = os.environ | {
            "PYTHONPATH": f"{HOOKS}:{ROOT}",
            "CLUSTER": nodes.cluster.address,
            "WORKER_ENVIRONMENT": json.dumps(workers),
        }
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, program, *arguments], env=environment, text=True, **pipes
        )

    def wait(self) -> str:
        printed, _ = self.process.communicate(timeout=900)  # it takes one to two minutes
        assert self.process.returncode == 0, printed
        return printed

    def actors(self, title: str) -> list[int]:
        """Process ids of the run's actors whose title holds `title`."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                titled = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
            except OSError:  # it has ended, or belongs to someone else
                continue
            if title.encode() in titled and self.mark.encode() in environment:
                found.append(int(folder.name))
        return found
