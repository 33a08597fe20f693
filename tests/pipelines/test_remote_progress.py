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
