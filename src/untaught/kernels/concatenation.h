// Batch normalisation of a concatenation, part by part: its statistics and its gradient. Nothing is concatenated.

#pragma once

#include "convolution.h"

namespace {

// Sums of a part's activations and of their squares.
template <typename T>
void statistics(const Source<T>& source, double* sums) {
    const int64_t channels = source.channels;
    Sums total(sums, channels, shares_of(stretches_of(source.height * source.width)));
    stretches(source.height * source.width, [&](int64_t from, int64_t to, int64_t share) {
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, false> apply(source.norm, channels, c, source.slope);
            Vector first{}, second{};
            for (int64_t p = from; p < to; ++p) {
                const Vector a = apply.activation(load(source.y + p * channels + c));
                first += a;
                second += a * a;
            }
            total.add(share, c, first, second);
        }
    });
}

// The same sums of the upsampled activations U a, computed at low resolution: the sum of (U a)^2 is the sum of a Q a
// with Q = Ut U, a separable filter of 2 reach + 1 taps for each line; the sum of U a is the sum of p a with p = Ut 1.
// Writes q = Q a.
template <typename T>
void upsampled_statistics(T* q, const Source<T>& source, int64_t reach, const float* row_taps, const float* column_taps,
                          const float* row_weight, const float* column_weight, double* sums) {
    const int64_t height = source.height, width = source.width, channels = source.channels;
    const T* y = source.y;
    Sums total(sums, channels, shares_of(height));
    const int64_t taps = 2 * reach + 1;
    parallel(height, [&](int64_t r, int64_t share) {
        std::vector<Vector> mixed(width + 2 * reach);
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, false> apply(source.norm, channels, c, source.slope);
            for (int64_t x = 0; x < width; ++x) {
                Vector sum{};
                for (int64_t k = 0; k < taps; ++k) {
                    const int64_t line = r + k - reach;
                    const float weight = row_taps[r * taps + k];
                    if (line >= 0 && line < height && weight != 0)
                        sum += weight * apply.activation(load(y + (line * width + x) * channels + c));
                }
                mixed[reach + x] = sum;
            }
            Vector first{}, second{};
            for (int64_t x = 0; x < width; ++x) {
                Vector sum{};
                for (int64_t k = 0; k < taps; ++k) sum += column_taps[x * taps + k] * mixed[x + k];
                const int64_t at = (r * width + x) * channels + c;
                store(q + at, sum);
                const Vector a = apply.activation(load(y + at));
                first += row_weight[r] * column_weight[x] * a;
                second += sum * a;
            }
            total.add(share, c, first, second);
        }
    });
}

// Gradient of the concatenation's normalisation and of the activation before it, in place: from g, the gradient of v,
// to dz. The activation's gradient is s2 g + c1 p + c2 q; without upsampling q is a and p is 1.
template <typename T>
void concatenation_back(T* g, const T* q, const Source<T>& source, const float* c1, const float* c2,
                        const float* row_weight, const float* column_weight, double* sums) {
    const int64_t height = source.height, width = source.width, channels = source.channels;
    Sums total(sums, channels, shares_of(height));
    parallel(height, [&](int64_t r, int64_t share) {
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, true> apply(source.norm, channels, c, source.slope);
            Backward<false> back(source.norm, channels, c, source.slope);
            const Vector k1 = load(c1 + c), k2 = load(c2 + c);
            for (int64_t x = 0; x < width; ++x) {
                const int64_t at = (r * width + x) * channels + c;
                const Vector value = load(source.y + at);
                const float p = row_weight ? row_weight[r] * column_weight[x] : 1.0f;
                const Vector da = apply.s2 * load(g + at) + p * k1 + k2 * (q ? load(q + at) : apply.activation(value));
                store(g + at, back(da, value));
            }
            total.add(share, c, back.first, back.second);
        }
    });
}

}  // namespace
