"""A file is written whole or not at all."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from geoclip.support.files import let_others_read, write_tensors, write_whole


def test_content_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    write_whole(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_others_may_read_weights_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = tmp_path / "a.safetensors"
        path.write_bytes(b"old")
        write_tensors(path, {"a": torch.arange(3)}, {"format": "pt"})
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
        path.chmod(0o600)
        let_others_read(path)
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    finally:
        os.umask(before)
    assert load_file(path)["a"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_cannot_be_written_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="share memory"):
        write_tensors(path, {"a": shared, "b": shared})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
