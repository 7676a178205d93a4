// Includes and macros shared by the operations.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The function is compiled for several instruction sets; the loader selects the best one for this processor.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_ALL_PROCESSORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_ALL_PROCESSORS
#endif
// Functions called by such a function must be inlined to be compiled for the same instruction sets.
#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))
#define RESTRICT __restrict__
#else
#define INLINE inline
#define INLINE_LAMBDA
#define RESTRICT __restrict
#endif
// For functions called on the CPU and by CUDA kernels.
#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HOST_DEVICE INLINE
#endif
