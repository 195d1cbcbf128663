// A step's convolutions on a processor: matrix products, and the passes over memory around them. See networks/forms.py
// for the mathematics; this file is how it runs.
//
// Tensors are pictures of C channels a pixel, row by row (NHWC), C a multiple of 16; the type T of their values is
// bfloat16 or float, and all arithmetic is float. A picture is kept as a convolution left it, before its normalisation.
// Whoever reads it applies, channel by channel,
//
//     a = leaky_relu(s1 y + t1),   v = s2 a + t2        ("norm": s1, t1, s2, t2, C floats each; s2 and t2 only at a
//     join)
//
// so that normalisation and activation cost no pass of their own. The same on the way back: a gradient is kept as that
// of s1 y + t1, dz, and its reader completes it to that of y,
//
//     dy = k1 dz + k2 y + k3                            ("lazy": k1, k2, k3)
//
// whose coefficients hold what batch normalisation takes from the sums over all pixels.
//
// Work is cut into shares, as many as there are threads in general, and a thread works on a share in chunks that stay
// in its own cache: into the form that is multiplied, the product, out of it again. Sums are added up share by share in
// a fixed order, so that the same step gives the same bits, also where fewer threads take all shares.

#include "columns.h"
#include "head.h"
#include "join.h"
#include "noise.h"
#include "point.h"
#include "tiles.h"
#include "upsampled.h"

namespace {

constexpr double EPSILON = 1e-5;

}  // namespace

extern "C" {

// From sums over n pixels: scale and shift of the normalisation, its mean and its reciprocal standard deviation.
void untaught_normalise(const double* sums, int64_t n, int64_t channels, int64_t used, const float* gamma,
                        const float* beta, float* scale, float* shift, double* kept) {
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

void untaught_set_products(void* product_of_bfloat16, void* product_of_float32, void* when_done) {
    product16 = Product16(product_of_bfloat16);
    product32 = Product32(product_of_float32);
    release = Release(when_done);
}

// How many shares work is cut into, and how many threads take them when the calling thread runs a kernel.
void untaught_set_shares(int64_t count) { most_shares = count; }
void untaught_use_threads(int64_t count) { omp_set_num_threads(int(count)); }

void untaught_tiles_weights_back(float* dw, const float* du, int64_t out, int64_t in, int64_t w_in, int64_t out_padded,
                                 int64_t in_padded) {
    winograd_weights_back(dw, du, out, in, w_in, out_padded, in_padded);
}

#define T bfloat16
#define NAME(function) untaught_##function##_bfloat16
#include "exports.h"
#undef T
#undef NAME

#define T float
#define NAME(function) untaught_##function##_float32
#include "exports.h"

}  // extern "C"
