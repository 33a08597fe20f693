"""Greedy and joint, and folders of countries, on the planet of a run of the main job.

    python -m tests.benchmarks.planet_rows --run runs/demo

RUN/rows gets a truth file for each held-out split, which `geoclip benchmark` measures, and folders
for `geoclip classes`: of the twenty countries with the most scenes in the split seen, these scenes
in `test` and forty training scenes each in `train`, as links.
"""

import argparse
from pathlib import Path

import pandas as pd

from geoclip.commands.benchmark import benchmark
from geoclip.commands.classes import classes
from geoclip.commands.options import PointRule, RankingMethod
from geoclip.places.gazetteer import Gazetteer
from pipelines.end_to_end import START

SPLITS = ("seen", "unseen")
COUNTRIES, KNOWN = 20, 40
PROMPT = "A Street View photo in {}."


def truth_files(table: pd.DataFrame, out: Path) -> list[str]:
    """A truth file for each of `SPLITS`."""
    files = [out / f"{split}.csv" for split in SPLITS]
    for split, file in zip(SPLITS, files, strict=True):
        table.loc[table["split"] == split, ["path", "lat", "lon"]].to_csv(file, index=False)
    return [str(file) for file in files]


def link_folders(table: pd.DataFrame, planet: Path, out: Path) -> None:
    """A folder of links for each of the countries, in `out`/test and `out`/train."""
    places, seen = Gazetteer.default(), table[table["split"] == "seen"]
    countries = seen["country_code"].value_counts().sort_index().nlargest(COUNTRIES).index
    train = table[table["split"] == "train"].groupby("country_code").head(KNOWN)
    for name, photos in (("test", seen), ("train", train)):
        for code in countries:
            folder = out / name / places[code].name
            folder.mkdir(parents=True, exist_ok=True)
            for path in photos.loc[photos["country_code"] == code, "path"]:
                link = folder / Path(path).name
                if not link.is_symlink():
                    link.symlink_to((planet / path).resolve())


def main() -> None:
    """Print the rows of both commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="--out of the main job")
    run: Path = parser.parse_args().run
    planet, out = run / "planet", run / "rows"
    out.mkdir(exist_ok=True)
    table, encoder = pd.read_csv(planet / "photos.csv", keep_default_na=False), str(run / "encoder")
    benchmark(
        truth_files(table, out),
        images=[planet / "images" / split for split in SPLITS],
        model=[encoder],
        method=[RankingMethod.greedy, RankingMethod.joint],
        point=PointRule.city,
    )
    link_folders(table, planet, out)
    classes(out / "test", model=[encoder, str(START)], prompt=[PROMPT], train=out / "train")


if __name__ == "__main__":
    main()
