"""Fixtures shared by the tests."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chromium import Browser
    from small_world import FakeEncoder

    from geoclip.photos.metadata import PhotoMetadata
    from geoclip.places.gazetteer import Gazetteer

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos; the tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real photos (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def no_calibrations_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests ignore calibrations on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOCLIP_DATA", str(tmp_path_factory.mktemp("data") / "empty"))
        yield


@pytest.fixture
def metadata_of(monkeypatch: pytest.MonkeyPatch) -> "dict[str, PhotoMetadata]":
    """A camera's notes, by file name."""
    from geoclip.photos.metadata import PhotoMetadata

    known: dict[str, PhotoMetadata] = {}
    nothing = PhotoMetadata(None, None, "")
    monkeypatch.setattr(
        "geoclip.photos.opening.OpenImage.metadata",
        lambda photo: known.get(Path(photo.name).name, nothing),
    )
    return known


@pytest.fixture(scope="session")
def small_gazetteer() -> "Gazetteer":
    """Ten cities: territories, a country without regions, a mixed one, one without a city."""
    from small_world import CITIES, COUNTRIES, REGIONS, place_table

    from geoclip.places.gazetteer import Gazetteer

    return Gazetteer(place_table(COUNTRIES, REGIONS, CITIES))


@pytest.fixture(scope="session")
def world() -> "Gazetteer":
    """The packaged gazetteer."""
    from geoclip.places.gazetteer import Gazetteer

    return Gazetteer.default()


@pytest.fixture
def fake_encoder() -> "FakeEncoder":
    """An encoder without weights, of logit scale 10."""
    from small_world import FakeEncoder

    return FakeEncoder()


@pytest.fixture(scope="session")
def our_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's wheel."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed (it is in the `test` extra)")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("geoclip_gzsl-*.whl"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """Chromium; the tests that need it skip where it is absent."""
    from chromium import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
