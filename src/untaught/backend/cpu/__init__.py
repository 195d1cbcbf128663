"""Encoder-decoders on a processor, as matrix products with compiled passes around them: the same result, faster.

Every convolution is a small fixed filter over pixels, a product over channels, and another fixed filter::

    1x1                     -                          product        -                           pointwise
    3x3                     tiles (Bt d B)             16 products    tiles (At m A)              winograd
    3x3, any stride         rows of nine neighbours    product        -                           im2col
    3x3 after upsampling    -                          product        its taps, interpolated      upsampled

The last one saves most. An interpolation mixes pixels and a tap mixes channels, so they commute: the product is
computed at the low resolution, with a quarter of the arithmetic, and the map itself is never upsampled.

The filters are passes over memory. They also do normalisation, activation, padding and the sums that the next
normalisation needs, in both directions; kernels.cpp describes how. Only each convolution's output is kept for the
backward pass; everything else is computed again there.
"""
