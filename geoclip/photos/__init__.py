"""Photos: listing, decoding, videos, metadata, tables of photos, abstention, reading."""
