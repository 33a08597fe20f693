"""`locate_folder`: what the command does, for programs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor

from geoclip.errors import GeoclipError
from geoclip.guesses.guess_files import read_guesses
from geoclip.guesses.settings import LocateSettings
from geoclip.guesses.sidecars import SidecarReport
from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.ranking.settings import RankingSettings
from geoclip.runs.locate_folder import locate_folder
from geoclip.runs.run_files import RunFiles
from geoclip.runs.run_report import RunWatch

PLAIN = LocateSettings.model_alone(2)


@pytest.fixture
def locator(fake_encoder: FakeEncoder, small_gazetteer: Gazetteer) -> Locator:
    fake_encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    index = PlaceIndex.build(fake_encoder, small_gazetteer)
    return Locator(fake_encoder, index, small_gazetteer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, one file that is none and one that is not read."""
    home = tmp_path / "photos"
    home.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(home / f"{i}.png")
    (home / "bad.png").write_text("no photo")
    (home / "notes.txt").touch()
    return home


class Noted(RunWatch):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    @contextmanager
    def progress(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        self.told.append((what, total, done))
        yield self.told.append

    def read_before(self, done: int, total: int) -> None:
        self.told.append(("read before", done, total))

    def photos_read(self, locator: Locator) -> None:
        self.told.append(locator)

    def located(self, table: pd.DataFrame) -> None:
        self.told.append(len(table))

    def wrote(self, path: Path, failures: int | None = None) -> None:
        self.told.append((path.name, failures))

    def sidecars(self, report: SidecarReport, journal: Path | None) -> None:
        self.told.append((len(report.written), report.dry_run, journal and journal.name))

    def stopped(self, resumable: bool) -> None:
        self.told.append(("stopped", resumable))


def test_without_a_file_the_table_is_in_the_report(locator: Locator, folder: Path) -> None:
    watch = Noted()
    report = locate_folder(folder, locator, PLAIN, watch=watch)
    assert (report.photos, report.kept, report.kinds) == (4, 0, {})
    assert [(f.path, f.status) for f in report.failures] == [
        (str(folder / "bad.png"), "not a photo")
    ]
    assert watch.told == [("reading", 4, 0), 4, locator, ("ranking", 4, 0), 4, 7]
    assert report.table["rank"].tolist() == [1, 2] * 3 + [1]
    assert report.guesses().geometry.notna().tolist() == [True] * 6 + [False]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["photos"]


def test_the_report_says_whether_probabilities_are_calibrated(
    locator: Locator, folder: Path
) -> None:
    assert not locate_folder(folder, locator, PLAIN).calibrated
    judged = RankingSettings(radius_share=0.5)
    own = Locator(locator.encoder, locator.index, locator.gazetteer, judged)
    assert locate_folder(folder, own, PLAIN).calibrated


def test_with_a_file_all_that_the_command_writes_is_there(locator: Locator, folder: Path) -> None:
    out, page, watch = folder.parent / "o.csv", folder.parent / "map.html", Noted()
    report = locate_folder(
        [folder], locator, PLAIN, str(out), map_file=page, sidecars="write", watch=watch
    )
    assert watch.told[2:] == [
        locator, ("ranking", 4, 0), 4, ("o.csv", None), ("map.html", None),
        (3, False, "o-sidecars.jsonl"), ("o.csv-ledger.csv", 2),
    ]  # fmt: skip
    assert report.table.empty
    assert report.guesses()["path"].tolist() == read_guesses(out)["path"].tolist()
    assert report.sidecars is not None
    assert (folder / "0.png.xmp").is_file()
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        "map.html", "o-sidecars.jsonl", "o.csv", "o.csv-ledger.csv", "photos",
    ]  # fmt: skip
    ledger = pd.read_csv(folder.parent / "o.csv-ledger.csv")
    assert ledger["status"].tolist() == ["not a photo", "left out"]


def test_a_model_is_loaded_by_its_name_once_the_photos_are_listed(
    locator: Locator, folder: Path, tmp_path: Path
) -> None:
    asked: list[object] = []

    def load(name: object) -> Locator:
        asked.append(name)
        return locator

    (tmp_path / "empty").mkdir()
    with pytest.raises(GeoclipError, match="No photos were found"):
        locate_folder(tmp_path / "empty", "some-model", load=load)
    assert asked == []
    report = locate_folder(folder, "some-model", PLAIN, tmp_path / "o.csv", sidecars="write",
                           load=load)  # fmt: skip
    assert asked == ["some-model"]
    assert report.sidecars is not None and len(report.sidecars.written) == 3
    assert b"some-model" in (folder / "0.png.xmp").read_bytes()


def test_the_encoder_is_told_how_many_photos_come(
    locator: Locator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(locator.encoder, "expect", told.append)
    photos = locate_folder(folder, locator).photos
    assert told == [photos] and photos > 1
    told.clear()
    locator.locate([folder])
    locator.embed(sorted(folder.iterdir())[:2])
    assert told == [photos, 2]


def test_what_was_kept_is_not_read_again(
    locator: Locator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    first = locate_folder(folder, locator, PLAIN, keep_embeddings=kept)
    monkeypatch.setattr("geoclip.photos.opening.decode", lambda *_: pytest.fail("decoded"))
    watch = Noted()
    again = locate_folder(folder, locator, PLAIN, keep_embeddings=kept, watch=watch)
    assert watch.told[0] == ("read before", 4, 4)
    pd.testing.assert_frame_equal(again.table, first.table, check_exact=True)
    other = locate_folder(folder, locator, LocateSettings.model_alone(1), keep_embeddings=kept)
    assert len(other.table) == 4


@pytest.mark.parametrize("with_file", [True, False])
def test_a_stopped_run(
    locator: Locator, folder: Path, monkeypatch: pytest.MonkeyPatch, with_file: bool
) -> None:
    out, watch = folder.parent / "o.csv" if with_file else None, Noted()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("geoclip.guesses.assembly.Assembler.blocks", stop)
        locate_folder(folder, locator, PLAIN, out, watch=watch)
    assert watch.told[-1] == ("stopped", with_file)
    again = Noted()
    locate_folder(folder, locator, PLAIN, out, watch=again)
    assert (("read before", 4, 4) in again.told) == with_file


def test_what_cannot_be_written_is_refused_before_any_work(
    locator: Locator, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "o.csv-ledger.csv"
    other.write_text("path\nx\n")
    listed = tmp_path / "list.csv"
    listed.write_text("path\nphotos/0.png\n")
    for paths, given, message in (
        (folder, {"out": "x.txt"}, r"out x.txt has an unknown ending"),
        (folder, {"out": tmp_path / "no" / "x.csv"}, "does not exist"),
        (folder, {"map_file": tmp_path / "x.png"}, "map_file .* has an unknown ending"),
        (folder, {"out": tmp_path / "o.csv"}, "is no ledger of an earlier"),
        (listed, {"out": listed}, "would take the place of"),
        (folder, {"sidecars": "write"}, "sidecars need `out`"),
        (folder, {"location_column": "place"}, "needs a .csv list"),
    ):
        with pytest.raises(GeoclipError, match=message):
            locate_folder(paths, locator, PLAIN, watch=Noted(), **given)  # type: ignore[arg-type]


def test_a_list_and_a_limit(locator: Locator, folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("path,place\nphotos/0.png,a\nphotos/1.png,\nphotos/2.png,a\n")
    report = locate_folder(listed, locator, PLAIN, location_column="place")
    first = report.table[report.table["rank"] == 1]
    assert [Path(path).name for path in first["path"]] == ["0.png", "2.png", "1.png"]
    assert first["probability"].iloc[0] == first["probability"].iloc[1]
    assert locate_folder(listed, locator, PLAIN, limit=2).photos == 2


def test_the_files_of_a_run() -> None:
    files = RunFiles(Path("a/guesses.parquet"), None, None)
    assert files.failures == Path("a/guesses.parquet-ledger.csv")
    assert files.sidecar_journal == Path("a/guesses-sidecars.jsonl")
    assert files.journal_home == Path("a/guesses.parquet.journal")
    assert RunFiles().failures is RunFiles().journal_home is None
