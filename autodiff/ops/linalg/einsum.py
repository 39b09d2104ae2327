"""Einsum, for every way of writing it. Its derivative by an operand is another einsum."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

import numpy as np

from autodiff.op import implements, op, outside, refuse, strip
from autodiff.ops.operands import as_array, eye
from autodiff.sample import real, sample


def _by_operand(i: int, g: Any, y: Any, *xs: Any, subscripts: str, optimize: Any = False) -> Any:
    inputs, output = _parts(subscripts)
    others = [(labels, x) for j, (labels, x) in enumerate(zip(inputs, xs, strict=True)) if j != i]
    terms = [(output, g), *others]
    x = strip(xs[i])
    unused = (letter for letter in ascii_letters if letter not in subscripts)
    target = ""
    for label, length in zip(inputs[i], x.shape, strict=True):
        if label in target:
            # Only elements on the diagonal went into the result: the identity puts the gradient there.
            twin = next(unused)
            terms.append((label + twin, eye(length, x).astype(x.dtype)))
            target += twin
            continue
        target += label
        if not any(_spans(term, label, length) for term in terms):
            # Summed out, all elements along this axis have the same gradient: the ones repeat it.
            terms.append((label, np.ones_like(x, shape=(length,))))
    wanted = ",".join(labels for labels, _ in terms) + "->" + target
    return np.einsum(wanted, *(term for _, term in terms), optimize=bool(optimize))


def _parts(subscripts: str) -> tuple[list[str], str]:
    inputs, output = subscripts.split("->")
    return inputs.split(","), output


def _spans(term: tuple[str, Any], label: str, length: int) -> bool:
    labels, x = term
    return label in labels and length in (1, np.shape(strip(x))[labels.index(label)])


def _forward(*xs: Any, subscripts: str, optimize: Any = False) -> Any:
    try:
        return np.einsum(subscripts, *xs, optimize=optimize)
    except ValueError as error:
        inputs, _ = _parts(subscripts)
        pairs = [pair for labels, x in zip(inputs, xs, strict=True) for pair in zip(labels, x.shape, strict=True)]
        lengths = {label: sorted({n for other, n in pairs if other == label and n != 1}) for label, _ in pairs}
        unequal = [f"{label!r} stands for the lengths {ns}" for label, ns in lengths.items() if len(ns) > 1]
        if not unequal:
            raise
        raise ValueError(
            f"einsum {subscripts!r} of shapes {[x.shape for x in xs]}: {', '.join(unequal)}, where it should be one; "
            "give axes of different lengths different letters"
        ) from error


_einsum_op = op(
    _forward,
    _by_operand,
    name="einsum",
    symbol="Σ",
    formula="Σ g·others",
    variadic=True,
    samples=[
        sample(real(2, 3), real(3, 2), subscripts="ab,bc->ac"),
        sample(real(2, 3), subscripts="ab->b"),
        sample(real(3, 3), subscripts="aa->a"),
        sample(real(3, 3), subscripts="aa->"),
        sample(real(2, 2, 2), real(2), subscripts="aaa,b->"),
        sample(real(2, 3), real(2, 3), real(3), subscripts="ab,ab,b->a", optimize=True),
        sample(real(2, 3), real(1, 3), real(2), subscripts="ab,ab,c->ba"),
        sample(real(), real(2), subscripts=",a->a"),
    ],
)


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Any:
    """Sum of products over named axes, as ``np.einsum``: subscripts as a string or as lists of numbers."""
    if options.get("casting") == "safe":
        del options["casting"]
    refuse("einsum", out=out, **options)
    text, xs = _interleaved(operands) if not isinstance(operands[0], str) else (operands[0], operands[1:])
    xs = tuple(as_array(x) for x in xs)
    return _einsum_op(xs, subscripts=_explicit(text.replace(" ", ""), [x.shape for x in xs]), optimize=optimize)


def _interleaved(operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Read ``einsum(x, [0, 1], y, [1, 2], [0, 2])``."""
    pairs = len(operands) // 2 * 2
    lists = [list(entry) for entry in operands[1:pairs:2]]
    if len(operands) > pairs:
        lists.append(list(operands[-1]))
    numbers = sorted({item for entry in lists for item in entry if item is not Ellipsis})
    # In rising order, as it decides in which order the axes of an implicit output come.
    letters: dict[Any, str] = dict(zip(numbers, sorted(ascii_letters), strict=False))
    letters[Ellipsis] = "..."
    texts = ["".join(letters[item] for item in entry) for entry in lists]
    text = ",".join(texts[: pairs // 2])
    return text + ("->" + texts[-1] if len(operands) > pairs else ""), operands[:pairs:2]


def _explicit(text: str, shapes: list[tuple[int, ...]]) -> str:
    """Write an implicit output out, and give every axis that an ellipsis stands for a letter."""
    left, arrow, output = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(shapes):
        raise ValueError(f"einsum: {text!r} names {len(inputs)} operands, got {len(shapes)}, of shapes {shapes}")
    hidden = []
    for labels, ndim in zip(inputs, map(len, shapes), strict=True):
        named = len(labels.replace("...", ""))
        hidden.append(ndim - named if "..." in labels else 0)
        if hidden[-1] < 0 or ("..." not in labels and named != ndim):
            raise ValueError(
                f"einsum {text!r} of shapes {shapes}: {labels!r} names {named} axes of an operand that has {ndim}; "
                "write one letter for every axis, or `...` for those not named"
            )
    letters = "".join(letter for letter in ascii_letters if letter not in text)
    widest = max(hidden)
    if widest > len(letters):
        raise ValueError(f"einsum: {text!r} needs more than {len(ascii_letters)} letters")
    if not arrow:
        once = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        output = ("..." if "..." in left else "") + "".join(once)
    elif widest and "..." not in output:
        raise ValueError(f"einsum: the output of {text!r} needs an ellipsis, for those of its operands hold axes")
    filled = [labels.replace("...", letters[widest - n : widest]) for labels, n in zip(inputs, hidden, strict=True)]
    return ",".join(filled) + "->" + output.replace("...", letters[:widest])


outside(np.einsum_path)
