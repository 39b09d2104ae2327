"""``fit``: from a CSV file to a saved classifier, with an honest account of how good it is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.command import plots
from nn.command.classifier import Classifier
from nn.command.options import CommandError
from nn.command.output import output_directory, writing
from nn.command.table import standardised
from nn.data import Standardizer, split
from nn.layers import MLP
from nn.losses import BCEWithLogitsLoss
from nn.metrics import accuracy, majority_baseline, roc_auc
from nn.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from nn.table import Target, read_csv
from nn.train import evaluate, fit
from nn.train.callbacks import EarlyStopping
from nn.train.history import History

_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
_RATES = {"sgd": 0.1}
_RATE = 0.003


def run(options: argparse.Namespace) -> None:
    """Read, split, train, report and save."""
    table = read_csv(options.file)
    target = table.target(options.target)
    features = table.features(exclude=options.target)
    rng = np.random.default_rng(options.seed)
    rows, held = _split(target, options, rng)
    standardizer = Standardizer().fit(features.values[rows])
    train, validation = (
        (standardised(standardizer, table, features, part), target.values[part, None]) for part in (rows, held)
    )
    with output_directory(options.out or Path(options.file).name.removesuffix(".csv")) as directory:
        print(
            f"{options.file}: {len(table):,} rows, {len(features.names)} features; {options.target} is "
            f"{target.labels[0]!r} (0) or {target.labels[1]!r} (1)"
        )
        model = MLP([len(features.names), *options.hidden, 1], activation=options.activation, seed=rng)
        history = _train(model, train, validation, options, rng)
        _report(model, train, validation, target, history)
        classifier = Classifier(
            features.names,
            options.target,
            target.labels,
            options.hidden,
            options.activation,
            standardizer,
            model,
        )
        print(f"\nwrote {', '.join(map(str, _write(directory, classifier, history)))}")


def _split(target: Target, options: argparse.Namespace, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the numbers of the rows to train on and of those to validate with, the classes in proportion."""
    for value, label in enumerate(target.labels):
        if (target.values == value).sum() < 2:
            raise CommandError(
                f"{options.file}, column {options.target!r}: {label!r} comes only once, expected at least two rows "
                "of each value, one to train on and one to validate with"
            )
    (rows, _), (held, _) = split(np.arange(len(target.values)), target.values, options.validation, rng)
    return rows, held


def _train(model: MLP, train: Any, validation: Any, options: argparse.Namespace, rng: np.random.Generator) -> History:
    lr = options.lr or _RATES.get(options.optimizer, _RATE)
    optimizer = _OPTIMIZERS[options.optimizer](model.parameters(), lr=lr)
    return fit(
        model,
        BCEWithLogitsLoss(),
        optimizer,
        *train,
        epochs=options.epochs,
        batch_size=options.batch_size,
        validation=validation,
        metrics={"accuracy": _accuracy},
        # Never stops: it is there to keep the weights of the best epoch.
        callbacks=[EarlyStopping(patience=options.epochs)],
        rng=rng,
    )


def _report(model: MLP, train: Any, validation: Any, target: Target, history: History) -> None:
    """Print how good the kept weights are on both parts, next to always saying the same."""
    metrics = {"accuracy": _accuracy, "auc": roc_auc}
    parts = [(evaluate(model, BCEWithLogitsLoss(), *part, metrics=metrics), part[1]) for part in (train, validation)]
    common = target.labels[int(train[1].mean() >= 0.5)]
    lines = {
        "rows": [f"{len(y):,}" for _, y in parts],
        "loss": [f"{figures['loss']:.4f}" for figures, _ in parts],
        "accuracy": [f"{figures['accuracy']:.1%}" for figures, _ in parts],
        "ROC AUC": [f"{figures['auc']:.4f}" for figures, _ in parts],
        f"always {common!r}": [f"{majority_baseline(y):.1%}" for _, y in parts],
    }
    width = max(map(len, lines))
    print(f"\n{'':{width}}    training  validation")
    for name, (left, right) in lines.items():
        print(f"{name:{width}}  {left:>10}  {right:>10}")
    print(f"\nkept the weights after epoch {history.best['epoch']}, which have the least validation loss")


def _accuracy(logit: Any, target: Any) -> float:
    return accuracy(logit, target, threshold=0.0)


def _write(directory: Path, classifier: Classifier, history: History) -> list[Path]:
    """Write model, history and loss curve; without matplotlib the first two, and say so."""
    written = [directory / "model.npz", directory / "history.json"]
    for path, save in zip(written, (classifier.save, history.save), strict=True):
        with writing(path):
            save(path)
    path = directory / "loss.svg"
    try:
        with writing(path):
            plots.loss_curve(history, path)
        written.append(path)
    except ImportError as error:
        print(f"\n{path} was not drawn: {error}")
    return written
