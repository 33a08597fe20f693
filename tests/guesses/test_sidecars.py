"""Sidecars hold the guess, never replace existing files, and are removed exactly."""

import errno
import hashlib
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.guesses import sidecars as sidecar
from geoclip.guesses.location_tags import PositionRule
from geoclip.guesses.schema import guess_table
from geoclip.guesses.sidecars import SidecarReport, undo_sidecars, write_sidecars
from geoclip.guesses.xmp import NAMESPACE, gps_coordinate, sidecar_xmp
from geoclip.photos.beside import sidecar_name

EXIF = "{http://ns.adobe.com/exif/1.0/}"
OURS = f"{{{NAMESPACE}}}"
NASTY = "</rdf:RDF>\"'&<script>\x00\x1b\ud800"


def photo(path: Path, gps: bool = False) -> Path:
    image = Image.new("RGB", (8, 8), "green")
    exif = Image.Exif()
    if gps:
        exif[0x8825] = {1: "N", 2: (48.0, 51.0, 0.0), 3: "E", 4: (2.0, 21.0, 0.0)}
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", exif=exif)
    return path


def guess(path: Path, **values: Any) -> dict[str, Any]:
    usual = {
        "rank": 1, "source": "model", "place_id": "2996944", "city": "Lyon", "region": "",
        "country": "France", "lat": 45.75, "lon": 4.85, "probability": 0.25, "radius_km": 120.0,
        "status": "ok",
    }  # fmt: skip
    return {"path": path, **usual, **values}


def written(folder: Path, *guesses: dict[str, Any], **options: Any) -> SidecarReport:
    return write_sidecars(guess_table(guesses), folder / "journal.jsonl", **options)


def attributes(content: bytes) -> dict[str, str]:
    description = ET.fromstring(content)[0][0]
    return dict(description.attrib)


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(f): (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns)
        for f in sorted(folder.rglob("*"))
        if f.is_file()
    }


def degrees(text: str) -> float:
    whole, minutes = text[:-1].split(",")
    return (int(whole) + float(minutes) / 60) * (-1 if text[-1] in "SW" else 1)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_coordinates_survive_within_a_centimetre(lat: float, lon: float) -> None:
    for value, letters in ((lat, "NS"), (lon, "EW")):
        text = gps_coordinate(value, letters)
        assert degrees(text) == pytest.approx(value, abs=1e-8)
        assert 0 <= float(text[:-1].split(",")[1]) < 60


def test_a_sidecar_states_position_and_provenance(tmp_path: Path) -> None:
    report = written(tmp_path, guess(photo(tmp_path / "a.jpg")), model="street-tiny")
    assert report.written == [tmp_path / "a.jpg.xmp"]
    found = attributes((tmp_path / "a.jpg.xmp").read_bytes())
    assert found[f"{EXIF}GPSLatitude"] == "45,45.000000N"
    assert found[f"{EXIF}GPSLongitude"] == "4,51.000000E"
    assert found[f"{OURS}Model"] == "street-tiny"
    assert found[f"{OURS}Probability"] == "0.2500"
    assert found[f"{OURS}RadiusKm"] == "120.0"
    assert found[f"{OURS}Place"] == "Lyon, France"
    assert found[f"{OURS}PlaceId"] == "2996944"
    assert found[f"{OURS}Version"]


@given(st.text(), st.text())
def test_any_name_gives_well_formed_xml(city: str, model: str) -> None:
    values = guess(Path("x.jpg"), city=city, radius_km=np.nan)
    found = attributes(sidecar_xmp(values, model))
    assert f"{OURS}RadiusKm" not in found
    assert set(found) >= {f"{EXIF}GPSLatitude", f"{OURS}Place"}


def test_a_sidecar_needs_a_country_and_names_no_more_than_its_level(tmp_path: Path) -> None:
    named = {"region": "", "city": "", "place_id": "", "country": ""}
    rows = [
        guess(photo(tmp_path / "none.jpg"), **{**named, "level": "none", "continent": "Europe"}),
        guess(photo(tmp_path / "eu.jpg"), **{**named, "level": "continent", "continent": "Europe"}),
        guess(
            photo(tmp_path / "at.jpg"),
            **{**named, "level": "country", "continent": "Europe", "country": "Austria"},
            radius_90_km=900.0,
        ),
    ]
    report = written(tmp_path, *rows)
    assert report.written == [tmp_path / "at.jpg.xmp"]
    assert report.skipped == [
        (tmp_path / "none.jpg", "the place cannot be told"),
        (tmp_path / "eu.jpg", "only the continent can be told"),
    ]
    assert "1 not: the place cannot be told" in report.summary()
    found = attributes((tmp_path / "at.jpg.xmp").read_bytes())
    assert found[f"{OURS}Place"] == "Austria"
    assert found[f"{OURS}Level"] == "country"
    assert found[f"{OURS}Guess"] == "Austria 25 %, half the time within 120 km"
    assert found[f"{OURS}Radius90Km"] == "900.0"


def test_a_position_that_is_not_earned_is_left_out_and_said(tmp_path: Path) -> None:
    sure = {"radius_90_km": 20.0, "country_probability": 0.9, "city_probability": 0.8}
    rows = [
        guess(photo(tmp_path / "sure.jpg"), probability=0.8, **sure),
        guess(photo(tmp_path / "wide.jpg"), probability=0.8, **{**sure, "radius_90_km": 900.0}),
        guess(photo(tmp_path / "vague.jpg"), probability=0.1, country_probability=0.2),
    ]
    report = written(tmp_path, *rows, rule=PositionRule())
    assert report.written == [tmp_path / "sure.jpg.xmp", tmp_path / "wide.jpg.xmp"]
    assert report.withheld == {tmp_path / "wide.jpg.xmp": "the 90 % radius is more than 50 km"}
    assert report.skipped == [(tmp_path / "vague.jpg", "no place is probable enough")]
    assert (
        "2 sidecars written; 1 of them without a position: the 90 % radius is more"
        in report.summary()
    )
    told = attributes((tmp_path / "wide.jpg.xmp").read_bytes())
    assert not [name for name in told if name.startswith(EXIF)]
    assert told[f"{OURS}NotWritten"] == "position: the 90 % radius is more than 50 km"
    assert told["{http://ns.adobe.com/photoshop/1.0/}City"] == "Lyon"
    assert f"{EXIF}GPSLatitude" in attributes((tmp_path / "sure.jpg.xmp").read_bytes())


def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    written(tmp_path, guess(photo(tmp_path / "a.jpg"), city=NASTY.replace("\ud800", "")))
    found = attributes((tmp_path / "a.jpg.xmp").read_bytes())
    assert found[f"{OURS}Place"] == "</rdf:RDF>\"'&<script>, France"


def test_photos_with_a_position_of_their_own_are_left_alone(tmp_path: Path) -> None:
    own = photo(tmp_path / "own.jpg", gps=True)
    stated = photo(tmp_path / "stated.jpg")
    raw = photo(tmp_path / "raw.jpg")
    (tmp_path / "raw.xmp").write_text('<x exif:GPSLatitude="1,2.0N"/>')
    edited = photo(tmp_path / "edited.jpg")
    (tmp_path / "edited.jpg.xmp").write_text("<x/>")
    before = snapshot(tmp_path)
    report = written(tmp_path, guess(own), guess(stated, source="gps"), guess(raw), guess(edited))
    assert report.written == []
    assert [path.name for path, _ in report.skipped] == [
        "own.jpg", "stated.jpg", "raw.jpg", "edited.jpg",
    ]  # fmt: skip
    assert snapshot(tmp_path) == before
    assert "there is a sidecar already" in report.summary()


@pytest.mark.parametrize("length", [244, 251, 252, 255])
def test_long_names(tmp_path: Path, length: int) -> None:
    path = photo(tmp_path / "photos" / ("a" * (length - 4) + ".jpg"))
    before = snapshot(path.parent)
    for _ in range(2):  # found again by the same rule
        report = written(tmp_path, guess(path))
        (found,) = report.written
        assert not report.skipped
        assert found == path.with_name(sidecar_name(path.name))
        assert len(os.fsencode(found.name)) <= 255
    assert (found.name == path.name + ".xmp") == (length < 252)
    other = write_sidecars(guess_table([guess(path)]), tmp_path / "other.jsonl")
    assert other.skipped == [(path, "there is a sidecar already")]
    assert len(undo_sidecars(tmp_path / "journal.jsonl").removed) == 1
    assert snapshot(path.parent) == before


def test_unanswered_photos_and_lower_ranks_get_none(tmp_path: Path) -> None:
    report = written(
        tmp_path,
        guess(photo(tmp_path / "a.jpg"), status="no evidence", lat=np.nan, lon=np.nan),
        guess(photo(tmp_path / "b.jpg"), rank=2),
    )
    assert report.written == []
    assert not list(tmp_path.glob("*.xmp"))


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    planned = guess(photo(tmp_path / "a.jpg"))
    before = snapshot(tmp_path)
    report = written(tmp_path, planned, dry_run=True)
    assert report.written == [tmp_path / "a.jpg.xmp"]
    assert "would be written" in report.summary()
    assert snapshot(tmp_path) == before


def test_undo_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    names = ["a.jpg", 'b "quoted"\n.jpg', os.fsdecode(b"c\xe9.jpg")]
    rows = [guess(photo(folder / name)) for name in names]
    before = snapshot(folder)
    assert len(written(tmp_path, *rows).written) == 3
    assert len(snapshot(folder)) == 6
    report = undo_sidecars(tmp_path / "journal.jsonl")
    assert len(report.removed) == 3
    assert not report.kept
    assert snapshot(folder) == before
    again = undo_sidecars(tmp_path / "journal.jsonl")
    assert (len(again.removed), len(again.gone)) == (0, 3)


def test_undo_keeps_what_was_changed_since(tmp_path: Path) -> None:
    rows = [guess(photo(tmp_path / f"{i}.jpg")) for i in range(3)]
    written(tmp_path, *rows)
    (tmp_path / "0.jpg.xmp").write_text("edited by hand")
    (tmp_path / "1.jpg.xmp").rename(tmp_path / "moved.xmp")
    (tmp_path / "1.jpg.xmp").symlink_to("moved.xmp")
    report = undo_sidecars(tmp_path / "journal.jsonl")
    assert [path.name for path, _ in report.kept] == ["0.jpg.xmp", "1.jpg.xmp"]
    assert [path.name for path in report.removed] == ["2.jpg.xmp"]


def test_a_second_run_renews_its_own_sidecars(tmp_path: Path) -> None:
    row = guess(photo(tmp_path / "a.jpg"))
    written(tmp_path, row)
    assert written(tmp_path, row | {"lat": 10.0}).written
    assert b"10,0.000000N" in (tmp_path / "a.jpg.xmp").read_bytes()
    other = write_sidecars(guess_table([row]), tmp_path / "other.jsonl")
    assert other.written == []  # for another journal it is somebody else's
    undo_sidecars(tmp_path / "journal.jsonl")
    assert not (tmp_path / "a.jpg.xmp").exists()


def test_a_crash_between_any_two_files_can_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    rows = [guess(photo(folder / f"{i}.jpg")) for i in range(6)]
    before = snapshot(folder)
    link = os.link
    for crash_at in range(6):
        calls = iter(range(100))

        def crashing(source: Path, target: Path, at: int = crash_at, n: Any = calls) -> None:
            if next(n) == at:
                raise KeyboardInterrupt
            link(source, target)

        monkeypatch.setattr(os, "link", crashing)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path, *rows)
        assert len(list(folder.glob("*.xmp"))) == crash_at
        undo_sidecars(tmp_path / "journal.jsonl")
        assert snapshot(folder) == before


def test_a_cut_journal_line_is_passed_over(tmp_path: Path) -> None:
    written(tmp_path, guess(photo(tmp_path / "a.jpg")))
    journal = tmp_path / "journal.jsonl"
    with journal.open("a") as file:
        file.write('{"sidecar": "/tmp/x')
    written(tmp_path, guess(photo(tmp_path / "b.jpg")))
    assert len(undo_sidecars(journal).removed) == 2


def test_a_file_that_comes_up_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = guess(photo(tmp_path / "a.jpg"))

    def note(journal: Path, planned: dict[Path, bytes]) -> None:
        (tmp_path / "a.jpg.xmp").write_text("theirs")

    monkeypatch.setattr(sidecar, "_note", note)
    report = written(tmp_path, row)
    assert report.skipped == [(tmp_path / "a.jpg", "there is a sidecar already")]
    assert (tmp_path / "a.jpg.xmp").read_text() == "theirs"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.jpg", "a.jpg.xmp"]


def test_file_systems_without_hard_links_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert written(tmp_path, guess(photo(tmp_path / "a.jpg"))).written
    assert len(undo_sidecars(tmp_path / "journal.jsonl").removed) == 1


def test_a_folder_that_cannot_be_written_to_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    row = guess(photo(tmp_path / "a.jpg"))
    monkeypatch.setattr(Path, "write_bytes", full)
    report = written(tmp_path, row)
    assert report.skipped[0][1] == "it cannot be written (No space left on device)"
    assert not list(tmp_path.glob("*.xmp"))


def test_without_a_journal_nothing_is_written(tmp_path: Path) -> None:
    row = guess(photo(tmp_path / "a.jpg"))
    with pytest.raises(GeoclipError, match=r"journal .* cannot be written"):
        write_sidecars(guess_table([row]), tmp_path / "absent" / "journal.jsonl")
    assert not list(tmp_path.glob("*.xmp"))


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary\n" + json.dumps({"path": 1}))
    with pytest.raises(GeoclipError, match="is no journal"):
        undo_sidecars(tmp_path / "notes.txt")
    with pytest.raises(GeoclipError, match="cannot be read"):
        undo_sidecars(tmp_path / "absent.jsonl")
