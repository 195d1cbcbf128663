// The functions that Python calls. signatures.py declares the same arguments with their extents and checks them; the
// table at the end exports names and types, which Python compares with its own declarations when it loads the library.
//
// Sizes of chunks are such that a few of their buffers fit a core's own cache.

#pragma once

#include <exception>
#include <stdexcept>
#include <string>

#include "concatenation.h"
#include "groups.h"
#include "head.h"
#include "im2col.h"
#include "noise.h"
#include "normalisation.h"
#include "pointwise.h"
#include "shrinkage.h"
#include "surface.h"
#include "upsampled.h"
#include "winograd.h"

namespace boundary {

#define SOURCE \
    const T *y, int64_t height, int64_t width, int64_t channels, const float *norm, float slope, int second, int padding
#define GIVEN_SOURCE {y, height, width, channels, norm, slope, second, padding}
#define TARGET T *target, const T *dz, const float *lazy, int64_t outputs
#define GIVEN_TARGET {target, dz, lazy, outputs}

// Multiplies a small matrix. It throws where this processor or this torch has no product of the type.
template <typename T>
void try_product(float* result) {
    std::vector<T> a(256), b(256);
    multiply(16, 16, 16, a.data(), b.data(), 16, result, 16, false);
    release(std::is_same<T, bfloat16>::value);
}

template <typename T>
void pointwise_forward(SOURCE, TARGET, const T* matrix, double* sums) {
    Pointwise<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, nullptr, nullptr, 0, height * width, 1, channels, outputs};
    forward<T>(algorithm, matrix, 256, sums, outputs);
}
template <typename T>
void pointwise_backward(SOURCE, TARGET, const T* matrix, float* total, T* dx, const T* extra, int early, double* sums) {
    Pointwise<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, dx, extra, early, height * width, 1, channels, outputs};
    backward<T>(algorithm, matrix, total, 512, norm, early ? nullptr : sums, channels);
}

template <typename T>
void winograd_forward(SOURCE, TARGET, const T* matrix, double* sums) {
    Winograd<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, nullptr, height * width / 4, 16, channels, outputs};
    forward<T>(algorithm, matrix, 64, sums, outputs);
}
template <typename T>
void winograd_backward(SOURCE, TARGET, const T* matrix, float* total, T* kept) {
    Winograd<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, kept, height * width / 4, 16, channels, outputs};
    backward<T>(algorithm, matrix, total, 256, norm, nullptr, channels);
}
template <typename T>
void winograd_gather(SOURCE, const T* kept, T* dx, const T* extra, double* sums) {
    const Source<T> source GIVEN_SOURCE;
    FOR_KIND(second, (::winograd_gather<T, JOIN>(dx, kept, extra, source, sums)));
}
template <typename T>
void winograd_weights(T* matrix, const float* kernel, int64_t out, int64_t first, int64_t in, int64_t row,
                      int64_t outputs, int64_t length) {
    ::winograd_weights<T>(matrix, kernel, out, first, in, row, outputs, length);
}
void winograd_weights_back(float* gradient, const float* total, int64_t out, int64_t first, int64_t in, int64_t row,
                           int64_t outputs, int64_t length) {
    ::winograd_weights_back(gradient, total, out, first, in, row, outputs, length);
}

template <typename T>
void im2col_forward(SOURCE, TARGET, const T* matrix, int64_t stride, double* sums) {
    const int64_t places = ((height - 1) / stride + 1) * ((width - 1) / stride + 1);
    Im2col<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, nullptr, stride, places, 1, 9 * channels, outputs};
    forward<T>(algorithm, matrix, 128, sums, outputs);
}
template <typename T>
void im2col_backward(SOURCE, TARGET, const T* matrix, int64_t stride, float* total, T* kept) {
    const int64_t places = ((height - 1) / stride + 1) * ((width - 1) / stride + 1);
    Im2col<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, kept, stride, places, 1, 9 * channels, outputs};
    backward<T>(algorithm, matrix, total, 256, norm, nullptr, channels);
}
template <typename T>
void im2col_gather(SOURCE, int64_t stride, const T* kept, T* dx, const T* extra, double* sums) {
    const Source<T> source GIVEN_SOURCE;
    FOR_KIND(second, (::im2col_gather<T, JOIN>(dx, kept, extra, source, stride, sums)));
}

template <typename T>
void narrow_im2col_forward(SOURCE, TARGET, const T* matrix, int64_t few, int64_t length, double* sums) {
    NarrowIm2col<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, nullptr, few, height * width, 1, length, outputs};
    forward<T>(algorithm, matrix, 256, sums, outputs);
}
template <typename T>
void narrow_im2col_backward(SOURCE, TARGET, const T* matrix, int64_t few, int64_t length, float* total, T* kept) {
    NarrowIm2col<T> algorithm{GIVEN_SOURCE, GIVEN_TARGET, kept, few, height * width, 1, length, outputs};
    backward<T>(algorithm, matrix, total, 512, norm, nullptr, channels);
}
template <typename T>
void narrow_im2col_gather(SOURCE, int64_t few, int64_t length, const T* kept, T* dx, double* sums) {
    ::narrow_im2col_gather<T>(dx, kept, GIVEN_SOURCE, few, length, sums);
}

template <typename T>
void upsampled_forward(SOURCE, TARGET, const T* matrix, const int32_t* row_start, const int32_t* row_line,
                       const int32_t* row_tap, const float* row_weight, const int32_t* column_start,
                       const int32_t* column_line, const int32_t* column_tap, const float* column_weight, int add,
                       double* sums) {
    ::upsampled_forward<T>(GIVEN_SOURCE, GIVEN_TARGET, matrix, {row_start, row_line, row_tap, row_weight},
                           {column_start, column_line, column_tap, column_weight}, add, sums);
}
template <typename T>
void upsampled_backward(SOURCE, TARGET, const T* matrix, const int32_t* row_start, const int32_t* row_line,
                        const float* row_weight, const int32_t* column_start, const int32_t* column_line,
                        const float* column_weight, float* total, T* dx, double* sums) {
    Upsampled<T> algorithm{{GIVEN_SOURCE, GIVEN_TARGET, dx, nullptr, 0, height * width, 1, channels, 9 * outputs},
                           {row_start, row_line, row_weight},
                           {column_start, column_line, column_weight}};
    backward<T>(algorithm, matrix, total, 256, norm, sums, channels);
}

template <typename T>
void statistics(SOURCE, double* sums) {
    ::statistics<T>(GIVEN_SOURCE, sums);
}
template <typename T>
void upsampled_statistics(SOURCE, T* squares, int64_t reach, const float* row_taps, const float* column_taps,
                          const float* row_weight, const float* column_weight, double* sums) {
    ::upsampled_statistics<T>(squares, GIVEN_SOURCE, reach, row_taps, column_taps, row_weight, column_weight, sums);
}
template <typename T>
void concatenation_back(SOURCE, T* gradient, const T* squares, const float* c1, const float* c2,
                        const float* row_weight, const float* column_weight, double* sums) {
    ::concatenation_back<T>(gradient, squares, GIVEN_SOURCE, c1, c2, row_weight, column_weight, sums);
}

template <typename T>
void head_forward(SOURCE, float* result, const float* weight, const float* bias, int64_t outputs) {
    ::head_forward<T>(result, GIVEN_SOURCE, weight, bias, outputs);
}
template <typename T>
void head_backward(SOURCE, T* dx, float* total, const float* change, const float* weight, int64_t outputs,
                   double* sums) {
    ::head_backward<T>(dx, total, change, GIVEN_SOURCE, weight, outputs, sums);
}

template <typename T>
void perturb(T* out, float* base, int64_t count, float deviation, int64_t key, int walk) {
    ::perturb<T>(out, base, count, deviation, uint64_t(key), walk);
}

void similar_blocks(int32_t* members, int64_t size, const int32_t* homes, int64_t groups, const float* features,
                    int64_t count, int64_t high, int64_t wide, int64_t radius, float doubt) {
    ::similar_blocks(members, size, homes, groups, features, count, high, wide, radius, doubt);
}
void filter_groups(float* result, const float* planes, int64_t channels, int64_t height, int64_t width,
                   const int32_t* members, int64_t groups, const float* touched, const float* window, float threshold,
                   int adaptive) {
    ::filter_groups(result, planes, channels, height, width, members, groups, touched, window, threshold, adaptive);
}

void shrink_groups(float* result, const float* plane, const float* pilot, int64_t height, int64_t width,
                   const int32_t* members, int64_t groups, const float* levels, const float* table, int64_t reach,
                   const float* window, float threshold, float excess) {
    const Shrinkage shrinkage{plane, pilot, width, members, levels, table, reach, window, threshold, excess};
    ::shrink_groups(result, height, shrinkage, groups);
}
void bend_least(float* picture, const float* free, int64_t channels, int64_t height, int64_t width, int64_t steps,
                float tension, int own) {
    ::bend_least(picture, free, channels, height, width, steps, tension, own);
}

// The number of threads when the calling thread runs a kernel.
void use_threads(int64_t count) { omp_set_num_threads(int(count)); }

// Throws in every share: for the test that an exception reaches Python.
void fail(int64_t shares) {
    parallel(shares, [](int64_t, int64_t) { throw std::runtime_error("failed on purpose"); });
}

#undef SOURCE
#undef GIVEN_SOURCE
#undef TARGET
#undef GIVEN_TARGET

// The table
// ------------------------------------------------------------------------------------------------------------

struct Entry {
    const char* name;
    const char* types;  // one letter per argument
    void (*function)();
};

template <typename A>
constexpr char letter() {
    using P = std::remove_const_t<std::remove_pointer_t<A>>;
    if (std::is_pointer_v<A>)
        return std::is_same_v<P, bfloat16>  ? 'H'
               : std::is_same_v<P, float>   ? 'F'
               : std::is_same_v<P, double>  ? 'D'
               : std::is_same_v<P, int32_t> ? 'I'
                                            : '?';
    return std::is_same_v<A, int64_t> ? 'n' : std::is_same_v<A, float> ? 'f' : std::is_same_v<A, int> ? 'i' : '?';
}

inline thread_local std::string failure;

// Calls a function; 1 if it throws, and then "failure" says why.
template <auto FUNCTION, typename... A>
int guarded(A... arguments) {
    try {
        FUNCTION(arguments...);
        return 0;
    } catch (const std::exception& error) { failure = error.what(); } catch (...) {
        failure = "an unknown exception";
    }
    return 1;
}

template <typename... A>
constexpr char TYPES[] = {letter<A>()..., 0};

template <auto FUNCTION, typename... A>
Entry entry(const char* name, void (*)(A...)) {
    return {name, TYPES<A...>, reinterpret_cast<void (*)()>(&guarded<FUNCTION, A...>)};
}

#define ENTRY(name) entry<&name>(#name, &name)
#define BOTH(name) \
    entry<&name<bfloat16>>(#name "_bfloat16", &name<bfloat16>), entry<&name<float>>(#name "_float32", &name<float>)

inline const Entry* table() {
    static const Entry entries[] = {ENTRY(normalise),
                                    ENTRY(normalise_back),
                                    ENTRY(normalise_concatenation_back),
                                    ENTRY(winograd_weights_back),
                                    ENTRY(similar_blocks),
                                    ENTRY(filter_groups),
                                    ENTRY(shrink_groups),
                                    ENTRY(bend_least),
                                    ENTRY(use_threads),
                                    ENTRY(fail),
                                    BOTH(try_product),
                                    BOTH(pointwise_forward),
                                    BOTH(pointwise_backward),
                                    BOTH(winograd_forward),
                                    BOTH(winograd_backward),
                                    BOTH(winograd_gather),
                                    BOTH(winograd_weights),
                                    BOTH(im2col_forward),
                                    BOTH(im2col_backward),
                                    BOTH(im2col_gather),
                                    BOTH(narrow_im2col_forward),
                                    BOTH(narrow_im2col_backward),
                                    BOTH(narrow_im2col_gather),
                                    BOTH(upsampled_forward),
                                    BOTH(upsampled_backward),
                                    BOTH(statistics),
                                    BOTH(upsampled_statistics),
                                    BOTH(concatenation_back),
                                    BOTH(head_forward),
                                    BOTH(head_backward),
                                    BOTH(perturb),
                                    {nullptr, nullptr, nullptr}};
    return entries;
}

#undef ENTRY
#undef BOTH

}  // namespace boundary
