"""Draw invented creatures with their tree: the material of a non-geographic hierarchy.

    python -m pipelines.creatures.creatures --out DIR

DIR has `tree.csv` (kingdom, class, order, family, species: see `geoclip.places.level_table`),
`tree.captions.json` (the captions' wording), `photos.csv` (path, place_id, location_id, split) and
the pictures. Some classes of every level have no training picture; `unseen` pictures are of these,
`seen` ones of the others.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from pipelines.command_line import on_this_machine, run
from pipelines.creatures.drawing import draw_creature
from pipelines.creatures.tree import Kind, level_table, species_of
from pipelines.planet.climate import generator

JPEG_QUALITY = 85
WORDING = {
    "prefix": "A picture",
    "keep": {"class": 0.5, "order": 0.5, "family": 0.6, "species": 0.8},
}


@dataclass(frozen=True)
class CreatureSettings:
    """Numbers of pictures: of each trained species, and of each evaluated species."""

    seed: int = 0
    image_size: int = 64
    train_views: int = 10
    test_views: int = 2


def write_creatures(folder: Path, settings: CreatureSettings | None = None) -> Path:
    """Draw all pictures into `folder` and return its photos.csv, which lists them."""
    settings = settings or CreatureSettings()
    species = species_of(settings.seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    level_table(species).to_csv(folder / "tree.csv", index=False, lineterminator="\n")
    (folder / "tree.captions.json").write_text(json.dumps(WORDING, indent=2) + "\n")
    rows = []
    for number, kind in enumerate(species):
        for view, split in _views(kind, settings):
            path = f"images/{number}-{view}.jpg"
            rng = generator(settings.seed, kind.place_id, view)
            picture = draw_creature(kind.traits, rng, settings.image_size)
            picture.save(folder / path, quality=JPEG_QUALITY)
            rows.append((path, kind.place_id, f"{number}-{view}", split))
    photos = pd.DataFrame(rows, columns=["path", "place_id", "location_id", "split"])
    photos.to_csv(folder / "photos.csv", index=False, lineterminator="\n")
    return folder / "photos.csv"


def _views(kind: Kind, settings: CreatureSettings) -> Iterator[tuple[int, str]]:
    """Numbers and splits of a species' pictures."""
    trained = settings.train_views if kind.seen else 0
    for view in range(trained + settings.test_views):
        yield view, "train" if view < trained else "seen" if kind.seen else "unseen"


def main(
    *,
    out: Annotated[Path, on_this_machine("Folder of the pictures and their tables.")],
    seed: Annotated[int, typer.Option(help="Seed of the tree and the pictures.")] = 0,
    train_views: Annotated[int, typer.Option(min=1, help="Views of each trained species.")] = 10,
) -> None:
    """Draw from the command line."""
    listed = write_creatures(out, CreatureSettings(seed, train_views=train_views))
    counts = pd.read_csv(listed)["split"].value_counts()
    print(f"{', '.join(f'{n:,} {split}' for split, n in counts.items())} pictures in {out}.")


if __name__ == "__main__":
    run(main)
