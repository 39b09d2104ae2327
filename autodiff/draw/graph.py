"""The graph behind a loss, to be looked at: in a notebook, as a file, as DOT source."""

from __future__ import annotations

import os
import re
import sys
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from autodiff.draw.dot import digraph, layout_effort
from autodiff.draw.markup import plain
from autodiff.draw.model import Model, OpNode, build
from autodiff.draw.render import FORMATS, RenderError, render
from autodiff.tensor import Tensor

if TYPE_CHECKING:
    from graphviz import Digraph

_SOURCES = (".dot", ".gv")
# Beyond this the layout takes seconds, and soon minutes.
_MOST_EFFORT = 3000


def graph(loss: Tensor, *, max_nodes: int = 200) -> Graph:
    """Take a picture of the graph behind `loss`.

    The values and gradients are those of this moment: what an optimizer does to them later does not show.

    Parameters
    ----------
    loss : Tensor
        Where the picture ends; any Tensor will do.
    max_nodes : int
        A graph of more tensors and ops than this is drawn in part, those nearest to the loss, and the picture says so.
        A smaller graph is too where its layout would take long: one parameter used in a hundred places.

    Raises
    ------
    TypeError
        `loss` is not a Tensor.
    ValueError
        The graph was freed by ``backward(free_graph=True)``.
    """
    model = build(loss, max_nodes)
    while layout_effort(model) > _MOST_EFFORT and len(model.nodes) > 6:
        model = build(loss, len(model.nodes) // 2)
    return Graph(model)


def draw(loss: Tensor) -> Digraph:
    """Draw the graph behind `loss` as a `graphviz.Digraph`; `graph` also renders it, without a `dot` program."""
    return graph(loss).digraph()


class Graph:
    """A picture of a computation, from which backprop can be read. Made by `graph`.

    Attributes
    ----------
    model : autodiff.draw.model.Model
        What the picture says, as plain records.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def digraph(self) -> Digraph:
        """Return the picture as a new `graphviz.Digraph`, to be changed at will."""
        return digraph(self.model)

    @cached_property
    def dot(self) -> str:
        """The picture as DOT source."""
        return str(self.digraph().source)

    def svg(self) -> str:
        """Return the picture as SVG, from ``<svg`` on.

        Raises
        ------
        RenderError
            No Graphviz could draw it.
        """
        return self._svg

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file.

        Parameters
        ----------
        path : str or path
            The suffix says what is written: ``.svg``, ``.png``, ``.pdf``, or ``.dot`` and ``.gv`` for the source.

        Returns
        -------
        Path
            What was written. When no Graphviz could draw the picture, that is its DOT source beside `path`, and a line
            on stderr says how to see it.

        Raises
        ------
        ValueError
            Another suffix.
        OSError
            The file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in _SOURCES:
            return _write(path, self.dot.encode("utf-8"))
        if suffix[1:] not in FORMATS:
            possible = ", ".join([f".{name}" for name in FORMATS] + list(_SOURCES))
            raise ValueError(f"cannot tell a format from {path.name!r}: end the name with one of {possible}")
        try:
            picture = self.svg().encode("utf-8") if suffix == ".svg" else render(self.dot, suffix[1:])
        except RenderError as error:
            source = _write(path.with_suffix(".dot"), self.dot.encode("utf-8"))
            print(
                f"{path} was not drawn, {error}; saved {source}: see it with `dot -T{suffix[1:]} {source} -o {path}`",
                file=sys.stderr,
            )
            return source
        return _write(path, picture)

    def __repr__(self) -> str:
        model = self.model
        return f"<Graph of {model.tensor_count} tensors and {model.op_count} ops: .save('graph.svg') to see it>"

    def _repr_svg_(self) -> str | None:
        """Show the picture in a notebook, or else a line that says why there is none; never an exception."""
        try:
            return self.svg()
        except Exception as error:
            return _notice(f"{self!r} could not be drawn:", str(error))

    @cached_property
    def _svg(self) -> str:
        text = render(self.dot, "svg").decode("utf-8")
        # The header before it names a Graphviz version and a document type on the network; a page needs neither.
        return _with_titles(text[text.index("<svg") :], self.model)


def _with_titles(svg: str, model: Model) -> str:
    """Put what a person calls a node in the place of its id, for the mouse pointer and for screen readers."""
    titles = {"nablagraph": "computation graph"}
    for node in model.nodes.values():
        shape = "" if isinstance(node, OpNode) else f"{node.kind} {node.value.shape}"
        titles[node.id] = f"{plain(node.name or '', 80)} {shape}".strip()

    def title(match: re.Match[str]) -> str:
        ends = match[1].replace("&#45;", "-").replace("&gt;", ">").split("->")
        named = " → ".join(titles.get(end.split(":")[0], "") for end in ends)
        return f"<title>{escape(named)}</title>"

    return re.sub(r"<title>([^<]*)</title>", title, svg)


def _notice(*lines: str) -> str:
    """Return a small SVG of some lines of text."""
    shown = [plain(line, 110) for line in lines]
    width, height = 20 + 8 * max(map(len, shown)), 20 + 20 * len(shown)
    texts = "".join(f'<text x="10" y="{24 + 20 * i}">{escape(line)}</text>' for i, line in enumerate(shown))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="monospace" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>{texts}</svg>'
    )


def _write(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all: under another name first."""
    unfinished = path.with_name(f".{uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
