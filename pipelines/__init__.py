"""Ray programs: each is `python -m pipelines.NAME`."""
