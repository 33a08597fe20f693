"""Photos: listing, opening, decoding, metadata, abstention, embedding, records, photo tables."""
