// SSIM on the CPU. Each plane is processed row by row, kWidth columns at a time: a row of the four maps is blurred
// horizontally and stored in a ring buffer with as many rows as the window; then the rows of the buffer are blurred
// vertically.
#include "../ssim.h"

#include <torch/headeronly/core/Dispatch_v2.h>

#include <algorithm>
#include <tuple>

namespace {

constexpr int kWidth = 128;  // columns at a time: a constant, so that loops have no remainder

template <class T>
using Row = T[kMaps][kWidth + kLargest];

// Ring buffer of the horizontally blurred rows of the four maps that one window covers.
template <int kSize, class T>
struct Ring {
  const Settings<T>& settings;
  T rows[kSize ? kSize : kLargest][kMaps][kWidth];

  INLINE int size() const { return kSize ? kSize : settings.size; }

  // Blurs a row horizontally and stores it in place of the row that the window leaves.
  INLINE void push(int64_t number, const Row<T>& row) {
    auto& kept = rows[number % size()];
    for (int map = 0; map < kMaps; ++map) {
      for (int i = 0; i < kWidth; ++i) {
        T sum = 0;
#pragma GCC unroll 33
        for (int k = 0; k < size(); ++k) sum += settings.window[k] * row[map][i + k];
        kept[map][i] = sum;
      }
    }
  }

  // Blurs the rows of the window vertically; the last row is `number`. The sum runs in memory order: the result does
  // not depend on the first row of a strip.
  INLINE void blur(int64_t number, T (&blurred)[kMaps][kWidth]) const {
    const T* weights = settings.window + size() - 1 - number % size();
    for (int map = 0; map < kMaps; ++map) {
      for (int i = 0; i < kWidth; ++i) {
        T sum = 0;
#pragma GCC unroll 33
        for (int k = 0; k < size(); ++k) sum += weights[k] * rows[k][map][i];
        blurred[map][i] = sum;
      }
    }
  }
};

// Two planes (height, width) of pictures; their maps are (rows, columns).
template <class T>
struct Pictures {
  const T *x, *y;
  int64_t height, width, rows, columns;
  Centre<T> centre;
};

template <int kSize, class T>
INLINE void forward_rows(
    const Settings<T>& settings, const Pictures<T>& in, int64_t first, int64_t last, T* map, T* const* saved) {
  Ring<kSize, T> ring{settings, {}};
  const int reach = ring.size() - 1;
  const Centre<T> centre = in.centre;  // copies: the stores in the loops cannot alias them
  const T c1 = settings.c1, c2 = settings.c2;
  Row<T> row = {};
  T blurred[kMaps][kWidth];
  for (int64_t left = 0; left < in.columns; left += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, in.columns - left);
    for (int64_t number = first; number < last + reach; ++number) {
      const T* RESTRICT x = in.x + number * in.width + left;
      const T* RESTRICT y = in.y + number * in.width + left;
      for (int64_t i = 0; i < count + reach; ++i) {
        const T cx = x[i] - centre.x, cy = y[i] - centre.y, s = cx + cy, d = cx - cy;
        row[0][i] = s, row[1][i] = d, row[2][i] = s * s, row[3][i] = d * d;
      }
      ring.push(number, row);
      if (number < first + reach) continue;
      ring.blur(number, blurred);
      const int64_t offset = (number - reach) * in.columns + left;
      T* RESTRICT out = map + offset;
      const auto at = [&blurred, centre, c1, c2](int64_t i) INLINE_LAMBDA {
        return Similarity<T>(blurred[0][i], blurred[1][i], blurred[2][i], blurred[3][i], centre, c1, c2);
      };
      if (saved) {
        T *RESTRICT ps = saved[0] + offset, *RESTRICT pd = saved[1] + offset;
        T *RESTRICT rs = saved[2] + offset, *RESTRICT rd = saved[3] + offset;
        for (int64_t i = 0; i < count; ++i) out[i] = at(i).derivatives(ps[i], pd[i], rs[i], rd[i]);
      } else {
        for (int64_t i = 0; i < count; ++i) out[i] = at(i).value();
      }
    }
  }
}

template <int kSize, class T>
INLINE void backward_rows(
    const Settings<T>& settings, const Pictures<T>& in, int64_t first, int64_t last, const T* grad, int64_t grad_step,
    const T* const* saved, T* grad_x, T* grad_y) {
  Ring<kSize, T> ring{settings, {}};
  const int reach = ring.size() - 1;
  const Centre<T> centre = in.centre;
  T blurred[kMaps][kWidth];
  for (int64_t left = 0; left < in.width; left += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, in.width - left);
    // The columns of the maps to which these columns of the pictures contributed; outside of them, the maps are zero.
    const int64_t begin = std::max<int64_t>(0, left - reach), end = std::min(in.columns, left + count);
    const int64_t shift = begin - (left - reach);
    Row<T> row = {}, zeros = {};
    for (int64_t number = first - reach; number < last; ++number) {
      const bool inside = 0 <= number && number < in.rows;
      if (inside) {
        const int64_t offset = number * in.columns + begin;
        const T* RESTRICT g = grad + offset * grad_step;
        const T one = *g;
        for (int map = 0; map < kMaps; ++map) {
          const T* RESTRICT from = saved[map] + offset;
          T* RESTRICT to = row[map] + shift;
          if (grad_step) {
            for (int64_t i = 0; i < end - begin; ++i) to[i] = g[i] * from[i];
          } else {
            for (int64_t i = 0; i < end - begin; ++i) to[i] = one * from[i];
          }
        }
      }
      ring.push(number + reach, inside ? row : zeros);
      if (number < first) continue;
      ring.blur(number + reach, blurred);
      const int64_t offset = number * in.width + left;
      const T *RESTRICT x = in.x + offset, *RESTRICT y = in.y + offset;
      const auto write = [&blurred, centre, x, y, count](T* RESTRICT to, T sign) INLINE_LAMBDA {
        for (int64_t i = 0; i < count; ++i) {
          const T cx = x[i] - centre.x, cy = y[i] - centre.y;
          to[i] = blurred[2][i] + 2 * (cx + cy) * blurred[0][i] + sign * (blurred[3][i] + 2 * (cx - cy) * blurred[1][i]);
        }
      };
      if (grad_x) write(grad_x + offset, 1);
      if (grad_y) write(grad_y + offset, -1);
    }
  }
}

#define FOR_TYPE(T)                                                                                                    \
  FOR_ALL_PROCESSORS void forward_strip(                                                                               \
      const Settings<T>& settings, const Pictures<T>& in, int64_t first, int64_t last, T* map, T* const* saved) {      \
    if (settings.size == kUsual) forward_rows<kUsual>(settings, in, first, last, map, saved);                          \
    else forward_rows<0>(settings, in, first, last, map, saved);                                                       \
  }                                                                                                                    \
  FOR_ALL_PROCESSORS void backward_strip(                                                                              \
      const Settings<T>& settings, const Pictures<T>& in, int64_t first, int64_t last, const T* grad, int64_t step,    \
      const T* const* saved, T* grad_x, T* grad_y) {                                                                   \
    if (settings.size == kUsual) backward_rows<kUsual>(settings, in, first, last, grad, step, saved, grad_x, grad_y);  \
    else backward_rows<0>(settings, in, first, last, grad, step, saved, grad_x, grad_y);                               \
  }
FOR_TYPE(float)
FOR_TYPE(double)

// Calls `work(plane, first row, last row)` in parallel for each plane, or for strips of planes if there are few.
template <class Work>
void for_strips(int64_t planes, int64_t rows, const Work& work) {
  if (planes == 0) return;
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t strips = planes >= threads ? 1 : std::min((rows + 63) / 64, (threads + planes - 1) / planes);
  torch::stable::parallel_for(0, planes * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      work(i / strips, i % strips * rows / strips, (i % strips + 1) * rows / strips);
    }
  });
}

template <class T>
Pictures<T> plane_of(const Tensor& x, const Tensor& y, int64_t plane, int64_t size) {
  const int64_t height = x.size(2), width = x.size(3), start = plane * height * width;
  const T *px = x.const_data_ptr<T>() + start, *py = y.const_data_ptr<T>() + start;
  return {px, py, height, width, height - size + 1, width - size + 1, {px, py, height, width}};
}

template <class T>
void forward(const Tensor& x, const Tensor& y, const Settings<T>& settings, Tensor& map, Tensor& saved) {
  const int64_t planes = x.size(0) * x.size(1);
  T *out = map.mutable_data_ptr<T>(), *kept = saved.numel() ? saved.mutable_data_ptr<T>() : nullptr;
  for_strips(planes, map.size(2), [&](int64_t plane, int64_t first, int64_t last) {
    const auto in = plane_of<T>(x, y, plane, settings.size);
    T* maps[kMaps];
    for (int i = 0; kept && i < kMaps; ++i) maps[i] = kept + (i * planes + plane) * in.rows * in.columns;
    forward_strip(settings, in, first, last, out + plane * in.rows * in.columns, kept ? maps : nullptr);
  });
}

template <class T>
void backward(
    const Tensor& grad, int64_t step, const Tensor& x, const Tensor& y, const Tensor& saved,
    const Settings<T>& settings, Tensor& grad_x, Tensor& grad_y) {
  const int64_t planes = x.size(0) * x.size(1);
  const T *g = grad.const_data_ptr<T>(), *kept = saved.const_data_ptr<T>();
  T* gx = grad_x.numel() ? grad_x.mutable_data_ptr<T>() : nullptr;
  T* gy = grad_y.numel() ? grad_y.mutable_data_ptr<T>() : nullptr;
  for_strips(planes, x.size(2), [&](int64_t plane, int64_t first, int64_t last) {
    const auto in = plane_of<T>(x, y, plane, settings.size);
    const T* maps[kMaps];
    for (int i = 0; i < kMaps; ++i) maps[i] = kept + (i * planes + plane) * in.rows * in.columns;
    const int64_t start = plane * in.height * in.width;
    backward_strip(settings, in, first, last, g + plane * in.rows * in.columns * step, step, maps,
                   gx ? gx + start : nullptr, gy ? gy + start : nullptr);
  });
}

std::tuple<Tensor, Tensor> ssim(
    const Tensor& x_given, const Tensor& y_given, int64_t size, double sigma, double c1, double c2, int64_t save) {
  check(x_given, y_given, size, sigma);
  const Tensor x = torch::stable::contiguous(x_given), y = torch::stable::contiguous(y_given);
  const int64_t rows = x.size(2) - size + 1, columns = x.size(3) - size + 1;
  Tensor map = torch::stable::new_empty(x, {x.size(0), x.size(1), rows, columns});
  Tensor saved = torch::stable::new_empty(x, {save ? kMaps : 0, x.size(0), x.size(1), rows, columns});
  THO_DISPATCH_V2(x.scalar_type(), "ssim", AT_WRAP([&] {
    forward<scalar_t>(x, y, {size, sigma, c1, c2}, map, saved);
  }), AT_EXPAND(AT_FLOATING_TYPES));
  return {map, saved};
}

std::tuple<Tensor, Tensor> ssim_backward(
    const Tensor& grad_given, const Tensor& x_given, const Tensor& y_given, const Tensor& saved_given, int64_t size,
    double sigma, double c1, double c2, int64_t save) {
  check(x_given, y_given, size, sigma);
  check(x_given, grad_given, saved_given, size);
  const Tensor saved = torch::stable::contiguous(saved_given);
  const Tensor x = torch::stable::contiguous(x_given), y = torch::stable::contiguous(y_given);
  // The gradient of a mean is the same everywhere and is read once.
  bool constant = grad_given.numel() > 0;
  for (int i = 0; i < 4; ++i) constant = constant && (grad_given.stride(i) == 0 || grad_given.size(i) == 1);
  const Tensor grad = constant ? grad_given : torch::stable::contiguous(grad_given);
  const int64_t zero[] = {0};
  const torch::headeronly::IntHeaderOnlyArrayRef none(zero, 1);
  Tensor grad_x = torch::stable::new_empty(x, save & 1 ? x.sizes() : none);
  Tensor grad_y = torch::stable::new_empty(x, save & 2 ? x.sizes() : none);
  THO_DISPATCH_V2(x.scalar_type(), "ssim_backward", AT_WRAP([&] {
    backward<scalar_t>(grad, constant ? 0 : 1, x, y, saved, {size, sigma, c1, c2}, grad_x, grad_y);
  }), AT_EXPAND(AT_FLOATING_TYPES));
  return {grad_x, grad_y};
}
}  // namespace

STABLE_TORCH_LIBRARY_IMPL(OPS_NS, CPU, m) {
  m.impl("ssim", TORCH_BOX(&ssim));
  m.impl("ssim_backward", TORCH_BOX(&ssim_backward));
}
