// The passes over memory that lie between the matrix products of a step: see networks/fused.py for how they fit together.
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
// whose coefficients hold what batch normalisation takes from the sums over all pixels. Sums are added up thread by thread
// in a fixed order, so that the same step gives the same bits.

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

// Sums of two quantities for each channel, by thread, then added in the order of the threads.
class Sums {
public:
    Sums(double* target, int64_t channels)
        : target(target), channels(channels), partial(target ? size_t(omp_get_max_threads()) * 2 * channels : 0) {}
    void add(int thread, int64_t c, Vector first, Vector second) {
        if (!target) return;
        double* own = partial.data() + int64_t(thread) * 2 * channels + c;
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

// Runs body(item, thread) over items; each thread takes a stretch of them.
template <typename Body> void parallel(int64_t items, Body body) {
#pragma omp parallel if (items > 1)
    {
        const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int64_t item = items * thread / threads; item < items * (thread + 1) / threads; ++item) body(item, int(thread));
    }
}

// Runs body(from, to, thread) over stretches of pixels, one or more a thread.
template <typename Body> void stretches(int64_t pixels, Body body) {
    constexpr int64_t LENGTH = 128;
    parallel((pixels + LENGTH - 1) / LENGTH, [&](int64_t item, int thread) {
        body(item * LENGTH, std::min(pixels, (item + 1) * LENGTH), thread);
    });
}

// ---- one pixel at a time: 1x1 convolutions -------------------------------------------------------------------------------

template <typename T, typename V, bool NORMED, bool SECOND>
void point_in(V* v, const T* y, int64_t pixels, int64_t channels, const float* norm, float slope) {
    stretches(pixels, [&](int64_t from, int64_t to, int) {
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<NORMED, SECOND> apply(norm, channels, c, slope);
            for (int64_t p = from; p < to; ++p) store(v + p * channels + c, apply(load(y + p * channels + c)));
        }
    });
}

template <typename T, typename V, bool JOIN>
void point_in_back(T* dz, const V* dv, const T* extra, const T* y, int64_t pixels, int64_t channels, const float* norm,
                   float slope, double* sums) {
    Sums total(sums, channels);
    stretches(pixels, [&](int64_t from, int64_t to, int thread) {
        for (int64_t c = 0; c < channels; c += LANES) {
            Backward<JOIN> back(norm, channels, c, slope);
            for (int64_t p = from; p < to; ++p) {
                const int64_t at = p * channels + c;
                Vector g = load(dv + at);
                if (extra) g += load(extra + at);
                store(dz + at, back(g, load(y + at)));
            }
            total.add(thread, c, back.first, back.second);
        }
    });
}

template <typename T>
void point_out_back(T* dy, Lazy<T> lazy, int64_t pixels, int64_t channels) {
    stretches(pixels, [&](int64_t from, int64_t to, int) {
        for (int64_t c = 0; c < channels; c += LANES) {
            const Vector k1 = lazy.coefficient(0, c), k2 = lazy.coefficient(1, c), k3 = lazy.coefficient(2, c);
            for (int64_t p = from; p < to; ++p) store(dy + p * channels + c, lazy(p * channels + c, k1, k2, k3));
        }
    });
}

// Sums of the values and of their squares, of y itself or, with a norm, of a.
template <typename T, bool NORMED>
void statistics(const T* y, int64_t pixels, int64_t channels, const float* norm, float slope, double* sums) {
    Sums total(sums, channels);
    stretches(pixels, [&](int64_t from, int64_t to, int thread) {
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<NORMED, false> apply(norm, channels, c, slope);
            Vector first{}, second{};
            for (int64_t p = from; p < to; ++p) {
                Vector a = apply.activation(load(y + p * channels + c));
                first += a;
                second += a * a;
            }
            total.add(thread, c, first, second);
        }
    });
}

template <typename T>
void accumulate(float* total, const T* part, int64_t count) {
    stretches(count / LANES, [&](int64_t from, int64_t to, int) {
        for (int64_t k = from * LANES; k < to * LANES; k += LANES) store(total + k, load(total + k) + load(part + k));
    });
}

// ---- 3x3 convolutions as Winograd's F(2x2, 3x3): Lavin and Gray, 2016 ------------------------------------------------------
//
// Tiles of 2 x 2 outputs see 4 x 4 inputs. v = Bt d B, m = v . u for each of the 16 places, y = At m A. Buffers are
// [16][tiles][channels]; a call works on some rows of tiles. Height and width are even.

template <typename T, bool NORMED, bool SECOND>
void winograd_in(T* v, const T* y, int64_t height, int64_t width, int64_t channels, const float* norm, float slope,
                 int padding, int64_t row0, int64_t rows) {
    const int64_t tiles = width / 2, plane = rows * tiles * channels;
    parallel(rows, [&](int64_t row, int) {
        const T* line[4];
        for (int k = 0; k < 4; ++k) {
            int64_t r = source(2 * (row0 + row) - 1 + k, height, padding);
            line[k] = r < 0 ? nullptr : y + r * width * channels;
        }
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<NORMED, SECOND> apply(norm, channels, c, slope);
            Vector t[4][4];  // [column][vertical place]
            auto column = [&](Vector* out, int64_t x) {
                int64_t q = source(x, width, padding);
                Vector d[4];
                for (int k = 0; k < 4; ++k) d[k] = q < 0 || !line[k] ? Vector{} : apply(load(line[k] + q * channels + c));
                out[0] = d[0] - d[2];
                out[1] = d[1] + d[2];
                out[2] = d[2] - d[1];
                out[3] = d[1] - d[3];
            };
            column(t[0], -1);
            column(t[1], 0);
            for (int64_t tile = 0; tile < tiles; ++tile) {
                column(t[2], 2 * tile + 1);
                column(t[3], 2 * tile + 2);
                T* out = v + (row * tiles + tile) * channels + c;
                for (int k = 0; k < 4; ++k) {
                    store(out + (4 * k + 0) * plane, t[0][k] - t[2][k]);
                    store(out + (4 * k + 1) * plane, t[1][k] + t[2][k]);
                    store(out + (4 * k + 2) * plane, t[2][k] - t[1][k]);
                    store(out + (4 * k + 3) * plane, t[1][k] - t[3][k]);
                }
                for (int k = 0; k < 4; ++k) { t[0][k] = t[2][k]; t[1][k] = t[3][k]; }
            }
        }
    });
}

template <typename T>
void winograd_out(T* y, const T* m, int64_t width, int64_t channels, int64_t row0, int64_t rows, double* sums) {
    const int64_t tiles = width / 2, plane = rows * tiles * channels;
    Sums total(sums, channels);
    parallel(rows, [&](int64_t row, int thread) {
        T* upper = y + 2 * (row0 + row) * width * channels;
        T* lower = upper + width * channels;
        for (int64_t c = 0; c < channels; c += LANES) {
            Vector first{}, second{};
            for (int64_t tile = 0; tile < tiles; ++tile) {
                const T* in = m + (row * tiles + tile) * channels + c;
                Vector t[2][4];
                for (int k = 0; k < 4; ++k) {
                    Vector a = load(in + k * plane), b = load(in + (4 + k) * plane), d = load(in + (8 + k) * plane),
                           e = load(in + (12 + k) * plane);
                    t[0][k] = a + b + d;
                    t[1][k] = b - d - e;
                }
                for (int k = 0; k < 2; ++k) {
                    T* out = (k ? lower : upper) + 2 * tile * channels + c;
                    Vector left = t[k][0] + t[k][1] + t[k][2], right = t[k][1] - t[k][2] - t[k][3];
                    store(out, left);
                    store(out + channels, right);
                    first += left + right;
                    second += left * left + right * right;
                }
            }
            total.add(thread, c, first, second);
        }
    });
}

template <typename T>
void winograd_out_back(T* p, Lazy<T> lazy, int64_t width, int64_t channels, int64_t row0, int64_t rows) {
    const int64_t tiles = width / 2, plane = rows * tiles * channels;
    parallel(rows, [&](int64_t row, int) {
        const int64_t upper = 2 * (row0 + row) * width * channels;
        for (int64_t c = 0; c < channels; c += LANES) {
            const Vector k1 = lazy.coefficient(0, c), k2 = lazy.coefficient(1, c), k3 = lazy.coefficient(2, c);
            for (int64_t tile = 0; tile < tiles; ++tile) {
                Vector t[4][2];
                for (int k = 0; k < 2; ++k) {
                    const int64_t at = upper + (2 * tile + k) * channels + c;
                    Vector top = lazy(at, k1, k2, k3), bottom = lazy(at + width * channels, k1, k2, k3);
                    t[0][k] = top;
                    t[1][k] = top + bottom;
                    t[2][k] = top - bottom;
                    t[3][k] = -bottom;
                }
                T* out = p + (row * tiles + tile) * channels + c;
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

// Adjoint of winograd_in, gathered, for the rows of tiles row0 to row0 + rows, whose gradients are in dv. Their pixels take
// part in the tiles of the rows above and below as well: those are in the buffers above and below, of so many rows.
template <typename T, bool JOIN>
void winograd_in_back(T* dz, const T* dv, const T* above, int64_t rows_above, const T* below, int64_t rows_below,
                      const T* extra, const T* y, int64_t height, int64_t width, int64_t channels, const float* norm,
                      float slope, int padding, int64_t row0, int64_t rows, double* sums) {
    const int64_t tiles = width / 2, all = height / 2, line = tiles * channels, plane = rows * line;
    Sums total(sums, channels);
    parallel(rows, [&](int64_t r, int thread) {
        const int64_t row = row0 + r;
        const bool top = row == 0, bottom = row == all - 1;
        // The last vertical place of the row above, and the first of the row below.
        const T* upper = r ? dv + 12 * plane + (r - 1) * line : above + 12 * rows_above * line + (rows_above - 1) * line;
        const int64_t upper_plane = r ? plane : rows_above * line;
        const T* lower = r < rows - 1 ? dv + (r + 1) * line : below;
        const int64_t lower_plane = r < rows - 1 ? plane : rows_below * line;
        for (int64_t c = 0; c < channels; c += LANES) {
            Backward<JOIN> back(norm, channels, c, slope);
            // The two pixel rows of this row of tiles, at each of the four horizontal places of one tile.
            auto vertical = [&](Vector* even, Vector* odd, int64_t tile) {
                const int64_t at = tile * channels + c;
                const T* in = dv + r * line + at;
                for (int k = 0; k < 4; ++k) {
                    Vector a = load(in + k * plane), b = load(in + (4 + k) * plane), d = load(in + (8 + k) * plane),
                           e = load(in + (12 + k) * plane);
                    even[k] = b - d + e;
                    odd[k] = b + d - a;
                    if (!top) even[k] -= load(upper + k * upper_plane + at);
                    else if (padding == REFLECTION) odd[k] += a;
                    else if (padding == REPLICATE) even[k] += a;
                    if (!bottom) odd[k] += load(lower + k * lower_plane + at);
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
                    store(dz + at, back(even, load(y + at)));
                    at += channels;
                    store(dz + at, back(odd, load(y + at)));
                    before[k] = t[3];
                    for (int q = 0; q < 4; ++q) now[k][q] = next[k][q];
                }
            }
            total.add(thread, c, back.first, back.second);
        }
    });
}

// u = G w Gt for each pair of channels: w is [out][3][3][in], u is [16][out_padded][in_padded].
template <typename T>
void winograd_weights(T* u, const float* w, int64_t out, int64_t in, int64_t w_in, int64_t out_padded, int64_t in_padded) {
    parallel(out, [&](int64_t o, int) {
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
    parallel(out, [&](int64_t o, int) {
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

// ---- 3x3 convolutions over gathered columns: any size, stride 1 or 2 -------------------------------------------------------

// v is [pixels of some rows of the output][9][channels].
template <typename T, bool NORMED, bool SECOND>
void columns_in(T* v, const T* y, int64_t height, int64_t width, int64_t channels, const float* norm, float slope,
                int padding, int64_t stride, int64_t row0, int64_t rows) {
    const int64_t across = (width - 1) / stride + 1;
    parallel(rows, [&](int64_t row, int) {
        for (int ky = 0; ky < 3; ++ky) {
            const int64_t r = source((row0 + row) * stride + ky - 1, height, padding);
            for (int64_t x = 0; x < across; ++x) {
                for (int kx = 0; kx < 3; ++kx) {
                    T* out = v + ((row * across + x) * 9 + 3 * ky + kx) * channels;
                    const int64_t q = source(x * stride + kx - 1, width, padding);
                    const T* in = r < 0 || q < 0 ? nullptr : y + (r * width + q) * channels;
                    for (int64_t c = 0; c < channels; c += LANES)
                        store(out + c, in ? Norm<NORMED, SECOND>(norm, channels, c, slope)(load(in + c)) : Vector{});
                }
            }
        }
    });
}

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
void columns_in_back(T* dz, const T* dv, const T* extra, const T* y, int64_t height, int64_t width, int64_t channels,
                     const float* norm, float slope, int padding, int64_t stride, double* sums) {
    const int64_t down = (height - 1) / stride + 1, across = (width - 1) / stride + 1;
    Sums total(sums, channels);
    std::vector<Reached> sideways;
    for (int64_t x = 0; x < width; ++x) sideways.emplace_back(x, width, across, stride, padding);
    parallel(height, [&](int64_t r, int thread) {
        const Reached upright(r, height, down, stride, padding);
        std::vector<Backward<JOIN>> backs;
        for (int64_t c = 0; c < channels; c += LANES) backs.emplace_back(norm, channels, c, slope);
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
                store(dz + at + c, backs[c / LANES](g, load(y + at + c)));
            }
        }
        for (int64_t c = 0; c < channels; c += LANES) total.add(thread, c, backs[c / LANES].first, backs[c / LANES].second);
    });
}

// The same with stride 1 for pictures of a few channels, which are stored as 16: v is [pixels][length], of which the first
// 9 x few are used, in the order of the taps.
template <typename T>
void narrow_in(T* v, const T* y, int64_t height, int64_t width, int64_t few, int64_t length, const float* norm, float slope,
               int padding, int64_t row0, int64_t rows) {
    parallel(rows, [&](int64_t row, int) {
        std::vector<T> lines(3 * (width + 2) * few + LANES);
        Norm<true, true> apply(norm, LANES, 0, slope);
        for (int ky = 0; ky < 3; ++ky) {
            const int64_t r = source(row0 + row + ky - 1, height, padding);
            T* line = lines.data() + ky * (width + 2) * few;
            for (int64_t x = 0; x < width + 2; ++x) {
                const int64_t q = source(x - 1, width, padding);
                T values[LANES];
                store(values, r < 0 || q < 0 ? Vector{} : apply(load(y + (r * width + q) * LANES)));
                std::memcpy(line + x * few, values, few * sizeof(T));
            }
        }
        for (int64_t x = 0; x < width; ++x) {
            T* out = v + (row * width + x) * length;
            for (int ky = 0; ky < 3; ++ky)
                std::memcpy(out + 3 * ky * few, lines.data() + (ky * (width + 2) + x) * few, 3 * few * sizeof(T));
            std::memset(out + 9 * few, 0, (length - 9 * few) * sizeof(T));
        }
    });
}

template <typename T>
void narrow_in_back(T* g, const T* dv, const T* y, int64_t height, int64_t width, int64_t few, int64_t length,
                    const float* norm, float slope, int padding, double* sums) {
    Sums total(sums, LANES);
    std::vector<Reached> sideways;
    for (int64_t x = 0; x < width; ++x) sideways.emplace_back(x, width, width, 1, padding);
    Integers lanes;
    for (int k = 0; k < LANES; ++k) lanes[k] = k < few ? -1 : 0;
    parallel(height, [&](int64_t r, int thread) {
        const Reached upright(r, height, height, 1, padding);
        Backward<true> back(norm, LANES, 0, slope);
        for (int64_t x = 0; x < width; ++x) {
            const Reached& side = sideways[x];
            Vector sum{};
            for (int k = 0; k < upright.count; ++k)
                for (int q = 0; q < side.count; ++q)  // reads beyond its few values, into the next tap's, and drops them
                    sum += load(dv + (upright.output[k] * width + side.output[q]) * length +
                                (3 * upright.tap[k] + side.tap[q]) * few);
            const int64_t at = (r * width + x) * LANES;
            store(g + at, back((Vector)((Integers)sum & lanes), load(y + at)));
        }
        total.add(thread, 0, back.first, back.second);
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

// z holds low lines from z_row0 on, [rows][low width][9][channels]; writes, or adds to, output rows row0 to row0 + rows.
template <typename T>
void combine_out(T* y, const T* z, int64_t z_row0, int64_t low, int64_t width, int64_t channels, Table rows_table,
                 Table columns_table, int64_t row0, int64_t rows, int add, double* sums) {
    const int64_t pixel = 9 * channels;
    Sums total(sums, channels);
    parallel(rows, [&](int64_t row, int thread) {
        const int64_t r = row0 + row;
        std::vector<Vector> first(channels / LANES), second(channels / LANES);
        std::vector<float> mixed(3 * (BLOCK + 8) * channels);
        const Mixture upright(rows_table, r, [&](int64_t line, int64_t tap) {
            return (line - z_row0) * low * pixel + 3 * tap * channels;
        });
        for (int64_t block = 0; block < low; block += BLOCK) {
            // The low places that this block's outputs are made of.
            const int64_t begin = 2 * block, end = std::min(2 * (block + BLOCK), width);
            int64_t left = low, right = 0;
            for (int32_t e = columns_table.start[begin]; e < columns_table.start[end]; ++e) {
                left = std::min<int64_t>(left, columns_table.line[e]);
                right = std::max<int64_t>(right, columns_table.line[e] + 1);
            }
            upright.unrolled([&](auto n) {
                for (int64_t x = left; x < right; ++x) {
                    const T* in = z + x * pixel;
                    float* out = mixed.data() + (x - left) * 3 * channels;
                    for (int64_t c = 0; c < 3 * channels; c += LANES) store(out + c, upright.sum<n>(in + c));
                }
            });
            for (int64_t x = begin; x < end; ++x) {
                const Mixture side(columns_table, x, [&](int64_t line, int64_t tap) {
                    return ((line - left) * 3 + tap) * channels;
                });
                T* out = y + (r * width + x) * channels;
                side.unrolled([&](auto n) {
                    for (int64_t c = 0; c < channels; c += LANES) {
                        Vector sum = side.sum<n>(mixed.data() + c);
                        if (add) sum += load(out + c);
                        store(out + c, sum);
                        first[c / LANES] += sum;
                        second[c / LANES] += sum * sum;
                    }
                });
            }
        }
        for (int64_t c = 0; c < channels; c += LANES) total.add(thread, c, first[c / LANES], second[c / LANES]);
    });
}

// dz is [rows][low width][9][channels] for low lines row0 to row0 + rows.
template <typename T>
void combine_out_back(T* dz, Lazy<T> lazy, int64_t low, int64_t width, int64_t channels, Adjoint rows_table,
                      Adjoint columns_table, int64_t row0, int64_t rows) {
    parallel(rows, [&](int64_t row, int) {
        std::vector<float> mixed(3 * (2 * BLOCK + 16) * channels);
        const int32_t from = rows_table.start[row0 + row], to = rows_table.start[row0 + row + 1];
        for (int64_t block = 0; block < low; block += BLOCK) {
            const int64_t stop = std::min(block + BLOCK, low);
            int64_t left = width, right = 0;
            for (int32_t e = columns_table.start[block]; e < columns_table.start[stop]; ++e) {
                left = std::min<int64_t>(left, columns_table.line[e]);
                right = std::max<int64_t>(right, columns_table.line[e] + 1);
            }
            for (int64_t c = 0; c < channels; c += LANES) {
                const Vector k1 = lazy.coefficient(0, c), k2 = lazy.coefficient(1, c), k3 = lazy.coefficient(2, c);
                for (int64_t x = left; x < right; ++x) {
                    Vector sum[3] = {};
                    for (int32_t e = from; e < to; ++e) {
                        const Vector dy = lazy((rows_table.line[e] * width + x) * channels + c, k1, k2, k3);
                        const float* weight = rows_table.weight + 3 * e;
                        sum[0] += weight[0] * dy;
                        sum[1] += weight[1] * dy;
                        sum[2] += weight[2] * dy;
                    }
                    float* out = mixed.data() + 3 * (x - left) * channels + c;
                    for (int k = 0; k < 3; ++k) store(out + k * channels, sum[k]);
                }
            }
            for (int64_t x = block; x < stop; ++x) {
                T* out = dz + (row * low + x) * 9 * channels;
                const int32_t first = columns_table.start[x], last = columns_table.start[x + 1];
                for (int64_t c = 0; c < channels; c += LANES) {
                    Vector sum[9] = {};
                    for (int32_t e = first; e < last; ++e) {
                        const float* weight = columns_table.weight + 3 * e;
                        const float* in = mixed.data() + 3 * (columns_table.line[e] - left) * channels + c;
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
        }
    });
}

// Statistics of the upsampled activations, at low resolution: with the interpolation U, the sum of (U a)^2 is that of a Q a,
// Q = Ut U, a small separable filter of 2 reach + 1 taps for each line; the sum of U a is that of p a, p = Ut 1.
// Writes q = Q a.
template <typename T>
void gram(T* q, const T* y, int64_t height, int64_t width, int64_t channels, const float* norm, float slope, int64_t reach,
          const float* row_taps, const float* column_taps, const float* row_weight, const float* column_weight,
          double* sums) {
    Sums total(sums, channels);
    const int64_t taps = 2 * reach + 1;
    parallel(height, [&](int64_t r, int thread) {
        std::vector<Vector> mixed(width + 2 * reach);
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, false> apply(norm, channels, c, slope);
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
            total.add(thread, c, first, second);
        }
    });
}

// Through the second normalisation of a join and the activation below it: from g, the gradient of v, to dz, in place.
// da = s2 g + c1 p + c2 q, where q is Q a (or a, if there is none) and p is Ut 1 (or 1).
template <typename T>
void join_back(T* g, const T* y, const T* q, int64_t height, int64_t width, int64_t channels, const float* norm, float slope,
               const float* c1, const float* c2, const float* row_weight, const float* column_weight, double* sums) {
    Sums total(sums, channels);
    parallel(height, [&](int64_t r, int thread) {
        for (int64_t c = 0; c < channels; c += LANES) {
            Norm<true, true> apply(norm, channels, c, slope);
            Backward<false> back(norm, channels, c, slope);
            const Vector k1 = load(c1 + c), k2 = load(c2 + c);
            for (int64_t x = 0; x < width; ++x) {
                const int64_t at = (r * width + x) * channels + c;
                const Vector value = load(y + at);
                const float p = row_weight ? row_weight[r] * column_weight[x] : 1.0f;
                const Vector da = apply.s2 * load(g + at) + p * k1 + k2 * (q ? load(q + at) : apply.activation(value));
                store(g + at, back(da, value));
            }
            total.add(thread, c, back.first, back.second);
        }
    });
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
    stretches((count + 2 * LANES - 1) / (2 * LANES), [&](int64_t from, int64_t to, int) {
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

void untaught_winograd_weights_back(float* dw, const float* du, int64_t out, int64_t in, int64_t w_in, int64_t out_padded,
                                    int64_t in_padded) {
    winograd_weights_back(dw, du, out, in, w_in, out_padded, in_padded);
}

#define FOR_NORM(norm, second, call)                                     \
    do {                                                                 \
        if (!(norm)) { constexpr bool NORMED = false, SECOND = false; call; }      \
        else if (second) { constexpr bool NORMED = true, SECOND = true; call; }    \
        else { constexpr bool NORMED = true, SECOND = false; call; }               \
    } while (0)
#define FOR_JOIN(join, call)                                             \
    do {                                                                 \
        if (join) { constexpr bool JOIN = true; call; }                  \
        else { constexpr bool JOIN = false; call; }                      \
    } while (0)

#define EXPORT(T, NAME)                                                                                                      \
    void untaught_point_in_##NAME(T* v, const T* y, int64_t n, int64_t c, const float* norm, float slope, int second) {      \
        FOR_NORM(norm, second, (point_in<T, T, NORMED, SECOND>(v, y, n, c, norm, slope)));                                   \
    }                                                                                                                        \
    void untaught_head_in_##NAME(float* v, const T* y, int64_t n, int64_t c, const float* norm, float slope) {               \
        point_in<T, float, true, false>(v, y, n, c, norm, slope);                                                            \
    }                                                                                                                        \
    void untaught_point_in_back_##NAME(T* dz, const T* dv, const T* extra, const T* y, int64_t n, int64_t c,                 \
                                       const float* norm, float slope, int join, double* sums) {                             \
        FOR_JOIN(join, (point_in_back<T, T, JOIN>(dz, dv, extra, y, n, c, norm, slope, sums)));                              \
    }                                                                                                                        \
    void untaught_head_in_back_##NAME(T* dz, const float* dv, const T* y, int64_t n, int64_t c, const float* norm,           \
                                      float slope, double* sums) {                                                           \
        point_in_back<T, float, false>(dz, dv, nullptr, y, n, c, norm, slope, sums);                                         \
    }                                                                                                                        \
    void untaught_point_out_back_##NAME(T* dy, const T* dz, const T* y, const float* k, int64_t n, int64_t c) {              \
        point_out_back<T>(dy, {dz, y, k, c}, n, c);                                                                          \
    }                                                                                                                        \
    void untaught_statistics_##NAME(const T* y, int64_t n, int64_t c, const float* norm, float slope, double* sums) {        \
        if (norm) statistics<T, true>(y, n, c, norm, slope, sums);                                                           \
        else statistics<T, false>(y, n, c, norm, slope, sums);                                                               \
    }                                                                                                                        \
    void untaught_accumulate_##NAME(float* total, const T* part, int64_t count) { accumulate<T>(total, part, count); }       \
    void untaught_perturb_##NAME(T* out, float* base, int64_t count, float deviation, int64_t key, int walk) {               \
        perturb<T>(out, base, count, deviation, uint64_t(key), walk);                                                        \
    }                                                                                                                        \
    void untaught_winograd_in_##NAME(T* v, const T* y, int64_t h, int64_t w, int64_t c, const float* norm, float slope,      \
                                     int second, int padding, int64_t row0, int64_t rows) {                                  \
        FOR_NORM(norm, second, (winograd_in<T, NORMED, SECOND>(v, y, h, w, c, norm, slope, padding, row0, rows)));           \
    }                                                                                                                        \
    void untaught_winograd_out_##NAME(T* y, const T* m, int64_t w, int64_t c, int64_t row0, int64_t rows, double* sums) {    \
        winograd_out<T>(y, m, w, c, row0, rows, sums);                                                                       \
    }                                                                                                                        \
    void untaught_winograd_out_back_##NAME(T* p, const T* dz, const T* y, const float* k, int64_t w, int64_t c,              \
                                           int64_t row0, int64_t rows) {                                                     \
        winograd_out_back<T>(p, {dz, y, k, c}, w, c, row0, rows);                                                            \
    }                                                                                                                        \
    void untaught_winograd_in_back_##NAME(T* dz, const T* dv, const T* above, int64_t rows_above, const T* below,            \
                                          int64_t rows_below, const T* extra, const T* y, int64_t h, int64_t w, int64_t c,   \
                                          const float* norm, float slope, int join, int padding, int64_t row0,               \
                                          int64_t rows, double* sums) {                                                      \
        FOR_JOIN(join, (winograd_in_back<T, JOIN>(dz, dv, above, rows_above, below, rows_below, extra, y, h, w, c, norm,     \
                                                  slope, padding, row0, rows, sums)));                                       \
    }                                                                                                                        \
    void untaught_winograd_weights_##NAME(T* u, const float* w, int64_t out, int64_t in, int64_t w_in, int64_t out_padded,   \
                                          int64_t in_padded) {                                                               \
        winograd_weights<T>(u, w, out, in, w_in, out_padded, in_padded);                                                     \
    }                                                                                                                        \
    void untaught_columns_in_##NAME(T* v, const T* y, int64_t h, int64_t w, int64_t c, const float* norm, float slope,       \
                                    int second, int padding, int64_t stride, int64_t row0, int64_t rows) {                   \
        FOR_NORM(norm, second, (columns_in<T, NORMED, SECOND>(v, y, h, w, c, norm, slope, padding, stride, row0, rows)));    \
    }                                                                                                                        \
    void untaught_columns_in_back_##NAME(T* dz, const T* dv, const T* extra, const T* y, int64_t h, int64_t w, int64_t c,    \
                                         const float* norm, float slope, int join, int padding, int64_t stride,              \
                                         double* sums) {                                                                     \
        FOR_JOIN(join, (columns_in_back<T, JOIN>(dz, dv, extra, y, h, w, c, norm, slope, padding, stride, sums)));           \
    }                                                                                                                        \
    void untaught_narrow_in_##NAME(T* v, const T* y, int64_t h, int64_t w, int64_t few, int64_t length, const float* norm,   \
                                   float slope, int padding, int64_t row0, int64_t rows) {                                   \
        narrow_in<T>(v, y, h, w, few, length, norm, slope, padding, row0, rows);                                             \
    }                                                                                                                        \
    void untaught_narrow_in_back_##NAME(T* g, const T* dv, const T* y, int64_t h, int64_t w, int64_t few, int64_t length,    \
                                        const float* norm, float slope, int padding, double* sums) {                         \
        narrow_in_back<T>(g, dv, y, h, w, few, length, norm, slope, padding, sums);                                          \
    }                                                                                                                        \
    void untaught_combine_out_##NAME(T* y, const T* z, int64_t z_row0, int64_t low, int64_t w, int64_t c,                    \
                                     const int32_t* rs, const int32_t* rl, const int32_t* rt, const float* rw,               \
                                     const int32_t* cs, const int32_t* cl, const int32_t* ct, const float* cw,               \
                                     int64_t row0, int64_t rows, int add, double* sums) {                                    \
        combine_out<T>(y, z, z_row0, low, w, c, {rs, rl, rt, rw}, {cs, cl, ct, cw}, row0, rows, add, sums);                  \
    }                                                                                                                        \
    void untaught_combine_out_back_##NAME(T* dz, const T* dv, const T* y, const float* k, int64_t low, int64_t w, int64_t c, \
                                          const int32_t* rs, const int32_t* rl, const float* rw, const int32_t* cs,          \
                                          const int32_t* cl, const float* cw, int64_t row0, int64_t rows) {                  \
        combine_out_back<T>(dz, {dv, y, k, c}, low, w, c, {rs, rl, rw}, {cs, cl, cw}, row0, rows);                           \
    }                                                                                                                        \
    void untaught_gram_##NAME(T* q, const T* y, int64_t h, int64_t w, int64_t c, const float* norm, float slope,             \
                              int64_t reach, const float* rt, const float* ct, const float* rw, const float* cw,             \
                              double* sums) {                                                                                \
        gram<T>(q, y, h, w, c, norm, slope, reach, rt, ct, rw, cw, sums);                                                    \
    }                                                                                                                        \
    void untaught_join_back_##NAME(T* g, const T* y, const T* q, int64_t h, int64_t w, int64_t c, const float* norm,         \
                                   float slope, const float* c1, const float* c2, const float* rw, const float* cw,          \
                                   double* sums) {                                                                           \
        join_back<T>(g, y, q, h, w, c, norm, slope, c1, c2, rw, cw, sums);                                                   \
    }

EXPORT(bfloat16, bfloat16)
EXPORT(float, float32)

}
