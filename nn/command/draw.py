"""``draw``: the graph of a saved classifier."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from autodiff.draw import graph
from autodiff.tensor import Tensor
from nn.command.options import CommandError
from nn.command.output import writing
from nn.command.predict import load_classifier
from nn.losses import BCEWithLogitsLoss


def run(options: argparse.Namespace) -> None:
    """Draw one forward and backward pass for a row in which every feature has its mean."""
    classifier = load_classifier(options.model)
    x = Tensor(np.zeros((1, len(classifier.features))), name="features")
    target = Tensor(np.ones((1, 1)), name=classifier.target)
    loss = BCEWithLogitsLoss()(classifier.model(x), target)
    loss.name = "loss"
    loss.backward(retain_grads=True)
    picture = graph(loss)
    size = f"{picture.model.tensor_count} tensors, {picture.model.op_count} operations"
    if options.out is not None:
        with writing(options.out):
            try:
                written = picture.save(options.out)
            except ValueError as error:
                raise CommandError(str(error)) from None
        if written == Path(options.out):
            print(f"wrote {written}: {size}")
    if options.html is not None:
        with writing(options.html):
            picture.html(options.html)
        print(f"wrote {options.html}: {size}, as a page")
