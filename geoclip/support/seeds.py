"""Random numbers that depend only on a key: the same on any machine and with any workers."""

import hashlib

import numpy as np


def seeded_uniforms(count: int, *key: object) -> np.ndarray:
    """Return `count` (at most 8) numbers in [0, 1) that depend only on `key`."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(errors="surrogatepass"))
    words = np.frombuffer(digest.digest(), dtype="<u8", count=count)
    return (words >> np.uint64(11)).astype(float) / 2**53


def seeded_generator(*key: object) -> np.random.Generator:
    """Return a generator that depends only on `key`."""
    return np.random.default_rng((seeded_uniforms(4, *key) * 2**53).astype(np.uint64))
