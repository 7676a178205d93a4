// Sum of two matrices on CUDA: the example of kernels. Both use grid-stride loops, so any grid works for any size.
#pragma once

#include "../common.h"

#include <torch/headeronly/core/TensorAccessor.h>

namespace {

// Contiguous matrices: neighbouring threads read neighbouring elements.
template <class T>
__global__ void add_span(const T* RESTRICT x, const T* RESTRICT y, T* RESTRICT sum, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;  // more than 32 bits, for matrices of more than 2^31 numbers
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) sum[i] = x[i] + y[i];
}

// Accessor that copies sizes and strides to the GPU.
template <class T>
using Packed = torch::headeronly::HeaderOnlyGenericPackedTensorAccessor<T, 2>;

// Matrices with any strides, such as transposed ones: by row (y) and column (x).
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
