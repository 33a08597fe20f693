"""A clip that is driven through places: its moments, its rows and the command."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import FakeEncoder, hashed_vector
from torchvision.transforms.functional import pil_to_tensor
from typer.testing import CliRunner

from geoclip.commands.app import app
from geoclip.errors import GeoclipError, PhotoError
from geoclip.guesses.guess_files import read_guesses
from geoclip.locator import Locator
from geoclip.photos.embedding import Embeddings
from geoclip.photos.videos import read_frames, read_moments
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex
from geoclip.runs.clip_track import locate_clip, write_track
from pipelines.planet.climate import Climate
from pipelines.planet.drives import draw_drive
from pipelines.planet.facts import CountryFacts
from pipelines.planet.traits import NAMES, SceneTraits

av = pytest.importorskip("av")

SHADES = (30, 120, 210)
COUNTRIES = ("France", "China", "the Netherlands")


def write_clip(path: Path, frames: int = 30, key_every: int = 1) -> Path:
    """Three shades of grey, ten frames a second; a .live.mkv does not say how long it is."""
    options = {"live": "1"} if ".live" in path.suffixes else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.gop_size = key_every
        stream.options = {"sc_threshold": "1000000000"}  # no key frames of the encoder's own choice
        for number in range(frames):
            pixels = np.full((32, 32, 3), SHADES[number * 3 // frames], np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


class ShadeEncoder(FakeEncoder):
    """Recognises one of three countries by the shade."""

    def _picture_vector(self, picture):
        shade = float(picture.float().mean())
        nearest = int(np.argmin([abs(shade - known) for known in SHADES]))
        return hashed_vector(f"A Street View photo in {COUNTRIES[nearest]}.".encode())


@pytest.fixture
def locator(small_gazetteer: Gazetteer) -> Locator:
    encoder = ShadeEncoder()
    encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
    return Locator(encoder, PlaceIndex.build(encoder, small_gazetteer), small_gazetteer)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "drive.mp4")


def test_moments_are_the_frames_with_their_seconds(clip: Path) -> None:
    moments = read_moments(clip, 6)
    assert [second for second, _ in moments] == pytest.approx([0.2, 0.7, 1.2, 1.7, 2.2, 2.7], 0.11)
    for (_, picture), frame in zip(moments, read_frames(clip, 6), strict=True):
        assert picture.tobytes() == frame.tobytes()


@pytest.mark.parametrize("suffix", ["mp4", "mts", "mkv", "live.mkv"])
@pytest.mark.parametrize("key_every", [1, 10_000])
def test_moments_are_even_however_few_key_frames_there_are(
    tmp_path: Path, suffix: str, key_every: int
) -> None:
    """A camcorder's stream begins at 1.4 s; seconds count from its first frame all the same."""
    clip = write_clip(tmp_path / f"drive.{suffix}", frames=90, key_every=key_every)
    seconds, pictures = zip(*read_moments(clip, 9), strict=True)
    assert seconds == pytest.approx([0.5 + part for part in range(9)], abs=0.11)
    shades = [float(np.asarray(picture).mean()) for picture in pictures]
    assert shades == pytest.approx([shade for shade in SHADES for _ in range(3)], abs=4)


def test_a_moment_far_from_a_key_frame_is_found(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "drive.mp4", frames=1500, key_every=10_000)
    seconds, _ = zip(*read_moments(clip, 3), strict=True)
    assert seconds == pytest.approx([25, 75, 125], abs=0.11)


def test_answers_follow_the_clip(clip: Path, locator: Locator) -> None:
    track = locate_clip(clip, locator, moments=9, window=1)
    assert track["seconds"].is_monotonic_increasing and len(track) == 9
    assert track["path"].str.startswith(f"{clip}#t=").all()
    assert (track["status"] == "ok").all()
    alone = [
        locator.guesses(locator.embed([picture]))["place_id"][0]
        for _, picture in read_moments(clip, 9, 8)
    ]
    assert track["place_id"].tolist() == alone
    assert len(set(alone)) >= 2


def test_a_window_is_the_mean_of_its_moments(clip: Path, locator: Locator) -> None:
    values = locator.embed([picture for _, picture in read_moments(clip, 5, 8)]).values
    track = locate_clip(clip, locator, moments=5, window=3)
    for number in range(5):
        mean = values[max(0, number - 1) : number + 2].mean(axis=0)
        unit = Embeddings(["mean"], (mean / np.linalg.norm(mean))[None], ["ok"], {})
        expected = locator.guesses(unit, top_k=1).iloc[0]
        assert track["country_code"][number] == expected["country_code"]
        assert track["probability"][number] == pytest.approx(expected["probability"], rel=1e-4)


def test_files_have_the_seconds(clip: Path, locator: Locator, tmp_path: Path) -> None:
    track = locate_clip(clip, locator, moments=4, top_k=2)
    for ending in ("csv", "parquet", "geojson"):
        write_track(track, tmp_path / f"track.{ending}")
        assert (tmp_path / f"track.{ending}").stat().st_size > 100
    table = pd.read_csv(tmp_path / "track.csv")
    assert table["seconds"].tolist() == pytest.approx(track["seconds"].tolist())
    assert len(read_guesses(tmp_path / "track.csv")) == len(track)


def test_the_command(clip: Path, locator: Locator, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Locator, "from_pretrained", lambda *_, **__: locator)
    page = tmp_path / "drive.html"
    command = ["track", str(clip), "--moments", "5"]
    result = CliRunner().invoke(app, [*command, "--map", str(page)])
    assert result.exit_code == 0, result.output
    assert "seconds" in result.stdout and "drive.mp4#t=" in page.read_text()
    out = tmp_path / "drive.csv"
    assert CliRunner().invoke(app, [*command, "--out", str(out)]).exit_code == 0
    assert len(pd.read_csv(out)) == 5
    for bad in (["--window", "2"], ["--out", str(tmp_path / "a.txt")]):
        result = CliRunner().invoke(app, [*command, *bad])
        assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_what_is_no_clip_is_refused(tmp_path: Path, locator: Locator) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(GeoclipError, match="is no video"):
        locate_clip(tmp_path / "a.png", locator)
    (tmp_path / "a.mp4").write_text("no clip")
    with pytest.raises(PhotoError):
        locate_clip(tmp_path / "a.mp4", locator)
    with pytest.raises(GeoclipError, match="use an odd number"):
        locate_clip(tmp_path / "a.mp4", locator, window=4)


def test_a_drive_goes_forward_through_its_stretches() -> None:
    mild = Climate(temperature=16.0, aridity=0.2, hilliness=0.3, sun=0.7)
    plain = SceneTraits(CountryFacts("XX"), mild, dict.fromkeys(NAMES, 0.0))
    frames = [np.asarray(f).astype(int) for f in draw_drive([plain] * 3, ("drive", 0), 12, 32)]
    again = [np.asarray(f).astype(int) for f in draw_drive([plain] * 3, ("drive", 0), 12, 32)]
    assert len(frames) == 12 and all((a == b).all() for a, b in zip(frames, again, strict=True))
    steps = [np.abs(a - b).mean() for a, b in pairwise(frames)]
    turns = [steps[3], steps[7]]
    within = [step for number, step in enumerate(steps) if number not in (3, 7)]
    assert min(within) > 0.5  # it moves
    assert np.mean(turns) > np.mean(within)  # another stretch is another scene
