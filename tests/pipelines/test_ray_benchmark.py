"""The benchmark of inference through Ray counts only what a side did in its turns."""

from pathlib import Path

import pytest


def test_rate_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    from tests.benchmarks.ray_inference import steady

    # Ten photos a second but for a pause; what came before the first turn does not count.
    done = [(2.0, 20), *((float(at), 20) for at in range(4, 20, 2)), (50.0, 20), (54.0, 40)]
    assert steady(done, [(3.0, 20.0), (50.0, 55.0)]) == {
        "photos": 200, "seconds": 20.0, "photos_a_second": 10.0
    }  # fmt: skip
