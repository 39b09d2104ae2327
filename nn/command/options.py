"""What the command line takes: options, their values, and one sentence for what it refuses."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")

#: What the bare command uses where its options are not given.
XOR_DEFAULTS = {"out": "xor", "seed": 0, "epochs": 5000, "lr": 2.0, "html": False}


class CommandError(Exception):
    """What the person asked for cannot be done; the message is the one sentence to show."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ``command`` of the result is "xor", "fit", "predict" or "draw".

    Raises
    ------
    CommandError
        An option or value that makes no sense.
    SystemExit
        After ``--help``.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    given = {key: vars(options).pop(f"xor_{key}") for key in XOR_DEFAULTS}
    if options.command is None:
        options.command = "xor"
        for key, value in given.items():
            setattr(options, key, XOR_DEFAULTS[key] if value is None else value)
    else:
        for key, value in given.items():
            if value is True:
                raise CommandError(
                    f"--{key} goes without a command, or with a file: python -m nn draw MODEL --{key} FILE"
                )
            if value is not None:
                raise CommandError(f"write --{key} {value} after the word {options.command}")
    if options.command == "draw" and options.out is None and options.html is None:
        raise CommandError("draw needs to know what to write: --out graph.svg, --html page.html, or both")
    return options


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, where argparse would print its usage first."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message} (see {self.prog} --help)")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m nn",
        description="Without a command: train a 2-5-5-1 sigmoid network on XOR, print its truth table, and write the "
        "drawing of one step's graph, the loss curve and the decision boundary.",
        epilog="python -m nn COMMAND --help says more about a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--out", dest="xor_out", metavar="DIR", help="where the files go (default: xor)")
    parser.add_argument("--seed", dest="xor_seed", type=_seed, metavar="N", help="of the weights (default: 0)")
    parser.add_argument(
        "--epochs",
        dest="xor_epochs",
        type=_count,
        metavar="N",
        help="passes over the four points (default: 5000)",
    )
    parser.add_argument("--lr", dest="xor_lr", type=_rate, metavar="F", help="learning rate (default: 2)")
    parser.add_argument(
        "--html",
        dest="xor_html",
        action="store_true",
        default=None,
        help="write xor-page.html, too: the graph at about 100 moments of the training, to go through in a browser",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    fit = commands.add_parser(
        "fit",
        help="train a classifier on a CSV file",
        description="Train a network that tells two classes apart, from a CSV file with a header. All columns but "
        "the target are features and must be numbers; they are standardised. The weights with the least loss on the "
        "validation part are kept.",
        allow_abbrev=False,
    )
    fit.add_argument("file", metavar="FILE.csv", help="one row per sample, one header line")
    fit.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict, with two values")
    fit.add_argument(
        "--hidden",
        type=_widths,
        default=(16, 16),
        metavar="N,N",
        help='hidden layers; "none" for none (default: 16,16)',
    )
    fit.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        default="tanh",
        metavar="NAME",
        help=f"of the hidden layers: {', '.join(ACTIVATIONS)} (default: tanh)",
    )
    fit.add_argument("--epochs", type=_count, default=100, metavar="N", help="passes over the data (default: 100)")
    fit.add_argument("--batch-size", type=_count, default=32, metavar="N", help="rows per update (default: 32)")
    fit.add_argument("--lr", type=_rate, metavar="F", help="learning rate (default: 0.1 for sgd, 0.003 for the others)")
    fit.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default="adam",
        metavar="NAME",
        help=f"{', '.join(OPTIMIZERS)} (default: adam)",
    )
    fit.add_argument(
        "--validation",
        type=_fraction,
        default=0.2,
        metavar="F",
        help="part of the rows held back (default: 0.2)",
    )
    fit.add_argument("--seed", type=_seed, default=0, metavar="N", help="of split, weights, shuffling (default: 0)")
    fit.add_argument("--out", metavar="DIR", help="where the files go (default: FILE without .csv, here)")

    predict = commands.add_parser(
        "predict",
        help="apply a trained classifier to a CSV file",
        description="Write the probability and the predicted label of each row. Columns are found by their names; "
        "their order does not matter, and columns that the model does not know are left out of account.",
        allow_abbrev=False,
    )
    predict.add_argument("model", metavar="DIR/model.npz", help="what fit saved")
    predict.add_argument("file", metavar="FILE.csv", help="one row per sample, one header line")
    predict.add_argument(
        "--out", default="predictions.csv", metavar="FILE", help="what to write (default: predictions.csv)"
    )

    draw = commands.add_parser(
        "draw",
        help="draw the graph of a trained classifier",
        description="Draw one forward and backward pass of a trained classifier, for a row with average features: as a "
        "picture with --out, as a page to look into with --html, or both.",
        allow_abbrev=False,
    )
    draw.add_argument("model", metavar="DIR/model.npz", help="what fit saved")
    draw.add_argument("--out", metavar="FILE", help="graph.svg; .png, .pdf and .dot can be written too")
    draw.add_argument("--html", metavar="FILE", help="page.html: a page for the browser, which needs no network")
    return parser


def _number(text: str, kind: Callable[[str], Any], wanted: str, fits: Callable[[Any], bool]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    return value


def _count(text: str) -> Any:
    return _number(text, int, "a whole number of at least 1", lambda n: n >= 1)


def _seed(text: str) -> Any:
    return _number(text, int, "a whole number of at least 0", lambda n: n >= 0)


def _rate(text: str) -> Any:
    return _number(text, float, "a number greater than 0", lambda x: x > 0 and math.isfinite(x))


def _fraction(text: str) -> Any:
    return _number(text, float, "a fraction between 0 and 1, such as 0.2", lambda x: 0 < x < 1)


def _widths(text: str) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    wanted = 'the widths of the hidden layers, each from 1 to 1000000, such as 16,16, or "none"'
    return tuple(
        _number(text, lambda t: [int(n) for n in t.split(",")], wanted, lambda ns: min(ns) >= 1 and max(ns) <= 10**6)
    )
