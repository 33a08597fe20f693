"""From embeddings to ranked places: place index, hierarchy, posterior, point estimate, settings."""
