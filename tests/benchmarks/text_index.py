"""Encoding captions and prompts, beside `open_clip.build_zero_shot_classifier` or transformers.

    python -m tests.benchmarks.text_index --captions 128 --threads 1
    python -m tests.benchmarks.text_index --library transformers

One model (random weights), one tokenizer, fixed lists: full training captions of cities (town,
region, country), and short prompts of countries and cities. transformers is given batches as
large as ours, padded to their longest text, of a CLIP of ViT-B/32's sizes.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
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


def by_open_clip(encoder: Any, texts: list[str]) -> Any:
    """Embeddings (C, d) by open_clip's builder of classifiers."""
    import open_clip

    weights = open_clip.build_zero_shot_classifier(encoder.model, encoder.tokenizer, texts, ["{}"])
    return weights.T.numpy()


def by_transformers(encoder: Any, texts: list[str]) -> Any:
    """Embeddings (C, d) by plain transformers."""
    import torch

    from geoclip.encoders.encoder import TEXT_BATCH

    batches = [texts[i : i + TEXT_BATCH] for i in range(0, len(texts), TEXT_BATCH)]
    with torch.inference_mode():
        tokens = [encoder.tokenizer(b, padding=True, return_tensors="pt") for b in batches]
        found = [encoder.model.get_text_features(**t).pooler_output for t in tokens]
        return torch.nn.functional.normalize(torch.cat(found), dim=-1).numpy()


def transformers_encoder() -> Any:
    """A CLIP of transformers' default sizes, those of ViT-B/32, with CLIP's tokenizer."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    from geoclip.encoders.transformers_encoder import TransformersEncoder
    from tests.encoders.hub_layouts import write_clip_tokenizer, write_json

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip_tokenizer(folder)
        write_json(folder / "config.json", {"model_type": "clip"})
        tokenizer = AutoTokenizer.from_pretrained(name)
    return TransformersEncoder(folder, CLIPModel(CLIPConfig()).eval(), None, tokenizer)


def compared(
    encoder: Any, texts: list[str], rounds: int, name: str, other: Callable[[Any, list[str]], Any]
) -> dict[str, Any]:
    """Both sides on one list, and how far their embeddings are apart."""
    import numpy as np

    found: dict[str, Any] = {}

    def theirs() -> None:
        found["theirs"] = other(encoder, texts)

    def ours() -> None:
        found["ours"] = encoder.encode_texts(texts)

    sides = interleaved({name: theirs, "geoclip": ours}, rounds)
    return {
        "texts": len(texts),
        "distinct": len(set(texts)),
        "sides": sides,
        "times_faster": ratio(sides, name, "geoclip"),
        "largest_difference": float(np.abs(found["ours"] - found["theirs"]).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=128)
    parser.add_argument("--library", choices=("open_clip", "transformers"), default="open_clip")
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)

    from geoclip.encoders.open_clip_encoder import OpenClipEncoder
    from geoclip.support.process import keep_freed_memory

    keep_freed_memory()
    library, other = arguments.library, by_open_clip
    if library == "transformers":
        arguments.model, other = "CLIPConfig()", by_transformers
        encoder = transformers_encoder()
    else:
        encoder = OpenClipEncoder.from_reference(arguments.model, "random")
    figures = {
        name: compared(encoder, texts, arguments.rounds, library, other)
        for name, texts in text_lists(arguments.captions).items()
    }
    report("text_index", arguments.threads, model=arguments.model, **figures)


if __name__ == "__main__":
    main()
