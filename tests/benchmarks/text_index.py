"""Encoding captions and prompts, beside `open_clip.build_zero_shot_classifier`.

    python -m tests.benchmarks.text_index --captions 128 --threads 1

One model (random weights), one tokenizer, fixed lists: full training captions of cities (town,
region, country), and short prompts of countries and cities.
"""

import argparse
from typing import Any

from tests.benchmarks.timing import ROUNDS, interleaved, ratio, report, use_threads


def text_lists(count: int) -> dict[str, list[str]]:
    """The fixed lists, `count` texts each."""
    import numpy as np

    from geoclip.places.captions import CaptionBook, CaptionSettings
    from geoclip.places.gazetteer import Gazetteer

    gazetteer = Gazetteer.default()
    short = CaptionBook(
        gazetteer, CaptionSettings(city_prompts=("{prefix} from {city}, {country}.",))
    )
    cities = gazetteer.level_rows("city")
    cities = cities[np.linspace(0, len(cities) - 1, count).astype(int)]
    rows = [*gazetteer.level_rows("country")[: count // 4], *cities]
    return {
        "full captions": [short.text(int(row)) for row in cities],
        "short prompts": [short.prompts(int(row))[0] for row in rows][:count],
    }


def compared(encoder: Any, texts: list[str], rounds: int) -> dict[str, Any]:
    """Both sides on one list, and how far their embeddings are apart."""
    import numpy as np
    import open_clip

    found: dict[str, Any] = {}

    def theirs() -> None:
        weights = open_clip.build_zero_shot_classifier(
            encoder.model, encoder.tokenizer, texts, ["{}"]
        )
        found["theirs"] = weights.T.numpy()

    def ours() -> None:
        found["ours"] = encoder.encode_texts(texts)

    sides = interleaved({"open_clip": theirs, "geoclip": ours}, rounds)
    return {
        "texts": len(texts),
        "distinct": len(set(texts)),
        "sides": sides,
        "times_faster": ratio(sides, "open_clip", "geoclip"),
        "largest_difference": float(np.abs(found["ours"] - found["theirs"]).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=128)
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.support.process import keep_freed_memory

    keep_freed_memory()
    encoder = OpenClipEncoder.from_reference(arguments.model, "random")
    lists = text_lists(arguments.captions)
    figures = {name: compared(encoder, texts, arguments.rounds) for name, texts in lists.items()}
    report("text_index", arguments.threads, model=arguments.model, **figures)


if __name__ == "__main__":
    main()
