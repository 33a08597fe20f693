"""Invented creatures: a hierarchy that is no geography, drawn like the planet."""
