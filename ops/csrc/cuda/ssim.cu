// Launches the kernels of ssim.cuh.
#include "launch.h"

#include "ssim.cuh"

#include <torch/headeronly/core/Dispatch_v2.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace {

constexpr int64_t kPlanes = 65535;  // maximum of gridDim.z

// One block for each tile of each plane.
template <class Tile>
dim3 grid_for(int64_t planes, int64_t rows, int64_t columns) {
  const int64_t across = (columns + Tile::kColumns - 1) / Tile::kColumns, down = (rows + Tile::kRows - 1) / Tile::kRows;
  return dim3(static_cast<unsigned>(across * down), 1, static_cast<unsigned>(std::min(planes, kPlanes)));
}

void check_launch() {
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, "ssim: ", cudaGetErrorString(error));
}

template <class T>
Pictures<T> pictures_of(const Tensor& x, const Tensor& y, int size) {
  const int64_t most = std::numeric_limits<int>::max() - 2 * kLargest;
  STD_TORCH_CHECK(x.size(2) < most && x.size(3) < most, "ssim: the pictures are too large");
  const int height = static_cast<int>(x.size(2)), width = static_cast<int>(x.size(3));
  return {x.const_data_ptr<T>(), y.const_data_ptr<T>(), x.size(0) * x.size(1), height, width, height - size + 1,
          width - size + 1};
}

template <int kSize, class T>
void forward(const Tensor& x, const Tensor& y, const Settings<T>& settings, Tensor& map, Tensor& saved) {
  using Tile = Tile<kSize, 4, T>;
  const Pictures<T> in = pictures_of<T>(x, y, settings.size);
  const dim3 grid = grid_for<Tile>(in.planes, in.rows, in.columns);
  T* out = map.mutable_data_ptr<T>();
  if (saved.numel()) {
    T* kept = saved.mutable_data_ptr<T>();
    forward_tiles<kSize, true><<<grid, Tile::kThreads, 0, stream_of(x)>>>(settings, in, out, kept);
  } else {
    forward_tiles<kSize, false, T><<<grid, Tile::kThreads, 0, stream_of(x)>>>(settings, in, out, nullptr);
  }
  check_launch();
}

template <int kSize, class T>
void backward(
    const Tensor& grad, const Tensor& x, const Tensor& y, const Tensor& saved, const Settings<T>& settings,
    Tensor& grad_x, Tensor& grad_y) {
  using Tile = Tile<kSize, 2, T>;
  const Pictures<T> in = pictures_of<T>(x, y, settings.size);
  const Gradient<T> given{
      grad.const_data_ptr<T>(), grad.size(1), grad.stride(0), grad.stride(1), grad.stride(2), grad.stride(3)};
  const dim3 grid = grid_for<Tile>(in.planes, in.height, in.width);
  T* by_x = grad_x.numel() ? grad_x.mutable_data_ptr<T>() : nullptr;
  T* by_y = grad_y.numel() ? grad_y.mutable_data_ptr<T>() : nullptr;
  const T* kept = saved.const_data_ptr<T>();
  backward_tiles<kSize><<<grid, Tile::kThreads, 0, stream_of(x)>>>(settings, in, given, kept, by_x, by_y);
  check_launch();
}

std::tuple<Tensor, Tensor> ssim(
    const Tensor& x_given, const Tensor& y_given, int64_t size, double sigma, double c1, double c2, int64_t save) {
  check(x_given, y_given, size, sigma);
  const torch::stable::accelerator::DeviceGuard guard(x_given.get_device_index());
  const Tensor x = torch::stable::contiguous(x_given), y = torch::stable::contiguous(y_given);
  const int64_t rows = x.size(2) - size + 1, columns = x.size(3) - size + 1;
  Tensor map = torch::stable::new_empty(x, {x.size(0), x.size(1), rows, columns});
  Tensor saved = torch::stable::new_empty(x, {save ? kMaps : 0, x.size(0), x.size(1), rows, columns});
  if (map.numel() == 0) return {map, saved};  // an empty grid is an error in CUDA
  THO_DISPATCH_V2(x.scalar_type(), "ssim", AT_WRAP([&] {
    const Settings<scalar_t> settings(size, sigma, c1, c2);
    if (size == kUsual) forward<kUsual>(x, y, settings, map, saved);
    else forward<0>(x, y, settings, map, saved);
  }), AT_EXPAND(AT_FLOATING_TYPES));
  return {map, saved};
}

std::tuple<Tensor, Tensor> ssim_backward(
    const Tensor& grad, const Tensor& x_given, const Tensor& y_given, const Tensor& saved_given, int64_t size,
    double sigma, double c1, double c2, int64_t save) {
  check(x_given, y_given, size, sigma);
  check(x_given, grad, saved_given, size);
  const torch::stable::accelerator::DeviceGuard guard(x_given.get_device_index());
  const Tensor x = torch::stable::contiguous(x_given), y = torch::stable::contiguous(y_given);
  const Tensor saved = torch::stable::contiguous(saved_given);
  const int64_t zero[] = {0};
  const torch::headeronly::IntHeaderOnlyArrayRef none(zero, 1);
  Tensor grad_x = torch::stable::new_empty(x, save & 1 ? x.sizes() : none);
  Tensor grad_y = torch::stable::new_empty(x, save & 2 ? x.sizes() : none);
  if (grad_x.numel() + grad_y.numel() == 0) return {grad_x, grad_y};
  THO_DISPATCH_V2(x.scalar_type(), "ssim_backward", AT_WRAP([&] {
    const Settings<scalar_t> settings(size, sigma, c1, c2);
    if (size == kUsual) backward<kUsual>(grad, x, y, saved, settings, grad_x, grad_y);
    else backward<0>(grad, x, y, saved, settings, grad_x, grad_y);
  }), AT_EXPAND(AT_FLOATING_TYPES));
  return {grad_x, grad_y};
}
}  // namespace

STABLE_TORCH_LIBRARY_IMPL(OPS_NS, CUDA, m) {
  m.impl("ssim", TORCH_BOX(&ssim));
  m.impl("ssim_backward", TORCH_BOX(&ssim_backward));
}
