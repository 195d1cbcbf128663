// Vectors of 16 channels, and what is computed for each of them: normalisation, activation, and their gradients.

#pragma once

#include <cstdint>
#include <cstring>
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
    // An intrinsic, because the compiler turns the portable version into three instructions.
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

// Padding of one pixel around the picture. The codes are those of maps.py.
enum Padding { ZERO = 0, REFLECTION = 1, REPLICATE = 2 };

// The index that is read at index "place", from -1 to n; -1 for a zero.
inline int64_t source(int64_t place, int64_t n, int padding) {
    if (place >= 0 && place < n) return place;
    if (padding == ZERO) return -1;
    if (padding == REPLICATE) return place < 0 ? 0 : n - 1;
    return place < 0 ? 1 : n - 2;
}

// Normalisation and activation of one vector of channels; with SECOND a second normalisation after them.
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

// Gradient g of a normalised and activated vector. With one normalisation the gradient passes the activation and is
// summed for that normalisation. In a concatenation (JOIN) it stays as it is and is summed for the second
// normalisation.
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

// Gradient of a convolution's output: k1 dz + k2 y + k3, see kernels.cpp.
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

}  // namespace
