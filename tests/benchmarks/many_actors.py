"""`locate_photos --actors 40` beside `--actors 2` on two CPUs: the same run, asked for in two ways.

    python -m tests.benchmarks.many_actors --photos 128 --rounds 3

Both sides take turns on one Ray; encoder (ViT-B/32 size, random weights), photos and places are
those of `tests.benchmarks.ray_inference`. Actors start anew in each run, and count.
"""

import argparse
import tempfile
from functools import partial
from itertools import count
from pathlib import Path

from tests.benchmarks.timing import interleaved, ratio, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--actors", type=int, nargs=2, default=(40, 2))
    given = parser.parse_args()

    from pipelines.cluster import ray_session
    from pipelines.inputs import photo_parts
    from pipelines.locate_photos import locate_into
    from pipelines.photo_actors import Pool
    from pipelines.photo_locator import LocatorSpec
    from tests.benchmarks.inputs import link_photos
    from tests.benchmarks.ray_inference import prepare

    with tempfile.TemporaryDirectory(prefix="geoclip-benchmark-") as name, ray_session(cpus=2):
        home, numbers = Path(name), count()
        prepare(home)
        photos = link_photos(sorted((home / "photos").iterdir()), home / "all", given.photos)
        spec = LocatorSpec.of(str(home / "model"), home / "places")

        def locate(actors: int) -> None:
            out = locate_into(
                str(home / f"out{next(numbers)}"), photo_parts([photos], actors), spec, Pool(actors)
            )
            assert out.done().photos == given.photos

        sides = {f"{actors} actors": partial(locate, actors) for actors in given.actors}
        times = interleaved(sides, given.rounds)
    many, few = sides
    report(
        "many_actors", 1, photos=given.photos, sides=times, many_over_few=ratio(times, many, few)
    )


if __name__ == "__main__":
    main()
