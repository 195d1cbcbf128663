// 3x3 convolutions by Winograd's algorithm F(2x2, 3x3): Lavin and Gray, "Fast algorithms for convolutional neural
// networks", 2016.
//
// A tile of 2 x 2 outputs needs 4 x 4 inputs d: v = Bt d B, m = v u for each of the 16 elements of a tile, y = At m A.
// Height and width are even. Gradients of v are stored as [row of tiles][16][tiles][channels] and gathered afterwards.

#pragma once

#include "convolution.h"

namespace {

template <typename T>
struct Winograd {
    Source<T> source;
    Target<T> target;
    T* kept;
    int64_t places, batch, length, outputs;

    // Calls body(row, first tile, end of tiles, tiles before them in the chunk) for each row of tiles in a chunk.
    template <typename Body>
    void pieces(int64_t from, int64_t to, Body body) const {
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
                for (int k = 0; k < 4; ++k)
                    d[k] = q < 0 || !line[k] ? Vector{} : apply(load(line[k] + q * channels + c));
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
                for (int k = 0; k < 4; ++k) {
                    t[0][k] = t[2][k];
                    t[1][k] = t[3][k];
                }
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
                        const Vector a = load(in + k * plane), b = load(in + (4 + k) * plane),
                                     d = load(in + (8 + k) * plane), e = load(in + (12 + k) * plane);
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

// Adjoint of Winograd::into: from the gradients that were kept, dv [row of tiles][16][tiles][channels], to the
// source's.
template <typename T, bool JOIN>
void winograd_gather(T* dz, const T* dv, const T* extra, const Source<T>& source, double* sums) {
    const int64_t width = source.width, channels = source.channels, tiles = width / 2, rows = source.height / 2;
    const int64_t plane = tiles * channels, line = 16 * plane;
    const int padding = source.padding;
    Sums total(sums, channels, shares_of(rows));
    parallel(rows, [&](int64_t row, int64_t share) {
        const bool top = row == 0, bottom = row == rows - 1;
        for (int64_t c = 0; c < channels; c += LANES) {
            Backward<JOIN> back(source.norm, channels, c, source.slope);
            // The two pixel rows of this row of tiles, at each of the four horizontal places of one tile.
            auto vertical = [&](Vector* even, Vector* odd, int64_t tile) {
                const T* in = dv + row * line + tile * channels + c;
                for (int k = 0; k < 4; ++k) {
                    const Vector a = load(in + k * plane), b = load(in + (4 + k) * plane),
                                 d = load(in + (8 + k) * plane), e = load(in + (12 + k) * plane);
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
            Vector before[2] = {}, now[2][4], next[2][4] = {};  // before: element 3 of the tile to the left
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
                    if (extra) {
                        even += load(extra + at);
                        odd += load(extra + at + channels);
                    }
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

// u = G w Gt for each pair of channels: w is [out][3][3][w_in], of which "in" channels from "from" on are used; u is
// [16][out_padded][in_padded].
template <typename T>
void winograd_weights(T* u, const float* w, int64_t out, int64_t from, int64_t in, int64_t w_in, int64_t out_padded,
                      int64_t in_padded) {
    parallel(out, [&](int64_t o, int64_t) {
        for (int64_t i = 0; i < in; i += LANES) {
            const int64_t count = std::min<int64_t>(LANES, in - i);
            Vector g[9] = {}, t[4][3];
            for (int k = 0; k < 9; ++k) std::memcpy(&g[k], w + (o * 9 + k) * w_in + from + i, count * sizeof(float));
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

// Adjoint of winograd_weights: from the gradient du of u, float, to that of w.
void winograd_weights_back(float* dw, const float* du, int64_t out, int64_t first, int64_t in, int64_t w_in,
                           int64_t out_padded, int64_t in_padded) {
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
                for (int q = 0; q < 3; ++q)
                    std::memcpy(dw + (o * 9 + 3 * q + k) * w_in + first + i, &g[q], count * sizeof(float));
            }
        }
    });
}

}  // namespace
