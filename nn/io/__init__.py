"""Saving and loading: a nested state in one `.npz` file, written whole or not at all."""

from nn.io.state import load, save

__all__ = ["load", "save"]
