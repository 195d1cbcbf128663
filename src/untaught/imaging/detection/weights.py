"""The weights of the detectors' features, as ``python -m benchmarks.detection_weights`` fits them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "LINES", "SPECKS", "Weights", "score"]

Weights = tuple[list[float], float]

LINES: dict[float, Weights] = {
    1.2: (
        [
            0,
            -26.85,
            0,
            0.3829,
            1.224,
            -3.697,
            0.5564,
            0,
            0,
            1.878,
            0.809,
            0,
            -2.605,
            0,
            -0.08327,
            0,
            0,
            0,
            7.719,
            0,
            0.3682,
            0.3655,
            0,
        ],
        -4.219,
    ),
    2.5: (
        [
            0,
            -17.97,
            0,
            0.3057,
            2.084,
            -4.324,
            1.774,
            0,
            0,
            1.755,
            0.7714,
            0,
            0.7507,
            0,
            -0.1513,
            0,
            0,
            4.879,
            0,
            0,
            -0.3364,
            0.2435,
            6.615,
        ],
        -9.084,
    ),
}

SPECKS: Weights = (
    [
        -0.3107,
        0,
        0,
        0.3999,
        1.6,
        0.03796,
        -1.99,
        -0.09593,
        -8.366,
        7.772,
        -4.362,
        -0.7818,
        -0.2358,
        2.131,
        -0.2822,
        -0.1119,
        2.923,
        5.687,
        0.3875,
        -0.3569,
        0.5402,
        -0.1749,
        0,
        1.056,
    ],
    -5.227,
)

COLOURS: Weights = (
    [
        0,
        3.059,
        0.4662,
        0,
        0.1102,
        -0.4864,
        -0.3653,
        34.74,
        -3.94,
        0,
        1.332,
        1.019,
        0.8549,
        0,
        0,
        -2.209,
        0,
        0,
        -0.2213,
        0.03477,
    ],
    -33.27,
)


def score(features: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """The logarithm of the odds that what was measured, (N, features), is damage: (N,)."""
    found: NDArray[np.float64] = features @ np.array(weights[0]) + weights[1]
    return found
