// How work is divided among threads, and the sums and buffers that each thread keeps.

#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <vector>
#include <omp.h>

#include "vectors.h"

namespace {

// The number of shares that work is divided into. Sums are added share by share in a fixed order, so the result does
// not depend on how many threads take the shares.
int64_t most_shares = 1;

// Runs body(first, last, share) over ranges of items. An exception may not leave a parallel region, so the first one
// is kept and thrown again after it.
template <typename Body>
void share_out(int64_t items, Body body) {
    const int64_t shares = std::min(most_shares, items);
    std::exception_ptr failure;
#pragma omp parallel if (shares > 1)
    {
        try {
            for (int64_t share = omp_get_thread_num(); share < shares; share += omp_get_num_threads())
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
    share_out(items, [&](int64_t first, int64_t last, int64_t share) {
        for (int64_t item = first; item < last; ++item) body(item, share);
    });
}

// Runs body(from, to, share) over ranges of pixels that stay in the nearest cache.
template <typename Body>
void stretches(int64_t pixels, Body body) {
    constexpr int64_t LENGTH = 128;
    parallel((pixels + LENGTH - 1) / LENGTH,
             [&](int64_t item, int64_t share) { body(item * LENGTH, std::min(pixels, (item + 1) * LENGTH), share); });
}

// Sums of two quantities for each channel, kept by share and finally added to the target; nothing without a target.
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

// A buffer of the calling thread, kept from call to call.
template <typename V>
V* scratch(int which, int64_t count) {
    static thread_local std::vector<Vector> kept[8];
    const size_t vectors = (count * sizeof(V) + sizeof(Vector) - 1) / sizeof(Vector);
    if (kept[which].size() < vectors) kept[which].resize(vectors);
    return (V*)kept[which].data();
}

}  // namespace
