"""How workers find the checkout, and where a job's results may lie."""

import inspect
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator
from ray.data._internal.execution.operators.map_operator import MapOperator

from geoclip.errors import GeoclipError
from pipelines.actor_arguments import send_with_actors
from pipelines.cluster import (
    JOB_CONFIG,
    ROOT,
    START_TIMEOUT,
    check_lasting,
    inherited,
    joins_cluster,
    ray_session,
    worker_environment,
)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as the entry point of `ray job submit --working-dir .`."""
    config = {"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}, "metadata": {}}
    monkeypatch.setenv(JOB_CONFIG, json.dumps(config))


def test_workers_on_this_machine_import_the_checkout_itself() -> None:
    environment = worker_environment(on_cluster=False)
    assert environment["env_vars"]["PYTHONPATH"] == str(ROOT)
    assert "working_dir" not in environment


def test_variables_for_new_processes_leave_this_one_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GEOCLIP_OLD", "before")
    monkeypatch.delenv("GEOCLIP_NEW", raising=False)
    before = dict(os.environ)
    with pytest.raises(KeyError), inherited({"GEOCLIP_OLD": "now", "GEOCLIP_NEW": "now"}):
        assert (os.environ["GEOCLIP_OLD"], os.environ["GEOCLIP_NEW"]) == ("now", "now")
        raise KeyError
    assert dict(os.environ) == before


def test_workers_of_a_cluster_get_a_copy_of_the_checkout() -> None:
    environment = worker_environment(on_cluster=True)
    assert environment["working_dir"] == str(ROOT)
    assert "PYTHONPATH" not in environment["env_vars"]


def test_a_job_has_brought_its_copy(job: None) -> None:
    environment = worker_environment(on_cluster=True)
    assert "working_dir" not in environment and "PYTHONPATH" not in environment["env_vars"]


def test_no_environment_installs_a_package(job: None) -> None:
    for on_cluster in (False, True):
        assert {"pip", "uv", "conda"}.isdisjoint(worker_environment(on_cluster))


def test_training_workers_may_start_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray waits a minute, which two imports of PyTorch on a busy machine take."""
    for on_cluster in (False, True):
        assert float(worker_environment(on_cluster)["env_vars"][START_TIMEOUT]) >= 300
    monkeypatch.setenv(START_TIMEOUT, "7")
    assert worker_environment(on_cluster=False)["env_vars"][START_TIMEOUT] == "7"


def test_the_address_of_a_job_server_is_no_cluster_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """`RAY_ADDRESS` is set for `ray job submit` where another program of README is started."""
    for address, joins in (("http://127.0.0.1:8265", False), ("10.0.0.1:6379", True), ("", False)):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert joins_cluster() is joins
    monkeypatch.delenv("RAY_ADDRESS")
    assert not joins_cluster()


def test_results_of_a_job_must_outlive_it(job: None, tmp_path: Path) -> None:
    check_lasting(tmp_path / "out")
    check_lasting("s3://bucket/out")
    with pytest.raises(GeoclipError, match="that all nodes share"):
        check_lasting(ROOT / "runs" / "demo")


def test_without_a_job_results_may_lie_in_the_checkout() -> None:
    check_lasting(ROOT / "runs" / "demo")


def test_ray_data_makes_actors_of_what_travels_with_them() -> None:
    """They get values, not references to the object store; Ray may rename these one day."""
    kept = ("_map_transformer_ref", "_data_context_ref")
    assert all(name in vars(MapOperator) for name in kept)
    send_with_actors()
    operator = SimpleNamespace(_map_transformer="made of", data_context="context")
    given = [getattr(ActorPoolMapOperator, name).fget(operator) for name in kept]
    assert given == ["made of", "context"]
    code = inspect.getsource(ActorPoolMapOperator._start_actor)
    assert all(f"self.{name}" in code for name in kept)


@pytest.mark.parametrize("address, cure", [("", "less busy"), ("10.0.0.1:6379", "RAY_ADDRESS")])
def test_a_ray_that_does_not_start_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, address: str, cure: str
) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    ended: list[bool] = []  # the tests' own Ray goes on
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    with (
        pytest.raises(GeoclipError, match=f"timed out during startup.*{cure}") as caught,
        ray_session(),
    ):
        pytest.fail("began without Ray")
    assert "\n" not in str(caught.value) and ended == [True]
