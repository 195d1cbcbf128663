// Normal noise.

#pragma once

#include "threads.h"

namespace {

// A 32-bit hash of negligible bias (C. Wellons's "lowbias32").
inline Words mix(Words x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

inline Vector logarithm(Vector x) {            // of positive, normal numbers
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

// out = base + normal noise (Box and Muller, 1958), a function of the key and the index; "walk" changes base too.
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

}  // namespace
