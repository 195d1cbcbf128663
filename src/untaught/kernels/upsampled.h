// 3x3 convolutions of a map that is upsampled by two before them.
//
// An interpolation mixes pixels and a tap of the kernel mixes channels, so the two commute. The low-resolution map is
// multiplied by all nine taps (one matrix product, z), and a fixed separable filter, the same for every channel, turns
// z into the output. The filter's tables come from Python: for each output line its sources (low line, tap, weight),
// and for each low line its targets (output line, weights of the three taps).

#pragma once

#include "pointwise.h"

namespace {

struct Table {
    const int32_t* start;
    const int32_t* line;
    const int32_t* tap;
    const float* weight;
};
struct Adjoint {
    const int32_t* start;
    const int32_t* line;
    const float* weight;
};

constexpr int64_t BLOCK = 16;  // low pixels of a line that are computed at a time, so that their sums stay in the cache
constexpr int MOST = 12;       // sources of an output line: three taps of up to four low lines

// A weighted sum of a few sources at fixed offsets; padded with zero weights to 3, 6 or 12 sources.
struct Mixture {
    int count;
    int64_t offset[MOST];
    float weight[MOST];
    template <typename Offset>
    Mixture(const Table& table, int64_t line, Offset offset_of) {
        const int32_t first = table.start[line];
        const int found = table.start[line + 1] - first;
        count = found <= 3 ? 3 : found <= 6 ? 6 : MOST;
        for (int k = 0; k < count; ++k) {
            const int32_t e = first + (k < found ? k : 0);
            offset[k] = offset_of(table.line[e], table.tap[e]);
            weight[k] = k < found ? table.weight[e] : 0.0f;
        }
    }
    template <int N, typename T>
    Vector sum(const T* from) const {
        Vector sum = weight[0] * load(from + offset[0]);
        for (int k = 1; k < N; ++k) sum += weight[k] * load(from + offset[k]);
        return sum;
    }
    // Calls body(n) with the number of sources as a compile-time constant.
    template <typename Body>
    void unrolled(Body body) const {
        if (count == 3) body(std::integral_constant<int, 3>());
        else if (count == 6) body(std::integral_constant<int, 6>());
        else body(std::integral_constant<int, MOST>());
    }
};

// The range of low lines that the output lines [begin, end) are computed from.
struct Span {
    int64_t left, right;
};
inline Span sources_of(const Table& table, int64_t begin, int64_t end) {
    Span span{INT64_MAX, 0};
    for (int32_t e = table.start[begin]; e < table.start[end]; ++e) {
        span.left = std::min<int64_t>(span.left, table.line[e]);
        span.right = std::max<int64_t>(span.right, table.line[e] + 1);
    }
    return span;
}

constexpr int64_t SEGMENT = 64;  // low pixels of a line that are computed at a time
constexpr int64_t RING = 16;     // low lines of z that are kept: more than two output lines need

// Each thread takes one range of output lines, one segment of their width after the other. It computes z line by line
// and keeps a line for as long as the following output lines need it; the first lines of a range are computed twice. So
// ranges are few, and each consists of whole shares, by which the sums are kept.
template <typename T>
void upsampled_forward(const Source<T>& source, const Target<T>& target, const T* matrix, Table rows_table,
                       Table columns_table, int add, double* sums) {
    const int64_t low = source.width, width = 2 * low, height = 2 * source.height, in = source.channels;
    const int64_t channels = target.channels, length = 9 * channels;
    const int64_t shares = shares_of(height), ranges = std::min<int64_t>(omp_get_max_threads(), shares);
    Sums total(sums, channels, shares);
    std::vector<Vector> room(length * in * sizeof(T) / sizeof(Vector));
    T* packed = (T*)room.data();
    pack_transposed(packed, matrix, length, in);
    share_out(shares, ranges, [&](int64_t first_share, int64_t end_share, int64_t) {
        const int64_t first_row = height * first_share / shares, last_row = height * end_share / shares;
        const int64_t most = SEGMENT + 8;
        T* v = scratch<T>(0, most * in);
        float* m = scratch<float>(1, most * length);
        T* ring = scratch<T>(2, RING * most * length);
        float* mixed = scratch<float>(3, (BLOCK + 8) * 3 * channels);
        Pointwise<T> point{source, target, nullptr, nullptr, 0, 0, 1, in, length};
        std::vector<Vector> first(channels / LANES), second(channels / LANES);
        for (int64_t segment = 0; segment < low; segment += SEGMENT) {
            const int64_t begin = 2 * segment, end = std::min(width, 2 * (segment + SEGMENT));
            const Span span = sources_of(columns_table, begin, end);
            const int64_t places = span.right - span.left;
            int64_t known = sources_of(rows_table, first_row, first_row + 1).left, share = first_share;
            for (int64_t r = first_row; r < last_row; ++r) {
                for (const int64_t needed = sources_of(rows_table, r, r + 1).right; known < needed; ++known) {
                    const int64_t at = known * low + span.left;
                    const T* rows = point.into(v, at, at + places);
                    multiply(places, length, in, rows, packed, length, m, length, false);
                    T* z = ring + known % RING * most * length;
                    for (int64_t k = 0; k < places * length; k += LANES) store(z + k, load(m + k));
                }
                const Mixture upright(rows_table, r, [&](int64_t line, int64_t tap) {
                    return line % RING * most * length + 3 * tap * channels;
                });
                for (int64_t block = begin; block < end; block += 2 * BLOCK) {
                    const int64_t block_end = std::min(end, block + 2 * BLOCK);
                    const Span part = sources_of(columns_table, block, block_end);
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
                if (r + 1 < height * (share + 1) / shares) continue;
                for (int64_t c = 0; c < channels; c += LANES) {
                    total.add(share, c, first[c / LANES], second[c / LANES]);
                    first[c / LANES] = second[c / LANES] = Vector{};
                }
                ++share;
            }
        }
        release(std::is_same<T, bfloat16>::value);
    });
}

// The backward pass is that of a 1x1 convolution at low resolution whose outputs are the nine taps.
template <typename T>
struct Upsampled : Pointwise<T> {
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

}  // namespace
