// How work is divided among threads, and the sums and buffers that each thread keeps.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <vector>
#include <omp.h>

#include "vectors.h"

namespace {

// Work is divided into shares whose number depends on the work alone. Threads take them one by one as they become free,
// so a thread that another process holds up keeps one share back and not half of the work. Sums are kept by share and
// added in the order of the shares, so the result depends neither on the number of threads nor on who takes which
// share.
constexpr int64_t MOST_SHARES = 32;

inline int64_t shares_of(int64_t items) { return std::min(MOST_SHARES, items); }

// Runs body(first, last, share) over ranges of items. An exception may not leave a parallel region, so the first one
// is kept and thrown again after it.
template <typename Body>
void share_out(int64_t items, int64_t shares, Body body) {
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;
#pragma omp parallel if (shares > 1)
    {
        try {
            for (int64_t share = next++; share < shares; share = next++)
                body(items * share / shares, items * (share + 1) / shares, share);
        } catch (...) {
#pragma omp critical(untaught_failure)
            if (!failure) failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

// Runs body(item, share) for each item.
template <typename Body>
void parallel(int64_t items, Body body) {
    share_out(items, shares_of(items), [&](int64_t first, int64_t last, int64_t share) {
        for (int64_t item = first; item < last; ++item) body(item, share);
    });
}

constexpr int64_t STRETCH = 128;  // pixels that stay in the nearest cache

inline int64_t stretches_of(int64_t pixels) { return (pixels + STRETCH - 1) / STRETCH; }

// Runs body(from, to, share) over stretches of pixels.
template <typename Body>
void stretches(int64_t pixels, Body body) {
    parallel(stretches_of(pixels),
             [&](int64_t item, int64_t share) { body(item * STRETCH, std::min(pixels, (item + 1) * STRETCH), share); });
}

// A buffer of the calling thread, kept from call to call.
template <typename V>
V* scratch(int which, int64_t count) {
    static thread_local std::vector<Vector> kept[8];
    const size_t vectors = (count * sizeof(V) + sizeof(Vector) - 1) / sizeof(Vector);
    if (kept[which].size() < vectors) kept[which].resize(vectors);
    return (V*)kept[which].data();
}
constexpr int FOR_SUMS = 6, FOR_TOTALS = 7;  // buffers that all threads write to; the others are a thread's own

// Sums of two quantities for each channel, kept by share and finally added to the target; nothing without a target.
class Sums {
public:
    Sums(double* target, int64_t channels, int64_t shares)
        : target(target), channels(channels), shares(target ? shares : 0) {
        if (!target) return;
        partial = scratch<double>(FOR_SUMS, shares * 2 * channels);
        std::fill_n(partial, shares * 2 * channels, 0.0);
    }
    void add(int64_t share, int64_t c, Vector first, Vector second) {
        if (!target) return;
        double* own = partial + share * 2 * channels + c;
        for (int k = 0; k < LANES; ++k) {
            own[k] += first[k];
            own[channels + k] += second[k];
        }
    }
    ~Sums() {
        for (int64_t share = 0; share < shares; ++share)
            for (int64_t k = 0; k < 2 * channels; ++k) target[k] += partial[share * 2 * channels + k];
    }

private:
    double* target;
    double* partial = nullptr;
    int64_t channels, shares;
};

}  // namespace
