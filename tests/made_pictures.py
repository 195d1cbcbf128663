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


def mosaic_with_a_preview(path):
    """A DNG as simple as can be."""
    import tifffile

    pixels = RNG.integers(0, 4096, (64, 80), np.uint16)
    tags = [
        (50706, 1, 4, b"\1\4\0\0", True),
        (50707, 1, 4, b"\1\1\0\0", True),
        (50708, 2, None, "a camera", True),
    ]
    of_the_mosaic = [
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, b"\1\0\2\1", True),
        (50714, 4, 1, 64, True),
        (50717, 4, 1, 4095, True),
    ]
    with tifffile.TiffWriter(path) as file:
        preview = np.zeros((8, 8, 3), np.uint8)
        file.write(preview, photometric="rgb", subfiletype=1, subifds=1, metadata=None, extratags=tags)
        file.write(pixels, photometric="cfa", subfiletype=0, metadata=None, extratags=of_the_mosaic)
    return pixels
