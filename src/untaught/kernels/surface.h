// The surface of least bending in the gaps of a picture, see priors/first_guess.py.

#pragma once

#include "threads.h"

namespace {

// The gaps of one channel, row by row: from the first missing value to the last.
class Surface {
public:
    Surface(const float* free, int64_t height, int64_t width, float tension)
        : free(free), height(height), width(width), tension(tension), gaps(height), around(height) {
        for (int64_t y = 0; y < height; ++y) {
            const float* line = free + y * width;
            Span& span = gaps[y];
            while (span.first < width && line[span.first] == 0) ++span.first;
            span.last = width;
            while (span.last > span.first && line[span.last - 1] == 0) --span.last;
        }
        for (int64_t y = 0; y < height; ++y) {
            Span span{width, 0};
            for (int64_t near = std::max<int64_t>(0, y - 1); near <= std::min(height - 1, y + 1); ++near)
                if (gaps[near].first < gaps[near].last) {
                    span.first = std::min(span.first, gaps[near].first);
                    span.last = std::max(span.last, gaps[near].last);
                }
            if (span.first < span.last)
                around[y] = {std::max<int64_t>(0, span.first - 1), std::min(width, span.last + 1)};
        }
    }

    // Conjugate gradients. A channel without gaps has a residual of zero, and steps of length zero.
    void solve(float* picture, int steps) {
        const int64_t pixels = height * width;
        float* residual = scratch<float>(0, pixels);
        float* direction = scratch<float>(1, pixels);
        float* image = scratch<float>(2, pixels);
        float* curvature = scratch<float>(3, pixels);
        for (float* one : {residual, direction, image, curvature}) std::fill_n(one, pixels, 0.0f);
        bending(image, picture, curvature);
        double norm = 0;
        each([&](int64_t at) {
            direction[at] = residual[at] = -image[at];
            norm += double(residual[at]) * residual[at];
        });
        std::fill_n(curvature, pixels, 0.0f);
        for (int step = 0; step < steps; ++step) {
            bending(image, direction, curvature);
            double product = 0, after = 0;
            each([&](int64_t at) { product += double(direction[at]) * image[at]; });
            const float length = float(norm / std::max(product, 1e-20));
            each([&](int64_t at) {
                picture[at] += length * direction[at];
                residual[at] -= length * image[at];
                after += double(residual[at]) * residual[at];
            });
            const float share = float(after / std::max(norm, 1e-20));
            norm = after;
            each([&](int64_t at) { direction[at] = residual[at] + share * direction[at]; });
        }
    }

private:
    struct Span {
        int64_t first = 0, last = 0;
    };
    const float* free;
    int64_t height, width;
    float tension;
    std::vector<Span> gaps, around;  // where values are missing, and these with their neighbours

    template <typename Body>
    void each(Body body) const {
        for (int64_t y = 0; y < height; ++y)
            for (int64_t x = gaps[y].first; x < gaps[y].last; ++x) body(y * width + x);
    }

    // The squared Laplacian of x, and the tension's share, in the gaps.
    void bending(float* result, const float* x, float* curvature) const {
        for (int64_t y = 0; y < height; ++y) {
            laplacian(curvature, x, y, around[y]);
            for (int64_t k = around[y].first; k < around[y].last; ++k)
                curvature[y * width + k] -= tension * x[y * width + k];
        }
        for (int64_t y = 0; y < height; ++y) {
            laplacian(result, curvature, y, gaps[y]);
            for (int64_t k = gaps[y].first; k < gaps[y].last; ++k) result[y * width + k] *= free[y * width + k];
        }
    }

    // The sum of differences to the four neighbours; there is none beyond the edge.
    void laplacian(float* result, const float* x, int64_t y, Span span) const {
        const float* line = x + y * width;
        const float *above = y > 0 ? line - width : line, *below = y + 1 < height ? line + width : line;
        float* out = result + y * width;
        const auto one = [&](int64_t k) {
            const float left = line[k > 0 ? k - 1 : k], right = line[k + 1 < width ? k + 1 : k];
            out[k] = above[k] + below[k] + left + right - 4 * line[k];
        };
        int64_t k = span.first, last = span.last;
        if (k < last && k == 0) one(k++);
        if (k < last && last == width) one(--last);
        for (; k < last; ++k) out[k] = above[k] + below[k] + line[k - 1] + line[k + 1] - 4 * line[k];
    }
};

// Changes the free values of each channel of a picture, (channels, height, width); "own" for free values of its own.
void bend_least(float* picture, const float* free, int64_t channels, int64_t height, int64_t width, int64_t steps,
                float tension, int own) {
    const int64_t pixels = height * width;
    for (int64_t c = 0; c < channels; ++c)
        Surface(free + (own ? c * pixels : 0), height, width, tension).solve(picture + c * pixels, int(steps));
}

}  // namespace
