"""The value of augmentation, reconstruction and aerial tiles on the demonstration planet.

    python -m tests.benchmarks.planet_variants --work DIR --seeds 0 1

Every variant starts from planet-start and takes as many steps. The splits seen and unseen are
streets, seen_aerial and unseen_aerial tiles of other places. DIR/variants.csv gets a row of
held-out figures for each finished variant; the same command resumes. Encoders are kept in DIR.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pipelines.end_to_end import FROM_START
from pipelines.planet.planet import PlanetSettings
from pipelines.planet.planet_files import AERIAL, STREET
from tests.benchmarks.planet_world import Cells, World

AUGMENTED = {"augment": True}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "as it is": (STREET, {}),
    "reconstruction 0.3": (STREET, {"reconstruction": 0.3}),
    "reconstruction 1": (STREET, {"reconstruction": 1.0}),
    "crops and colours": (STREET, AUGMENTED),
    "crops alone": (STREET, {**AUGMENTED, "colour": 0.0}),
    "colours alone": (STREET, {**AUGMENTED, "crop_area": (1.0, 1.0)}),
    "mirrored too": (STREET, {**AUGMENTED, "mirror": True}),
    "both kinds": ("both", AUGMENTED),
    "aerial alone": (AERIAL, AUGMENTED),
}
"""The kind of training photos, and the settings that differ from the main job's."""
SIZES = {"train_places": 1400, "seen_places": 300, "unseen_places": 300}


def main() -> None:
    """Fill DIR/variants.csv and print the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(given.work / "variants.csv", ["seed", "variant"])
    for seed in given.seeds:
        world = World(given.work, PlanetSettings(seed, **SIZES, aerial=True))
        is_tile = world.table["path"].str.endswith(f"-{AERIAL}.jpg").to_numpy()
        for name in given.variants:
            if (seed, name) in cells:
                continue
            kind, changes = VARIANTS[name]
            chosen = {STREET: ~is_tile, AERIAL: is_tile, "both": is_tile | ~is_tile}[kind]
            # Twice the photos are seen half as often: as many steps.
            epochs = max(1, given.epochs // 2) if kind == "both" else given.epochs
            settings = replace(FROM_START, epochs=epochs, seed=seed, **changes)
            encoder, figures = world.train(settings, chosen)
            encoder.save(given.work / f"{name.replace(' ', '-')}-{seed}")
            cells.add((seed, name), figures)
            print(cells.means(), flush=True)


if __name__ == "__main__":
    main()
