"""Files that a run is asked to write, looked at before any work is done."""

from pathlib import Path

import pytest

from geoclip.errors import GeoclipError
from geoclip.runs.run_files import check_output

UNWRITABLE = Path("/proc")  # root may write to a read-only folder, but to none of these


@pytest.mark.skipif(not UNWRITABLE.is_dir(), reason="a folder of Linux that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_refused_at_once() -> None:
    with pytest.raises(GeoclipError, match=r"--map .*m\.html cannot be written.*folder"):
        check_output(UNWRITABLE / "m.html", "--map", (".html", ".htm"))


def test_looking_leaves_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "m.html", "--map", (".html", ".htm"))
    assert list(tmp_path.iterdir()) == []
