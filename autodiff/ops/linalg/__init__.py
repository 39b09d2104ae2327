"""Products and linear algebra."""

from autodiff.ops.linalg import (
    convolution,
    decompositions,
    einsum,
    fourier,
    matmul,
    norms,
    polynomials,
    products,
    qr,
    solving,
)

__all__ = [
    "convolution",
    "decompositions",
    "einsum",
    "fourier",
    "matmul",
    "norms",
    "polynomials",
    "products",
    "qr",
    "solving",
]
