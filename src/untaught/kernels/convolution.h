// A convolution as matrix products, forward and backward, for any algorithm.
//
// An algorithm (Pointwise, Winograd, Im2col, ...) says how its source becomes the rows of a matrix and how the rows of
// the product become its target, in chunks [from, to) of "places":
//
//     int64_t places, batch, length, outputs;
//     const T* into(T* v, from, to)                 the source as v (batch, to - from, length)
//     void out(const float* m, from, to, ...)       the product m (batch, to - from, outputs), to the target
//     void out_back(T* p, from, to)                 the target's gradient as p (batch, to - from, outputs)
//     void in_back(const float* dv, b, n0, n, from, to, ...)  columns n0 to n0 + n of v's gradient, of product b

#pragma once

#include "products.h"

namespace {

constexpr int64_t MOST_TOTALS = 16;

template <typename T, typename Algorithm>
void forward(Algorithm& algorithm, const T* matrix, int64_t chunk, double* sums, int64_t channels) {
    const int64_t size = algorithm.outputs * algorithm.length, chunks = (algorithm.places + chunk - 1) / chunk;
    const int64_t shares = shares_of(chunks);
    Sums total(sums, channels, shares);
    std::vector<Vector> room(algorithm.batch * size * sizeof(T) / sizeof(Vector));
    T* packed = (T*)room.data();
    parallel(algorithm.batch, [&](int64_t b, int64_t) {
        pack_transposed(packed + b * size, matrix + b * size, algorithm.outputs, algorithm.length);
    });
    share_out(chunks, shares, [&](int64_t first, int64_t last, int64_t share) {
        T* v = scratch<T>(0, algorithm.batch * chunk * algorithm.length);
        float* m = scratch<float>(1, algorithm.batch * chunk * algorithm.outputs);
        for (int64_t item = first; item < last; ++item) {
            const int64_t from = item * chunk, to = std::min(algorithm.places, from + chunk), rows = to - from;
            const T* in = algorithm.into(v, from, to);
            for (int64_t b = 0; b < algorithm.batch; ++b)
                multiply(rows, algorithm.outputs, algorithm.length, in + b * rows * algorithm.length, packed + b * size,
                         algorithm.outputs, m + b * rows * algorithm.outputs, algorithm.outputs, false);
            algorithm.out(m, from, to, total, share);
        }
        release(std::is_same<T, bfloat16>::value);
    });
}

// The matrix's gradient, total (batch, outputs, length), and the source's gradient if it is wanted.
template <typename T, typename Algorithm>
void backward(Algorithm& algorithm, const T* matrix, float* total, int64_t chunk, bool wanted, double* sums,
              int64_t channels) {
    const int64_t size = algorithm.outputs * algorithm.length, chunks = (algorithm.places + chunk - 1) / chunk;
    // Few shares: each has a total of its own, which is written and read once more.
    const int64_t shares = std::min(MOST_TOTALS, chunks);
    Sums sum(sums, channels, shares);
    std::vector<Vector> room(wanted ? algorithm.batch * size * sizeof(T) / sizeof(Vector) : 0);
    T* packed = (T*)room.data();
    if (wanted)
        parallel(algorithm.batch, [&](int64_t b, int64_t) {
            pack(packed + b * size, matrix + b * size, algorithm.outputs, algorithm.length);
        });
    float* others = scratch<float>(FOR_TOTALS, (shares - 1) * algorithm.batch * size);
    share_out(chunks, shares, [&](int64_t first, int64_t last, int64_t share) {
        T* v = scratch<T>(0, algorithm.batch * chunk * algorithm.length);
        T* p = scratch<T>(1, algorithm.batch * chunk * algorithm.outputs);
        float* dv = scratch<float>(2, chunk * std::min(BLOCK_N, algorithm.length));
        float* own = share ? others + (share - 1) * algorithm.batch * size : total;
        bool add = false;
        for (int64_t item = first; item < last; ++item) {
            const int64_t from = item * chunk, to = std::min(algorithm.places, from + chunk), rows = to - from;
            const T* in = algorithm.into(v, from, to);
            algorithm.out_back(p, from, to);
            for (int64_t b = 0; b < algorithm.batch; ++b) {
                const T* change = p + b * rows * algorithm.outputs;
                for (int64_t n = 0; wanted && n < algorithm.length; n += BLOCK_N) {
                    const int64_t width = std::min(BLOCK_N, algorithm.length - n);
                    multiply(rows, width, algorithm.outputs, change, column(packed + b * size, n), algorithm.length, dv,
                             width, false);
                    algorithm.in_back(dv, b, n, width, from, to, sum, share);
                }
                const T* a = as_a(change, rows, algorithm.outputs, 3);
                const T* right = as_b(in + b * rows * algorithm.length, rows, algorithm.length, 4);
                for (int64_t n = 0; n < algorithm.length; n += BLOCK_N)
                    multiply(algorithm.outputs, std::min(BLOCK_N, algorithm.length - n), even(a, rows), a,
                             column(right, n), algorithm.length, own + b * size + n, algorithm.length, add);
            }
            add = true;
        }
        release(std::is_same<T, bfloat16>::value);
    });
    stretches(algorithm.batch * size / LANES, [&](int64_t from, int64_t to, int64_t) {
        for (int64_t other = 0; other < shares - 1; ++other)
            for (int64_t k = from * LANES; k < to * LANES; k += LANES)
                store(total + k, load(total + k) + load(others + other * algorithm.batch * size + k));
    });
}

// The feature map that is convolved, and the one that results: see kernels.cpp.
template <typename T>
struct Source {
    const T* y;
    int64_t height, width, channels;
    const float* norm;
    float slope;
    int second, padding;
};

template <typename T>
struct Target {
    T* y;
    const T* dz;
    const float* k;
    int64_t channels;
    Lazy<T> lazy() const { return {dz, y, k, channels}; }
};

#define FOR_NORM(norm, second, call)                       \
    do {                                                   \
        if (!(norm)) {                                     \
            constexpr bool NORMED = false, SECOND = false; \
            call;                                          \
        } else if (second) {                               \
            constexpr bool NORMED = true, SECOND = true;   \
            call;                                          \
        } else {                                           \
            constexpr bool NORMED = true, SECOND = false;  \
            call;                                          \
        }                                                  \
    } while (0)
#define FOR_KIND(join, call)             \
    do {                                 \
        if (join) {                      \
            constexpr bool JOIN = true;  \
            call;                        \
        } else {                         \
            constexpr bool JOIN = false; \
            call;                        \
        }                                \
    } while (0)

// Stores rows of a product as the target's pixels from "from" on, and sums them.
template <typename T>
void rows_out(const Target<T>& target, const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) {
    const int64_t channels = target.channels;
    for (int64_t c = 0; c < channels; c += LANES) {
        Vector first{}, second{};
        for (int64_t p = from; p < to; ++p) {
            const Vector value = load(m + (p - from) * channels + c);
            store(target.y + p * channels + c, value);
            first += value;
            second += value * value;
        }
        sums.add(share, c, first, second);
    }
}

template <typename T>
void rows_out_back(const Target<T>& target, T* p, int64_t from, int64_t to) {
    const Lazy<T> lazy = target.lazy();
    const int64_t channels = target.channels;
    for (int64_t c = 0; c < channels; c += LANES) {
        const Vector k1 = lazy.coefficient(0, c), k2 = lazy.coefficient(1, c), k3 = lazy.coefficient(2, c);
        for (int64_t q = from; q < to; ++q) store(p + (q - from) * channels + c, lazy(q * channels + c, k1, k2, k3));
    }
}

// Stores columns of a matrix of gradients for the pass that gathers them.
template <typename T>
void keep(T* kept, int64_t length, const float* dv, int64_t n0, int64_t n, int64_t from, int64_t to) {
    for (int64_t p = from; p < to; ++p)
        for (int64_t c = 0; c < n; c += LANES) store(kept + p * length + n0 + c, load(dv + (p - from) * n + c));
}

}  // namespace
