"""The cost of a photo in each stage of `locate_photos --gpus`: core time, bytes between, bytes out.

    python -m tests.benchmarks.stages --model ViT-B-32 --photos 256

The stages of one block run one after the other in one process, on one thread, with photos of about
a street view's size in memory, as they come from shards. Random weights and a random index of the
packaged gazetteer, which take the time of any. "encoding" is this processor's, for comparison.
"""

import argparse
import io
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.benchmarks.inputs import make_photos, random_index
from tests.benchmarks.timing import interleaved, report, use_threads

if TYPE_CHECKING:
    import pyarrow as pa

MEGAPIXELS = 0.79
"""1,024 by 768 pixels, as in `tests.benchmarks.shards`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32", help="architecture")
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    use_threads(1)

    import pyarrow as pa
    import pyarrow.parquet as pq

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from pipelines import view_reader
    from pipelines.photo_actors import Pool
    from pipelines.photo_locator import LocatorSpec, PhotoLocator
    from pipelines.photo_source import ListedPhotos, Photo, read_blocks
    from pipelines.photo_stages import PhotoDecoder, PhotoEncoder
    from pipelines.preparation import Preparation

    def joined(tables: object) -> pa.Table:
        return pa.concat_tables(tables)

    with tempfile.TemporaryDirectory(prefix="geoclip-benchmark-") as folder:
        home = Path(folder)
        encoder = OpenClipEncoder.from_reference(given.model, "random")
        encoder.save(home / "model")
        random_index(encoder.encode_images([]).shape[1]).save(home / "places")
        content = [f.read_bytes() for f in make_photos(home / "photos", MEGAPIXELS, 16)]
        photos = [Photo(f"{i:06}.jpg", "", content[i % 16]) for i in range(given.photos)]
        block = joined(read_blocks(ListedPhotos(photos)))
        pool = Pool(1, gpus=1, threads=1)
        pool = replace(pool, preparation=Preparation.of(str(home / "model"), encoder))
        with patch.object(view_reader, "was_restarted", lambda: False):
            decoder = PhotoDecoder(pool)
        spec = LocatorSpec.of(str(home / "model"), home / "places")
        encode, locate = PhotoEncoder(pool), PhotoLocator(spec, pool)
        decoded = joined(decoder(block))
        encoded = distinct(joined(encode(decoded)), encode.width)
        rows = joined(locate(encoded)).drop_columns(["origin"])
        constant = partial(_constant, encode.width)
        with patch.object(encode.encoder, "encode_pixels", constant):
            sides = {
                "decoding": lambda: joined(decoder(block)),
                "beside encoding": lambda: joined(encode(decoded)),
                "ranking": lambda: joined(locate(encoded)),
            }
            times = interleaved(sides, given.rounds)
        times |= interleaved({"encoding": lambda: joined(encode(decoded))}, 1)
    file = io.BytesIO()
    pq.write_table(rows, file)
    bytes_each = {
        "in": block.nbytes,
        "decoded": decoded.nbytes,
        "encoded": encoded.nbytes,
        "out": file.tell(),
    }
    report(
        "stages",
        1,
        model=given.model,
        photos=given.photos,
        core_ms_a_photo={k: round(1000 * t["cpu_s"] / given.photos, 2) for k, t in times.items()},
        bytes_a_photo={k: round(v / given.photos) for k, v in bytes_each.items()},
    )


def distinct(encoded: "pa.Table", width: int) -> "pa.Table":
    """Other unit vectors for each photo, so that no row of guesses is like another."""
    import numpy as np
    import pyarrow as pa

    vectors = np.random.default_rng(0).normal(size=(len(encoded), width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    at = encoded.schema.get_field_index("values")
    return encoded.set_column(at, "values", pa.array(list(vectors), encoded.schema.field(at).type))


def _constant(width: int, pixels: object) -> object:
    """Unit vectors for pixels, without encoding them."""
    import numpy as np

    return np.full((len(pixels), width), width**-0.5, np.float32)


if __name__ == "__main__":
    main()
