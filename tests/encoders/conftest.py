"""A small world and its photos, by name, for models that are located with and tuned."""

from training_world import book, one_thread, photo_folder, photos, tiny_tables, tiny_world

__all__ = ["book", "one_thread", "photo_folder", "photos", "tiny_tables", "tiny_world"]
