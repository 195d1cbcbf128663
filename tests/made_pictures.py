"""Pictures of random values, for tests of files."""

import numpy as np

RNG = np.random.default_rng(0)


def values(kind, channels: int | None, size=(9, 7)) -> np.ndarray:
    """(H, W) without channels, otherwise (H, W, C): the whole range of whole numbers, or normal floats."""
    shape = size if channels is None else (*size, channels)
    if np.dtype(kind).kind == "f":
        return RNG.normal(size=shape).astype(kind)
    limits = np.iinfo(kind)
    return RNG.integers(limits.min, limits.max, shape, kind, endpoint=True)
