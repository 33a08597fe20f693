"""Progress of a worker on another process, shown here."""

import time

import pytest
import ray

from geoclip.commands import progress
from pipelines import remote_progress


def test_steps_and_words_of_a_worker(
    ray_on_two_cpus: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote_progress, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(progress, "SECONDS_A_LINE", 0)
    with remote_progress.remote_progress("working") as counter:
        time.sleep(0.3)  # nothing is shown before the worker says how much there is
        ray.get(counter.say.remote("Tuning all."))
        time.sleep(0.3)
        ray.get(counter.set.remote(2, 4, "loss 3"))
        time.sleep(0.3)
        ray.get(counter.set.remote(4, 4, "loss 1"))
    lines = capsys.readouterr().err.splitlines()
    assert lines.pop(0) == "Tuning all."
    assert lines[0].startswith("working: 2 of 4, ") and lines[0].endswith("loss 3")
    assert lines[-1].startswith("working: 4 of 4, ") and lines[-1].endswith("loss 1")


@pytest.mark.parametrize("total, of", [(5, " of 5"), (None, "")])
def test_photos_of_several_actors(
    total: int | None,
    of: str,
    ray_on_two_cpus: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(remote_progress, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(progress, "SECONDS_A_LINE", 0)
    with remote_progress.remote_progress("photos") as counter:
        ray.get(counter.set.remote(0, total, ""))
        time.sleep(0.3)
        ray.get([counter.add.remote(2, 0), counter.add.remote(2, 1)])
        time.sleep(0.3)
        ray.get(counter.add.remote(1, 1))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"photos: 0{of}, ")
    assert any(line.startswith(f"photos: 4{of}, ") and "1 could not" in line for line in lines)
    assert lines[-1].startswith(f"photos: 5{of}, ")
    assert lines[-1].endswith("2 could not be read")
    assert all(("left" in line) == (total is not None) for line in lines)


def test_photos_that_are_done_again_do_not_pass_the_total(ray_on_two_cpus: None) -> None:
    counter = remote_progress.Counter.remote()
    ray.get([counter.set.remote(0, 3, ""), counter.add.remote(2, 0), counter.add.remote(2, 0)])
    assert ray.get(counter.get.remote()) == (3, 3, "")
