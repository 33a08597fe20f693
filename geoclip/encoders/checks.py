"""Checks of an encoder that was loaded: what would give wrong answers is refused in a sentence."""

from pathlib import Path

from PIL import Image

from geoclip.encoders.encoder import Encoder
from geoclip.errors import GeoclipError

# Alike in length and shape, so that a tokenizer without its vocabulary makes them the same.
CAPTIONS = [f"A Street View photo in {name}." for name in ("Peru", "Iran", "Oman", "Mali", "Chad")]


def check_texts(encoder: Encoder, folder: Path, vocabulary: int) -> None:
    """Raise GeoclipError where captions become alike, or tokens that the text tower lacks.

    `vocabulary` is the number of tokens that the text tower knows. A library whose tokenizer files
    are missing may go on with an empty vocabulary; every photo then has the same answer.
    """
    tokens = encoder.tokenize(CAPTIONS)
    if len({tuple(row) for row in tokens.tolist()}) < len(CAPTIONS):
        raise GeoclipError(
            f"The tokenizer of {folder} makes different captions alike: files of it are missing or "
            "belong to another model; copy them from the model's repository."
        )
    if int(tokens.max()) >= vocabulary:
        raise GeoclipError(
            f"The tokenizer of {folder} has tokens up to {int(tokens.max()):,} and the text tower "
            f"knows {vocabulary:,}; copy the tokenizer's files from the model's repository."
        )


def check_pixels(encoder: Encoder, config: Path, taken: tuple[int, int]) -> None:
    """Raise GeoclipError where pictures are not made as large as the image tower takes them.

    `config` is the file that says how pictures are made, `taken` the tower's height and width.
    """
    made = tuple(encoder.preprocess(Image.new("RGB", (taken[1] * 2, taken[0] * 3))).shape)
    if made != (3, *taken):
        raise GeoclipError(
            f"{config} makes pictures of {' × '.join(map(str, made[1:]))} pixels and the image "
            f"tower takes {taken[0]} × {taken[1]}; copy that file from the model's repository."
        )
