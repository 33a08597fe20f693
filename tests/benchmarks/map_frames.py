"""How long a frame of the map takes while it is moved: `python -m tests.benchmarks.map_frames`.

Headless Chromium draws in software, without a GPU. Beside the time by the clock stands the
processor time of the page's main thread, which other work on the machine does not lengthen.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from geoclip.guesses.maps import write_map

if TYPE_CHECKING:
    from chromium import Browser

PAN = """(async (zooms, frames) => {
  const canvas = document.getElementById('map');
  const press = (key) => canvas.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  const drawn = () => new Promise((done) => requestAnimationFrame(() => {
    canvas.getContext('2d').getImageData(0, 0, 1, 1);  // the pixels are there, not only asked for
    done();
  }));
  for (let i = 0; i < zooms; i += 1) press('+');
  await drawn();
  const begun = performance.now();
  for (let i = 0; i < frames; i += 1) {
    press(i % 30 < 15 ? 'ArrowLeft' : 'ArrowRight');
    await drawn();
  }
  return (performance.now() - begun) / frames;
})"""
FRAMES = 30


def guesses(n: int) -> pd.DataFrame:
    """Random photos around a thousand cities."""
    draw = np.random.default_rng(0)
    towns = np.stack([draw.uniform(-50, 65, 1000), draw.uniform(-180, 180, 1000)], 1)
    at = towns[draw.integers(0, 1000, n)] + draw.normal(scale=0.5, size=(n, 2))
    return pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(n)],
            "rank": 1,
            "source": draw.choice(["model", "gps", "album", "gallery"], n),
            "level": "city",
            "city": "Lyon",
            "lat": at[:, 0],
            "lon": (at[:, 1] + 180) % 360 - 180,
            "probability": draw.beta(2, 2, n),
        }
    )


def true_places(table: pd.DataFrame) -> pd.DataFrame:
    """Places some 500 km beside the guesses."""
    moved = table[["lat", "lon"]] + np.random.default_rng(1).normal(scale=4, size=(len(table), 2))
    return moved.assign(path=table["path"], lon=(moved["lon"] + 180) % 360 - 180)


def main() -> None:
    """Print the mean of the frames at four zooms, without and with true places."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from chromium import chromium

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=20_000)
    photos = parser.parse_args().photos
    table = guesses(photos)
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium(Path(folder) / "profile") as browser,
    ):
        browser.resize(1280)
        browser.call("Performance.enable", timeDomain="threadTicks")
        for name, truth in (("photos", None), ("photos with true places", true_places(table))):
            page = Path(folder) / "map.html"
            write_map(table, page, truth)
            for zooms in (0, 3, 6, 10):
                browser.open(page.as_uri())
                browser.frame()
                before = main_thread(browser)
                wall = browser.run(f"{PAN}({zooms}, {FRAMES})")
                cpu = (main_thread(browser) - before) / FRAMES
                print(
                    f"{photos:,} {name}, {zooms} steps of zoom: {1000 * cpu:.0f} ms of processor "
                    f"time a frame, {wall:.0f} ms by the clock"
                )


def main_thread(browser: "Browser") -> float:
    """Seconds of processor time that the page's main thread has taken."""
    metrics = browser.call("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


if __name__ == "__main__":
    main()
