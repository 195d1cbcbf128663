// The functions that Python calls, for one type T whose functions are called NAME(...). Sizes of chunks are such that a
// few of their buffers fit a core's own cache.

#define SOURCE \
    const T *y, int64_t height, int64_t width, int64_t channels, const float *norm, float slope, int second, int padding
#define GIVEN_SOURCE {y, height, width, channels, norm, slope, second, padding}
#define TARGET T *target, const T *dz, const float *lazy, int64_t outputs
#define GIVEN_TARGET {target, dz, lazy, outputs}

// Whether this processor and this torch multiply values of this type at all: elsewhere an exception would end the
// process.
void NAME(multiplies)(int32_t* answer) {
    std::vector<T> a(256), b(256);
    std::vector<float> c(256);
    try {
        multiply(16, 16, 16, a.data(), b.data(), 16, c.data(), 16, false);
        release(std::is_same<T, bfloat16>::value);
        *answer = 1;
    } catch (...) { *answer = 0; }
}
void NAME(point_forward)(SOURCE, TARGET, const T* matrix, double* sums) {
    Point<T> form{GIVEN_SOURCE, GIVEN_TARGET, nullptr, nullptr, 0, height * width, 1, channels, outputs};
    forward<T>(form, matrix, 256, sums, outputs);
}
void NAME(point_backward)(SOURCE, TARGET, const T* matrix, float* total, T* dx, const T* extra, int early,
                          double* sums) {
    Point<T> form{GIVEN_SOURCE, GIVEN_TARGET, dx, extra, early, height * width, 1, channels, outputs};
    backward<T>(form, matrix, total, 512, norm, early ? nullptr : sums, channels);
}
void NAME(tiles_forward)(SOURCE, TARGET, const T* matrix, double* sums) {
    Tiles<T> form{GIVEN_SOURCE, GIVEN_TARGET, nullptr, height * width / 4, 16, channels, outputs};
    forward<T>(form, matrix, 64, sums, outputs);
}
void NAME(tiles_backward)(SOURCE, TARGET, const T* matrix, float* total, T* kept) {
    Tiles<T> form{GIVEN_SOURCE, GIVEN_TARGET, kept, height * width / 4, 16, channels, outputs};
    backward<T>(form, matrix, total, 256, norm, nullptr, channels);
}
void NAME(tiles_gather)(SOURCE, const T* kept, T* dx, const T* extra, double* sums) {
    const Source<T> source GIVEN_SOURCE;
    FOR_JOIN(second, (tiles_gather<T, JOIN>(dx, kept, extra, source, sums)));
}
void NAME(tiles_weights)(T* u, const float* w, int64_t out, int64_t in, int64_t w_in, int64_t out_padded,
                         int64_t in_padded) {
    winograd_weights<T>(u, w, out, in, w_in, out_padded, in_padded);
}
void NAME(columns_forward)(SOURCE, TARGET, const T* matrix, int64_t stride, double* sums) {
    Columns<T> form{
        GIVEN_SOURCE, GIVEN_TARGET, nullptr, stride, ((height - 1) / stride + 1) * ((width - 1) / stride + 1), 1,
        9 * channels, outputs};
    forward<T>(form, matrix, 128, sums, outputs);
}
void NAME(columns_backward)(SOURCE, TARGET, const T* matrix, int64_t stride, float* total, T* kept) {
    Columns<T> form{
        GIVEN_SOURCE, GIVEN_TARGET, kept, stride, ((height - 1) / stride + 1) * ((width - 1) / stride + 1), 1,
        9 * channels, outputs};
    backward<T>(form, matrix, total, 256, norm, nullptr, channels);
}
void NAME(columns_gather)(SOURCE, int64_t stride, const T* kept, T* dx, const T* extra, double* sums) {
    const Source<T> source GIVEN_SOURCE;
    FOR_JOIN(second, (columns_gather<T, JOIN>(dx, kept, extra, source, stride, sums)));
}
void NAME(narrow_forward)(SOURCE, TARGET, const T* matrix, int64_t few, int64_t length, double* sums) {
    Narrow<T> form{GIVEN_SOURCE, GIVEN_TARGET, nullptr, few, height * width, 1, length, outputs};
    forward<T>(form, matrix, 256, sums, outputs);
}
void NAME(narrow_backward)(SOURCE, TARGET, const T* matrix, int64_t few, int64_t length, float* total, T* kept) {
    Narrow<T> form{GIVEN_SOURCE, GIVEN_TARGET, kept, few, height * width, 1, length, outputs};
    backward<T>(form, matrix, total, 512, norm, nullptr, channels);
}
void NAME(narrow_gather)(SOURCE, int64_t few, int64_t length, const T* kept, T* dx, double* sums) {
    narrow_gather<T>(dx, kept, GIVEN_SOURCE, few, length, sums);
}
void NAME(upsampled_forward)(SOURCE, TARGET, const T* matrix, const int32_t* rs, const int32_t* rl, const int32_t* rt,
                             const float* rw, const int32_t* cs, const int32_t* cl, const int32_t* ct, const float* cw,
                             int add, double* sums) {
    upsampled_forward<T>(GIVEN_SOURCE, GIVEN_TARGET, matrix, {rs, rl, rt, rw}, {cs, cl, ct, cw}, add, sums);
}
void NAME(upsampled_backward)(SOURCE, TARGET, const T* matrix, const int32_t* rs, const int32_t* rl, const float* rw,
                              const int32_t* cs, const int32_t* cl, const float* cw, float* total, T* dx,
                              double* sums) {
    Upsampled<T> form{{GIVEN_SOURCE, GIVEN_TARGET, dx, nullptr, 0, height * width, 1, channels, 9 * outputs},
                      {rs, rl, rw},
                      {cs, cl, cw}};
    backward<T>(form, matrix, total, 256, norm, sums, channels);
}
void NAME(statistics)(SOURCE, double* sums) { statistics<T>(GIVEN_SOURCE, sums); }
void NAME(gram)(SOURCE, T* q, int64_t reach, const float* rt, const float* ct, const float* rw, const float* cw,
                double* sums) {
    gram<T>(q, GIVEN_SOURCE, reach, rt, ct, rw, cw, sums);
}
void NAME(join_back)(SOURCE, T* g, const T* q, const float* c1, const float* c2, const float* rw, const float* cw,
                     double* sums) {
    join_back<T>(g, q, GIVEN_SOURCE, c1, c2, rw, cw, sums);
}
void NAME(head_forward)(SOURCE, float* out, const float* weight, const float* bias, int64_t outputs) {
    head_forward<T>(out, GIVEN_SOURCE, weight, bias, outputs);
}
void NAME(head_backward)(SOURCE, T* dx, float* total, const float* change, const float* weight, int64_t outputs,
                         double* sums) {
    head_backward<T>(dx, total, change, GIVEN_SOURCE, weight, outputs, sums);
}
void NAME(perturb)(T* out, float* base, int64_t count, float deviation, int64_t key, int walk) {
    perturb<T>(out, base, count, deviation, uint64_t(key), walk);
}

#undef SOURCE
#undef GIVEN_SOURCE
#undef TARGET
#undef GIVEN_TARGET
