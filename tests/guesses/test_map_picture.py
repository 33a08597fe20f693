"""A picture of a map shows where the photos are, and says what is missing."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from geoclip.errors import GeoclipError
from geoclip.guesses.map_picture import write_map_picture

pytest.importorskip("matplotlib")
GPS_BLUE = (0x17, 0x69, 0xC2)


class FakeOutlines:
    """One square country."""

    def __init__(self) -> None:
        import geopandas

        shapes = [shapely.box(-10, 36, 40, 70)]
        self.frame = geopandas.GeoDataFrame({"country_code": ["AA"]}, geometry=shapes)


def draw(guesses: pd.DataFrame, path: Path, *truth: pd.DataFrame) -> None:
    outlines: Any = FakeOutlines()
    write_map_picture(guesses, path, *truth, dpi=100, outlines=outlines)


def table(**values: Any) -> pd.DataFrame:
    rows = [
        {"path": "a.jpg", "lat": 45.75, "lon": 4.85, "level": "city", "probability": 0.9},
        {"path": "b.jpg", "lat": 40.0, "lon": -4.0, "level": "city", "probability": 0.3},
        {"path": "c.jpg", "lat": 60.0, "lon": 30.0, "level": "city", "source": "gps"},
        {"path": "d.jpg", "lat": 50.0, "lon": 20.0, "level": "none"},
        {"path": "e.jpg", "lat": np.nan, "lon": np.nan, "status": "truncated"},
    ]
    return pd.DataFrame(rows).assign(rank=1, **values).fillna({"source": "model", "status": "ok"})


def centre(path: Path, colour: tuple[int, ...]) -> tuple[float, float]:
    """Where in the picture the pixels of a colour lie, as shares of width and height."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    y, x = np.nonzero(np.abs(pixels - colour).sum(2) < 12)
    assert len(x) > 20
    return float(x.mean() / pixels.shape[1]), float(y.mean() / pixels.shape[0])


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_a_picture_in_one_call(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"map.{ending}"
    truth = pd.DataFrame({"path": ["a.jpg", "zz.jpg"], "lat": [43.0, 1.0], "lon": [-8.0, 1.0]})
    draw(table(), path, truth)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size > 5_000
    if ending == "png":
        x, y = centre(path, GPS_BLUE)
        assert x > 0.6 and y < 0.4  # the most north-eastern of all


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GeoclipError, match="ends in none of"):
        write_map_picture(table(), tmp_path / "map.jpg")
    with pytest.raises(GeoclipError, match="nothing to map"):
        write_map_picture(table(lat=np.nan), tmp_path / "map.png")
    with pytest.raises(GeoclipError, match="no column rank"):
        write_map_picture(table().drop(columns="rank"), tmp_path / "map.png")
    with pytest.raises(GeoclipError, match="cannot be written"):
        draw(table(), tmp_path / "absent" / "map.png")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(GeoclipError, match=r"geoclip-gzsl\[notebooks\]"):
        write_map_picture(table(), tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []
