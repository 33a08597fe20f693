"""`geoclip search`: the user's view, and the contact sheet."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chromium import HOSTILE
from PIL import Image
from small_world import WIDTH, FakeEncoder, hashed_vector
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.photos.keys import tower_key
from geoclip.ranking.gallery.photo_gallery import Gallery, GalleryAbout
from geoclip.runs.build_gallery import gallery_id


@pytest.fixture
def folder(tmp_path: Path, fake_encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gallery of two photos: one is here and has its name in it, the other is gone."""
    monkeypatch.setattr("geoclip.runs.search_gallery.load_encoder", lambda *_: fake_encoder)
    Image.new("RGB", (300, 500), (9, 80, 200)).save(tmp_path / "here.png")
    (tmp_path / "t.csv").write_text("path,lat,lon\nhere.png,45.75,4.85\ngone.png,1,2\n")
    about = GalleryAbout(tower_key(fake_encoder), "street-tiny", WIDTH)
    gallery = Gallery.create(tmp_path / "gallery", about)
    paths = [str(tmp_path / name) for name in ("here.png", "gone.png")]
    rows = {"photo_id": [*map(gallery_id, paths)], "lat": [45.75, 1.0], "lon": [4.85, 2.0]}
    values = np.stack([hashed_vector(b"here"), hashed_vector(b"gone")])
    gallery.add(values, pd.DataFrame(rows).assign(path=["", paths[1]]))
    return gallery.folder


def search(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["search", *map(str, arguments)])


def test_a_table_is_shown(folder: Path) -> None:
    result = search(folder, "a tram", "--photos", folder.parent / "t.csv")
    assert result.exit_code == 0, result.output
    for shown in ("a tram", "here.png", "gone.png", "45.7500", "4.8500"):
        assert shown in result.stdout
    assert str(folder.parent) not in result.stdout  # names, not the photos' folders
    result = search(folder, "a tram", "--top", 1, "--out", folder.parent / "o.csv")
    assert result.exit_code == 0 and len(pd.read_csv(folder.parent / "o.csv")) == 1


def test_recall_is_shown(folder: Path) -> None:
    queries = folder.parent / "q.csv"
    queries.write_text("photo,text\nhere.png,a tram\n")
    result = search(folder, "--queries", queries)
    assert result.exit_code == 0, result.output
    assert re.search(r"1 queries\W+\d+\.0 %\W+100\.0 %\W+100\.0 %", result.stdout)
    assert re.search(r"chance\W+50\.0 %\W+100\.0 %\W+100\.0 %", result.stdout)


def test_a_sheet_without_pictures_says_how_to_get_them(folder: Path) -> None:
    named = Gallery.open(folder)
    bare = Gallery.create(folder.parent / "bare", named.about)
    rows = pd.DataFrame({"photo_id": ["a"], "lat": [1.0], "lon": [2.0], "path": [""]})
    bare.add(hashed_vector(b"here")[None], rows)
    page = folder.parent / "found.html"
    result = search(bare.folder, "a tram", "--page", page)
    assert result.exit_code == 0 and "<img" not in page.read_text(encoding="utf-8")
    assert "--photos" in result.stderr
    photos = ["--photos", folder.parent / "t.csv"]
    assert "--photos" not in search(folder, "a tram", *photos, "--page", page).stderr


def test_the_contact_sheet_holds_what_is_here_and_runs_nothing(folder: Path) -> None:
    page, here = folder.parent / "found.html", folder.parent / "here.png"
    photos = ["--photos", folder.parent / "t.csv"]
    result = search(folder, *HOSTILE, "--like", here, *photos, "--page", page)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r'<img alt="" src="data:image/jpeg;base64,[A-Za-z0-9+/=]+">', text)
    assert len(pictures) == len(HOSTILE) + 1  # each text finds it, and it is a query itself
    assert text.count("<img") == len(pictures)  # the other photo is gone
    assert not re.search(r"<(script|link|iframe|object|embed|svg|b)\b|https?://", text)
    assert not re.search(r"<[^>]+\son\w+=", text)
    assert "default-src 'none'" in text and "img-src data:" in text
    assert str(folder.parent) not in text and text.count("here.png") == len(pictures)


def test_errors_are_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = json.loads((folder / "gallery.json").read_text())
    for arguments, said in (
        ((folder,), "what to search for"),
        ((folder, "a tram", "--queries", folder / "q.csv"), "what to search for"),
        ((folder, "a tram", "--out", folder / "o.txt"), "unknown ending"),
        ((folder, "a tram", "--page", folder / "o.txt"), "does not end in .html"),
        ((folder.parent, "a tram"), "is no gallery"),
        ((folder, "a tram", "--model", "streetclop"), "streetclip"),
        ((folder, "--like", folder / "none.jpg"), "none.jpg"),
    ):
        result = search(*arguments)
        assert result.exit_code == 2, result.output
        assert said in result.stderr.replace("\n", " ") and "Traceback" not in result.stderr
    (folder / "gallery.json").write_text(json.dumps(about | {"encoder": "another"}))
    result = search(folder, "a tram")
    assert result.exit_code == 2 and "another encoder, street-tiny" in result.stderr
