"""Where the user's cache and data lie."""

import os
import tempfile
from pathlib import Path

from geoclip.support.user_folders import cache_folder, data_folder


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("GEOCLIP_CACHE", "")  # as good as unset
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "geoclip" / "places"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "geoclip" / "places"


def test_a_user_without_a_home_still_has_folders(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    for name in ("GEOCLIP_CACHE", "GEOCLIP_DATA", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    own = Path(tempfile.gettempdir()) / f"geoclip-{os.getuid()}"
    assert (cache_folder(), data_folder()) == (own / "places", own)


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("GEOCLIP_DATA", "")  # as good as unset
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert data_folder() == tmp_path / "xdg" / "geoclip"
