"""The bare command: XOR, learnt by the network of the question that everybody asks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.draw import Graph, graph
from autodiff.state import no_grad
from autodiff.tensor import Tensor
from nn.command import plots
from nn.command.output import output_directory, writing
from nn.layers import MLP
from nn.losses import BCELoss
from nn.metrics import accuracy
from nn.optim import SGD
from nn.train import evaluate, fit
from nn.train.history import History

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])
#: How far from its target a probability may be to count as learnt.
_NEAR = 0.1
#: Of how many moments of the training the page is made, about.
_PICTURES = 100


def run(options: argparse.Namespace) -> None:
    """Train, print the truth table and the loss before and after, and write the files."""
    with output_directory(options.out) as directory:
        model = MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=options.seed)
        loss = BCELoss()
        print(f"XOR with a 2-5-5-1 sigmoid network, binary cross entropy, seed {options.seed}, lr {options.lr:g}")
        before = evaluate(model, loss, X, Y)["loss"]
        first_step = _first_step(model, loss)
        optimizer = SGD(model.parameters(), lr=options.lr)
        history = fit(
            model,
            loss,
            optimizer,
            X,
            Y,
            epochs=options.epochs,
            metrics={"accuracy": accuracy},
            record=max(1, options.epochs // _PICTURES) if options.html else None,
        )
        after = evaluate(model, loss, X, Y)["loss"]
        _report(model, before, after, history)
        written, missing = _write(directory, first_step, history, model)
        width = max(len(str(path)) for path, _ in written)
        print("\nwrote")
        for path, what in written:
            print(f"  {path!s:<{width}}  {what}")
        for sentence in missing:
            print(sentence)


def _first_step(model: MLP, loss: BCELoss) -> Graph:
    """Take the picture of the first step, whose gradients are not yet next to nothing."""
    value = loss(model(Tensor(X, name="x")), Tensor(Y, name="target"))
    value.name = "loss"
    value.backward(retain_grads=True)
    return graph(value)


def _report(model: MLP, before: float, after: float, history: History) -> None:
    p = _probability(model, X)
    print("\n  input  target  predicted probability")
    for inputs, target, probability in zip(X, Y[:, 0], p, strict=True):
        print(f"  {inputs[0]:.0f} {inputs[1]:.0f}    {target:.0f}       {probability:.4f}")
    print(f"\nloss {before:.6f} before, {after:.6f} after {len(history):,} epochs")
    off = float(np.abs(p - Y[:, 0]).max())
    if off >= _NEAR:
        print(f"not learnt yet: a probability is off by {off:.2f}; try more --epochs, or another --seed or --lr")


def _write(
    directory: Path, first_step: Graph, history: History, model: MLP
) -> tuple[list[tuple[Path, str]], list[str]]:
    """Write all files; return those written, and a sentence for each that could not be drawn."""
    written: list[tuple[Path, str]] = []
    missing: list[str] = []
    path = directory / "xor-graph.dot"
    with writing(path):
        first_step.save(path)
    written.append((path, "the graph of the first step, as DOT source"))
    pictures: list[tuple[str, str, Callable[[Path], object]]] = [
        ("xor-graph.svg", "the same, drawn", first_step.save),
        (
            "xor-loss.svg",
            "the loss by epoch",
            lambda path: plots.loss_curve(history, path, "XOR: loss by epoch"),
        ),
        (
            "xor-boundary.svg",
            "the decision boundary",
            lambda path: plots.decision_boundary(
                lambda points: _probability(model, points), X, Y, path, "XOR: what the network says"
            ),
        ),
    ]
    for name, what, draw in pictures:
        path = directory / name
        try:
            with writing(path):
                draw(path)
            written.append((path, what))
        except ImportError as error:
            missing.append(f"{path} was not drawn: {error}")
    if history.recording is not None:
        path = directory / "xor-page.html"
        history.recording.title = "XOR: a 2-5-5-1 sigmoid network learns"
        with writing(path):
            history.html(path)
        written.append((path, f"the graph at {len(history.recording)} moments of the training, for the browser"))
    path = directory / "xor-history.json"
    with writing(path):
        history.save(path)
    written.append((path, "loss, accuracy and seconds of every epoch"))
    return written, missing


def _probability(model: MLP, points: Any) -> Any:
    with no_grad():
        return np.asarray(model(points).data[:, 0])
