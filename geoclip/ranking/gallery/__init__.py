"""Galleries: geotagged photos to compare with, and the resulting posterior of places."""
