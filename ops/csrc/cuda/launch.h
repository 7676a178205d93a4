// Includes for launching kernels; must be included first.
#pragma once

#ifndef USE_CUDA
#define USE_CUDA  // shim.h declares the current stream only with it
#endif
#include "../common.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/headeronly/util/shim_utils.h>

// Returns the current stream of torch. On another stream, a kernel might run before its inputs are written.
inline cudaStream_t stream_of(const Tensor& x) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}
