"""How the embedded models `planet-start` and `street-tiny` are made."""
