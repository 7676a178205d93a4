"""Operations in C++ and CUDA, each as a function and as a module.

The kernels are built at the first call; without a compiler, a reference of torch operations is used.
"""

from ._build import build, load
from ._registry import DECOMPOSITIONS
from .add_matrix import AddMatrix, add_matrix
from .ssim import SSIM, ssim

__all__ = ["DECOMPOSITIONS", "SSIM", "AddMatrix", "add_matrix", "build", "load", "ssim"]
