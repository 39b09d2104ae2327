"""The second backend: a plan as machine code, made by Numba."""
