"""`geoclip gallery build`: the user's view."""

import json
from pathlib import Path

import pytest
from PIL import Image
from small_world import FakeEncoder
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.ranking.gallery.photo_gallery import Gallery


@pytest.fixture
def photos(tmp_path: Path, fake_encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of two photos, one of known position, and a model without weights."""
    monkeypatch.setattr("geoclip.encoders.load_encoder", lambda *_: fake_encoder)
    for i, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (8, 8), (9, i, 3)).save(tmp_path / name)
    (tmp_path / "t.csv").write_text("path,lat,lon,country_code\na.png,1,2,\nb.png,,,FR\n")
    return tmp_path / "t.csv"


def build(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["gallery", "build", *map(str, arguments)])


def test_a_gallery_is_built_and_grows(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "gallery"
    result = build(photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert "1 photos joined" in result.stderr
    assert "1 photos have no trustworthy position" in result.stderr
    assert json.loads((out / "gallery.json").read_text())["model"] == "street-tiny"
    result = build(photos, "--out", out, "--names")
    assert "0 photos joined" in result.stderr and "1 photos were in it before" in result.stderr
    assert Gallery.open(out).photos["path"].to_pylist() == [""]  # it was added without its name


def test_unreadable_photos_are_told(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    result = build(photos, "--out", tmp_path / "gallery")
    assert result.exit_code == 3
    assert "1 photos could not be read: see ledger.csv" in result.stderr


def test_copies_of_network_disks_do_not_join(photos: Path, tmp_path: Path) -> None:
    thumbnail = tmp_path / "@eaDir" / "a.png" / "SYNOPHOTO_THUMB_M.png"
    thumbnail.parent.mkdir(parents=True)
    thumbnail.write_bytes((tmp_path / "a.png").read_bytes())
    result = build(tmp_path, "--out", tmp_path.parent / "of a folder")
    assert "2 photos have no trustworthy position" in result.stderr
    assert ": 1 in @eaDir." in result.stderr
    result = build(tmp_path, "--out", tmp_path.parent / "of all", "--include-hidden")
    assert "3 photos have no trustworthy position" in result.stderr
    result = build(tmp_path, "--out", tmp_path.parent / "of one", "--exclude", "B.*")
    assert "1 photos have no trustworthy position" in result.stderr
    assert "1 by --exclude B.*" in result.stderr


def test_errors_are_one_sentence(photos: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ((tmp_path / "none.csv", "--out", tmp_path / "g"), "does not exist"),
        ((tmp_path, "--out", tmp_path / "g", "--embeddings", tmp_path), "needs the .csv tables"),
        ((photos, "--out", tmp_path / "g", "--embeddings", tmp_path), "which encoder"),
        ((photos, "--out", tmp_path / "a.png"), "cannot be written: it is a file"),
    ):
        result = build(*arguments)
        assert result.exit_code == 2, result.output
        assert said in result.stderr and "Traceback" not in result.stderr
