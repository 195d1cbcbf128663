// A convolution in some form: its way through chunks, forward and back.
//
// A form says how to come from its source to the rows that are multiplied, in chunks [from, to) of "places":
//
//     int64_t places, batch, length, outputs;
//     void into(T* v, from, to)                     v (batch, to - from, length)
//     void out(const float* m, from, to, ...)       m (batch, to - from, outputs), into the target
//     void out_back(T* p, from, to)                 p (batch, to - from, outputs), the gradient of m
//     void in_back(const float* dv, b, n0, n, from, to, ...)  columns n0 to n0 + n of v's gradient, at b of the batch

#pragma once

#include "products.h"

namespace {

template <typename T, typename Form>
void forward(Form& form, const T* matrix, int64_t chunk, double* sums, int64_t channels) {
    const int64_t size = form.outputs * form.length, chunks = (form.places + chunk - 1) / chunk;
    Sums total(sums, channels);
    std::vector<Vector> room(form.batch * size * sizeof(T) / sizeof(Vector));
    T* turned = (T*)room.data();
    parallel(form.batch,
             [&](int64_t b, int64_t) { turn(turned + b * size, matrix + b * size, form.outputs, form.length); });
    share_out(chunks, [&](int64_t first, int64_t last, int64_t share) {
        T* v = scratch<T>(0, form.batch * chunk * form.length);
        float* m = scratch<float>(1, form.batch * chunk * form.outputs);
        for (int64_t item = first; item < last; ++item) {
            const int64_t from = item * chunk, to = std::min(form.places, from + chunk), rows = to - from;
            const T* in = form.into(v, from, to);
            for (int64_t b = 0; b < form.batch; ++b)
                multiply(rows, form.outputs, form.length, in + b * rows * form.length, turned + b * size, form.outputs,
                         m + b * rows * form.outputs, form.outputs, false);
            form.out(m, from, to, total, share);
        }
        release(std::is_same<T, bfloat16>::value);
    });
}

// The gradient of the matrix, total (batch, outputs, length), and if it is wanted that of the source.
template <typename T, typename Form>
void backward(Form& form, const T* matrix, float* total, int64_t chunk, bool wanted, double* sums, int64_t channels) {
    const int64_t size = form.outputs * form.length, chunks = (form.places + chunk - 1) / chunk;
    Sums sum(sums, channels);
    std::vector<Vector> room(wanted ? form.batch * size * sizeof(T) / sizeof(Vector) : 0);
    T* standing = (T*)room.data();
    if (wanted)
        parallel(form.batch,
                 [&](int64_t b, int64_t) { stand(standing + b * size, matrix + b * size, form.outputs, form.length); });
    const int64_t shares = std::min(most_shares, chunks);
    std::vector<float> others((shares - 1) * form.batch * size);
    share_out(chunks, [&](int64_t first, int64_t last, int64_t share) {
        T* v = scratch<T>(0, form.batch * chunk * form.length);
        T* p = scratch<T>(1, form.batch * chunk * form.outputs);
        float* dv = scratch<float>(2, chunk * std::min(BLOCK_N, form.length));
        float* own = share ? others.data() + (share - 1) * form.batch * size : total;
        bool add = false;
        for (int64_t item = first; item < last; ++item) {
            const int64_t from = item * chunk, to = std::min(form.places, from + chunk), rows = to - from;
            const T* in = form.into(v, from, to);
            form.out_back(p, from, to);
            for (int64_t b = 0; b < form.batch; ++b) {
                const T* change = p + b * rows * form.outputs;
                for (int64_t n = 0; wanted && n < form.length; n += BLOCK_N) {
                    const int64_t width = std::min(BLOCK_N, form.length - n);
                    multiply(rows, width, form.outputs, change, column(standing + b * size, n), form.length, dv, width,
                             false);
                    form.in_back(dv, b, n, width, from, to, sum, share);
                }
                const T* a = as_a(change, rows, form.outputs, 3);
                const T* right = as_b(in + b * rows * form.length, rows, form.length, 4);
                for (int64_t n = 0; n < form.length; n += BLOCK_N)
                    multiply(form.outputs, std::min(BLOCK_N, form.length - n), even(a, rows), a, column(right, n),
                             form.length, own + b * size + n, form.length, add);
            }
            add = true;
        }
        release(std::is_same<T, bfloat16>::value);
    });
    stretches(form.batch * size / LANES, [&](int64_t from, int64_t to, int64_t) {
        for (int64_t other = 0; other < shares - 1; ++other)
            for (int64_t k = from * LANES; k < to * LANES; k += LANES)
                store(total + k, load(total + k) + load(others.data() + other * form.batch * size + k));
    });
}

// The picture that is convolved, and the one that the convolution gives.
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
#define FOR_JOIN(join, call)             \
    do {                                 \
        if (join) {                      \
            constexpr bool JOIN = true;  \
            call;                        \
        } else {                         \
            constexpr bool JOIN = false; \
            call;                        \
        }                                \
    } while (0)

// Products that are the target's values: rows to pixels from "from" on.
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

// Part of a matrix of gradients, kept for a pass that gathers it.
template <typename T>
void keep(T* kept, int64_t length, const float* dv, int64_t n0, int64_t n, int64_t from, int64_t to) {
    for (int64_t p = from; p < to; ++p)
        for (int64_t c = 0; c < n; c += LANES) store(kept + p * length + n0 + c, load(dv + (p - from) * n + c));
}

}  // namespace
