"""The catalogue of what people put where an activation's slope f′(z) belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Formula = Callable[[Any, Any, Any], Any]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _at(x: str, name: str) -> str:
    return f"{name} of {x}"


#: Slopes of the usual activations as functions of z, and of the activation's own output.
OF_Z: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "ReLU": lambda x: (x > 0).astype(float),
    "leaky ReLU": lambda x: np.where(x > 0, 1.0, 0.01),
    "softplus": _sigmoid,
}
OF_A: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: x * (1 - x),
    "tanh": lambda x: 1 - x * x,
    "ReLU": lambda x: (x > 0).astype(float),
}


def candidates(z: Any, a: Any, f: Any, kind: str) -> Iterator[tuple[str, str, Any]]:
    """Yield a code, words and the value of everything in the catalogue for one layer.

    Parameters
    ----------
    z, a, f : array
        The activation's input, its output, its slope.
    kind : str
        What the activation is called.
    """
    one = np.ones_like(f)
    yield "derivative_missing", "leaves out the slope of the {kind}", one
    yield "derivative_squared", "has the slope of the {kind} twice", f * f
    yield "derivative_squared", "has the slope of the {kind} three times", f * f * f
    own = OF_Z.get(kind)
    if own is not None:
        yield (
            "derivative_at_activation",
            "takes the slope of the {kind} at its output, where it is to be taken at its input",
            own(a),
        )
    as_output = OF_A.get(kind)
    if as_output is not None and kind != "ReLU":
        yield (
            "derivative_at_preactivation",
            "puts the input of the {kind} into a formula that is written for its output",
            as_output(z),
        )
        yield (
            "derivative_at_activation",
            "applies the {kind} once more before taking the slope",
            as_output(own(a) if own else a),
        )
        if kind == "sigmoid":
            yield (
                "derivative_at_activation",
                "applies the {kind} once more before taking the slope",
                as_output(_sigmoid(a)),
            )
        if kind == "tanh":
            yield (
                "derivative_at_activation",
                "applies the {kind} once more before taking the slope",
                as_output(np.tanh(a)),
            )
    yield (
        "relu_mask_inverted",
        "has the ReLU's mask the wrong way round: it lets through what the ReLU stops",
        1 - (z > 0).astype(float),
    )
    yield "relu_mask_inverted", "has the ReLU's mask the wrong way round, with −1", -(z < 0).astype(float)
    for name, slope in OF_Z.items():
        if name != kind:
            yield "derivative_other", f"takes the slope of the {name} where the activation is the {{kind}}", slope(z)
            yield "derivative_other", f"takes the slope of the {name}, at the output of the {{kind}}", slope(a)
    for name, slope in OF_A.items():
        if name != kind:
            yield "derivative_other", f"takes the slope of the {name} where the activation is the {{kind}}", slope(a)
            yield "derivative_other", f"takes the slope of the {name}, at the input of the {{kind}}", slope(z)
    yield "tanh_unsquared", "has 1 − a where the slope of the {kind} belongs", 1 - a
    yield "activation_for_slope", "has the output of the {kind} where its slope belongs", a
    yield "activation_for_slope", "has the input of the {kind} where its slope belongs", z
    yield "wrong_formula", "has 1 + a where the slope of the {kind} belongs", 1 + a
    yield "wrong_formula", "has a plus where the slope of the {kind} has a minus: a·(1 + a)", a * (1 + a)
    yield "wrong_formula", "has a plus where the slope of the {kind} has a minus: 1 + a²", 1 + a * a
    yield "wrong_formula", "has a sum where the slope of the {kind} has a product: a + (1 − a)", a + 1 - a
    yield (
        "wrong_formula",
        "divides where the slope of the {kind} multiplies: a / (1 − a)",
        a / np.where(a == 1, np.nan, 1 - a),
    )
    yield "wrong_formula", "has a² where the slope of the {kind} belongs", a * a
    yield "wrong_formula", "has 1 − 2a where the slope of the {kind} belongs", 1 - 2 * a
    yield "wrong_formula", "has 1 − z where the slope of the {kind} belongs", 1 - z
    yield "wrong_formula", "has 1 / slope in place of the slope of the {kind}", 1 / np.where(f == 0, np.nan, f)
