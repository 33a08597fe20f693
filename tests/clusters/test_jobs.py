"""Jobs submitted from a checkout, as README has them, run its code on a cluster, for real."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest
from inference import write_model, write_photos
from several_nodes import ERROR_LINE

ROOT = Path(__file__).resolve().parents[2]
GPUS = ("--num-gpus=2", "--disable-usage-stats")
"""Two fake GPUs, which the page on clusters requires."""

RAY = str(Path(sys.executable).with_name("ray"))
STARTING = ("No available agent", "Failed to connect to Ray")
PATIENCE = {"RAY_raylet_start_wait_time_s": "120", "RAY_agent_register_timeout_ms": "120000"}
"""Ray's own half a minute is too short for a busy machine."""

ENVIRONMENT = os.environ | {
    **PATIENCE,
    "PATH": f"{Path(RAY).parent}:{os.environ['PATH']}",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": uuid4().hex,  # given here, none is left in the home folder
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job_server() -> Iterator[str]:
    """Address of the job server of a cluster that was started as on a head node."""
    ports = {
        name: free_port() for name in ("port", "dashboard-port", "dashboard-agent-listen-port")
    }
    options = [f"--{name}={port}" for name, port in ports.items()]
    # A job joins the Ray that was last started from this folder, whoever started it.
    folder = tempfile.mkdtemp(prefix="ray")  # short, for the names of sockets
    options.append(f"--temp-dir={folder}")
    head = subprocess.Popen(
        [RAY, "start", "--head", "--block", "--num-cpus=2", *GPUS, *options],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{ports['dashboard-port']}"
    os.killpg(head.pid, signal.SIGKILL)  # a session of its own; asked to end, it takes 30 s
    head.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def readme_commands(texts: dict[str, str]) -> list[list[str]]:
    """The commands of the page on clusters, in order, with other texts in some places."""
    section = (ROOT / "pipelines" / "README.md").read_text().split("## Commands")[1]
    block = section.split("```sh\n")[1].split("```")[0].replace("\\\n", " ")
    for text, other in texts.items():
        assert text in block
        block = block.replace(text, other)
    return [shlex.split(line) for line in block.splitlines()]


def run(server: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the user's commands from the checkout, and again while the cluster is still starting."""
    for _ in range(20):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=ENVIRONMENT | {"RAY_ADDRESS": server},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if not any(sign in done.stderr for sign in STARTING):
            break
        time.sleep(3)
    return done


def test_commands_of_the_readme(job_server: str, tmp_path: Path) -> None:
    """Word for word, except paths and the model."""
    photos = write_photos(tmp_path / "bucket" / "shards", 6)
    rows = [f"{photo},{48 + i},{2 + i},train" for i, photo in enumerate(photos)]
    (tmp_path / "photos.csv").write_text("\n".join(["path,lat,lon,split", *rows]) + "\n")
    bucket = tmp_path / "bucket"
    texts = {
        "s3://bucket": str(bucket),
        "clip-b-32": "street-tiny",
        "photos.csv": str(tmp_path / "photos.csv"),
    }
    install, *commands = readme_commands(texts)
    assert install[:2] == ["pip", "install"]
    said = []
    for command in commands:
        done = run(job_server, *command)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout + done.stderr)
    assert [command[0] for command in commands] == ["ray", "python", "ray"]
    guesses = pd.read_parquet(bucket / "guesses")
    assert guesses["photo_id"].nunique() == 6
    assert (guesses["status"] == "ok").all()
    assert re.search(r"^6 photos in .*; 0 could not be read\.", said[0], re.M), said[0]
    assert "PyTorch cannot use Ray's GPUs" in said[0]
    assert (bucket / "run" / "encoder" / "open_clip_config.json").is_file()
    assert not re.search(r"\bERROR\b", "".join(said))
    assert not ERROR_LINE.findall("".join(said))


def test_a_job_without_the_token_is_refused(job_server: str) -> None:
    """The sentence is Ray's; the cluster runs nothing."""
    command = [
        "ray",
        "job",
        "submit",
        "--address",
        job_server,
        "--",
        "python",
        "-c",
        "print('ran')",
    ]
    environment = ENVIRONMENT | {"RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_AUTH_TOKEN")
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode != 0
    assert "ran" not in done.stdout.split()
    assert re.search("401|[Uu]nauthorized|[Aa]uthentication", done.stdout + done.stderr)


def test_results_that_would_end_with_the_job_are_refused(job_server: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 1)
    model = write_model(tmp_path / "model")
    options = ["--photos", str(tmp_path / "photos"), "--model", str(model), "--out", "here"]
    submit = ["ray", "job", "submit", "--working-dir", ".", "--"]
    refused = run(job_server, *submit, "python", "-m", "pipelines.locate_photos", *options)
    assert refused.returncode != 0
    assert "which Ray deletes after the job" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout
