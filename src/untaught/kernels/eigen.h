// Eigenvalues and eigenvectors of sixteen symmetric matrices side by side, one in each lane.
//
// Householder's reduction to a tridiagonal matrix, then implicit QL steps (Bowdler, Martin, Reinsch and Wilkinson,
// 1968, "The QR and QL algorithms for symmetric matrices"). All lanes take the same steps; a lane that needs none is
// turned by nothing.

#pragma once

#include "noise.h"

namespace {

inline Vector absolute(Vector x) { return (Vector)((Integers)x & 0x7fffffff); }
inline Vector with_sign(Vector size, Vector sign) {
    return (Vector)(((Integers)size & 0x7fffffff) | ((Integers)sign & int32_t(0x80000000u)));
}
inline bool any(Integers condition) {
    int32_t found = 0;
    for (int k = 0; k < LANES; ++k) found |= condition[k];
    return found != 0;
}

// Of a, (N, N), the lower triangle is read, and all is overwritten by the eigenvectors, one a row; "values" are in no
// order.
template <int N>
struct Eigen {
    Vector (*a)[N];
    Vector values[N], beside[N];  // the diagonal, and the one beside it

    explicit Eigen(Vector (*matrix)[N]) : a(matrix) {
        reduce();
        for (int l = 0; l < N; ++l)
            for (int turn = 0; turn < 30 && step(l); ++turn) {}
    }

private:
    // a becomes the transposed transform to the tridiagonal matrix.
    void reduce() {
        Vector v[N], w[N], scale[N], trace{};
        for (int i = 0; i < N; ++i) trace += a[i][i];
        // A column of rounding errors is as good as none.
        const Vector negligible = 1e-14f * trace * trace + 1e-30f;
        for (int k = 0; k + 1 < N; ++k) {
            Vector square{}, product{};
            for (int i = k + 1; i < N; ++i) square += a[i][k] * a[i][k];
            const Vector first = a[k + 1][k], length = root(square), alpha = -with_sign(length, first);
            for (int i = k + 1; i < N; ++i) v[i] = a[i][k];
            v[k + 1] = first - alpha;
            // v v = 2 length (length + |first|)
            const Vector half = length * (length + absolute(first));
            scale[k] = choose(half > negligible, 1 / half, Vector{});
            values[k] = a[k][k];
            beside[k] = choose(half > negligible, alpha, Vector{});
            for (int i = k + 1; i < N; ++i) w[i] = a[i][i] * v[i];
            for (int i = k + 2; i < N; ++i) {
                Vector sum{};
                for (int j = k + 1; j < i; ++j) {
                    sum += a[i][j] * v[j];
                    w[j] += a[i][j] * v[i];
                }
                w[i] += sum;
            }
            for (int i = k + 1; i < N; ++i) product += v[i] * w[i];
            const Vector share = 0.5f * scale[k] * (scale[k] * product);  // the square may overflow
            for (int i = k + 1; i < N; ++i) w[i] = scale[k] * w[i] - share * v[i];
            for (int i = k + 1; i < N; ++i)
                for (int j = k + 1; j <= i; ++j) a[i][j] -= v[i] * w[j] + w[i] * v[j];
            for (int i = k + 1; i < N; ++i) a[k][i] = v[i];  // kept above the diagonal
        }
        values[N - 1] = a[N - 1][N - 1];
        beside[N - 1] = Vector{};
        for (int i = 0; i < N; ++i) a[N - 1][i] = Vector{};
        a[N - 1][N - 1] = Vector{} + 1;
        for (int k = N - 2; k >= 0; --k) {
            // Rows and columns from k + 1 on hold the transform so far.
            for (int i = k + 1; i < N; ++i) v[i] = a[k][i];
            for (int i = k + 1; i < N; ++i) {
                Vector sum{};
                for (int j = k + 1; j < N; ++j) sum += a[i][j] * v[j];
                sum *= scale[k];
                for (int j = k + 1; j < N; ++j) a[i][j] -= sum * v[j];
            }
            for (int i = 0; i < N; ++i) a[k][i] = Vector{};
            a[k][k] = Vector{} + 1;
            for (int i = k + 1; i < N; ++i) a[i][k] = Vector{};
        }
    }

    // One QL step for the eigenvalue l; false if it has been found in each lane.
    bool step(int l) {
        Integers end{};
        Vector last = values[N - 1];
        end += N - 1;
        for (int i = N - 2; i >= l; --i) {
            const Vector size = absolute(values[i]) + absolute(values[i + 1]);
            const Integers small = absolute(beside[i]) <= 1e-7f * size;
            end = (small & i) | (~small & end);
            last = choose(small, values[i], last);
        }
        const Integers active = end > l;
        if (!any(active)) return false;
        int most = l;
        for (int k = 0; k < LANES; ++k) most = end[k] > most ? end[k] : most;
        const Vector one = Vector{} + 1, side = choose(active, beside[l], one);
        const Vector ratio = (values[l + 1] - values[l]) / (2 * side);
        Vector g = last - values[l] + side / (ratio + with_sign(root(ratio * ratio + 1), ratio));
        Vector s = one, c = one, p{}, cosine[N], sine_[N];
        for (int i = most - 1; i >= l; --i) {
            const Integers on = end > i;  // and then active
            const Vector f = s * beside[i], b = c * beside[i], r = root(f * f + g * g);
            const Integers some = r > 1e-30f;
            const Vector next_s = choose(some, f / r, Vector{}), next_c = choose(some, g / r, one);
            const Vector below = values[i + 1] - p;
            const Vector q = (values[i] - below) * next_s + 2 * next_c * b, next_p = next_s * q;
            // Beside the last row of a lane's part there is nothing.
            beside[i + 1] = choose(on, choose(end > i + 1, r, Vector{}), beside[i + 1]);
            values[i + 1] = choose(on, below + next_p, values[i + 1]);
            g = choose(on, next_c * q - b, g);
            s = choose(on, next_s, s);
            c = choose(on, next_c, c);
            p = choose(on, next_p, p);
            sine_[i] = choose(on, next_s, Vector{});
            cosine[i] = choose(on, next_c, one);
        }
        values[l] = choose(active, values[l] - p, values[l]);
        beside[l] = choose(active, g, beside[l]);
        constexpr int AT_ONCE = 4;
        for (int k = 0; k < N; k += AT_ONCE) {
            Vector carried[AT_ONCE];
            for (int t = 0; t < AT_ONCE; ++t) carried[t] = a[most][k + t];
            for (int i = most - 1; i >= l; --i) {
                const Vector sine = sine_[i], own = cosine[i];
                for (int t = 0; t < AT_ONCE; ++t) {
                    const Vector other = a[i][k + t];
                    a[i + 1][k + t] = sine * other + own * carried[t];
                    carried[t] = own * other - sine * carried[t];
                }
            }
            for (int t = 0; t < AT_ONCE; ++t) a[l][k + t] = carried[t];
        }
        return true;
    }
};

}  // namespace
