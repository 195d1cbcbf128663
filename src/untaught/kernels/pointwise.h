// 1x1 convolutions.

#pragma once

#include "convolution.h"

namespace {

template <typename T>
struct Pointwise {
    Source<T> source;
    Target<T> target;
    T* dx;           // the source's gradient
    const T* extra;  // the gradient that another convolution of the same source has computed
    int early;       // another convolution of the source follows: dx is the activation's gradient only
    int64_t places, batch, length, outputs;

    template <bool NORMED, bool SECOND>
    void fill(T* v, int64_t from, int64_t to) const {
        for (int64_t c = 0; c < length; c += LANES) {
            Norm<NORMED, SECOND> apply(source.norm, length, c, source.slope);
            for (int64_t p = from; p < to; ++p)
                store(v + (p - from) * length + c, apply(load(source.y + p * length + c)));
        }
    }
    const T* into(T* v, int64_t from, int64_t to) const {
        if (!source.norm) return source.y + from * length;
        FOR_NORM(source.norm, source.second, (fill<NORMED, SECOND>(v, from, to)));
        return v;
    }
    void out(const float* m, int64_t from, int64_t to, Sums& sums, int64_t share) const {
        rows_out(target, m, from, to, sums, share);
    }
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
    void in_back(const float* dv, int64_t, int64_t n0, int64_t n, int64_t from, int64_t to, Sums& sums,
                 int64_t share) const {
        if (early) keep(dx, length, dv, n0, n, from, to);
        else FOR_KIND(source.second, (gather<JOIN>(dv, n0, n, from, to, sums, share)));
    }
};

}  // namespace
