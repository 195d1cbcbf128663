// Vectors of channels, what is done to each of them on the way, and how work is shared out.

#pragma once

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

struct bfloat16 {
    uint16_t bits;
};

inline Vector load(const float* p) {
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
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
template <bool NORMED, bool SECOND>
struct Norm {
    Vector s1, t1, s2, t2;
    float slope;
    Norm(const float* norm, int64_t channels, int64_t c, float slope) : slope(slope) {
        if (NORMED) {
            s1 = load(norm + c);
            t1 = load(norm + channels + c);
        }
        if (SECOND) {
            s2 = load(norm + 2 * channels + c);
            t2 = load(norm + 3 * channels + c);
        }
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

// What becomes of the gradient g of v at one vector: with one normalisation it goes through the activation and is
// summed up for it; at a join it stays as it is and is summed up for the second normalisation.
template <bool JOIN>
struct Backward {
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
template <typename T>
struct Lazy {
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
template <typename Body>
void share_out(int64_t items, Body body) {
    const int64_t shares = std::min(most_shares, items);
#pragma omp parallel if (shares > 1)
    for (int64_t share = omp_get_thread_num(); share < shares; share += omp_get_num_threads())
        body(items * share / shares, items * (share + 1) / shares, share);
}

// Runs body(item, share) for each item.
template <typename Body>
void parallel(int64_t items, Body body) {
    share_out(items, [&](int64_t first, int64_t last, int64_t share) {
        for (int64_t item = first; item < last; ++item) body(item, share);
    });
}

// Runs body(from, to, share) over stretches of pixels that stay in the nearest cache.
template <typename Body>
void stretches(int64_t pixels, Body body) {
    constexpr int64_t LENGTH = 128;
    parallel((pixels + LENGTH - 1) / LENGTH,
             [&](int64_t item, int64_t share) { body(item * LENGTH, std::min(pixels, (item + 1) * LENGTH), share); });
}

// Sums of two quantities for each channel, by share, then added in the order of the shares; none without a target.
class Sums {
public:
    Sums(double* target, int64_t channels)
        : target(target), channels(channels), partial(target ? size_t(most_shares) * 2 * channels : 0) {}
    void add(int64_t share, int64_t c, Vector first, Vector second) {
        if (!target) return;
        double* own = partial.data() + share * 2 * channels + c;
        for (int k = 0; k < LANES; ++k) {
            own[k] += first[k];
            own[channels + k] += second[k];
        }
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
template <typename V>
V* scratch(int which, int64_t count) {
    static thread_local std::vector<Vector> kept[8];
    const size_t vectors = (count * sizeof(V) + sizeof(Vector) - 1) / sizeof(Vector);
    if (kept[which].size() < vectors) kept[which].resize(vectors);
    return (V*)kept[which].data();
}

}  // namespace
