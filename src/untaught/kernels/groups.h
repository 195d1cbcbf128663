// Groups of similar blocks: how they are found, and a picture without their small components. The algorithm is
// described in imaging/group_completion.py.

#pragma once

#include <cmath>
#include <limits>

#include "eigen.h"

namespace {

constexpr int64_t SIDE = 8, AREA = SIDE * SIDE;
constexpr int FIXED = 16, ADAPTIVE = 32;  // blocks in a group by a fixed transform, and by its singular vectors
constexpr int64_t GROUP_SHARES = 16;

// The blocks nearest to each home block, the nearest first. Blocks are places in maps of high x wide features; where
// there are too few, the home block stands for them.
void similar_blocks(int32_t* members, int64_t size, const int32_t* homes, int64_t groups, const float* features,
                    int64_t count, int64_t high, int64_t wide, int64_t radius, float doubt) {
    const int64_t plane = high * wide, across = 2 * radius + 1;
    parallel(groups, [&](int64_t group, int64_t) {
        const int64_t home = homes[group], row = home / wide, column = home % wide;
        const int64_t first = std::max<int64_t>(0, column - radius), last = std::min(wide - 1, column + radius);
        // The distance, and after it the place in the window: equal distances have an order.
        uint64_t* found = scratch<uint64_t>(0, across * across);
        int64_t candidates = 0;
        for (int64_t y = std::max<int64_t>(0, row - radius); y <= std::min(high - 1, row + radius); ++y)
            for (int64_t x = first; x <= last; x += LANES) {
                Vector distance{};
                for (int64_t f = 0; f < count; ++f) {
                    const Vector difference = load(features + f * plane + y * wide + x) - features[f * plane + home];
                    distance += difference * difference;
                }
                // What is far away has to be more similar.
                const float down = float(y - row) / float(radius);
                for (int k = 0; k < LANES; ++k) {
                    const float right = float(x + k - column) / float(radius);
                    distance[k] *= 1 + doubt * (down * down + right * right);
                }
                const Words bits = (Words)distance;
                const uint32_t place = uint32_t((y - row + radius) * across + x - column + radius);
                for (int k = 0; k < std::min<int64_t>(LANES, last - x + 1); ++k)
                    found[candidates++] = uint64_t(bits[k]) << 32 | (place + k);
            }
        const int64_t least = std::min(size, candidates);
        std::nth_element(found, found + least - 1, found + candidates);
        std::sort(found, found + least);
        for (int64_t k = 0; k < size; ++k) {
            const int64_t place = k < least ? int64_t(uint32_t(found[k])) : radius * across + radius;
            members[group * size + k] = int32_t(home + (place / across - radius) * wide + place % across - radius);
        }
    });
}

// The cosine transform of eight values, and its way back.
struct Cosines {
    float forward[SIDE][SIDE], back[SIDE][SIDE];
    Cosines() {
        for (int k = 0; k < SIDE; ++k)
            for (int i = 0; i < SIDE; ++i)
                back[i][k] = forward[k][i] =
                    float(std::sqrt((k ? 2.0 : 1.0) / SIDE) * std::cos(3.14159265358979324 * k * (i + 0.5) / SIDE));
    }
};
typedef float Eight __attribute__((vector_size(32)));

// block = matrix block matrix^T; "transposed" is the matrix transposed.
inline void both_ways(float* block, const float (*matrix)[SIDE], const float (*transposed)[SIDE]) {
    Eight lines[SIDE], turned[SIDE];
    std::memcpy(lines, block, sizeof lines);
    for (int k = 0; k < SIDE; ++k) {
        Eight sum{};
        for (int i = 0; i < SIDE; ++i) sum += matrix[k][i] * lines[i];
        turned[k] = sum;
    }
    Eight columns[SIDE];
    std::memcpy(columns, transposed, sizeof columns);
    for (int k = 0; k < SIDE; ++k) {
        Eight sum{};
        for (int i = 0; i < SIDE; ++i) sum += turned[k][i] * columns[i];
        lines[k] = sum;
    }
    std::memcpy(block, lines, sizeof lines);
}

static const Cosines cosines;

// The cosine coefficients of the blocks of a group, (FIXED, AREA), at these places of a plane.
inline void coefficients(float* values, const float* plane, int64_t width, const int32_t* places) {
    for (int k = 0; k < FIXED; ++k) {
        for (int64_t y = 0; y < SIDE; ++y)
            std::memcpy(values + k * AREA + y * SIDE, plane + y * width + places[k], SIDE * sizeof(float));
        both_ways(values + k * AREA, cosines.forward, cosines.back);
    }
}
inline void back_to_pixels(float* values) {
    for (int k = 0; k < FIXED; ++k) both_ways(values + k * AREA, cosines.back, cosines.forward);
}

// The Haar transform over the blocks of a group, in place, its means first; or its way back.
template <bool FORWARD>
void haar(float* values) {
    constexpr float HALF = 0.70710678f;
    float other[FIXED * AREA];
    for (int step = FORWARD ? FIXED : 2; FORWARD ? step > 1 : step <= FIXED; step = FORWARD ? step / 2 : step * 2) {
        for (int k = 0; k < step / 2; ++k)
            for (int64_t p = 0; p < AREA; ++p) {
                const float one = values[(FORWARD ? 2 * k : k) * AREA + p];
                const float two = values[(FORWARD ? 2 * k + 1 : step / 2 + k) * AREA + p];
                other[(FORWARD ? k : 2 * k) * AREA + p] = HALF * (one + two);
                other[(FORWARD ? step / 2 + k : 2 * k + 1) * AREA + p] = HALF * (one - two);
            }
        std::memcpy(values, other, step * AREA * sizeof(float));
    }
}

// The part of the result that the groups of one share make.
struct Share {
    int64_t channels, width, first = 0, last = 0;  // rows
    std::vector<float> sums;                       // (channels + 1, rows, width): weighted values, and weights

    // The rows that the first "size" blocks of these groups reach; each group has "apart" members.
    void start(int64_t planes, int64_t across, const int32_t* members, int64_t groups, int64_t apart, int size) {
        int32_t low = std::numeric_limits<int32_t>::max(), high = 0;
        for (int64_t group = 0; group < groups; ++group)
            for (int k = 0; k < size; ++k) {
                low = std::min(low, members[group * apart + k]);
                high = std::max(high, members[group * apart + k]);
            }
        channels = planes;
        width = across;
        first = low / width;
        last = high / width + SIDE;
        sums.assign((channels + 1) * (last - first) * width, 0.0f);
    }
    void add(const float* values, const float* window, int64_t channel, int32_t place, float trust) {
        const int64_t plane = (last - first) * width, at = place - first * width;
        for (int64_t y = 0; y < SIDE; ++y) {
            float *to = &sums[channel * plane + at + y * width], *weights = &sums[channels * plane + at + y * width];
            for (int64_t x = 0; x < SIDE; ++x) to[x] += trust * window[y * SIDE + x] * values[y * SIDE + x];
            if (channel == 0)
                for (int64_t x = 0; x < SIDE; ++x) weights[x] += trust * window[y * SIDE + x];
        }
    }
};

// result = what the shares have made of each pixel, the planes' own where that is nothing.
inline void put_together(float* result, const float* planes, int64_t channels, int64_t height, int64_t width,
                         const std::vector<Share>& made) {
    // Row by row, and in each the shares in their order.
    parallel(height, [&](int64_t row, int64_t) {
        float* sums = scratch<float>(0, (channels + 1) * width);
        std::fill_n(sums, (channels + 1) * width, 0.0f);
        for (const Share& share : made) {
            if (row < share.first || row >= share.last) continue;
            const int64_t rows = share.last - share.first;
            for (int64_t c = 0; c <= channels; ++c)
                for (int64_t x = 0; x < width; ++x)
                    sums[c * width + x] += share.sums[(c * rows + row - share.first) * width + x];
        }
        const float* weights = sums + channels * width;
        for (int64_t c = 0; c < channels; ++c)
            for (int64_t x = 0; x < width; ++x) {
                const int64_t at = (c * height + row) * width + x;
                result[at] = weights[x] > 0 ? sums[c * width + x] / weights[x] : planes[at];
            }
    });
}

class GroupFilter {
public:
    GroupFilter(const float* planes, int64_t channels, int64_t height, int64_t width, const int32_t* members,
                const float* touched, const float* window, float threshold)
        : planes(planes),
          channels(channels),
          height(height),
          width(width),
          members(members),
          touched(touched),
          window(window),
          threshold(threshold) {}

    // The sums of the groups from "first" to "last".
    template <int SIZE>
    void filter(int64_t first, int64_t last, Share& share) const {
        share.start(channels, width, members + first * ADAPTIVE, last - first, ADAPTIVE, SIZE);
        if constexpr (SIZE == FIXED)
            for (int64_t group = first; group < last; ++group) fixed(group, share);
        else
            for (int64_t group = first; group < last; group += LANES)
                adaptive(group, std::min<int64_t>(LANES, last - group), share);
    }

private:
    const float* planes;
    int64_t channels, height, width;
    const int32_t* members;  // ADAPTIVE of each group, of which a fixed transform takes the first
    const float *touched, *window;
    float threshold;

    void fixed(int64_t group, Share& share) const {
        float* values = scratch<float>(1, channels * FIXED * AREA);
        const int32_t* places = members + group * ADAPTIVE;
        int64_t kept = 0;
        for (int64_t c = 0; c < channels; ++c) {
            float* own = values + c * FIXED * AREA;
            coefficients(own, planes + c * height * width, width, places);
            haar<true>(own);
            const float mean = own[0];
            int64_t large = std::fabs(mean) > threshold ? 0 : 1;
            for (int64_t p = 0; p < FIXED * AREA; ++p) {
                const bool is_large = std::fabs(own[p]) > threshold;
                large += is_large;
                own[p] = is_large ? own[p] : 0.0f;
            }
            own[0] = mean;
            kept += large;
            haar<false>(own);
            back_to_pixels(own);
        }
        for (int k = 0; k < FIXED; ++k)
            if (touched[places[k]] != 0)
                for (int64_t c = 0; c < channels; ++c)
                    share.add(values + (c * FIXED + k) * AREA, window, c, places[k], 1.0f / float(kept));
    }

    // Sixteen groups at once, or what is left of them.
    void adaptive(int64_t first, int64_t count, Share& share) const {
        constexpr int N = ADAPTIVE;
        const int64_t pixels = channels * AREA;
        // For each group its values, (pixels, N), and the products of its blocks.
        float* values = scratch<float>(1, LANES * pixels * N);
        Vector(*products)[N] = (Vector(*)[N])scratch<Vector>(2, N * N);
        for (int64_t g = 0; g < LANES; ++g) {
            float* own = values + g * pixels * N;
            // Lanes that are left over repeat the last group.
            const int32_t* places = members + (first + std::min(g, count - 1)) * ADAPTIVE;
            for (int k = 0; k < N; ++k)
                for (int64_t c = 0; c < channels; ++c)
                    for (int64_t y = 0; y < SIDE; ++y) {
                        const float* line = planes + (c * height + y) * width + places[k];
                        for (int64_t x = 0; x < SIDE; ++x) own[(c * AREA + y * SIDE + x) * N + k] = line[x];
                    }
            float square[N][N];
            product(square, own, pixels);
            for (int i = 0; i < N; ++i)
                for (int j = 0; j <= i; ++j) products[i][j][g] = square[i][j];
        }
        const Eigen<N> eigen(products);
        Vector largest = eigen.values[0];
        for (int i = 1; i < N; ++i) largest = choose(eigen.values[i] > largest, eigen.values[i], largest);
        for (int64_t g = 0; g < count; ++g) {
            const int32_t* places = members + (first + g) * ADAPTIVE;
            Vector projection[N][2] = {};
            int64_t kept = 0;
            for (int i = 0; i < N; ++i) {
                const float value = eigen.values[i][g];
                if (!(value > threshold * threshold || value == largest[g])) continue;
                ++kept;
                float one[N];
                for (int k = 0; k < N; ++k) one[k] = products[i][k][g];
                const Vector low = load(one), high = load(one + LANES);
                for (int k = 0; k < N; ++k) {
                    projection[k][0] += one[k] * low;
                    projection[k][1] += one[k] * high;
                }
            }
            float filtered[N][AREA];
            for (int64_t c = 0; c < channels; ++c) {
                const float* own = values + (g * pixels + c * AREA) * N;
                for (int64_t p = 0; p < AREA; ++p) {
                    Vector low{}, high{};
                    for (int k = 0; k < N; ++k) {
                        low += own[p * N + k] * projection[k][0];
                        high += own[p * N + k] * projection[k][1];
                    }
                    for (int k = 0; k < LANES; ++k) {
                        filtered[k][p] = low[k];
                        filtered[LANES + k][p] = high[k];
                    }
                }
                for (int k = 0; k < N; ++k)
                    if (touched[places[k]] != 0) share.add(filtered[k], window, c, places[k], 1.0f / float(kept));
            }
        }
    }

    // The products of all blocks with each other: of values, (pixels, N).
    static void product(float (*result)[ADAPTIVE], const float* values, int64_t pixels) {
        constexpr int ROWS = 8;
        for (int i = 0; i < ADAPTIVE; i += ROWS) {
            Vector sums[ROWS][2] = {};
            for (int64_t p = 0; p < pixels; ++p) {
                const Vector low = load(values + p * ADAPTIVE), high = load(values + p * ADAPTIVE + LANES);
                for (int r = 0; r < ROWS; ++r) {
                    sums[r][0] += values[p * ADAPTIVE + i + r] * low;
                    sums[r][1] += values[p * ADAPTIVE + i + r] * high;
                }
            }
            std::memcpy(result[i], sums, sizeof sums);
        }
    }
};

// result = planes without the small components of the groups, wherever a block touches a gap.
void filter_groups(float* result, const float* planes, int64_t channels, int64_t height, int64_t width,
                   const int32_t* members, int64_t groups, const float* touched, const float* window, float threshold,
                   int adaptive) {
    const GroupFilter filter(planes, channels, height, width, members, touched, window, threshold);
    const int64_t shares = std::min(GROUP_SHARES, groups);
    std::vector<Share> made(shares);
    share_out(groups, shares, [&](int64_t first, int64_t last, int64_t share) {
        if (adaptive) filter.filter<ADAPTIVE>(first, last, made[share]);
        else filter.filter<FIXED>(first, last, made[share]);
    });
    put_together(result, planes, channels, height, width, made);
}

}  // namespace
