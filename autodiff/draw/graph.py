"""The graph behind a loss, to be looked at: in a notebook, as a file, as text, as DOT or Mermaid source."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiff.draw.markup import plain
from autodiff.draw.render import FORMATS, RenderError, render
from autodiff.draw.written import write
from autodiff.tensor import Tensor

# What draws is imported by the first picture: most programs that import autodiff draw none.
if TYPE_CHECKING:
    from graphviz import Digraph

    from autodiff.draw.model import Model

#: What `save` writes by itself, by suffix; `FORMATS` need Graphviz.
_OWN = (".svg", ".html", ".txt", ".mmd", ".dot", ".gv")
_RANKDIRS = ("auto", "LR", "TB")


def graph(
    loss: Tensor,
    *,
    level: str = "layer",
    depth: int | None = None,
    values: str | None = "stats",
    grads: bool = True,
    fold: bool | str | None = "auto",
    max_nodes: int = 200,
    rankdir: str = "auto",
    names: Mapping[str, Any] | None = None,
) -> Graph:
    """Take a picture of the graph behind `loss`.

    The values and gradients are those of this moment: what an optimizer does to them later does not show. Where
    ``backward()`` has run, the backward pass is done once more to measure what flows along each edge; no ``.grad`` and
    no hook is touched.

    Parameters
    ----------
    loss : Tensor
        Where the picture ends; any Tensor will do.
    level : {"layer", "op"}
        Whether the ops of a layer without layers inside are one box, or each has its own.
    depth : int, optional
        Layers nested deeper than inside so many others are one box each; 0 draws the outermost layers only.
    values : {"stats", "full", None}
        Ranges, and up to 4 numbers in full; up to 25 numbers in full; or no values.
    grads : bool
        Whether to show gradients and what ops multiply them by.
    fold : {"auto", True, False}
        Whether blocks that repeat are drawn once, with how many there are: always, never, or in pictures of more than
        60 nodes.
    max_nodes : int
        Above this many nodes the level rises until the picture fits; last, what is farthest from the loss is one box.
    rankdir : {"auto", "LR", "TB"}
        In lines as on a page; in one line from left to right; from top to bottom.
    names : mapping, optional
        Names for what has none: ``names=locals()``. Tensors, arrays, and lists and dicts of them are named; parameters
        in it, also those of modules, that the loss does not reach are reported.

    Raises
    ------
    TypeError
        `loss` is not a Tensor, or `names` is no mapping.
    ValueError
        The graph was freed by ``backward(free_graph=True)``; or an argument is not one of its values.
    """
    from autodiff.draw.build import build

    if rankdir not in _RANKDIRS:
        raise ValueError(f'rankdir must be "auto", "LR" or "TB", got {rankdir!r}')
    model = build(
        loss, level=level, depth=depth, values=values, grads=grads, fold=fold, max_nodes=max_nodes, names=names
    )
    return Graph(model, rankdir)


def draw(loss: Tensor) -> Digraph:
    """Draw the graph behind `loss` as a `graphviz.Digraph`; `graph` draws it without a `dot` program."""
    return graph(loss).digraph()


class Graph:
    """A picture of a computation, from which backprop can be read. Made by `graph`.

    Attributes
    ----------
    model : autodiff.draw.model.Model
        What the picture says, as plain records.
    rankdir : str
    """

    def __init__(self, model: Model, rankdir: str = "auto") -> None:
        self.model = model
        self.rankdir = rankdir

    def svg(self) -> str:
        """Return the picture as SVG, from ``<svg`` on; it needs no Graphviz."""
        return self._svg

    def text(self) -> str:
        """Return every number and word of the picture as text, in reading order."""
        from autodiff.draw.forms.words import words

        return words(self.model)

    @cached_property
    def mermaid(self) -> str:
        """The picture as a Mermaid flowchart, for a code block that begins with ```` ```mermaid ````."""
        from autodiff.draw.forms.mermaid import mermaid

        return mermaid(self.model)

    def digraph(self) -> Digraph:
        """Return the picture as a new `graphviz.Digraph`, to be changed at will."""
        from autodiff.draw.forms.dot import digraph

        return digraph(self.model, "LR" if self.rankdir == "LR" else "TB")

    @cached_property
    def dot(self) -> str:
        """The picture as DOT source."""
        return str(self.digraph().source)

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture as a page on which to play the backward pass and look into every array.

        One file, which loads nothing: open it in a browser, send it, keep it. Lines of code are named where the graph
        was computed under `autodiff.record_sources`.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from autodiff.draw.page.document import graph_page

        return write(Path(path), graph_page(self.model, self.rankdir))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file.

        Parameters
        ----------
        path : str or path
            The suffix says what is written: ``.svg``, ``.html`` (see `html`), ``.txt``, ``.mmd`` (Mermaid), ``.dot``
            and ``.gv``, or by Graphviz ``.png`` and ``.pdf``.

        Returns
        -------
        Path
            What was written. When Graphviz was needed and could not draw, that is an SVG beside `path`, and a line on
            stderr says so.

        Raises
        ------
        ValueError
            Another suffix.
        OSError
            The file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in (".dot", ".gv"):
            return write(path, self.dot)
        if suffix == ".svg":
            return write(path, self.svg())
        if suffix in (".html", ".htm"):
            return self.html(path)
        if suffix == ".txt":
            return write(path, self.text())
        if suffix == ".mmd":
            return write(path, self.mermaid)
        if suffix[1:] not in FORMATS:
            possible = ", ".join([*_OWN, *(f".{name}" for name in FORMATS)])
            raise ValueError(f"cannot tell a format from {path.name!r}: end the name with one of {possible}")
        try:
            return write(path, render(self.dot, suffix[1:]))
        except RenderError as error:
            instead = write(path.with_suffix(".svg"), self.svg())
            print(f"{path} was not drawn, {error}; saved {instead} instead, which needs none", file=sys.stderr)
            return instead

    def __repr__(self) -> str:
        model = self.model
        return f"<Graph of {model.tensor_count} tensors and {model.op_count} ops: .save('graph.svg') to see it>"

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """Show the picture in a notebook, as SVG and as text; or a line that says why there is none."""
        try:
            bundle = {"image/svg+xml": self.svg(), "text/plain": self.text()}
        except Exception as error:  # a repr that raises takes the whole cell's output with it
            said = f"{self!r} could not be drawn: {plain(error, 200)}"
            bundle = {"image/svg+xml": _notice(said), "text/plain": said}
        return {
            kind: content
            for kind, content in bundle.items()
            if (include is None or kind in include) and (exclude is None or kind not in exclude)
        }

    @cached_property
    def _svg(self) -> str:
        from autodiff.draw.picture.svg import svg

        return svg(self.model, self.rankdir)


def _notice(line: str) -> str:
    """Return a small SVG of one line of text."""
    from html import escape

    shown = plain(line, 160)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{20 + 8 * len(shown)}" height="40" font-family="monospace" '
        'font-size="13"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="24">{escape(shown)}</text></svg>'
    )
