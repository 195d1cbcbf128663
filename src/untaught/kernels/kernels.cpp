// A step's convolutions on a processor: matrix products, and the passes over memory around them. See networks/forms.py for the
// mathematics; this file is how it runs.
//
// Tensors are pictures of C channels a pixel, row by row (NHWC), C a multiple of 16; the type T of their values is bfloat16
// or float, and all arithmetic is float. A picture is kept as a convolution left it, before its normalisation. Whoever reads
// it applies, channel by channel,
//
//     a = leaky_relu(s1 y + t1),   v = s2 a + t2        ("norm": s1, t1, s2, t2, C floats each; s2 and t2 only at a join)
//
// so that normalisation and activation cost no pass of their own. The same on the way back: a gradient is kept as that of
// s1 y + t1, dz, and its reader completes it to that of y,
//
//     dy = k1 dz + k2 y + k3                            ("lazy": k1, k2, k3)
//
// whose coefficients hold what batch normalisation takes from the sums over all pixels.
//
// Work is cut into shares, as many as there are threads in general, and a thread works on a share in chunks that stay in its
// own cache: into the form that is multiplied, the product, out of it again. Sums are added up share by share in a fixed
// order, so that the same step gives the same bits, also where fewer threads take all shares.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>
#include <omp.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

constexpr int LANES = 16;
typedef float Vector __attribute__((vector_size(64)));
typedef int32_t Integers __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

struct bfloat16 { uint16_t bits; };

inline Vector load(const float* p) { Vector v; std::memcpy(&v, p, sizeof v); return v; }
inline void store(float* p, Vector v) { std::memcpy(p, &v, sizeof v); }

inline Vector load(const bfloat16* p) {
#ifdef __AVX512F__
    // Written out, because the compiler makes three instructions of the one.
    return (Vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16);
#endif
    Halves h;
    std::memcpy(&h, p, sizeof h);
    return (Vector)(__builtin_convertvector(h, Words) << 16);
}
inline void store(bfloat16* p, Vector v) {
#ifdef __AVX512BF16__
    __m256bh h = _mm512_cvtneps_pbh((__m512)v);
    std::memcpy(p, &h, sizeof h);
#else
    Words w = (Words)v;
    w += 0x7fff + ((w >> 16) & 1);  // to the nearest, ties to even
    Halves h = __builtin_convertvector(w >> 16, Halves);
    std::memcpy(p, &h, sizeof h);
#endif
}

inline Vector choose(Integers condition, Vector yes, Vector no) {
    return (Vector)((condition & (Integers)yes) | (~condition & (Integers)no));
}

// Padding of one pixel around the picture: what stands at place -1 and at place n.
enum Padding { ZERO = 0, REFLECTION = 1, REPLICATE = 2 };

inline int64_t source(int64_t place, int64_t n, int padding) {
    if (place >= 0 && place < n) return place;
    if (padding == ZERO) return -1;
    if (padding == REPLICATE) return place < 0 ? 0 : n - 1;
    return place < 0 ? 1 : n - 2;
}

// One vector of channels of a norm.
template <bool NORMED, bool SECOND> struct Norm {
    Vector s1, t1, s2, t2;
    float slope;
    Norm(const float* norm, int64_t channels, int64_t c, float slope) : slope(slope) {
        if (NORMED) { s1 = load(norm + c); t1 = load(norm + channels + c); }
        if (SECOND) { s2 = load(norm + 2 * channels + c); t2 = load(norm + 3 * channels + c); }
    }
    Vector activation(Vector y) const {
        if (!NORMED) return y;
        Vector z = s1 * y + t1;
        return choose(z > 0, z, z * slope);
    }
    Vector operator()(Vector y) const {
        Vector a = activation(y);
        return SECOND ? s2 * a + t2 : a;
    }
};

// What becomes of the gradient g of v at one vector: with one normalisation it goes through the activation and is summed up
// for it; at a join it stays as it is and is summed up for the second normalisation.
template <bool JOIN> struct Backward {
    Norm<true, false> norm;
    Vector first{}, second{};
    Backward(const float* n, int64_t channels, int64_t c, float slope) : norm(n, channels, c, slope) {}
    Vector operator()(Vector g, Vector y) {
        if (JOIN) {
            first += g;
            second += g * norm.activation(y);
            return g;
        }
        Vector z = norm.s1 * y + norm.t1;
        Vector dz = choose(z > 0, g, g * norm.slope);
        first += dz;
        second += dz * y;
        return dz;
    }
};

// The completed gradient of a raw value, or a gradient that is complete already.
template <typename T> struct Lazy {
    const T* dz;
    const T* y;
    const float* k;
    int64_t channels;
    Vector operator()(int64_t offset, Vector k1, Vector k2, Vector k3) const {
        return k1 * load(dz + offset) + k2 * load(y + offset) + k3;
    }
    Vector coefficient(int which, int64_t c) const { return load(k + which * channels + c); }
};

int64_t most_shares = 1;

// Runs body(first, last, share) over stretches of items.
template <typename Body> void share_out(int64_t items, Body body) {
    const int64_t shares = std::min(most_shares, items);
#pragma omp parallel if (shares > 1)
    for (int64_t share = omp_get_thread_num(); share < shares; share += omp_get_num_threads())
        body(items * share / shares, items * (share + 1) / shares, share);
}

// Runs body(item, share) for each item.
template <typename Body> void parallel(int64_t items, Body body) {
    share_out(items, [&](int64_t first, int64_t last, int64_t share) {
        for (int64_t item = first; item < last; ++item) body(item, share);
    });
}

// Runs body(from, to, share) over stretches of pixels that stay in the nearest cache.
template <typename Body> void stretches(int64_t pixels, Body body) {
    constexpr int64_t LENGTH = 128;
    parallel((pixels + LENGTH - 1) / LENGTH, [&](int64_t item, int64_t share) {
        body(item * LENGTH, std::min(pixels, (item + 1) * LENGTH), share);
    });
}

// Sums of two quantities for each channel, by share, then added in the order of the shares; none without a target.
class Sums {
public:
    Sums(double* target, int64_t channels)
        : target(target), channels(channels), partial(target ? size_t(most_shares) * 2 * channels : 0) {}
    void add(int64_t share, int64_t c, Vector first, Vector second) {
        if (!target) return;
        double* own = partial.data() + share * 2 * channels + c;
        for (int k = 0; k < LANES; ++k) { own[k] += first[k]; own[channels + k] += second[k]; }
    }
    ~Sums() {
        for (size_t k = 0; k < partial.size(); ++k) target[k % (2 * channels)] += partial[k];
    }
private:
    double* target;
    int64_t channels;
    std::vector<double> partial;
};

// Memory of a thread's own, which it keeps.
template <typename V> V* scratch(int which, int64_t count) {
    static thread_local std::vector<Vector> kept[8];
    const size_t vectors = (count * sizeof(V) + sizeof(Vector) - 1) / sizeof(Vector);
    if (kept[which].size() < vectors) kept[which].resize(vectors);
    return (V*)kept[which].data();
}

// ---- matrix products -------------------------------------------------------------------------------------------------------
//
// They are torch's own, which are oneDNN's for one thread and a small block, found at run time: c (m, n) = or += a (m, k) b
// (k, n), row by row, c always float. Rows of b come in pairs for bfloat16: (k / 2, n, 2).

using Product16 = void (*)(long, long, long, long, long, long, bool, const bfloat16*, const bfloat16*, float*, bool);
using Product32 = void (*)(long, long, long, long, long, long, bool, const float*, const float*, float*, bool);
using Release = void (*)(bool);
Product16 product16 = nullptr;
Product32 product32 = nullptr;
Release release = nullptr;

constexpr int64_t BLOCK_N = 128;  // columns of a product that are worked on at a time

inline void multiply(int64_t m, int64_t n, int64_t k, const bfloat16* a, const bfloat16* b, int64_t ldb, float* c, int64_t ldc,
                     bool add) {
    product16(m, n, k, k, ldb, ldc, add, a, b, c, true);
}
inline void multiply(int64_t m, int64_t n, int64_t k, const float* a, const float* b, int64_t ldb, float* c, int64_t ldc,
                     bool add) {
    product32(m, n, k, k, ldb, ldc, add, a, b, c, false);
}
inline const bfloat16* column(const bfloat16* b, int64_t n) { return b + 2 * n; }
inline const float* column(const float* b, int64_t n) { return b + n; }

// Sixteen vectors as the columns of a square: blocks of 1, 2, 4 and 8 change places across the diagonal.
template <int STEP> inline void exchange(Vector* v) {
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

// 32-bit words (rows, columns) to (columns, rows).
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

// (rows, columns) as the b of a product, so that rows are its k; an odd last row is paired with zeros.
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

// (rows, columns) transposed as the a of a product, so that rows are its k: (columns, rows), rows even for bfloat16.
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

// A matrix (outputs, length) as the b of the product with its rows: (length, outputs).
inline void turn(float* to, const float* from, int64_t outputs, int64_t length) {
    transpose_words(to, from, outputs, length);
}
inline void turn(bfloat16* to, const bfloat16* from, int64_t outputs, int64_t length) {
    transpose_words((float*)to, (const float*)from, outputs, length / 2);
}
inline void stand(float* to, const float* from, int64_t outputs, int64_t length) {
    std::memcpy(to, from, outputs * length * sizeof(float));
}
inline void stand(bfloat16* to, const bfloat16* from, int64_t outputs, int64_t length) {
    pair_rows(to, from, outputs, length);
}

// ---- a convolution in some form ---------------------------------------------------------------------------------------------
//
// A form says how to come from its source to the rows that are multiplied, in chunks [from, to) of "places":
//
//     int64_t places, batch, length, outputs;
//     void into(T* v, from, to)                     v (batch, to - from, length)
//     void out(const float* m, from, to, ...)       m (batch, to - from, outputs), into the target
//     void out_back(T* p, from, to)                 p (batch, to - from, outputs), the gradient of m
//     void in_back(const float* dv, b, n0, n, from, to, ...)  columns n0 to n0 + n of v's gradient, at b of the batch

template <typename T, typename Form> void forward(Form& form, const T* matrix, int64_t chunk, double* sums, int64_t channels) {
    const int64_t size = form.outputs * form.length, chunks = (form.places + chunk - 1) / chunk;
    Sums total(sums, channels);
    std::vector<Vector> room(form.batch * size * sizeof(T) / sizeof(Vector));
    T* turned = (T*)room.data();
    parallel(form.batch, [&](int64_t b, int64_t) { turn(turned + b * size, matrix + b * size, form.outputs, form.length); });
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
        parallel(form.batch, [&](int64_t b, int64_t) { stand(standing + b * size, matrix + b * size, form.outputs, form.length); });
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
                    multiply(rows, width, form.outputs, change, column(standing + b * size, n), form.length, dv, width, false);
                    form.in_back(dv, b, n, width, from, to, sum, share);
                }
                const T* a = as_a(change, rows, form.outputs, 3);
                const T* right = as_b(in + b * rows * form.length, rows, form.length, 4);
                for (int64_t n = 0; n < form.length; n += BLOCK_N)
                    multiply(form.outputs, std::min(BLOCK_N, form.length - n), even(a, rows), a, column(right, n), form.length,
                             own + b * size + n, form.length, add);
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
template <typename T> struct Source {
    const T* y;
    int64_t height, width, channels;
    const float* norm;
    float slope;
    int second, padding;
};

template <typename T> struct Target {
    T* y;
    const T* dz;
    const float* k;
    int64_t channels;
    Lazy<T> lazy() const { return {dz, y, k, channels}; }
};

#define FOR_NORM(norm, second, call)                                               \
    do {                                                                           \
        if (!(norm)) { constexpr bool NORMED = false, SECOND = false; call; }      \
        else if (second) { constexpr bool NORMED = true, SECOND = true; call; }    \
        else { constexpr bool NORMED = true, SECOND = false; call; }               \
    } while (0)
#define FOR_JOIN(join, call)                                             \
    do {                                                                 \
        if (join) { constexpr bool JOIN = true; call; }                  \
        else { constexpr bool JOIN = false; call; }                      \
    } while (0)

// Products that are the target's values: rows to pixels from "from" on.
template <typename T> void rows_out(const Target<T>& target, const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) {
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

template <typename T> void rows_out_back(const Target<T>& target, T* p, int64_t from, int64_t to) {
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

// ---- 1x1 convolutions -------------------------------------------------------------------------------------------------------

template <typename T> struct Point {
    Source<T> source;
    Target<T> target;
    T* dx;           // the source's gradient
    const T* extra;  // what another convolution of the source has brought
    int early;       // another one comes: dx is only that of the activation
    int64_t places, batch, length, outputs;

    template <bool NORMED, bool SECOND> void fill(T* v, int64_t from, int64_t to) const {
        for (int64_t c = 0; c < length; c += LANES) {
            Norm<NORMED, SECOND> apply(source.norm, length, c, source.slope);
            for (int64_t p = from; p < to; ++p) store(v + (p - from) * length + c, apply(load(source.y + p * length + c)));
        }
    }
    const T* into(T* v, int64_t from, int64_t to) const {
        if (!source.norm) return source.y + from * length;
        FOR_NORM(source.norm, source.second, (fill<NORMED, SECOND>(v, from, to)));
        return v;
    }
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const { rows_out(target, m, from, to, sums, share); }
    void out_back(T* p, int64_t from, int64_t to) const { rows_out_back(target, p, from, to); }
    template <bool JOIN>
    void gather(const float* dv, int64_t n0, int64_t n, int64_t from, int64_t to, Sums& sums, int64_t share) const {
        for (int64_t c = 0; c < n; c += LANES) {
            Backward<JOIN> back(source.norm, length, n0 + c, source.slope);
            for (int64_t p = from; p < to; ++p) {
                const int64_t at = p * length + n0 + c;
                Vector g = load(dv + (p - from) * n + c);
                if (extra) g += load(extra + at);
                store(dx + at, back(g, load(source.y + at)));
            }
            sums.add(share, n0 + c, back.first, back.second);
        }
    }
    void in_back(const float* dv, int64_t, int64_t n0, int64_t n, int64_t from, int64_t to, Sums& sums, int64_t share) const {
        if (early) keep(dx, length, dv, n0, n, from, to);
        else FOR_JOIN(source.second, (gather<JOIN>(dv, n0, n, from, to, sums, share)));
    }
};

// ---- 3x3 convolutions as Winograd's F(2x2, 3x3): Lavin and Gray, 2016 ------------------------------------------------------
//
// Tiles of 2 x 2 outputs see 4 x 4 inputs. v = Bt d B, m = v . u for each of the 16 places of a tile, y = At m A. Height and
// width are even. Gradients of v are kept as [row of tiles][16][tiles][channels] until all are there.

template <typename T> struct Tiles {
    Source<T> source;
    Target<T> target;
    T* kept;
    int64_t places, batch, length, outputs;

    // Calls body(row, first tile, last tile, tiles before them in the chunk) for each row's part of a chunk.
    template <typename Body> void pieces(int64_t from, int64_t to, Body body) const {
        const int64_t tiles = source.width / 2;
        for (int64_t at = from; at < to;) {
            const int64_t row = at / tiles, first = at % tiles, last = std::min(tiles, first + to - at);
            body(row, first, last, at - from);
            at += last - first;
        }
    }
    template <bool NORMED, bool SECOND>
    void fill(T* v, int64_t plane, int64_t row, int64_t first, int64_t end) const {
        const int64_t height = source.height, width = source.width, channels = length;
        const T* line[4];
        for (int k = 0; k < 4; ++k) {
            const int64_t r = ::source(2 * row - 1 + k, height, source.padding);
            line[k] = r < 0 ? nullptr : source.y + r * width * channels;
        }
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<NORMED, SECOND> apply(source.norm, channels, c, source.slope);
            Vector t[4][4];  // [column][vertical place]
            auto column = [&](Vector* out, int64_t x) {
                const int64_t q = ::source(x, width, source.padding);
                Vector d[4];
                for (int k = 0; k < 4; ++k) d[k] = q < 0 || !line[k] ? Vector{} : apply(load(line[k] + q * channels + c));
                out[0] = d[0] - d[2];
                out[1] = d[1] + d[2];
                out[2] = d[2] - d[1];
                out[3] = d[1] - d[3];
            };
            column(t[0], 2 * first - 1);
            column(t[1], 2 * first);
            for (int64_t tile = first; tile < end; ++tile) {
                column(t[2], 2 * tile + 1);
                column(t[3], 2 * tile + 2);
                T* out = v + (tile - first) * channels + c;
                for (int k = 0; k < 4; ++k) {
                    store(out + (4 * k + 0) * plane, t[0][k] - t[2][k]);
                    store(out + (4 * k + 1) * plane, t[1][k] + t[2][k]);
                    store(out + (4 * k + 2) * plane, t[2][k] - t[1][k]);
                    store(out + (4 * k + 3) * plane, t[1][k] - t[3][k]);
                }
                for (int k = 0; k < 4; ++k) { t[0][k] = t[2][k]; t[1][k] = t[3][k]; }
            }
        }
    }
    const T* into(T* v, int64_t from, int64_t to) const {
        pieces(from, to, [&](int64_t row, int64_t first, int64_t end, int64_t before) {
            FOR_NORM(source.norm, source.second,
                     (fill<NORMED, SECOND>(v + before * length, (to - from) * length, row, first, end)));
        });
        return v;
    }
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const {
        const int64_t channels = outputs, plane = (to - from) * channels;
        pieces(from, to, [&](int64_t row, int64_t begin, int64_t end, int64_t before) {
            T* upper = target.y + 2 * row * source.width * channels;
            T* lower = upper + source.width * channels;
            for (int64_t c = 0; c < channels; c += LANES) {
                Vector first{}, second{};
                for (int64_t tile = begin; tile < end; ++tile) {
                    const float* in = m + (before + tile - begin) * channels + c;
                    Vector t[2][4];
                    for (int k = 0; k < 4; ++k) {
                        const Vector a = load(in + k * plane), b = load(in + (4 + k) * plane), d = load(in + (8 + k) * plane),
                                     e = load(in + (12 + k) * plane);
                        t[0][k] = a + b + d;
                        t[1][k] = b - d - e;
                    }
                    for (int k = 0; k < 2; ++k) {
                        T* out = (k ? lower : upper) + 2 * tile * channels + c;
                        const Vector left = t[k][0] + t[k][1] + t[k][2], right = t[k][1] - t[k][2] - t[k][3];
                        store(out, left);
                        store(out + channels, right);
                        first += left + right;
                        second += left * left + right * right;
                    }
                }
                sums.add(share, c, first, second);
            }
        });
    }
    void out_back(T* p, int64_t from, int64_t to) const {
        const Lazy<T> lazy = target.lazy();
        const int64_t channels = outputs, plane = (to - from) * channels, width = source.width;
        pieces(from, to, [&](int64_t row, int64_t begin, int64_t end, int64_t before) {
            const int64_t upper = 2 * row * width * channels;
            for (int64_t c = 0; c < channels; c += LANES) {
                const Vector k1 = lazy.coefficient(0, c), k2 = lazy.coefficient(1, c), k3 = lazy.coefficient(2, c);
                for (int64_t tile = begin; tile < end; ++tile) {
                    Vector t[4][2];
                    for (int k = 0; k < 2; ++k) {
                        const int64_t at = upper + (2 * tile + k) * channels + c;
                        const Vector top = lazy(at, k1, k2, k3), bottom = lazy(at + width * channels, k1, k2, k3);
                        t[0][k] = top;
                        t[1][k] = top + bottom;
                        t[2][k] = top - bottom;
                        t[3][k] = -bottom;
                    }
                    T* out = p + (before + tile - begin) * channels + c;
                    for (int k = 0; k < 4; ++k) {
                        store(out + (4 * k + 0) * plane, t[k][0]);
                        store(out + (4 * k + 1) * plane, t[k][0] + t[k][1]);
                        store(out + (4 * k + 2) * plane, t[k][0] - t[k][1]);
                        store(out + (4 * k + 3) * plane, -t[k][1]);
                    }
                }
            }
        });
    }
    void in_back(const float* dv, int64_t b, int64_t n0, int64_t n, int64_t from, int64_t to, Sums&, int64_t) const {
        const int64_t tiles = source.width / 2;
        pieces(from, to, [&](int64_t row, int64_t begin, int64_t end, int64_t before) {
            T* plane = kept + (row * 16 + b) * tiles * length;
            for (int64_t tile = begin; tile < end; ++tile)
                for (int64_t c = 0; c < n; c += LANES)
                    store(plane + tile * length + n0 + c, load(dv + (before + tile - begin) * n + c));
        });
    }
};

// Adjoint of Tiles::into: from the gradients that were kept, dv [row of tiles][16][tiles][channels], to the source's.
template <typename T, bool JOIN>
void tiles_gather(T* dz, const T* dv, const T* extra, const Source<T>& source, double* sums) {
    const int64_t width = source.width, channels = source.channels, tiles = width / 2, rows = source.height / 2;
    const int64_t plane = tiles * channels, line = 16 * plane;
    const int padding = source.padding;
    Sums total(sums, channels);
    parallel(rows, [&](int64_t row, int64_t share) {
        const bool top = row == 0, bottom = row == rows - 1;
        for (int64_t c = 0; c < channels; c += LANES) {
            Backward<JOIN> back(source.norm, channels, c, source.slope);
            // The two pixel rows of this row of tiles, at each of the four horizontal places of one tile.
            auto vertical = [&](Vector* even, Vector* odd, int64_t tile) {
                const T* in = dv + row * line + tile * channels + c;
                for (int k = 0; k < 4; ++k) {
                    const Vector a = load(in + k * plane), b = load(in + (4 + k) * plane), d = load(in + (8 + k) * plane),
                                 e = load(in + (12 + k) * plane);
                    even[k] = b - d + e;
                    odd[k] = b + d - a;
                    if (!top) even[k] -= load(in + (12 + k) * plane - line);
                    else if (padding == REFLECTION) odd[k] += a;
                    else if (padding == REPLICATE) even[k] += a;
                    if (!bottom) odd[k] += load(in + k * plane + line);
                    else if (padding == REFLECTION) even[k] -= e;
                    else if (padding == REPLICATE) odd[k] -= e;
                }
            };
            Vector before[2] = {}, now[2][4], next[2][4] = {};  // before: place 3 of the tile to the left
            vertical(now[0], now[1], 0);
            for (int64_t tile = 0; tile < tiles; ++tile) {
                const bool left = tile == 0, right = tile == tiles - 1;
                if (!right) vertical(next[0], next[1], tile + 1);
                for (int k = 0; k < 2; ++k) {
                    const Vector* t = now[k];
                    Vector even = t[1] - t[2] + t[3], odd = t[1] + t[2] - t[0];
                    if (!left) even -= before[k];
                    else if (padding == REFLECTION) odd += t[0];
                    else if (padding == REPLICATE) even += t[0];
                    if (!right) odd += next[k][0];
                    else if (padding == REFLECTION) even -= t[3];
                    else if (padding == REPLICATE) odd -= t[3];
                    int64_t at = ((2 * row + k) * width + 2 * tile) * channels + c;
                    if (extra) { even += load(extra + at); odd += load(extra + at + channels); }
                    store(dz + at, back(even, load(source.y + at)));
                    at += channels;
                    store(dz + at, back(odd, load(source.y + at)));
                    before[k] = t[3];
                    for (int q = 0; q < 4; ++q) now[k][q] = next[k][q];
                }
            }
            total.add(share, c, back.first, back.second);
        }
    });
}

// u = G w Gt for each pair of channels: w is [out][3][3][in], u is [16][out_padded][in_padded].
template <typename T>
void winograd_weights(T* u, const float* w, int64_t out, int64_t in, int64_t w_in, int64_t out_padded, int64_t in_padded) {
    parallel(out, [&](int64_t o, int64_t) {
        for (int64_t i = 0; i < in; i += LANES) {
            const int64_t count = std::min<int64_t>(LANES, in - i);
            Vector g[9] = {}, t[4][3];
            for (int k = 0; k < 9; ++k) std::memcpy(&g[k], w + (o * 9 + k) * w_in + i, count * sizeof(float));
            for (int k = 0; k < 3; ++k) {
                t[0][k] = g[k];
                t[1][k] = 0.5f * (g[k] + g[3 + k] + g[6 + k]);
                t[2][k] = 0.5f * (g[k] - g[3 + k] + g[6 + k]);
                t[3][k] = g[6 + k];
            }
            for (int k = 0; k < 4; ++k) {
                T* to = u + (4 * k * out_padded + o) * in_padded + i;
                const int64_t plane = out_padded * in_padded;
                store(to, t[k][0]);
                store(to + plane, 0.5f * (t[k][0] + t[k][1] + t[k][2]));
                store(to + 2 * plane, 0.5f * (t[k][0] - t[k][1] + t[k][2]));
                store(to + 3 * plane, t[k][2]);
            }
        }
    });
}

// Adjoint of winograd_weights, from float sums du.
void winograd_weights_back(float* dw, const float* du, int64_t out, int64_t in, int64_t w_in, int64_t out_padded,
                           int64_t in_padded) {
    const int64_t plane = out_padded * in_padded;
    parallel(out, [&](int64_t o, int64_t) {
        for (int64_t i = 0; i < in; i += LANES) {
            const int64_t count = std::min<int64_t>(LANES, in - i);
            Vector t[4][3];
            for (int k = 0; k < 4; ++k) {
                const float* from = du + (4 * k * out_padded + o) * in_padded + i;
                Vector a = load(from), b = load(from + plane), d = load(from + 2 * plane), e = load(from + 3 * plane);
                t[k][0] = a + 0.5f * (b + d);
                t[k][1] = 0.5f * (b - d);
                t[k][2] = 0.5f * (b + d) + e;
            }
            for (int k = 0; k < 3; ++k) {
                Vector g[3] = {t[0][k] + 0.5f * (t[1][k] + t[2][k]), 0.5f * (t[1][k] - t[2][k]),
                               0.5f * (t[1][k] + t[2][k]) + t[3][k]};
                for (int q = 0; q < 3; ++q) std::memcpy(dw + (o * 9 + 3 * q + k) * w_in + i, &g[q], count * sizeof(float));
            }
        }
    });
}

// ---- 3x3 convolutions over gathered columns: any size, any stride ----------------------------------------------------------

template <typename T> struct Columns {
    Source<T> source;
    Target<T> target;
    T* kept;
    int64_t stride, places, batch, length, outputs;

    int64_t across() const { return (source.width - 1) / stride + 1; }
    template <bool NORMED, bool SECOND> void fill(T* v, int64_t from, int64_t to) const {
        const int64_t channels = source.channels, across = this->across();
        for (int64_t p = from; p < to; ++p) {
            for (int k = 0; k < 9; ++k) {
                const int64_t r = ::source(p / across * stride + k / 3 - 1, source.height, source.padding);
                const int64_t q = ::source(p % across * stride + k % 3 - 1, source.width, source.padding);
                const T* in = r < 0 || q < 0 ? nullptr : source.y + (r * source.width + q) * channels;
                T* out = v + (p - from) * length + k * channels;
                for (int64_t c = 0; c < channels; c += LANES)
                    store(out + c, in ? Norm<NORMED, SECOND>(source.norm, channels, c, source.slope)(load(in + c)) : Vector{});
            }
        }
    }
    const T* into(T* v, int64_t from, int64_t to) const {
        FOR_NORM(source.norm, source.second, (fill<NORMED, SECOND>(v, from, to)));
        return v;
    }
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const { rows_out(target, m, from, to, sums, share); }
    void out_back(T* p, int64_t from, int64_t to) const { rows_out_back(target, p, from, to); }
    void in_back(const float* dv, int64_t, int64_t n0, int64_t n, int64_t from, int64_t to, Sums&, int64_t) const {
        keep(kept, length, dv, n0, n, from, to);
    }
};

// The outputs that a pixel took part in along one axis: at most 5 pairs of output and tap.
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
void columns_gather(T* dz, const T* dv, const T* extra, const Source<T>& source, int64_t stride, double* sums) {
    const int64_t height = source.height, width = source.width, channels = source.channels;
    const int padding = source.padding;
    const int64_t down = (height - 1) / stride + 1, across = (width - 1) / stride + 1;
    Sums total(sums, channels);
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
                    from[count++] = dv + ((upright.output[k] * across + side.output[q]) * 9 + 3 * upright.tap[k] + side.tap[q]) *
                                             channels;
            const int64_t at = (r * width + x) * channels;
            for (int64_t c = 0; c < channels; c += LANES) {
                Vector g = extra ? load(extra + at + c) : Vector{};
                for (int k = 0; k < count; ++k) g += load(from[k] + c);
                store(dz + at + c, backs[c / LANES](g, load(source.y + at + c)));
            }
        }
        for (int64_t c = 0; c < channels; c += LANES) total.add(share, c, backs[c / LANES].first, backs[c / LANES].second);
    });
}

// The same with stride 1 for pictures of a few channels, stored as 16, that go into a concatenation: of the length of a row
// the first 9 x few are used, in the order of the taps.

template <typename T> struct Narrow {
    Source<T> source;
    Target<T> target;
    T* kept;
    int64_t few, places, batch, length, outputs;

    const T* into(T* v, int64_t from, int64_t to) const {
        const int64_t width = source.width, height = source.height;
        Norm<true, true> apply(source.norm, LANES, 0, source.slope);
        for (int64_t p = from; p < to; ++p) std::memset(v + (p - from) * length + 9 * few, 0, (length - 9 * few) * sizeof(T));
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
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const { rows_out(target, m, from, to, sums, share); }
    void out_back(T* p, int64_t from, int64_t to) const { rows_out_back(target, p, from, to); }
    void in_back(const float* dv, int64_t, int64_t n0, int64_t n, int64_t from, int64_t to, Sums&, int64_t) const {
        keep(kept, length, dv, n0, n, from, to);
    }
};

template <typename T>
void narrow_gather(T* g, const T* dv, const Source<T>& source, int64_t few, int64_t length, double* sums) {
    const int64_t height = source.height, width = source.width;
    const int padding = source.padding;
    Sums total(sums, LANES);
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
                for (int q = 0; q < side.count; ++q)  // reads beyond its few values, into the next tap's, and drops them
                    sum += load(dv + (upright.output[k] * width + side.output[q]) * length +
                                (3 * upright.tap[k] + side.tap[q]) * few);
            const int64_t at = (r * width + x) * LANES;
            store(g + at, back((Vector)((Integers)sum & lanes), load(source.y + at)));
        }
        total.add(share, 0, back.first, back.second);
    });
}

// ---- 3x3 convolutions over an upsampled picture ----------------------------------------------------------------------------
//
// The interpolation works on places and the convolution's nine taps on channels, so they commute: z = the picture at low
// resolution times the nine taps, one matrix product, and what is left is a fixed small filter from z to the output, the
// same for every channel. It is separable. Its tables come from outside: for each output line the (low line, tap, weight)
// that it is made of, and for each low line the (output line, weights of the three taps) that it went into.

struct Table { const int32_t* start; const int32_t* line; const int32_t* tap; const float* weight; };
struct Adjoint { const int32_t* start; const int32_t* line; const float* weight; };

constexpr int64_t BLOCK = 16;  // places of a low line that are worked on at a time: their mixtures stay in the cache
constexpr int MOST = 12;       // entries of an output line: three taps of up to four places

// A few weighted sources, at offsets from a place that moves; filled up with weights of zero to a number known beforehand.
struct Mixture {
    int count;
    int64_t offset[MOST];
    float weight[MOST];
    template <typename Offset> Mixture(const Table& table, int64_t line, Offset offset_of) {
        const int32_t first = table.start[line];
        const int found = table.start[line + 1] - first;
        count = found <= 3 ? 3 : found <= 6 ? 6 : MOST;
        for (int k = 0; k < count; ++k) {
            const int32_t e = first + (k < found ? k : 0);
            offset[k] = offset_of(table.line[e], table.tap[e]);
            weight[k] = k < found ? table.weight[e] : 0.0f;
        }
    }
    template <int N, typename T> Vector sum(const T* from) const {
        Vector sum = weight[0] * load(from + offset[0]);
        for (int k = 1; k < N; ++k) sum += weight[k] * load(from + offset[k]);
        return sum;
    }
    // Calls body(n) with the number of entries as a constant.
    template <typename Body> void unrolled(Body body) const {
        if (count == 3) body(std::integral_constant<int, 3>());
        else if (count == 6) body(std::integral_constant<int, 6>());
        else body(std::integral_constant<int, MOST>());
    }
};

// Output places of a line that low places [from, to) can be asked for, and what they are made of.
struct Span { int64_t left, right; };
inline Span made_of(const Table& table, int64_t begin, int64_t end) {
    Span span{INT64_MAX, 0};
    for (int32_t e = table.start[begin]; e < table.start[end]; ++e) {
        span.left = std::min<int64_t>(span.left, table.line[e]);
        span.right = std::max<int64_t>(span.right, table.line[e] + 1);
    }
    return span;
}

constexpr int64_t SEGMENT = 64;  // low places of a line that are worked on at a time
constexpr int64_t RING = 16;     // low lines of which z is kept; more than an output line and its next are made of

// Each thread takes a stretch of output lines, and of them one segment after the other: z is worked out line by line, and kept
// for as long as the output lines that follow are made of it.
template <typename T>
void upsampled_forward(const Source<T>& source, const Target<T>& target, const T* matrix, Table rows_table, Table columns_table,
                       int add, double* sums) {
    const int64_t low = source.width, width = 2 * low, height = 2 * source.height, in = source.channels;
    const int64_t channels = target.channels, length = 9 * channels;
    Sums total(sums, channels);
    std::vector<Vector> room(length * in * sizeof(T) / sizeof(Vector));
    T* turned = (T*)room.data();
    turn(turned, matrix, length, in);
    share_out(height, [&](int64_t first_row, int64_t last_row, int64_t share) {
        const int64_t most = SEGMENT + 8;
        T* v = scratch<T>(0, most * in);
        float* m = scratch<float>(1, most * length);
        T* ring = scratch<T>(2, RING * most * length);
        float* mixed = scratch<float>(3, (BLOCK + 8) * 3 * channels);
        Point<T> point{source, target, nullptr, nullptr, 0, 0, 1, in, length};
        std::vector<Vector> first(channels / LANES), second(channels / LANES);
        for (int64_t segment = 0; segment < low; segment += SEGMENT) {
            const int64_t begin = 2 * segment, end = std::min(width, 2 * (segment + SEGMENT));
            const Span span = made_of(columns_table, begin, end);
            const int64_t places = span.right - span.left;
            int64_t known = made_of(rows_table, first_row, first_row + 1).left;
            for (int64_t r = first_row; r < last_row; ++r) {
                for (const int64_t needed = made_of(rows_table, r, r + 1).right; known < needed; ++known) {
                    const int64_t at = known * low + span.left;
                    const T* rows = point.into(v, at, at + places);
                    multiply(places, length, in, rows, turned, length, m, length, false);
                    T* z = ring + known % RING * most * length;
                    for (int64_t k = 0; k < places * length; k += LANES) store(z + k, load(m + k));
                }
                const Mixture upright(rows_table, r, [&](int64_t line, int64_t tap) {
                    return line % RING * most * length + 3 * tap * channels;
                });
                for (int64_t block = begin; block < end; block += 2 * BLOCK) {
                    const int64_t block_end = std::min(end, block + 2 * BLOCK);
                    const Span part = made_of(columns_table, block, block_end);
                    upright.unrolled([&](auto n) {
                        for (int64_t x = part.left; x < part.right; ++x) {
                            const T* from = ring + (x - span.left) * length;
                            float* to = mixed + (x - part.left) * 3 * channels;
                            for (int64_t c = 0; c < 3 * channels; c += LANES) store(to + c, upright.sum<n>(from + c));
                        }
                    });
                    for (int64_t x = block; x < block_end; ++x) {
                        const Mixture side(columns_table, x, [&](int64_t line, int64_t tap) {
                            return ((line - part.left) * 3 + tap) * channels;
                        });
                        T* to = target.y + (r * width + x) * channels;
                        side.unrolled([&](auto n) {
                            for (int64_t c = 0; c < channels; c += LANES) {
                                Vector sum = side.sum<n>(mixed + c);
                                if (add) sum += load(to + c);
                                store(to + c, sum);
                                first[c / LANES] += sum;
                                second[c / LANES] += sum * sum;
                            }
                        });
                    }
                }
            }
            for (int64_t c = 0; c < channels; c += LANES) {
                total.add(share, c, first[c / LANES], second[c / LANES]);
                first[c / LANES] = second[c / LANES] = Vector{};
            }
        }
        release(std::is_same<T, bfloat16>::value);
    });
}

// On the way back it is a 1x1 convolution at low resolution whose outputs are the nine taps.
template <typename T> struct Upsampled : Point<T> {
    Adjoint rows_table, columns_table;

    void out_back(T* p, int64_t from, int64_t to) const {
        const int64_t low = this->source.width, width = 2 * low, channels = this->target.channels;
        const Lazy<T> lazy = this->target.lazy();
        float* mixed = scratch<float>(5, 3 * (2 * BLOCK + 16) * channels);
        for (int64_t at = from; at < to;) {
            const int64_t row = at / low, block = at % low, stop = std::min({low, block + to - at, block + BLOCK});
            const int32_t first_e = rows_table.start[row], last_e = rows_table.start[row + 1];
            int64_t left = width, right = 0;
            for (int32_t e = columns_table.start[block]; e < columns_table.start[stop]; ++e) {
                left = std::min<int64_t>(left, columns_table.line[e]);
                right = std::max<int64_t>(right, columns_table.line[e] + 1);
            }
            for (int64_t c = 0; c < channels; c += LANES) {
                const Vector k1 = lazy.coefficient(0, c), k2 = lazy.coefficient(1, c), k3 = lazy.coefficient(2, c);
                for (int64_t x = left; x < right; ++x) {
                    Vector sum[3] = {};
                    for (int32_t e = first_e; e < last_e; ++e) {
                        const Vector dy = lazy((rows_table.line[e] * width + x) * channels + c, k1, k2, k3);
                        const float* weight = rows_table.weight + 3 * e;
                        sum[0] += weight[0] * dy;
                        sum[1] += weight[1] * dy;
                        sum[2] += weight[2] * dy;
                    }
                    float* out = mixed + 3 * (x - left) * channels + c;
                    for (int k = 0; k < 3; ++k) store(out + k * channels, sum[k]);
                }
            }
            for (int64_t x = block; x < stop; ++x) {
                T* out = p + (at - from + x - block) * 9 * channels;
                const int32_t first = columns_table.start[x], last = columns_table.start[x + 1];
                for (int64_t c = 0; c < channels; c += LANES) {
                    Vector sum[9] = {};
                    for (int32_t e = first; e < last; ++e) {
                        const float* weight = columns_table.weight + 3 * e;
                        const float* in = mixed + 3 * (columns_table.line[e] - left) * channels + c;
                        const Vector a = load(in), b = load(in + channels), d = load(in + 2 * channels);
                        for (int kx = 0; kx < 3; ++kx) {
                            sum[kx] += weight[kx] * a;
                            sum[3 + kx] += weight[kx] * b;
                            sum[6 + kx] += weight[kx] * d;
                        }
                    }
                    for (int k = 0; k < 9; ++k) store(out + k * channels + c, sum[k]);
                }
            }
            at += stop - block;
        }
    }
};

// Sums of a source's activations and of their squares, for the second normalisation of a join.
template <typename T> void statistics(const Source<T>& source, double* sums) {
    const int64_t channels = source.channels;
    Sums total(sums, channels);
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

// Statistics of the upsampled activations, at low resolution: with the interpolation U, the sum of (U a)^2 is that of a Q a,
// Q = Ut U, a small separable filter of 2 reach + 1 taps for each line; the sum of U a is that of p a, p = Ut 1.
// Writes q = Q a.
template <typename T>
void gram(T* q, const Source<T>& source, int64_t reach, const float* row_taps, const float* column_taps,
          const float* row_weight, const float* column_weight, double* sums) {
    const int64_t height = source.height, width = source.width, channels = source.channels;
    const T* y = source.y;
    Sums total(sums, channels);
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

// Through the second normalisation of a join and the activation below it: from g, the gradient of v, to dz, in place.
// da = s2 g + c1 p + c2 q, where q is Q a (or a, if there is none) and p is Ut 1 (or 1).
template <typename T>
void join_back(T* g, const T* q, const Source<T>& source, const float* c1, const float* c2, const float* row_weight,
               const float* column_weight, double* sums) {
    const int64_t height = source.height, width = source.width, channels = source.channels;
    Sums total(sums, channels);
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

// ---- the head: a 1x1 convolution to a few channels, in float -----------------------------------------------------------------

template <typename T>
void head_forward(float* out, const Source<T>& source, const float* weight, const float* bias, int64_t outputs) {
    const int64_t pixels = source.height * source.width, channels = source.channels;
    stretches(pixels, [&](int64_t from, int64_t to, int64_t) {
        float* a = scratch<float>(0, channels);
        for (int64_t p = from; p < to; ++p) {
            for (int64_t c = 0; c < channels; c += LANES)
                store(a + c, Norm<true, false>(source.norm, channels, c, source.slope)(load(source.y + p * channels + c)));
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

// From the gradient of the head's outputs, (outputs, pixels), to dz and to that of the weight.
template <typename T>
void head_backward(T* dz, float* total, const float* change, const Source<T>& source, const float* weight, int64_t outputs,
                   double* sums) {
    const int64_t pixels = source.height * source.width, channels = source.channels, size = outputs * channels;
    Sums sum(sums, channels);
    std::vector<float> partial(most_shares * size);
    stretches(pixels, [&](int64_t from, int64_t to, int64_t share) {
        float* own = partial.data() + share * size;
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, false> apply(source.norm, channels, c, source.slope);
            Backward<false> back(source.norm, channels, c, source.slope);
            for (int64_t o = 0; o < outputs; ++o) {
                Vector along{};
                for (int64_t p = from; p < to; ++p) along += change[o * pixels + p] * apply(load(source.y + p * channels + c));
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
        for (int64_t share = 0; share < most_shares; ++share) total[k] += partial[share * size + k];
    }
}

// ---- noise ------------------------------------------------------------------------------------------------------------------

// A hash of 32 bits that leaves no bias to speak of (the multipliers are C. Wellons's "lowbias32").
inline Words mix(Words x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

inline Vector logarithm(Vector x) {  // of positive, normal numbers
    Integers bits = (Integers)x - 0x3f3504f3;  // the mantissa from 1/sqrt(2) to sqrt(2)
    const Vector exponent = __builtin_convertvector(bits >> 23, Vector);
    bits = (bits & 0x7fffff) + 0x3f3504f3;
    const Vector f = (Vector)bits - 1, s = f / (2 + f), q = s * s;
    return exponent * 0.69314718f + 2 * s * (1 + q * (1 / 3.0f + q * (0.2f + q * (1 / 7.0f + q * (1 / 9.0f)))));
}

inline Vector sine(Vector x) {  // of pi x, for x from -1/2 to 1/2
    const Vector q = x * x;
    return x * (3.14159265f + q * (-5.16771278f + q * (2.55016404f + q * (-0.59926453f + q * 0.08214589f))));
}

inline Vector root(Vector x) {
#ifdef __AVX512F__
    return (Vector)_mm512_sqrt_ps((__m512)x);
#else
    for (int k = 0; k < LANES; ++k) x[k] = __builtin_sqrtf(x[k]);
    return x;
#endif
}

// out = base + normal noise (Box and Muller, 1958), a function of the key and the place; "walk" moves the base too.
template <typename T>
void perturb(T* out, float* base, int64_t count, float deviation, uint64_t key, int walk) {
    Words lane;
    for (int k = 0; k < LANES; ++k) lane[k] = k;
    const uint32_t low = uint32_t(key), high = uint32_t(key >> 32);
    stretches((count + 2 * LANES - 1) / (2 * LANES), [&](int64_t from, int64_t to, int64_t) {
        for (int64_t p = from; p < to; ++p) {
            const Words place = lane + uint32_t(p * LANES);
            const Words one = mix(mix(place + low) ^ high), two = mix(mix(place ^ ~high) + (low ^ 0x9e3779b9u));
            const Vector uniform = (__builtin_convertvector((Integers)(one >> 8), Vector) + 1) * 0x1p-24f;
            const Vector length = deviation * root(-2 * logarithm(uniform));
            const Vector angle = __builtin_convertvector((Integers)two, Vector) * 0x1p-31f;  // in units of pi
            const Vector size = choose(angle < 0, -angle, angle), folded = choose(size > 0.5f, 1 - size, size);
            const Vector noise[2] = {length * sine(0.5f - size), length * sine(choose(angle < 0, -folded, folded))};
            for (int k = 0; k < 2; ++k) {
                const int64_t at = (2 * p + k) * LANES, left = std::min<int64_t>(LANES, count - at);
                if (left <= 0) break;
                if (left == LANES) {
                    const Vector value = load(base + at) + noise[k];
                    store(out + at, value);
                    if (walk) store(base + at, value);
                    continue;
                }
                Vector value{};
                std::memcpy(&value, base + at, left * sizeof(float));
                value += noise[k];
                T rounded[LANES];
                store(rounded, value);
                std::memcpy(out + at, rounded, left * sizeof(T));
                if (walk) std::memcpy(base + at, &value, left * sizeof(float));
            }
        }
    });
}

// ---- per channel ------------------------------------------------------------------------------------------------------------

constexpr double EPSILON = 1e-5;

}  // namespace

extern "C" {



// From sums over n pixels: scale and shift of the normalisation, its mean and its reciprocal standard deviation.
void untaught_normalise(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma, const float* beta,
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

// From sums of dz and of dz y over n pixels: the coefficients of dy, and the gradients of gamma and beta.
void untaught_normalise_back(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma,
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

// The same for the second normalisation of a join, from sums of g and of g a; n pixels after upsampling.
void untaught_join_coefficients(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma,
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

void untaught_set_products(void* product_of_bfloat16, void* product_of_float32, void* when_done) {
    product16 = Product16(product_of_bfloat16);
    product32 = Product32(product_of_float32);
    release = Release(when_done);
}

// How many shares work is cut into, and how many threads take them when the calling thread runs a kernel.
void untaught_set_shares(int64_t count) { most_shares = count; }
void untaught_use_threads(int64_t count) { omp_set_num_threads(int(count)); }

void untaught_tiles_weights_back(float* dw, const float* du, int64_t out, int64_t in, int64_t w_in, int64_t out_padded,
                                 int64_t in_padded) {
    winograd_weights_back(dw, du, out, in, w_in, out_padded, in_padded);
}

#define SOURCE(T) \
    const T *y, int64_t height, int64_t width, int64_t channels, const float *norm, float slope, int second, int padding
#define TARGET(T) T *target, const T *dz, const float *lazy, int64_t outputs

// Chunks are a few hundred kilobytes: see FORM in networks/forms.py for what the arguments are.
#define EXPORT(T, NAME) \
    void untaught_point_forward_##NAME(SOURCE(T), TARGET(T), const T* matrix, double* sums) {                              \
        Point<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs},             \
            nullptr, nullptr, 0, height * width, 1, channels, outputs};                                                    \
        forward<T>(form, matrix, 256, sums, outputs);                                                                      \
    }                                                                                                                      \
    void untaught_point_backward_##NAME(SOURCE(T), TARGET(T), const T* matrix, float* total, T* dx, const T* extra,        \
        int early, double* sums) {                                                                                         \
        Point<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs}, dx,         \
            extra, early, height * width, 1, channels, outputs};                                                           \
        backward<T>(form, matrix, total, 512, norm, early ? nullptr : sums, channels);                                     \
    }                                                                                                                      \
    void untaught_tiles_forward_##NAME(SOURCE(T), TARGET(T), const T* matrix, double* sums) {                              \
        Tiles<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs},             \
            nullptr, height * width / 4, 16, channels, outputs};                                                           \
        forward<T>(form, matrix, 64, sums, outputs);                                                                       \
    }                                                                                                                      \
    void untaught_tiles_backward_##NAME(SOURCE(T), TARGET(T), const T* matrix, float* total, T* kept) {                    \
        Tiles<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs}, kept,       \
            height * width / 4, 16, channels, outputs};                                                                    \
        backward<T>(form, matrix, total, 256, norm, nullptr, channels);                                                    \
    }                                                                                                                      \
    void untaught_tiles_gather_##NAME(SOURCE(T), const T* kept, T* dx, const T* extra, double* sums) {                     \
        const Source<T> source{y, height, width, channels, norm, slope, second, padding};                                  \
        FOR_JOIN(second, (tiles_gather<T, JOIN>(dx, kept, extra, source, sums)));                                          \
    }                                                                                                                      \
    void untaught_tiles_weights_##NAME(T* u, const float* w, int64_t out, int64_t in, int64_t w_in, int64_t                \
        out_padded, int64_t in_padded) {                                                                                   \
        winograd_weights<T>(u, w, out, in, w_in, out_padded, in_padded);                                                   \
    }                                                                                                                      \
    void untaught_columns_forward_##NAME(SOURCE(T), TARGET(T), const T* matrix, int64_t stride, double* sums) {            \
        Columns<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs},           \
            nullptr, stride, ((height - 1) / stride + 1) * ((width - 1) / stride + 1), 1, 9 * channels, outputs};          \
        forward<T>(form, matrix, 128, sums, outputs);                                                                      \
    }                                                                                                                      \
    void untaught_columns_backward_##NAME(SOURCE(T), TARGET(T), const T* matrix, int64_t stride, float* total, T* kept) {  \
        Columns<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs}, kept,     \
            stride, ((height - 1) / stride + 1) * ((width - 1) / stride + 1), 1, 9 * channels, outputs};                   \
        backward<T>(form, matrix, total, 256, norm, nullptr, channels);                                                    \
    }                                                                                                                      \
    void untaught_columns_gather_##NAME(SOURCE(T), int64_t stride, const T* kept, T* dx, const T* extra, double* sums) {   \
        const Source<T> source{y, height, width, channels, norm, slope, second, padding};                                  \
        FOR_JOIN(second, (columns_gather<T, JOIN>(dx, kept, extra, source, stride, sums)));                                \
    }                                                                                                                      \
    void untaught_narrow_forward_##NAME(SOURCE(T), TARGET(T), const T* matrix, int64_t few, int64_t length, double* sums) {\
        Narrow<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs},            \
            nullptr, few, height * width, 1, length, outputs};                                                             \
        forward<T>(form, matrix, 256, sums, outputs);                                                                      \
    }                                                                                                                      \
    void untaught_narrow_backward_##NAME(SOURCE(T), TARGET(T), const T* matrix, int64_t few, int64_t length, float*        \
        total, T* kept) {                                                                                                  \
        Narrow<T> form{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs}, kept,      \
            few, height * width, 1, length, outputs};                                                                      \
        backward<T>(form, matrix, total, 512, norm, nullptr, channels);                                                    \
    }                                                                                                                      \
    void untaught_narrow_gather_##NAME(SOURCE(T), int64_t few, int64_t length, const T* kept, T* dx, double* sums) {       \
        narrow_gather<T>(dx, kept, {y, height, width, channels, norm, slope, second, padding}, few, length, sums);         \
    }                                                                                                                      \
    void untaught_upsampled_forward_##NAME(SOURCE(T), TARGET(T), const T* matrix, const int32_t* rs, const int32_t*        \
        rl, const int32_t* rt, const float* rw, const int32_t* cs, const int32_t* cl, const int32_t* ct, const float* cw,  \
        int add, double* sums) {                                                                                           \
        upsampled_forward<T>({y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs},      \
            matrix, {rs, rl, rt, rw}, {cs, cl, ct, cw}, add, sums);                                                        \
    }                                                                                                                      \
    void untaught_upsampled_backward_##NAME(SOURCE(T), TARGET(T), const T* matrix, const int32_t* rs, const int32_t*       \
        rl, const float* rw, const int32_t* cs, const int32_t* cl, const float* cw, float* total, T* dx, double* sums) {   \
        Upsampled<T> form{{{y, height, width, channels, norm, slope, second, padding}, {target, dz, lazy, outputs},        \
            dx, nullptr, 0, height * width, 1, channels, 9 * outputs}, {rs, rl, rw}, {cs, cl, cw}};                        \
        backward<T>(form, matrix, total, 256, norm, sums, channels);                                                       \
    }                                                                                                                      \
    void untaught_statistics_##NAME(SOURCE(T), double* sums) {                                                             \
        statistics<T>({y, height, width, channels, norm, slope, second, padding}, sums);                                   \
    }                                                                                                                      \
    void untaught_gram_##NAME(SOURCE(T), T* q, int64_t reach, const float* rt, const float* ct, const float* rw, const     \
        float* cw, double* sums) {                                                                                         \
        gram<T>(q, {y, height, width, channels, norm, slope, second, padding}, reach, rt, ct, rw, cw, sums);               \
    }                                                                                                                      \
    void untaught_join_back_##NAME(SOURCE(T), T* g, const T* q, const float* c1, const float* c2, const float* rw,         \
        const float* cw, double* sums) {                                                                                   \
        join_back<T>(g, q, {y, height, width, channels, norm, slope, second, padding}, c1, c2, rw, cw, sums);              \
    }                                                                                                                      \
    void untaught_head_forward_##NAME(SOURCE(T), float* out, const float* weight, const float* bias, int64_t outputs) {    \
        head_forward<T>(out, {y, height, width, channels, norm, slope, second, padding}, weight, bias, outputs);           \
    }                                                                                                                      \
    void untaught_head_backward_##NAME(SOURCE(T), T* dx, float* total, const float* change, const float* weight,           \
        int64_t outputs, double* sums) {                                                                                   \
        head_backward<T>(dx, total, change, {y, height, width, channels, norm, slope, second, padding}, weight,            \
            outputs, sums);                                                                                                \
    }                                                                                                                      \
    void untaught_perturb_##NAME(T* out, float* base, int64_t count, float deviation, int64_t key, int walk) {             \
        perturb<T>(out, base, count, deviation, uint64_t(key), walk);                                                      \
    }

EXPORT(bfloat16, bfloat16)
EXPORT(float, float32)

}
