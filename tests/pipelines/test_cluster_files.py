"""The example cluster file and RayJob: what can be checked without a cloud."""

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import yaml

from geoclip.commands.options import read_settings
from geoclip.encoders.registry import check_model_name
from geoclip.training.settings import TrainingSettings
from pipelines.command_line import command_of
from pipelines.train_encoder import main

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return yaml.safe_load((PIPELINES / "kuberay-job.yaml").read_text())["spec"]


def parsed(words: str) -> Any:
    """The options of a `python -m pipelines.train_encoder …` command, checked as it does."""
    command = shlex.split(words)
    assert command[:3] == ["python", "-m", "pipelines.train_encoder"]
    arguments = command_of(main).make_context("train_encoder", command[3:]).params
    check_model_name(arguments["start"])
    given = {name: value for name, value in arguments.items() if value is not None}
    read_settings(TrainingSettings, given)
    return SimpleNamespace(**arguments)


def test_cluster_file_passes_rays_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((PIPELINES / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    assert config["head_node_type"] in config["available_node_types"]
    most = [kind.get("max_workers", 0) for kind in config["available_node_types"].values()]
    assert sum(most) <= config["max_workers"]


def test_cluster_files_command_is_one_that_exists() -> None:
    lines = (PIPELINES / "cluster.yaml").read_text().splitlines()
    comment = " ".join(line.removeprefix("#").strip().rstrip("\\") for line in lines[:5])
    parsed(comment[comment.index("python -m") :])


def test_jobs_entry_point_and_its_options_exist(job: dict[str, Any]) -> None:
    arguments = parsed(job["entrypoint"])
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert arguments.workers == group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    assert arguments.gpu


def test_jobs_containers_ask_for_what_they_get(job: dict[str, Any]) -> None:
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [c for group in groups for c in group["template"]["spec"]["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for container in containers:
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert "nvidia.com/gpu" in containers[1]["resources"]["limits"]


def test_job_installs_nothing_and_names_its_ray(job: dict[str, Any]) -> None:
    environment = yaml.safe_load(job["runtimeEnvYAML"])
    assert set(environment) == {"working_dir"}
    assert job["rayClusterSpec"]["rayVersion"].split(".")[0] == ray.__version__.split(".")[0]
