// The lesson: the sum of two matrices, as CUDA kernels. A thread goes through the numbers in steps of the whole grid:
// any grid is right for any size, and a small one does for a large matrix.
#pragma once

#include "../common.h"

#include <torch/headeronly/core/TensorAccessor.h>

namespace {

// Neighbours in memory: neighbouring threads read neighbouring numbers.
template <class T>
__global__ void add_span(const T* RESTRICT x, const T* RESTRICT y, T* RESTRICT sum, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;  // more than 32 bits, for matrices of more than 2^31 numbers
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) sum[i] = x[i] + y[i];
}

// Carries sizes and strides along to the GPU.
template <class T>
using Packed = torch::headeronly::HeaderOnlyGenericPackedTensorAccessor<T, 2>;

// Any strides, such as those of a transposed matrix: by row (y) and column (x).
template <class T>
__global__ void add_rows(const Packed<const T> x, const Packed<const T> y, Packed<T> sum) {
  const int64_t down = int64_t{gridDim.y} * blockDim.y, across = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; i < sum.size(0); i += down) {
    for (int64_t j = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; j < sum.size(1); j += across) {
      sum[i][j] = x[i][j] + y[i][j];
    }
  }
}
}  // namespace
