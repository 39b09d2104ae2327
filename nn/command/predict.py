"""``predict``: apply a saved classifier to a CSV file."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from nn.command.classifier import Classifier
from nn.command.options import CommandError
from nn.command.output import writing
from nn.command.table import standardised
from nn.table import read_csv, write_csv


def run(options: argparse.Namespace) -> None:
    """Write row, probability and predicted label for every row of the file."""
    classifier = load_classifier(options.model)
    table = read_csv(options.file)
    features = table.features(columns=classifier.features)
    Z = standardised(classifier.standardizer, table, features, np.arange(len(table)))
    with np.errstate(all="ignore"):
        p = classifier.probabilities(Z)
    if not np.isfinite(p).all():
        line = table.lines[int(np.argmin(np.isfinite(p)))]
        raise CommandError(f"{options.file}, line {line}: the numbers are so large that the network overflows")
    predicted = [classifier.labels[int(positive)] for positive in p >= 0.5]
    columns: dict[str, Any] = {"row": np.arange(1, len(table) + 1), "probability": p, "predicted": predicted}
    with writing(options.out):
        write_csv(options.out, columns)
    print(
        f"wrote {options.out}: {len(table):,} rows; probability is that of {classifier.target} = "
        f"{classifier.labels[1]!r}, predicted for {predicted.count(classifier.labels[1]):,}"
    )


def load_classifier(path: str) -> Classifier:
    """Load a classifier, or refuse the file in one sentence."""
    try:
        return Classifier.load(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise CommandError(str(error)) from None
