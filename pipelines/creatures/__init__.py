"""Invented creatures: a non-geographic hierarchy, drawn like the planet."""
