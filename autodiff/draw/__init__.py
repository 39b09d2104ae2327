"""Pictures of the graph: ``loss.graph()`` to look at and save, ``autodiff.draw(loss)`` for a `graphviz.Digraph`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from autodiff.draw.graph import Graph, draw, graph
from autodiff.draw.render import RenderError
from autodiff.tensor import Tensor

if TYPE_CHECKING:
    from graphviz import Digraph

__all__ = ["Graph", "RenderError", "draw", "graph"]


class _Draw(ModuleType):
    """A package that can be called: ``autodiff.draw`` is also its function."""

    def __call__(self, loss: Tensor) -> Digraph:
        return draw(loss)


sys.modules[__name__].__class__ = _Draw
Tensor.graph = graph  # type: ignore[method-assign, assignment]
