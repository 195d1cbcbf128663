// 3x3 convolutions by im2col: the nine neighbours of each pixel are one row of the matrix. Any size, any stride.

#pragma once

#include "convolution.h"

namespace {

template <typename T>
struct Im2col {
    Source<T> source;
    Target<T> target;
    T* kept;
    int64_t stride, places, batch, length, outputs;

    int64_t across() const { return (source.width - 1) / stride + 1; }
    template <bool NORMED, bool SECOND>
    void fill(T* v, int64_t from, int64_t to) const {
        const int64_t channels = source.channels, across = this->across();
        for (int64_t p = from; p < to; ++p) {
            for (int k = 0; k < 9; ++k) {
                const int64_t r = ::source(p / across * stride + k / 3 - 1, source.height, source.padding);
                const int64_t q = ::source(p % across * stride + k % 3 - 1, source.width, source.padding);
                const T* in = r < 0 || q < 0 ? nullptr : source.y + (r * source.width + q) * channels;
                T* out = v + (p - from) * length + k * channels;
                for (int64_t c = 0; c < channels; c += LANES)
                    store(out + c,
                          in ? Norm<NORMED, SECOND>(source.norm, channels, c, source.slope)(load(in + c)) : Vector{});
            }
        }
    }
    const T* into(T* v, int64_t from, int64_t to) const {
        FOR_NORM(source.norm, source.second, (fill<NORMED, SECOND>(v, from, to)));
        return v;
    }
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const {
        rows_out(target, m, from, to, sums, share);
    }
    void out_back(T* p, int64_t from, int64_t to) const { rows_out_back(target, p, from, to); }
    void in_back(const float* dv, int64_t, int64_t n0, int64_t n, int64_t from, int64_t to, Sums&, int64_t) const {
        keep(kept, length, dv, n0, n, from, to);
    }
};

// The outputs that a pixel contributes to along one axis: at most 5 pairs of output and tap.
struct Reached {
    int count = 0;
    int64_t output[5];
    int tap[5];
    Reached(int64_t place, int64_t n, int64_t outputs, int64_t stride, int padding) {
        for (int k = 0; k < 3; ++k) add(place + 1 - k, outputs, stride, k);
        if (padding != ZERO) {
            if (source(-1, n, padding) == place) add(0, outputs, stride, 0);
            if (source(n, n, padding) == place) add(n - 1, outputs, stride, 2);
        }
    }
    void add(int64_t centre, int64_t outputs, int64_t stride, int k) {
        if (centre < 0 || centre % stride || centre / stride >= outputs) return;
        output[count] = centre / stride;
        tap[count++] = k;
    }
};

template <typename T, bool JOIN>
void im2col_gather(T* dz, const T* dv, const T* extra, const Source<T>& source, int64_t stride, double* sums) {
    const int64_t height = source.height, width = source.width, channels = source.channels;
    const int padding = source.padding;
    const int64_t down = (height - 1) / stride + 1, across = (width - 1) / stride + 1;
    Sums total(sums, channels, shares_of(height));
    std::vector<Reached> sideways;
    for (int64_t x = 0; x < width; ++x) sideways.emplace_back(x, width, across, stride, padding);
    parallel(height, [&](int64_t r, int64_t share) {
        const Reached upright(r, height, down, stride, padding);
        std::vector<Backward<JOIN>> backs;
        for (int64_t c = 0; c < channels; c += LANES) backs.emplace_back(source.norm, channels, c, source.slope);
        for (int64_t x = 0; x < width; ++x) {
            const Reached& side = sideways[x];
            const T* from[25];
            int count = 0;
            for (int k = 0; k < upright.count; ++k)
                for (int q = 0; q < side.count; ++q)
                    from[count++] =
                        dv + ((upright.output[k] * across + side.output[q]) * 9 + 3 * upright.tap[k] + side.tap[q]) *
                                 channels;
            const int64_t at = (r * width + x) * channels;
            for (int64_t c = 0; c < channels; c += LANES) {
                Vector g = extra ? load(extra + at + c) : Vector{};
                for (int k = 0; k < count; ++k) g += load(from[k] + c);
                store(dz + at + c, backs[c / LANES](g, load(source.y + at + c)));
            }
        }
        for (int64_t c = 0; c < channels; c += LANES)
            total.add(share, c, backs[c / LANES].first, backs[c / LANES].second);
    });
}

// Im2col with stride 1 for a map of few channels that is part of a concatenation. The map stores 16 channels per pixel;
// a row of the matrix has 9 x few values, tap after tap, then zeros.

template <typename T>
struct NarrowIm2col {
    Source<T> source;
    Target<T> target;
    T* kept;
    int64_t few, places, batch, length, outputs;

    const T* into(T* v, int64_t from, int64_t to) const {
        const int64_t width = source.width, height = source.height;
        Norm<true, true> apply(source.norm, LANES, 0, source.slope);
        for (int64_t p = from; p < to; ++p)
            std::memset(v + (p - from) * length + 9 * few, 0, (length - 9 * few) * sizeof(T));
        T* line = scratch<T>(5, (to - from + 2) * few + LANES);
        for (int64_t at = from; at < to;) {
            const int64_t row = at / width, first = at % width, end = std::min(width, first + to - at);
            for (int ky = 0; ky < 3; ++ky) {
                const int64_t r = ::source(row + ky - 1, height, source.padding);
                for (int64_t x = first - 1; x <= end; ++x) {
                    const int64_t q = ::source(x, width, source.padding);
                    T values[LANES];
                    store(values, r < 0 || q < 0 ? Vector{} : apply(load(source.y + (r * width + q) * LANES)));
                    std::memcpy(line + (x - first + 1) * few, values, few * sizeof(T));
                }
                for (int64_t x = first; x < end; ++x)
                    std::memcpy(v + (at + x - first - from) * length + 3 * ky * few, line + (x - first) * few,
                                3 * few * sizeof(T));
            }
            at += end - first;
        }
        return v;
    }
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const {
        rows_out(target, m, from, to, sums, share);
    }
    void out_back(T* p, int64_t from, int64_t to) const { rows_out_back(target, p, from, to); }
    void in_back(const float* dv, int64_t, int64_t n0, int64_t n, int64_t from, int64_t to, Sums&, int64_t) const {
        keep(kept, length, dv, n0, n, from, to);
    }
};

template <typename T>
void narrow_im2col_gather(T* g, const T* dv, const Source<T>& source, int64_t few, int64_t length, double* sums) {
    const int64_t height = source.height, width = source.width;
    const int padding = source.padding;
    Sums total(sums, LANES, shares_of(height));
    std::vector<Reached> sideways;
    for (int64_t x = 0; x < width; ++x) sideways.emplace_back(x, width, width, 1, padding);
    Integers lanes;
    for (int k = 0; k < LANES; ++k) lanes[k] = k < few ? -1 : 0;
    parallel(height, [&](int64_t r, int64_t share) {
        const Reached upright(r, height, height, 1, padding);
        Backward<true> back(source.norm, LANES, 0, source.slope);
        for (int64_t x = 0; x < width; ++x) {
            const Reached& side = sideways[x];
            Vector sum{};
            for (int k = 0; k < upright.count; ++k)
                // Reads past the few values into the next tap's; the mask drops those.
                for (int q = 0; q < side.count; ++q)
                    sum += load(dv + (upright.output[k] * width + side.output[q]) * length +
                                (3 * upright.tap[k] + side.tap[q]) * few);
            const int64_t at = (r * width + x) * LANES;
            store(g + at, back((Vector)((Integers)sum & lanes), load(source.y + at)));
        }
        total.add(share, 0, back.first, back.second);
    });
}

}  // namespace
