// Groups of similar blocks without their noise: each coefficient of a group is shrunk by how strong the noise is in it.
// The algorithm is described in imaging/collaborative_filter.py.

#pragma once

#include "groups.h"

namespace {

class Shrinkage {
public:
    const float *plane, *pilot;  // of the pilot, none in the first step
    int64_t width;
    const int32_t* members;  // FIXED of each group
    const float* levels;     // the variance of the noise, of each group
    const float* table;      // the covariance of the coefficients of two blocks by their distance; none for white noise
    int64_t reach;           // of the table, in pixels
    const float* window;
    float threshold, excess;

    void groups(int64_t first, int64_t last, Share& share) const {
        share.start(1, width, members + first * FIXED, last - first, FIXED, FIXED);
        for (int64_t group = first; group < last; ++group) one(members + group * FIXED, levels[group], share);
    }

private:
    void one(const int32_t* places, float level, Share& share) const {
        float seen[FIXED * AREA], expected[FIXED * AREA], noise[FIXED * AREA];
        coefficients(seen, plane, width, places);
        haar<true>(seen);
        if (table) variances(noise, places);
        else std::fill_n(noise, FIXED * AREA, 1.0f);
        float passed[LANES] = {};
        if (pilot) {
            coefficients(expected, pilot, width, places);
            haar<true>(expected);
            for (int64_t p = 0; p < FIXED * AREA; p += LANES)
                for (int k = 0; k < LANES; ++k) {
                    const float power = expected[p + k] * expected[p + k], variance = noise[p + k] * level;
                    const float gain = power / (power + excess * variance);
                    seen[p + k] *= gain;
                    passed[k] += gain * gain * variance;
                }
        } else {
            const float mean = seen[0];
            for (int64_t p = 0; p < FIXED * AREA; p += LANES)
                for (int k = 0; k < LANES; ++k) {
                    const float variance = noise[p + k] * level;
                    const bool large = seen[p + k] * seen[p + k] > threshold * threshold * variance;
                    seen[p + k] = large ? seen[p + k] : 0.0f;
                    passed[k] += large ? variance : 0.0f;
                }
            // The mean of the blocks stays.
            if (seen[0] != mean) passed[0] += noise[0] * level;
            seen[0] = mean;
        }
        float sum = 0;
        for (float each : passed) sum += each;
        haar<false>(seen);
        back_to_pixels(seen);
        // A group weighs more the less noise it passes.
        const float trust = 1.0f / std::max(sum, 1e-9f);
        for (int k = 0; k < FIXED; ++k) share.add(seen + k * AREA, window, 0, places[k], trust);
    }

    // The variance of each coefficient of a group, (FIXED, AREA), for noise of variance 1. Half of the blocks minus the
    // other half has what both halves have, but for twice what they share; and so on in each half.
    void variances(float* noise, const int32_t* places) const {
        const int64_t across = 2 * reach + 1;
        const float* alone = table + (reach * across + reach) * AREA;
        float sums[FIXED * AREA];
        int32_t rows[FIXED], columns[FIXED];
        for (int k = 0; k < FIXED; ++k) {
            std::memcpy(sums + k * AREA, alone, AREA * sizeof(float));
            rows[k] = int32_t(places[k] / width);
            columns[k] = int32_t(places[k] % width);
        }
        for (int half = 1; half < FIXED; half *= 2)
            for (int node = 0; node < FIXED / (2 * half); ++node) {
                float shared[AREA] = {};
                for (int i = 2 * node * half; i < (2 * node + 1) * half; ++i)
                    for (int j = (2 * node + 1) * half; j < (2 * node + 2) * half; ++j) {
                        const int64_t down = rows[i] - rows[j], right = columns[i] - columns[j];
                        if (std::abs(down) > reach || std::abs(right) > reach) continue;
                        const float* entry = table + ((down + reach) * across + right + reach) * AREA;
                        for (int64_t p = 0; p < AREA; ++p) shared[p] += entry[p];
                    }
                const float *left = sums + 2 * node * AREA, *other = left + AREA;
                float *difference = noise + (FIXED / (2 * half) + node) * AREA, *together = sums + node * AREA;
                for (int64_t p = 0; p < AREA; ++p) {
                    const float both = left[p] + other[p];
                    difference[p] = (both - 2 * shared[p]) / float(2 * half);
                    together[p] = both + 2 * shared[p];
                }
            }
        for (int64_t p = 0; p < AREA; ++p) noise[p] = sums[p] / FIXED;
        // Nothing is free of noise: rounding alone leaves some.
        for (int k = 0; k < FIXED; ++k)
            for (int64_t p = 0; p < AREA; ++p)
                noise[k * AREA + p] = std::max(noise[k * AREA + p], 0.03f * std::max(alone[p], 1e-4f));
    }
};

// result = plane with the coefficients of its groups shrunk, by a threshold or as a pilot tells.
void shrink_groups(float* result, int64_t height, const Shrinkage& shrinkage, int64_t groups) {
    const int64_t shares = std::min(GROUP_SHARES, groups);
    std::vector<Share> made(shares);
    share_out(groups, shares,
              [&](int64_t first, int64_t last, int64_t share) { shrinkage.groups(first, last, made[share]); });
    put_together(result, shrinkage.plane, 1, height, shrinkage.width, made);
}

}  // namespace
