"""Operations in C++ and CUDA: each a function, and a module around it."""

from ._build import build, load
from ._registry import DECOMPOSITIONS
from .add_matrix import AddMatrix, add_matrix
from .ssim import SSIM, ssim

__all__ = ["DECOMPOSITIONS", "SSIM", "AddMatrix", "add_matrix", "build", "load", "ssim"]
