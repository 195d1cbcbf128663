// The convolutions of a fit's iteration on a processor: matrix products and the passes over memory around them. The
// algorithms are described in backend/cpu/; this is how they run. Apart from these, there are groups of similar blocks
// (groups.h) and smooth surfaces (surface.h).
//
// A tensor is a map of C channels per pixel, row by row (NHWC), with C a multiple of 16. The type T of its values is
// bfloat16 or float; all arithmetic is float. A map is stored as a convolution computed it, before its normalisation.
// Its reader applies, channel by channel,
//
//     a = leaky_relu(s1 y + t1),   v = s2 a + t2        ("norm": s1, t1, s2, t2, C floats each; s2 and t2 only for a
//                                                        map that is part of a concatenation)
//
// so normalisation and activation need no pass of their own. Likewise for gradients: a gradient is stored as that of
// s1 y + t1, dz, and its reader completes it to the gradient of y,
//
//     dy = k1 dz + k2 y + k3                            ("lazy": k1, k2, k3)
//
// whose coefficients contain what batch normalisation needs of the sums over all pixels.
//
// Work is divided into shares. A thread processes a share in chunks that stay in its own cache: to the rows of a
// matrix, the product, and back. The number of shares does not depend on that of threads, and sums are added share by
// share in a fixed order, so the same step gives the same bits with any number of threads.

#include "boundary.h"

#ifndef UNTAUGHT_VERSION
#define UNTAUGHT_VERSION "unknown"
#endif

extern "C" {

const boundary::Entry* untaught_table() { return boundary::table(); }

// What the last failed call of this thread has thrown.
const char* untaught_failure() { return boundary::failure.c_str(); }

// The hash of the sources that this library was compiled from: see build.py.
const char* untaught_version() { return UNTAUGHT_VERSION; }

// The addresses of torch's matrix products: see torch_products.py.
void untaught_set_products(void* product_of_bfloat16, void* product_of_float32, void* when_done) {
    product16 = Product16(product_of_bfloat16);
    product32 = Product32(product_of_float32);
    release = Release(when_done);
}
}
