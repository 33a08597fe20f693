"""A job submitted from a checkout runs its code on a cluster's workers, for real."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from inference import write_model, write_photos, write_world

ROOT = Path(__file__).resolve().parents[2]

RAY = str(Path(sys.executable).with_name("ray"))
STARTING = ("No available agent", "Failed to connect to Ray")

ENVIRONMENT = os.environ | {
    "PATH": f"{Path(RAY).parent}:{os.environ['PATH']}",
    "RAY_AUTH_MODE": "disabled",  # on loopback, and no token is left in the home folder
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job_server() -> Iterator[str]:
    """Address of the job server of a cluster that was started as on a head node."""
    ports = {
        name: free_port() for name in ("port", "dashboard-port", "dashboard-agent-listen-port")
    }
    options = [f"--{name}={port}" for name, port in ports.items()]
    head = subprocess.Popen(
        [RAY, "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats", *options],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{ports['dashboard-port']}"
    head.terminate()  # with --block it ends what it started, and nobody else's cluster
    head.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def submit(server: str, *entry: str) -> subprocess.CompletedProcess[str]:
    """What a user types, from the checkout, and again while the cluster is still starting."""
    for _ in range(20):
        done = submit_once(server, *entry)
        if not any(sign in done.stderr for sign in STARTING):
            break
        time.sleep(3)
    return done


def submit_once(server: str, *entry: str) -> subprocess.CompletedProcess[str]:
    command = [RAY, "job", "submit", "--address", server, "--working-dir", "."]
    return subprocess.run(
        [*command, "--", "python", "-m", *entry],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_photos_are_located_by_a_job(job_server: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 6)
    model, world = write_model(tmp_path / "model"), write_world(tmp_path / "world.csv")
    out = tmp_path / "out"
    options = ["--photos", str(tmp_path / "photos"), "--model", str(model), "--out", str(out)]
    places = ["--gazetteer", str(world), "--index", str(tmp_path / "places")]
    done = submit(job_server, "pipelines.locate_photos", *options, *places, "--actors", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pd.read_parquet(out)["photo_id"].nunique() == 6


def test_results_that_would_end_with_the_job_are_refused(job_server: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 1)
    model = write_model(tmp_path / "model")
    options = ["--photos", str(tmp_path / "photos"), "--model", str(model), "--out", "here"]
    refused = submit(job_server, "pipelines.locate_photos", *options)
    assert refused.returncode != 0
    assert "which Ray deletes after the job" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout
