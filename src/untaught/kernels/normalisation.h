// Batch normalisation's coefficients, from sums over all pixels.

#pragma once

#include <algorithm>
#include <cstdint>

namespace {

constexpr double EPSILON = 1e-5;

// From the sums over n pixels: scale and shift of the normalisation, its mean and its reciprocal standard deviation.
void normalise(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma, const float* beta,
               float* scale, float* shift, double* kept) {
    for (int64_t c = 0; c < used; ++c) {
        const double mean = sums[c] / n, square = sums[channels + c] / n;
        const double r = 1 / __builtin_sqrt(std::max(square - mean * mean, 0.0) + EPSILON);
        scale[c] = float(gamma[c] * r);
        shift[c] = float(beta[c] - mean * gamma[c] * r);
        kept[c] = mean;
        kept[channels + c] = r;
    }
}

// From the sums of dz and of dz y over n pixels: the coefficients of dy, and the gradients of gamma and beta.
void normalise_back(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma,
                    const double* kept, float* k, float* dgamma, float* dbeta) {
    for (int64_t c = 0; c < used; ++c) {
        const double mean = kept[c], r = kept[channels + c];
        const double along = r * (sums[channels + c] - mean * sums[c]);
        dgamma[c] = float(along);
        dbeta[c] = float(sums[c]);
        k[c] = float(gamma[c] * r);
        k[channels + c] = float(-gamma[c] * r * r * along / n);
        k[2 * channels + c] = float((mean * r * along - sums[c]) * gamma[c] * r / n);
    }
}

// The same for the normalisation of a concatenation, from the sums of g and of g a; n pixels after upsampling.
void normalise_concatenation_back(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma,
                                  const double* kept, float* c1, float* c2, float* dgamma, float* dbeta) {
    for (int64_t c = 0; c < used; ++c) {
        const double mean = kept[c], r = kept[channels + c];
        const double along = r * (sums[channels + c] - mean * sums[c]);
        dgamma[c] = float(along);
        dbeta[c] = float(sums[c]);
        const double dvariance = -0.5 * gamma[c] * r * r * along;
        c1[c] = float((-gamma[c] * r * sums[c] - 2 * mean * dvariance) / n);
        c2[c] = float(2 * dvariance / n);
    }
}

}  // namespace
