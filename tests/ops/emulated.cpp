// The CUDA kernels for the CPU, as C functions. Each returns whether all threads of a block reached the same barriers.
#include "emulator.h"

#include "../../ops/csrc/cuda/add_matrix.cuh"
#include "../../ops/csrc/cuda/ssim.cuh"

namespace {

// The grid is smaller than the matrix, so that the kernels loop.
template <class T>
bool add(const void* x, const void* y, void* sum, const int64_t* sizes, const int64_t* strides) {
  const T *px = static_cast<const T*>(x), *py = static_cast<const T*>(y);
  T* out = static_cast<T*>(sum);
  if (!strides) return emulator::launch(add_span<T>, 2, 32, px, py, out, sizes[0] * sizes[1]);
  const Packed<const T> mx(px, sizes, strides), my(py, sizes, strides + 2);
  return emulator::launch(add_rows<T>, dim3(2, 2), dim3(4, 2), mx, my, Packed<T>(out, sizes, strides + 4));
}

// The grid of ssim.cu, but with two planes at a time.
template <class Tile>
dim3 grid_for(int64_t rows, int64_t columns) {
  const int64_t across = (columns + Tile::kColumns - 1) / Tile::kColumns, down = (rows + Tile::kRows - 1) / Tile::kRows;
  return dim3(static_cast<unsigned>(across * down), 1, 2);
}

template <int kSize, class T>
bool forward(const Settings<T>& settings, const Pictures<T>& in, T* map, T* saved) {
  using Tile = Tile<kSize, 4, T>;
  const auto kernel = saved ? forward_tiles<kSize, true, T> : forward_tiles<kSize, false, T>;
  return emulator::launch(kernel, grid_for<Tile>(in.rows, in.columns), Tile::kThreads, settings, in, map, saved);
}

template <int kSize, class T>
bool backward(
    const Settings<T>& settings, const Pictures<T>& in, const Gradient<T>& grad, const T* saved, T* by_x, T* by_y) {
  using Tile = Tile<kSize, 2, T>;
  return emulator::launch(backward_tiles<kSize, T>, grid_for<Tile>(in.height, in.width), Tile::kThreads, settings, in,
                          grad, saved, by_x, by_y);
}

template <class T>
Pictures<T> pictures_of(const T* x, const T* y, const int64_t* shape, int64_t size) {
  const int height = static_cast<int>(shape[2]), width = static_cast<int>(shape[3]), reach = static_cast<int>(size) - 1;
  return {x, y, shape[0] * shape[1], height, width, height - reach, width - reach};
}
}  // namespace

#define FOR_MATRIX(NAME, T)                                                                                            \
  extern "C" bool add_matrix_##NAME(                                                                                   \
      const void* x, const void* y, void* sum, const int64_t* sizes, const int64_t* strides) {                         \
    return add<T>(x, y, sum, sizes, strides);                                                                          \
  }
FOR_MATRIX(float32, float)
FOR_MATRIX(float64, double)
FOR_MATRIX(float16, torch::headeronly::Half)
FOR_MATRIX(bfloat16, torch::headeronly::BFloat16)

#define FOR_PICTURES(NAME, T)                                                                                          \
  extern "C" bool ssim_##NAME(                                                                                         \
      const T* x, const T* y, T* map, T* saved, const int64_t* shape, int64_t size, double sigma, double c1,           \
      double c2) {                                                                                                     \
    const Settings<T> settings(size, sigma, c1, c2);                                                                   \
    const Pictures<T> in = pictures_of(x, y, shape, size);                                                             \
    return size == kUsual ? forward<kUsual>(settings, in, map, saved) : forward<0>(settings, in, map, saved);          \
  }                                                                                                                    \
  extern "C" bool ssim_backward_##NAME(                                                                                \
      const T* grad, const int64_t* strides, const T* x, const T* y, const T* saved, T* by_x, T* by_y,                 \
      const int64_t* shape, int64_t size, double sigma, double c1, double c2) {                                        \
    const Settings<T> settings(size, sigma, c1, c2);                                                                   \
    const Pictures<T> in = pictures_of(x, y, shape, size);                                                             \
    const Gradient<T> given{grad, shape[1], strides[0], strides[1], strides[2], strides[3]};                           \
    return size == kUsual ? backward<kUsual>(settings, in, given, saved, by_x, by_y)                                   \
                          : backward<0>(settings, in, given, saved, by_x, by_y);                                       \
  }
FOR_PICTURES(float32, float)
FOR_PICTURES(float64, double)
