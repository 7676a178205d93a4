// Sum of two matrices on the CPU: the example of a kernel.
#include "../common.h"

#include <torch/headeronly/core/Dispatch_v2.h>
#include <torch/headeronly/core/TensorAccessor.h>

#include <algorithm>

namespace {

constexpr int64_t kGrain = 32768;  // smallest number of elements per thread

// Contiguous matrices: one loop, which the compiler vectorizes.
template <class T>
INLINE void add_span(const T* RESTRICT x, const T* RESTRICT y, T* RESTRICT sum, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) sum[i] = x[i] + y[i];
}
template <class T>
void add_contiguous(const T* x, const T* y, T* sum, int64_t begin, int64_t end) {
  add_span(x, y, sum, begin, end);
}
FOR_ALL_PROCESSORS void add_contiguous(const float* x, const float* y, float* sum, int64_t begin, int64_t end) {
  add_span(x, y, sum, begin, end);
}
FOR_ALL_PROCESSORS void add_contiguous(const double* x, const double* y, double* sum, int64_t begin, int64_t end) {
  add_span(x, y, sum, begin, end);
}

template <class T>
using Matrix = torch::headeronly::HeaderOnlyTensorAccessor<T, 2>;

// Matrices with any strides, such as transposed ones.
template <class T>
void add_rows(Matrix<const T> x, Matrix<const T> y, Matrix<T> sum, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = 0; j < sum.size(1); ++j) sum[i][j] = x[i][j] + y[i][j];
  }
}

template <class T>
void add(const Tensor& x, const Tensor& y, Tensor& sum) {
  const T *px = x.const_data_ptr<T>(), *py = y.const_data_ptr<T>();
  T* out = sum.mutable_data_ptr<T>();
  if (x.is_contiguous() && y.is_contiguous()) {
    torch::stable::parallel_for(
        0, sum.numel(), kGrain, [&](int64_t begin, int64_t end) { add_contiguous(px, py, out, begin, end); });
    return;
  }
  const Matrix<const T> mx(px, x.sizes().data(), x.strides().data()), my(py, y.sizes().data(), y.strides().data());
  const Matrix<T> mout(out, sum.sizes().data(), sum.strides().data());
  torch::stable::parallel_for(
      0, sum.size(0), std::max<int64_t>(1, kGrain / std::max<int64_t>(1, sum.size(1))),
      [&](int64_t begin, int64_t end) { add_rows(mx, my, mout, begin, end); });
}

Tensor add_matrix(const Tensor& x, const Tensor& y) {
  STD_TORCH_CHECK(x.dim() == 2 && y.dim() == 2, "add_matrix: x and y must be matrices");
  STD_TORCH_CHECK(x.size(0) == y.size(0) && x.size(1) == y.size(1), "add_matrix: x and y must have the same shape");
  STD_TORCH_CHECK(x.scalar_type() == y.scalar_type(), "add_matrix: x and y must have the same dtype");
  STD_TORCH_CHECK(x.device() == y.device(), "add_matrix: x and y must be on the same device");
  Tensor sum = torch::stable::new_empty(x, {x.size(0), x.size(1)});
  THO_DISPATCH_V2(x.scalar_type(), "add_matrix", AT_WRAP([&] { add<scalar_t>(x, y, sum); }),
                  AT_EXPAND(AT_FLOATING_TYPES), ScalarType::Half, ScalarType::BFloat16);
  return sum;
}
}  // namespace

STABLE_TORCH_LIBRARY_IMPL(OPS_NS, CPU, m) {
  m.impl("add_matrix", TORCH_BOX(&add_matrix));
}
