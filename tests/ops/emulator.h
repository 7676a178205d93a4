// Emulator of CUDA kernels on the CPU, for any C++ compiler. It runs block by block, with a fiber for each thread of a
// block, which yields at a barrier. It is meant to check results, not speed.
#pragma once

#include <ucontext.h>

#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // only one block runs at a time

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

constexpr size_t kStack = 1 << 16;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool ended = false;
};

inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline size_t current;
inline std::function<void()> work;

inline void run_thread() {
  work();
  fibers[current].ended = true;
}  // uc_link continues in the scheduler

// Runs each thread to its next barrier or its end; returns false if only some have ended, which would hang a GPU. The
// order of threads alternates: a missing barrier may show in only one of the two orders.
inline bool advance(bool backwards) {
  size_t ended = 0;
  for (size_t i = 0; i < fibers.size(); ++i) {
    current = backwards ? fibers.size() - 1 - i : i;
    const unsigned number = static_cast<unsigned>(current);
    threadIdx = dim3(number % blockDim.x, number / blockDim.x % blockDim.y, number / blockDim.x / blockDim.y);
    swapcontext(&scheduler, &fibers[current].context);
    ended += fibers[current].ended;
  }
  return ended == 0 || ended == fibers.size();
}

inline bool run_block() {
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = &scheduler;
    fiber.ended = false;
    makecontext(&fiber.context, run_thread, 0);
  }
  for (bool backwards = true; !fibers[0].ended; backwards = !backwards) {
    if (!advance(backwards)) return false;
  }
  return true;
}

// Runs `kernel<<<grid, block>>>(arguments...)`; returns false if the threads of a block did not meet at a barrier.
template <class... Parameters, class... Arguments>
bool launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, const Arguments&... arguments) {
  gridDim = grid, blockDim = block;
  fibers = std::vector<Fiber>(size_t{block.x} * block.y * block.z);
  work = [&] { kernel(arguments...); };
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z) {
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
        if (!run_block()) return false;
      }
    }
  }
  return true;
}
}  // namespace emulator

// Returns when all threads of the block have reached it.
inline void __syncthreads() {
  using namespace emulator;
  swapcontext(&fibers[current].context, &scheduler);
}
