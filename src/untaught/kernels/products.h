// Matrix products and the layouts of their factors.
//
// The products are those of torch (oneDNN's, for one thread and a small block), whose addresses Python looks up: see
// torch_products.py. They compute c (m, n) = or += a (m, k) b (k, n) on rows in memory; c is always float. For bfloat16
// the rows of b come in pairs: (k / 2, n, 2).

#pragma once

#include "threads.h"

namespace {

using Product16 = void (*)(long, long, long, long, long, long, bool, const bfloat16*, const bfloat16*, float*, bool);
using Product32 = void (*)(long, long, long, long, long, long, bool, const float*, const float*, float*, bool);
using Release = void (*)(bool);
Product16 product16 = nullptr;
Product32 product32 = nullptr;
Release release = nullptr;

constexpr int64_t BLOCK_N = 128;  // columns of a product that are computed at a time

inline void multiply(int64_t m, int64_t n, int64_t k, const bfloat16* a, const bfloat16* b, int64_t ldb, float* c,
                     int64_t ldc, bool add) {
    product16(m, n, k, k, ldb, ldc, add, a, b, c, true);
}
inline void multiply(int64_t m, int64_t n, int64_t k, const float* a, const float* b, int64_t ldb, float* c,
                     int64_t ldc, bool add) {
    product32(m, n, k, k, ldb, ldc, add, a, b, c, false);
}
inline const bfloat16* column(const bfloat16* b, int64_t n) { return b + 2 * n; }
inline const float* column(const float* b, int64_t n) { return b + n; }

// Transposes a square of sixteen vectors by exchanging blocks of 1, 2, 4 and 8 across the diagonal.
template <int STEP>
inline void exchange(Vector* v) {
    Integers low, high;
    for (int k = 0; k < LANES; ++k) {
        low[k] = k & STEP ? LANES + k - STEP : k;
        high[k] = k & STEP ? LANES + k : k + STEP;
    }
    for (int k = 0; k < LANES; ++k) {
        if (k & STEP) continue;
        const Vector a = v[k], b = v[k + STEP];
#ifdef __clang__
        for (int q = 0; q < LANES; ++q) {
            v[k][q] = low[q] < LANES ? a[low[q]] : b[low[q] - LANES];
            v[k + STEP][q] = high[q] < LANES ? a[high[q]] : b[high[q] - LANES];
        }
#else
        v[k] = __builtin_shuffle(a, b, low);
        v[k + STEP] = __builtin_shuffle(a, b, high);
#endif
    }
}
inline void transpose(Vector* v) {
    exchange<1>(v);
    exchange<2>(v);
    exchange<4>(v);
    exchange<8>(v);
}

// Transposes 32-bit words: (rows, columns) to (columns, rows).
inline void transpose_words(float* to, const float* from, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r += LANES)
        for (int64_t c = 0; c < columns; c += LANES) {
            const int64_t down = std::min<int64_t>(LANES, rows - r), across = std::min<int64_t>(LANES, columns - c);
            Vector square[LANES] = {};
            for (int k = 0; k < down; ++k) {
                if (across == LANES) square[k] = load(from + (r + k) * columns + c);
                else std::memcpy(&square[k], from + (r + k) * columns + c, across * sizeof(float));
            }
            transpose(square);
            for (int k = 0; k < across; ++k) {
                if (down == LANES) store(to + (c + k) * rows + r, square[k]);
                else std::memcpy(to + (c + k) * rows + r, &square[k], down * sizeof(float));
            }
        }
}

// Lays out (rows, columns) as factor b, with the rows as its k; an odd last row is paired with zeros.
inline void pair_rows(bfloat16* to, const bfloat16* from, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r += 2)
        for (int64_t c = 0; c < columns; c += LANES) {
            Halves one, two{};
            std::memcpy(&one, from + r * columns + c, sizeof one);
            if (r + 1 < rows) std::memcpy(&two, from + (r + 1) * columns + c, sizeof two);
            const Words both = __builtin_convertvector(one, Words) | (__builtin_convertvector(two, Words) << 16);
            std::memcpy(to + r * columns + 2 * c, &both, sizeof both);
        }
}
inline const float* as_b(const float* from, int64_t, int64_t, int) { return from; }
inline const bfloat16* as_b(const bfloat16* from, int64_t rows, int64_t columns, int where) {
    bfloat16* to = scratch<bfloat16>(where, (rows + 1) / 2 * 2 * columns);
    pair_rows(to, from, rows, columns);
    return to;
}

// Transposes (rows, columns) to factor a, with the rows as its k: (columns, rows), with an even k for bfloat16.
inline const float* as_a(const float* from, int64_t rows, int64_t columns, int where) {
    float* to = scratch<float>(where, rows * columns);
    transpose_words(to, from, rows, columns);
    return to;
}
inline const bfloat16* as_a(const bfloat16* from, int64_t rows, int64_t columns, int where) {
    const int64_t pairs = (rows + 1) / 2;
    float* paired = scratch<float>(where, 2 * pairs * columns);
    pair_rows((bfloat16*)paired, from, rows, columns);
    transpose_words(paired + pairs * columns, paired, pairs, columns);
    return (bfloat16*)(paired + pairs * columns);
}
inline int64_t even(const bfloat16*, int64_t rows) { return (rows + 1) / 2 * 2; }
inline int64_t even(const float*, int64_t rows) { return rows; }

// Lays out a matrix (outputs, length) as factor b of the forward product: (length, outputs).
inline void pack_transposed(float* to, const float* from, int64_t outputs, int64_t length) {
    transpose_words(to, from, outputs, length);
}
inline void pack_transposed(bfloat16* to, const bfloat16* from, int64_t outputs, int64_t length) {
    transpose_words((float*)to, (const float*)from, outputs, length / 2);
}
// Lays out a matrix (outputs, length) as factor b of the backward product: (outputs, length).
inline void pack(float* to, const float* from, int64_t outputs, int64_t length) {
    std::memcpy(to, from, outputs * length * sizeof(float));
}
inline void pack(bfloat16* to, const bfloat16* from, int64_t outputs, int64_t length) {
    pair_rows(to, from, outputs, length);
}

}  // namespace
