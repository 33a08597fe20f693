"""Places: the sphere, the gazetteer and its readers, country outlines, narrowing, captions."""
