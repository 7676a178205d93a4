// Launches the kernels of add_matrix.cuh.
#include "launch.h"

#include "add_matrix.cuh"

#include <torch/headeronly/core/Dispatch_v2.h>

#include <algorithm>

namespace {

constexpr int kThreads = 256;       // per block
constexpr int64_t kBlocks = 65535;  // maximum; the kernels loop over the rest

unsigned blocks_for(int64_t count, int64_t threads) {
  return static_cast<unsigned>(std::min((count + threads - 1) / threads, kBlocks));
}

template <class T>
void add(const Tensor& x, const Tensor& y, Tensor& sum) {
  const T *px = x.const_data_ptr<T>(), *py = y.const_data_ptr<T>();
  T* out = sum.mutable_data_ptr<T>();
  if (x.is_contiguous() && y.is_contiguous()) {
    add_span<T><<<blocks_for(sum.numel(), kThreads), kThreads, 0, stream_of(x)>>>(px, py, out, sum.numel());
  } else {
    const Packed<const T> mx(px, x.sizes().data(), x.strides().data()), my(py, y.sizes().data(), y.strides().data());
    const Packed<T> mout(out, sum.sizes().data(), sum.strides().data());
    const dim3 block(32, kThreads / 32), grid(blocks_for(sum.size(1), block.x), blocks_for(sum.size(0), block.y));
    add_rows<T><<<grid, block, 0, stream_of(x)>>>(mx, my, mout);
  }
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, "add_matrix: ", cudaGetErrorString(error));
}

Tensor add_matrix(const Tensor& x, const Tensor& y) {
  STD_TORCH_CHECK(x.dim() == 2 && y.dim() == 2, "add_matrix: x and y must be matrices");
  STD_TORCH_CHECK(x.size(0) == y.size(0) && x.size(1) == y.size(1), "add_matrix: x and y must have the same shape");
  STD_TORCH_CHECK(x.scalar_type() == y.scalar_type(), "add_matrix: x and y must have the same dtype");
  STD_TORCH_CHECK(x.device() == y.device(), "add_matrix: x and y must be on the same device");
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  Tensor sum = torch::stable::new_empty(x, {x.size(0), x.size(1)});
  if (sum.numel() == 0) return sum;  // an empty grid is an error in CUDA
  THO_DISPATCH_V2(x.scalar_type(), "add_matrix", AT_WRAP([&] { add<scalar_t>(x, y, sum); }),
                  AT_EXPAND(AT_FLOATING_TYPES), ScalarType::Half, ScalarType::BFloat16);
  return sum;
}
}  // namespace

STABLE_TORCH_LIBRARY_IMPL(OPS_NS, CUDA, m) {
  m.impl("add_matrix", TORCH_BOX(&add_matrix));
}
