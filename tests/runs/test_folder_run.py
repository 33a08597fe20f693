"""Runs over folders: interrupted or not, the answer is the same, and nothing is read twice."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from geopandas.testing import assert_geodataframe_equal
from PIL import Image
from small_world import FakeEncoder, without_notes

from geoclip.guesses.assembly import NO_EVIDENCE
from geoclip.guesses.gps_comparison import DOUBT
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.keys import encoder_key
from geoclip.photos.metadata import GpsFix, PhotoMetadata
from geoclip.photos.reader import BATCH
from geoclip.photos.views import slices
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import PointEstimate, RankingSettings
from geoclip.ranking.travel import TripSettings
from geoclip.runs.folder_run import FolderRun
from geoclip.runs.gps_summary import GpsSummary
from geoclip.runs.journal import Journal

PAINTED = ("lyon", "kowloon", "amsterdam", "denis3")
START = datetime(2020, 5, 1, 12)
ALL = AbstentionSettings("off")


@pytest.fixture
def locator(fake_encoder: FakeEncoder, small_gazetteer: Gazetteer) -> Locator:
    """Places a picture of red value i + 1 at PAINTED[i]."""
    book, axes = CaptionBook(small_gazetteer), np.eye(16)
    for i, place in enumerate(PAINTED):
        chain = small_gazetteer.ancestors[small_gazetteer.rows([place])[0]]
        for text in {text for row in chain[chain >= 0] for text in book.prompts(row)}:
            fake_encoder.known[text] = axes[i]
        fake_encoder.pictured[i + 1] = book.prompts(chain[2])[0]
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    return Locator(
        fake_encoder, index, small_gazetteer, RankingSettings(point=PointEstimate.city())
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each photo was decoded."""
    from geoclip.photos.decoding import decode

    counts: Counter[str] = Counter()

    def counting(image: Image.Image, name: str, short_side: int) -> Image.Image:
        counts[Path(name).name] += 1
        return decode(image, name, short_side)

    monkeypatch.setattr("geoclip.photos.opening.decode", counting)
    return counts


def paint(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{i:03}.png" for i in range(count)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (i % 4 + 1, 0, 0)).save(path)
    return paths


def cut_off(path: Path) -> Path:
    """A photo whose metadata can be read and whose pixels cannot."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    with path.open("r+b") as file:
        file.truncate(5000)
    return path


def sharper(locator: Locator, change: float) -> Locator:
    """The same with another logit scale."""
    encoder = FakeEncoder()
    encoder.known, encoder.pictured = locator.encoder.known, locator.encoder.pictured
    encoder.model.logit_scale.data += change
    return Locator(encoder, locator.index, locator.gazetteer, locator.settings)


def answer(run: FolderRun, journal: Journal) -> pd.DataFrame:
    blocks = list(run.blocks(journal))
    assert sum(block.photos for block in blocks) == len(run)
    return pd.concat([block.table for block in blocks], ignore_index=True)


def located(locator: Locator, paths: list[Path], folder: Path, **settings: object) -> pd.DataFrame:
    given = {"abstention": ALL, "level": "city", **settings}
    run = FolderRun.of(locator, paths, settings=LocateSettings(**given))
    with Journal.open(folder / run.journal_key) as journal:
        run.read(journal)
        return answer(run, journal)


def test_as_the_locator_says(locator: Locator, tmp_path: Path) -> None:
    paths = [*paint(tmp_path, 6), tmp_path / "gone.png"]
    table = located(locator, paths, tmp_path / "j", top_k=3)
    plain = LocateSettings.model_alone(3)
    expected = pd.DataFrame(locator.locate(paths, plain).drop(columns="geometry"))
    pd.testing.assert_frame_equal(without_notes(table), expected, check_exact=True)


def test_stopped_and_started_again(locator: Locator, tmp_path: Path, decoded: Counter[str]) -> None:
    paths = paint(tmp_path, BATCH * 3 + 5)
    paths[7].write_text("no photo")
    whole = located(locator, paths, tmp_path / "whole")
    decoded.clear()

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    run = FolderRun.of(locator, paths, settings=LocateSettings(abstention=ALL, level="city"))
    for left in (3, 2, 1, 0):
        with Journal.open(tmp_path / "j") as journal:
            assert len(run.todo(journal)) == left + 1
            with pytest.raises(KeyboardInterrupt):
                run.read(journal, progress=stop)
    with Journal.open(tmp_path / "j") as journal:
        assert run.todo(journal) == []
        run.read(journal)
        pd.testing.assert_frame_equal(answer(run, journal), whole)
    # The batch that was being read ahead is read again, what is in the journal never.
    assert max(decoded.values()) <= 2
    assert max(decoded[path.name] for path in paths[:BATCH]) == 1


def test_a_photo_that_changed_is_read_again(
    locator: Locator, tmp_path: Path, decoded: Counter[str]
) -> None:
    paths = paint(tmp_path, 3)
    located(locator, paths, tmp_path / "j")
    Image.new("RGB", (8, 8), (2, 0, 0)).save(paths[0])
    table = located(locator, paths, tmp_path / "j")
    assert table[table["rank"] == 1]["place_id"].tolist() == ["kowloon", "kowloon", "amsterdam"]
    assert decoded == {"000.png": 2, "001.png": 1, "002.png": 1}


def test_other_settings_need_no_photo_again(
    locator: Locator, tmp_path: Path, decoded: Counter[str]
) -> None:
    paths = paint(tmp_path, 4)
    located(locator, paths, tmp_path / "j")
    narrow = locator.narrowed(countries=["HK"])
    table = located(narrow, paths, tmp_path / "j", top_k=2)
    assert set(table["country_code"]) == {"HK"}
    assert len(table) == 8
    assert set(decoded.values()) == {1}
    other = FakeEncoder(salt="other")
    assert (
        FolderRun.of(Locator(other, locator.index, locator.gazetteer), paths).journal_key
        != FolderRun.of(locator, paths).journal_key
    )


def test_groups_are_brought_together(
    locator: Locator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = paint(tmp_path, 8)
    groups = ["a", "b", "c", "a", "b", "b", "b", "a"]
    monkeypatch.setattr("geoclip.guesses.assembly.BLOCK", 2)
    run = FolderRun.of(
        locator, paths, groups, LocateSettings(top_k=3, abstention=ALL, level="city")
    )
    assert run.locations == ["a"] * 3 + ["b"] * 4 + ["c"]
    cuts = [slice(0, 3), slice(3, 7), slice(7, 8)]
    assert list(slices(run.locations, 2)) == cuts
    with Journal.open(tmp_path / "j") as journal:
        run.read(journal)
        assert [block.photos for block in run.blocks(journal)] == [3, 4, 1]
        table = answer(run, journal)
    plain = LocateSettings.model_alone(3)
    expected = locator.locate(run.paths, plain, location_ids=run.locations)
    assert table["path"].tolist() == expected["path"].tolist()
    first = table["rank"] == 1
    pd.testing.assert_frame_equal(
        without_notes(table), pd.DataFrame(expected.drop(columns="geometry")), check_exact=True
    )
    unordered = locator.locate(paths, plain, location_ids=groups)
    assert_geodataframe_equal(unordered, expected)  # views are brought together here, too
    assert table[first]["place_id"].tolist()[3:7] == [table["place_id"][9]] * 4


def test_a_trusted_position_is_kept(
    locator: Locator, tmp_path: Path, metadata_of: dict[str, PhotoMetadata], decoded: Counter[str]
) -> None:
    paths = paint(tmp_path, 3)
    metadata_of["000.png"] = PhotoMetadata(GpsFix(48.86, 2.34, True, ""), None, "")
    metadata_of["001.png"] = PhotoMetadata(GpsFix(0.0, 0.0, False, "the position is 0,0"), None, "")
    table = located(locator, paths, tmp_path / "j", top_k=2)
    assert table["source"].tolist() == ["gps"] + ["model"] * 4
    kept = table.iloc[0]
    assert (kept["lat"], kept["lon"], kept["place_id"]) == (48.86, 2.34, "paris")
    assert (kept["place_lat"], kept["probability"], kept["rank"]) == (48.85, 1, 1)
    assert "000.png" not in decoded
    guessed = located(locator, paths, tmp_path / "j", gps="ignore", top_k=1)
    assert guessed["place_id"].tolist() == ["lyon", "kowloon", "amsterdam"]
    assert decoded == {"000.png": 1, "001.png": 1, "002.png": 1}  # the others were known
    again = located(locator, paths, tmp_path / "j", top_k=2)
    pd.testing.assert_frame_equal(again, table)


def test_comparison(
    locator: Locator, tmp_path: Path, metadata_of: dict[str, PhotoMetadata]
) -> None:
    paths = [*paint(tmp_path, 5), cut_off(tmp_path / "cut.png")]
    metadata_of["000.png"] = PhotoMetadata(
        GpsFix(45.75, 4.85, True, ""), None, ""
    )  # Lyon, as painted
    metadata_of["001.png"] = PhotoMetadata(
        GpsFix(45.75, 4.85, True, ""), None, ""
    )  # looks like Kowloon
    metadata_of["002.png"] = PhotoMetadata(GpsFix(0, 0, False, "the position is 0,0"), None, "")
    metadata_of["003.png"] = PhotoMetadata(
        GpsFix(np.nan, 2, False, "the position is incomplete"), None, ""
    )
    metadata_of["cut.png"] = PhotoMetadata(GpsFix(1, 1, True, ""), None, "")
    table = located(sharper(locator, 2), paths, tmp_path / "j", gps="compare", top_k=2)
    first = table[table["rank"] == 1].set_index("path")
    rows = first.loc[[str(path) for path in paths]]
    assert rows["source"].tolist() == ["model"] * 5 + [""]
    assert rows["error_km"].tolist() == pytest.approx(
        [0, 9635, np.nan, np.nan, np.nan, np.nan], nan_ok=True, abs=1
    )
    assert rows["gps_note"].tolist() == [
        *("", DOUBT, "the position is 0,0", "the position is incomplete", "", "")
    ]
    summary = GpsSummary()
    summary.add(table)
    text = " ".join(summary.lines())
    assert "Of 3 photos" in text  # a photo that cannot be decoded is a miss
    assert "1 of them without a guess" in text
    assert "33 % street (1 km)" in text
    assert "2 stated positions look wrong by themselves and 1 look wrong" in text
    assert "No photo has" in GpsSummary().lines()[0]


def test_a_photo_without_evidence_is_not_guessed(locator: Locator, tmp_path: Path) -> None:
    paths = paint(tmp_path, 2)  # both are plain
    table = located(locator, paths, tmp_path / "j", abstention=AbstentionSettings())
    assert table["status"].tolist() == [NO_EVIDENCE] * 2
    assert table["lat"].isna().all()
    run = FolderRun.of(locator, paths, settings=LocateSettings(abstention=AbstentionSettings()))
    with Journal.open(tmp_path / "j" / run.journal_key) as journal:
        (block,) = run.blocks(journal)
    assert block.kinds == {"blank": 2}
    assert block.failures == []
    certain = AbstentionSettings(threshold=1.1)
    assert set(located(locator, paths, tmp_path / "j", abstention=certain)["status"]) == {"ok"}


def test_an_album_shares_evidence(
    locator: Locator, tmp_path: Path, metadata_of: dict[str, PhotoMetadata]
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):  # Lyon, but the third looks like Amsterdam
        Image.new("RGB", (8, 8), (3 if i == 2 else 1, 0, 0)).save(path)
        metadata_of[path.name] = PhotoMetadata(None, START + timedelta(minutes=5 * i), "")
    metadata_of["0.png"] = PhotoMetadata(GpsFix(45.75, 4.85, True, ""), START, "")
    metadata_of["4.png"] = PhotoMetadata(None, None, "")  # no time: alone
    alone = located(locator, paths, tmp_path / "j", top_k=1)
    assert alone["place_id"].tolist() == ["lyon", "lyon", "amsterdam", "lyon", "lyon"]
    table = located(locator, paths, tmp_path / "j", top_k=1, trip=TripSettings())
    assert table["place_id"].tolist() == ["lyon"] * 5
    assert table["source"].tolist() == ["gps", "album", "album", "album", "model"]
    assert table["probability"][1] > alone["probability"][1]


def test_a_photo_without_a_time_keeps_its_point_in_an_album(
    locator: Locator, tmp_path: Path, metadata_of: dict[str, PhotoMetadata]
) -> None:
    settings = RankingSettings(point=PointEstimate.expected_score_regions(), radius_share=0.5)
    locator = Locator(locator.encoder, locator.index, locator.gazetteer, settings)
    paths = paint(tmp_path, 5)
    for i in range(3):
        metadata_of[f"{i:03}.png"] = PhotoMetadata(None, START + timedelta(minutes=5 * i), "")
    alone = located(locator, paths, tmp_path / "j", top_k=3)
    table = located(locator, paths, tmp_path / "j", top_k=3, trip=TripSettings())
    kept = alone["path"].isin([str(path) for path in paths[3:]])
    pd.testing.assert_frame_equal(table[kept.to_numpy()], alone[kept])
    for radius in ("radius_km", "radius_90_km"):
        assert (alone.loc[alone[radius].notna(), "rank"] == 1).all()
        assert alone[radius].notna().any()
        assert table.loc[~kept, radius].isna().all()  # the album's posterior has none


def test_a_position_is_doubted_by_the_whole_posterior(
    locator: Locator,
    tmp_path: Path,
    metadata_of: dict[str, PhotoMetadata],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All places count, not only listed ones, and so does the photo's change of them."""
    monkeypatch.setattr("geoclip.guesses.assembly.CANDIDATES", 1)
    reunion, nowhere = GpsFix(-20.88, 55.45, True, ""), GpsFix(-75.0, 0.0, True, "")
    paths = paint(tmp_path, 2)
    for path, fix in zip(paths, (reunion, nowhere), strict=True):
        metadata_of[path.name] = PhotoMetadata(fix, None, "")

    def notes(change: float) -> list[str]:
        other = sharper(locator, change)
        table = located(other, paths, tmp_path / "j", gps="compare", top_k=1)
        return table["gps_note"].tolist()

    assert notes(-2) == ["", ""]  # flat: four fifths of it lie far from Réunion
    assert notes(2) == [DOUBT, ""]  # sharp; no place is near the other position at all


def test_a_photo_named_twice(locator: Locator, tmp_path: Path) -> None:
    paths = paint(tmp_path, 1) * 2
    assert located(locator, paths, tmp_path / "j", top_k=2)["rank"].tolist() == [1, 2, 1, 2]


def test_the_journal_s_key_changes_with_what_the_encoder_is_fed() -> None:
    plain, again, smoother = FakeEncoder(), FakeEncoder(), FakeEncoder()
    smoother.preprocess = lambda image: FakeEncoder().preprocess(image.resize((50, 50)))
    assert encoder_key(plain) == encoder_key(again) != encoder_key(smoother)
    assert encoder_key(plain, 4) != encoder_key(plain)
