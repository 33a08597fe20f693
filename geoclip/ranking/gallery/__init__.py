"""Galleries: geotagged photos that others are compared with, and what follows for their places."""
