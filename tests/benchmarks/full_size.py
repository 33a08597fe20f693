"""`geoclip locate` and `geoclip finetune` with StreetCLIP at full size: times and peak memory.

    python -m tests.benchmarks.full_size --photos photos.csv --work DIR

ViT-L/14 at 336 pixels with random weights, in exactly the files and keys of geolocal/StreetCLIP.
Photos are ten of the table; the places are the cities above five million people. The text tower's
speed says how long the index of all places would take. DIR/model (1.7 GB) is removed afterwards.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from tests.benchmarks.timing import report, timed, use_threads

COMMAND = "from geoclip.commands.launcher import run_command; run_command()"
PHOTOS, STEPS, PROMPTS = 10, 2, 128


def measured(*arguments: str) -> dict[str, Any]:
    """Seconds and peak memory of one run of the `geoclip` command."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"geoclip {arguments[0]} failed.")
    return {
        "wall_s": round(time.perf_counter() - began),
        "cpu_s": round(used.ru_utime + used.ru_stime),
        "peak_gb": round(used.ru_maxrss * 1024 / 1e9, 2),
    }


def write_inputs(photos: Path, work: Path, batch: int) -> list[str]:
    """Write the places and the photos to train on; returns the paths of those to locate."""
    from geoclip.places.gazetteer import default_folder

    cities = pd.read_csv(default_folder() / "cities.csv", keep_default_na=False)
    columns = ["name", "lat", "lon", "country_code", "population"]
    cities.loc[cities["population"] > 5e6, columns].to_csv(work / "places.csv", index=False)
    table = pd.read_csv(photos, keep_default_na=False)
    paths = [str(photos.parent.absolute() / path) for path in table["path"]]
    known = table[["lat", "lon"]].assign(path=paths, split="train")
    known.head(batch * STEPS).to_csv(work / "train.csv", index=False)
    return paths[:PHOTOS]


def prompts_a_cpu_second(model: Path) -> float:
    """How many short prompts the text tower takes in a second of processor time."""
    from geoclip.encoders import load_encoder
    from tests.benchmarks.text_index import text_lists

    encoder, texts = load_encoder(model), text_lists(PROMPTS)["short prompts"]
    encoder.encode_texts(texts[:8])
    return round(PROMPTS / timed(lambda: encoder.encode_texts(texts)).cpu, 1)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--chunk-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    use_threads(given.threads)  # the commands inherit it
    work, model = given.work, given.work / "model"
    work.mkdir(parents=True, exist_ok=True)
    os.environ["GEOCLIP_CACHE"] = str(work / "cache")
    if not model.exists():
        write = "import sys, pathlib; from tests.encoders import hub_layouts as h; "
        write += "h.write_layout(h.FULL_SIZE, pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", write, str(model)], check=True)  # its memory goes
    located = write_inputs(given.photos, work, given.batch)
    common = ["--model", str(model), "--gazetteer", str(work / "places.csv")]
    sizes = ["--batch-size", str(given.batch), "--chunk-size", str(given.chunk_size)]
    figures = {
        "locate": measured(
            "locate", *located, *common, "--gps", "ignore", "--out", str(work / "guesses.csv")
        ),
        "finetune": measured(
            "finetune", str(work / "train.csv"), *common, *sizes,
            *("--epochs", "1", "--out", str(work / "tuned")),
        ),
        "prompts_a_cpu_second": prompts_a_cpu_second(model),
    }  # fmt: skip
    guesses = pd.read_csv(work / "guesses.csv")
    figures["located"] = int((guesses.query("rank == 1")["status"] == "ok").sum())
    figures["losses"] = pd.read_csv(work / "tuned" / "losses.csv")["loss"].round(4).tolist()
    for folder in (model, work / "tuned", work / "cache"):
        shutil.rmtree(folder)
    report("full_size", given.threads, batch=given.batch, chunk=given.chunk_size, **figures)


if __name__ == "__main__":
    main()
