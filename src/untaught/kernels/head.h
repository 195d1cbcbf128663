// The head: a 1x1 convolution to the picture's few channels, in float.

#pragma once

#include "convolution.h"

namespace {

template <typename T>
void head_forward(float* out, const Source<T>& source, const float* weight, const float* bias, int64_t outputs) {
    const int64_t pixels = source.height * source.width, channels = source.channels;
    stretches(pixels, [&](int64_t from, int64_t to, int64_t) {
        float* a = scratch<float>(0, channels);
        for (int64_t p = from; p < to; ++p) {
            for (int64_t c = 0; c < channels; c += LANES)
                store(a + c,
                      Norm<true, false>(source.norm, channels, c, source.slope)(load(source.y + p * channels + c)));
            for (int64_t o = 0; o < outputs; ++o) {
                Vector sum{};
                for (int64_t c = 0; c < channels; c += LANES) sum += load(a + c) * load(weight + o * channels + c);
                float value = bias[o];
                for (int k = 0; k < LANES; ++k) value += sum[k];
                out[o * pixels + p] = value;
            }
        }
    });
}

// From the gradient of the head's outputs, (outputs, pixels), to dz and to the weight's gradient.
template <typename T>
void head_backward(T* dz, float* total, const float* change, const Source<T>& source, const float* weight,
                   int64_t outputs, double* sums) {
    const int64_t pixels = source.height * source.width, channels = source.channels, size = outputs * channels;
    const int64_t shares = shares_of(stretches_of(pixels));
    Sums sum(sums, channels, shares);
    std::vector<float> partial(shares * size);
    stretches(pixels, [&](int64_t from, int64_t to, int64_t share) {
        float* own = partial.data() + share * size;
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, false> apply(source.norm, channels, c, source.slope);
            Backward<false> back(source.norm, channels, c, source.slope);
            for (int64_t o = 0; o < outputs; ++o) {
                Vector along{};
                for (int64_t p = from; p < to; ++p)
                    along += change[o * pixels + p] * apply(load(source.y + p * channels + c));
                store(own + o * channels + c, load(own + o * channels + c) + along);
            }
            for (int64_t p = from; p < to; ++p) {
                Vector g{};
                for (int64_t o = 0; o < outputs; ++o) g += change[o * pixels + p] * load(weight + o * channels + c);
                store(dz + p * channels + c, back(g, load(source.y + p * channels + c)));
            }
            sum.add(share, c, back.first, back.second);
        }
    });
    for (int64_t k = 0; k < size; ++k) {
        total[k] = 0;
        for (int64_t share = 0; share < shares; ++share) total[k] += partial[share * size + k];
    }
}

}  // namespace
