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
            -25.21,
            0,
            0.3824,
            2.094,
            0,
            1.492,
            0,
            0,
            1.172,
            0.8887,
            0,
            -4.605,
            0,
            -0.0976,
            0,
            0,
            0,
            7.997,
            0,
            1.262,
            0.239,
            0,
        ],
        -6.055,
    ),
    2.5: (
        [
            0,
            -8.265,
            0,
            0.3626,
            2.541,
            -4.729,
            2.803,
            0,
            0,
            0.2312,
            0,
            0,
            1.236,
            0,
            -0.1716,
            0,
            0,
            4.912,
            0,
            0,
            -0.3442,
            0.2081,
            7.812,
        ],
        -8.953,
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
        3.464,
        0.4562,
        0,
        0.3418,
        -2.271,
        -0.5092,
        24.85,
        -4.594,
        0,
        2.135,
        1.454,
        0.8634,
        0,
        0,
        -2.782,
        0,
        0,
        -0.1301,
        0,
    ],
    -21.89,
)


def score(features: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """The logarithm of the odds that what was measured, (N, features), is damage: (N,)."""
    found: NDArray[np.float64] = features @ np.array(weights[0]) + weights[1]
    return found
