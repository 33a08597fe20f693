"""The fixtures of training, by name."""

from training_world import (
    book,
    encoder,
    one_thread,
    photo_folder,
    photos,
    start,
    tiny_tables,
    tiny_world,
)

__all__ = [
    "book",
    "encoder",
    "one_thread",
    "photo_folder",
    "photos",
    "start",
    "tiny_tables",
    "tiny_world",
]
