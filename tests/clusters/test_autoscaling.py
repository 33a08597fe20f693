"""A cluster that grows: actors that find no room ask for machines, and work on them.

`ray.cluster_utils.AutoscalingCluster` is unsuitable: it begins with `ray stop --force`, which ends
every Ray on the machine, and its configuration file is not in Ray's wheel. Its basis works: a
provider whose machines are processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import psutil
import pytest
import ray
from inference import write_model, write_photos, write_world
from several_nodes import Run
from test_jobs import PATIENCE, RAY, free_port

PHOTOS = 2000
MARK = "GROWING_CLUSTER"
HEAD = "ray.head.default"
"""The provider's name for the kind of its own machine."""

pytestmark = pytest.mark.slow


def settings(address: str) -> dict:
    """A head of two CPUs, and up to one machine more."""
    kinds = {
        name: {
            "resources": {"CPU": 2, "object_store_memory": 100 * 1024**2},
            "node_config": {},
            "min_workers": 0,
            "max_workers": most,
        }
        for name, most in ((HEAD, 0), ("worker", 1))
    }
    nothing: dict = {name: {} for name in ("auth", "docker", "file_mounts")}
    for name in ("initialization", "setup", "head_setup", "worker_setup"):
        nothing[f"{name}_commands"] = []
    for name in ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files"):
        nothing[name] = []
    return nothing | {
        "cluster_name": "growing",
        "max_workers": 1,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {"type": "fake_multinode", "gcs_address": address},
        "available_node_types": kinds,
        "head_node_type": HEAD,
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # whatever token is in the home folder
    for name, value in PATIENCE.items():
        monkeypatch.setenv(name, value)
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found in /proc")
    port, mark = free_port(), uuid4().hex
    folder = tempfile.mkdtemp(prefix="ray")  # short, for the names of sockets
    address = f"{ray.util.get_node_ip_address()}:{port}"
    (tmp_path / "cluster.json").write_text(json.dumps(settings(address)))
    environment = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", MARK: mark}
    monkeypatch.setenv("RAY_ADDRESS", address)  # it may grow
    head = subprocess.Popen(
        [
            *(RAY, "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats"),
            *(f"--port={port}", "--include-dashboard=false"),
            *(f"--autoscaling-config={tmp_path}/cluster.json", f"--temp-dir={folder}"),
            "--object-store-memory=104857600",
        ],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    yield SimpleNamespace(cluster=SimpleNamespace(address=address))
    os.killpg(head.pid, signal.SIGKILL)  # asked to end, it takes half a minute
    head.wait(60)
    for process in psutil.process_iter():  # machines that the autoscaler has started
        try:
            ours = process.environ().get(MARK) == mark
        except psutil.Error:
            continue
        if ours:
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_actors_without_room_ask_for_machines(growing: SimpleNamespace, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", PHOTOS)
    arguments = [
        *("--photos", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--actors", "4"),
        *("--model", str(write_model(tmp_path / "model")), "--index", str(tmp_path / "places")),
        *("--gazetteer", str(write_world(tmp_path / "world.csv"))),
    ]
    run = Run(growing, "pipelines.locate_photos", arguments, SLOW_READS="2")
    deadline = time.monotonic() + 300
    while len(run.actors("MapBatches(PhotoLocator)")) < 3:  # the head has room for two
        assert run.process.poll() is None, run.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    run.process.kill()
    printed, _ = run.process.communicate()
    said = "room for 2 of 4 actors now; the others start as soon as machines join"
    assert said in printed
