"""Checks of a loaded encoder: a fault that would give wrong answers raises an error."""

from pathlib import Path

from PIL import Image

from geoclip.encoders.encoder import Encoder
from geoclip.errors import GeoclipError

# They agree in length and shape, so a tokenizer without its vocabulary makes them equal.
CAPTIONS = [f"A Street View photo in {name}." for name in ("Peru", "Iran", "Oman", "Mali", "Chad")]


def check_texts(encoder: Encoder, folder: Path, vocabulary: int) -> None:
    """Raise GeoclipError where the tokenizer makes captions equal, or makes tokens that the text
    tower lacks.

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
    """Raise GeoclipError where the preprocessed size differs from the image tower's input size.

    `config` is the file that sets the picture size, `taken` the tower's height and width.
    """
    made = tuple(encoder.preprocess(Image.new("RGB", (taken[1] * 2, taken[0] * 3))).shape)
    if made != (3, *taken):
        raise GeoclipError(
            f"{config} makes pictures of {' × '.join(map(str, made[1:]))} pixels and the image "
            f"tower takes {taken[0]} × {taken[1]}; copy that file from the model's repository."
        )
