"""The table of guesses: its schema and rows, files, the map page, sidecars, failures."""
