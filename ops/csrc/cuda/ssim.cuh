// SSIM on CUDA. Each block computes a tile of the result: it loads the pixels that the windows of the tile cover into
// shared memory, blurs them horizontally into shared memory and then vertically into registers, and applies the
// formulas of ssim.h.
#pragma once

#include "../ssim.h"

namespace {

// Tile of kColumns x kRows of a block, in shared memory. kSize is the size of the window, or 0 if only `Settings` has
// it; kBlurred is the number of maps to blur.
template <int kSize, int kBlurred, class T>
struct Tile {
  static constexpr int kColumns = kSize ? 32 : 64 / sizeof(T), kRows = kSize ? 16 : kColumns;  // fits into 48 KB
  static constexpr int kStrip = kSize ? 4 : 1;  // elements per thread; their windows overlap, so loads are shared
  static constexpr int kThreads = kColumns * kRows / kStrip;
  static constexpr int kReach = (kSize ? kSize : kLargest) - 1;

  // Rows have odd lengths, so that a column of different rows lies in different banks.
  T given[2][kRows + kReach][(kColumns + kReach) | 1];
  T across[kBlurred][kRows + kReach][kColumns | 1];

  static __device__ __forceinline__ int size(const Settings<T>& settings) { return kSize ? kSize : settings.size; }
  static __device__ __forceinline__ int column() { return threadIdx.x % kColumns; }       // of the strip of a thread
  static __device__ __forceinline__ int top() { return threadIdx.x / kColumns * kStrip; }  // first row of the strip

  // Calls `work(row, column)` for each element of `given` that the windows cover.
  template <class Work>
  static __device__ __forceinline__ void for_given(const Settings<T>& settings, const Work& work) {
    const int high = kRows + size(settings) - 1, wide = kColumns + size(settings) - 1;
#pragma unroll 2  // the compiler would unroll more, which costs registers and thus occupancy
    for (int i = threadIdx.x; i < high * wide; i += kThreads) work(i / wide, i % wide);
  }

  // Blurs the two maps horizontally, and their squares if kBlurred is 4.
  __device__ __forceinline__ void blur_across(const Settings<T>& settings) {
    const int high = kRows + size(settings) - 1;
    for (int i = threadIdx.x; i < high * (kColumns / kStrip); i += kThreads) {
      const int row = i % high, left = i / high * kStrip;
      T sum[kBlurred][kStrip] = {};
#pragma unroll
      for (int k = 0; k < size(settings); ++k) {
#pragma unroll
        for (int j = 0; j < kStrip; ++j) {
          const T one = given[0][row][left + k + j], two = given[1][row][left + k + j], weight = settings.window[k];
          sum[0][j] += weight * one, sum[1][j] += weight * two;
          if constexpr (kBlurred == 4) sum[2][j] += weight * (one * one), sum[3][j] += weight * (two * two);
        }
      }
#pragma unroll
      for (int map = 0; map < kBlurred; ++map) {
#pragma unroll
        for (int j = 0; j < kStrip; ++j) across[map][row][left + j] = sum[map][j];
      }
    }
  }

  // Blurs the result of blur_across vertically, for the strip of this thread.
  __device__ __forceinline__ void blur_down(const Settings<T>& settings, T (&sum)[kBlurred][kStrip]) const {
#pragma unroll
    for (int map = 0; map < kBlurred; ++map) {
#pragma unroll
      for (int j = 0; j < kStrip; ++j) sum[map][j] = 0;
#pragma unroll
      for (int k = 0; k < size(settings); ++k) {
#pragma unroll
        for (int j = 0; j < kStrip; ++j) sum[map][j] += settings.window[k] * across[map][top() + k + j][column()];
      }
    }
  }
};

// Contiguous pictures (planes, height, width); their maps are (planes, rows, columns).
template <class T>
struct Pictures {
  const T *x, *y;
  int64_t planes;
  int height, width, rows, columns;  // 32 bits save registers; only memory offsets need 64
};

// One thread computes the centre for its block, since the pixels are scattered over the plane.
template <class T>
__device__ __forceinline__ Centre<T> centre_of(const Pictures<T>& in, int64_t plane) {
  __shared__ T shared[2];
  if (threadIdx.x == 0) {
    const int64_t start = plane * in.height * in.width;
    const Centre<T> centre(in.x + start, in.y + start, in.height, in.width);
    shared[0] = centre.x, shared[1] = centre.y;
  }
  __syncthreads();
  return {shared[0], shared[1]};
}

// blockIdx.x is the tile within a plane, row by row; blockIdx.z is the first plane of a grid-stride loop. `saved` is
// (4, planes, rows, columns).
//
// There is a barrier after each step except the last: the next plane starts by writing to other shared memory.
template <int kSize, bool kSave, class T>
__global__ void __launch_bounds__(Tile<kSize, 4, T>::kThreads)
    forward_tiles(const Settings<T> settings, const Pictures<T> in, T* RESTRICT map, T* RESTRICT saved) {
  using Tile = Tile<kSize, 4, T>;
  __shared__ Tile tile;
  const int tiles = (in.columns + Tile::kColumns - 1) / Tile::kColumns;
  const int first = blockIdx.x / tiles * Tile::kRows, left = blockIdx.x % tiles * Tile::kColumns;
  for (int64_t plane = blockIdx.z; plane < in.planes; plane += gridDim.z) {
    const Centre<T> centre = centre_of(in, plane);
    Tile::for_given(settings, [&](int row, int column) {
      const int64_t offset = (plane * in.height + first + row) * in.width + left + column;
      const bool inside = first + row < in.height && left + column < in.width;  // else no window covers the pixel
      const T cx = inside ? in.x[offset] - centre.x : 0, cy = inside ? in.y[offset] - centre.y : 0;
      tile.given[0][row][column] = cx + cy, tile.given[1][row][column] = cx - cy;
    });
    __syncthreads();
    tile.blur_across(settings);
    __syncthreads();
    T blurred[4][Tile::kStrip];
    tile.blur_down(settings, blurred);
#pragma unroll
    for (int j = 0; j < Tile::kStrip; ++j) {
      const int row = first + Tile::top() + j, column = left + Tile::column();
      if (row >= in.rows || column >= in.columns) continue;
      const int64_t offset = (plane * in.rows + row) * in.columns + column, step = in.planes * in.rows * in.columns;
      const Similarity<T> similarity(
          blurred[0][j], blurred[1][j], blurred[2][j], blurred[3][j], centre, settings.c1, settings.c2);
      if constexpr (kSave) {
        T ps, pd, rs, rd;
        map[offset] = similarity.derivatives(ps, pd, rs, rd);
        saved[offset] = ps, saved[offset + step] = pd, saved[offset + 2 * step] = rs, saved[offset + 3 * step] = rd;
      } else {
        map[offset] = similarity.value();
      }
    }
  }
}

// Gradient of the map (batch, channels, rows, columns), with any strides (0 if it is expanded).
template <class T>
struct Gradient {
  const T* data;
  int64_t channels, batch_step, channel_step, row_step, column_step;

  __device__ __forceinline__ const T* of_plane(int64_t plane) const {
    return data + plane / channels * batch_step + plane % channels * channel_step;
  }
};

// Blocks as above, for tiles of the pictures. The gradient of a pixel sums over all windows that cover it, which start
// to its left and above; outside the map it is zero. The maps are blurred two at a time, those of s and those of d:
// four at once would need twice the shared memory. `by_x` or `by_y` may be null.
template <int kSize, class T>
__global__ void __launch_bounds__(Tile<kSize, 2, T>::kThreads) backward_tiles(
    const Settings<T> settings, const Pictures<T> in, const Gradient<T> grad, const T* RESTRICT saved, T* RESTRICT by_x,
    T* RESTRICT by_y) {
  using Tile = Tile<kSize, 2, T>;
  __shared__ Tile tile;
  const int tiles = (in.width + Tile::kColumns - 1) / Tile::kColumns, reach = Tile::size(settings) - 1;
  const int64_t step = in.planes * in.rows * in.columns;
  const int first = blockIdx.x / tiles * Tile::kRows, left = blockIdx.x % tiles * Tile::kColumns;
  for (int64_t plane = blockIdx.z; plane < in.planes; plane += gridDim.z) {
    const Centre<T> centre = centre_of(in, plane);
    const T *by_map = grad.of_plane(plane), *kept = saved + plane * in.rows * in.columns;
    T by[2][Tile::kStrip];  // s and d
#pragma unroll
    for (int of = 0; of < 2; ++of) {
      const T *p = kept + of * step, *r = p + 2 * step;
      Tile::for_given(settings, [&](int i, int j) {
        const int row = first + i - reach, column = left + j - reach;
        const int64_t offset = int64_t{row} * in.columns + column;
        const bool inside = 0 <= row && row < in.rows && 0 <= column && column < in.columns;
        const T g = inside ? by_map[row * grad.row_step + column * grad.column_step] : 0;
        tile.given[0][i][j] = inside ? g * p[offset] : 0;
        tile.given[1][i][j] = inside ? g * r[offset] : 0;
      });
      __syncthreads();
      tile.blur_across(settings);
      __syncthreads();
      T blurred[2][Tile::kStrip];
      tile.blur_down(settings, blurred);
#pragma unroll
      for (int j = 0; j < Tile::kStrip; ++j) {
        const int row = first + Tile::top() + j, column = left + Tile::column();
        if (row >= in.height || column >= in.width) continue;
        const int64_t offset = (plane * in.height + row) * in.width + column;
        const T cx = in.x[offset] - centre.x, cy = in.y[offset] - centre.y;
        by[of][j] = blurred[1][j] + 2 * (of == 0 ? cx + cy : cx - cy) * blurred[0][j];
        if (of == 1 && by_x) by_x[offset] = by[0][j] + by[1][j];
        if (of == 1 && by_y) by_y[offset] = by[0][j] - by[1][j];
      }
    }
  }
}
}  // namespace
