// Formulas of SSIM (Wang et al. 2004) for a window of two pictures x and y, for the CPU and for CUDA.
//
// With s = x + y, d = x - y and a blur G: ms = G s, md = G d, vs = G s^2 - ms^2, vd = G d^2 - md^2. With s and d, four
// blurs suffice instead of five, and no precision is lost if x is close to y. Also for precision, an estimate of the
// mean, `Centre`, is subtracted from the pictures before the blur and added to the means after it.
#pragma once

#include "common.h"

#include <cmath>

constexpr int kMaps = 4;      // s, d, s^2, d^2; also the number of saved maps
constexpr int kUsual = 11;    // size of the window for which loops are unrolled
constexpr int kLargest = 33;  // largest size of the window

template <class T>
struct Settings {
  int size;
  T c1, c2, window[2 * kLargest];  // the window, repeated: it can be read from any index

  Settings(int64_t given, double sigma, double c1, double c2)
      : size(static_cast<int>(given)), c1(static_cast<T>(c1)), c2(static_cast<T>(c2)) {
    const auto weight = [&](int i) { return std::exp(-0.5 * (i - size / 2) * (i - size / 2) / (sigma * sigma)); };
    double sum = 0;
    for (int i = 0; i < size; ++i) sum += weight(i);
    for (int i = 0; i < 2 * size; ++i) window[i] = static_cast<T>(weight(i % size) / sum);
  }
};

// Estimate of the mean of a plane from sixteen fixed pixels, the same in forward and backward.
template <class T>
struct Centre {
  T x, y;

  HOST_DEVICE Centre(T x, T y) : x(x), y(y) {}
  HOST_DEVICE Centre(const T* px, const T* py, int64_t height, int64_t width) : x(0), y(0) {
    for (int i = 1; i < 8; i += 2) {
      for (int j = 1; j < 8; j += 2) {
        const int64_t offset = height * i / 8 * width + width * j / 8;
        x += px[offset] / 16, y += py[offset] / 16;
      }
    }
  }
};

// SSIM of a window, given the blurred s, d, s^2 and d^2 of centred pictures.
template <class T>
struct Similarity {
  T s, d, ms, md, a1, b1, a2, b2;

  HOST_DEVICE Similarity(T s, T d, T s2, T d2, const Centre<T>& centre, T c1, T c2)
      : s(s), d(d), ms(s + (centre.x + centre.y)), md(d + (centre.x - centre.y)) {
    const T ms2 = ms * ms, md2 = md * md, vs = s2 - s * s, vd = d2 - d * d;
    a1 = (ms2 - md2) / 2 + c1, b1 = (ms2 + md2) / 2 + c1;
    a2 = (vs - vd) / 2 + c2, b2 = (vs + vd) / 2 + c2;
  }

  HOST_DEVICE T value() const { return a1 * a2 / (b1 * b2); }

  // Derivatives by G s^2, G d^2, G s and G d. The gradient by s is G rs + 2 s G ps, and that by d is G rd + 2 d G pd.
  HOST_DEVICE T derivatives(T& ps, T& pd, T& rs, T& rd) const {
    const T inverse = 1 / (b1 * b2), value = a1 * a2 * inverse;
    const T u = a1 * inverse, v = value * b1 * inverse, w = value * b2 * inverse, z = a2 * inverse;
    ps = (u - v) / 2, pd = -(u + v) / 2;
    rs = ms * (z - w) - s * (u - v), rd = d * (u + v) - md * (z + w);
    return value;
  }
};

inline void check(const Tensor& x, const Tensor& y, int64_t size, double sigma) {
  STD_TORCH_CHECK(x.dim() == 4 && y.dim() == 4, "ssim: x and y must have four dimensions");
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(x.size(i) == y.size(i), "ssim: x and y must have the same shape");
  STD_TORCH_CHECK(x.scalar_type() == y.scalar_type(), "ssim: x and y must have the same dtype");
  STD_TORCH_CHECK(x.device() == y.device(), "ssim: x and y must be on the same device");
  STD_TORCH_CHECK(size % 2 == 1 && 0 < size && size <= kLargest && sigma > 0, "ssim: wrong size or sigma of window");
  STD_TORCH_CHECK(size <= x.size(2) && size <= x.size(3), "ssim: the window is larger than the pictures");
}

// Checks the further arguments of `ssim_backward`.
inline void check(const Tensor& x, const Tensor& grad, const Tensor& saved, int64_t size) {
  STD_TORCH_CHECK(grad.dim() == 4 && saved.dim() == 5 && saved.size(0) == kMaps, "ssim: wrong shape of grad or saved");
  for (int i = 0; i < 4; ++i) {
    const int64_t length = i < 2 ? x.size(i) : x.size(i) - size + 1;
    STD_TORCH_CHECK(grad.size(i) == length && saved.size(i + 1) == length, "ssim: wrong shape of grad or saved");
  }
  STD_TORCH_CHECK(grad.scalar_type() == x.scalar_type() && saved.scalar_type() == x.scalar_type(), "ssim: wrong dtype");
  STD_TORCH_CHECK(grad.device() == x.device() && saved.device() == x.device(), "ssim: wrong device of grad or saved");
}
