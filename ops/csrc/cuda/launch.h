// What all launches on a GPU need; to be included first.
#pragma once

#ifndef USE_CUDA
#define USE_CUDA  // without it, the header does not tell of the current stream
#endif
#include "../common.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

// Work is queued where torch queues its own for this device, or it could run too early.
inline cudaStream_t stream_of(const Tensor& x) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}
