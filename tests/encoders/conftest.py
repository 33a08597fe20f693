"""A small world and its photos, by name, for models that locate and are tuned."""

from training_world import book, one_thread, photo_folder, photos, tiny_tables, tiny_world

__all__ = ["book", "one_thread", "photo_folder", "photos", "tiny_tables", "tiny_world"]
