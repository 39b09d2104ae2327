"""The catalogue of what people write for the derivative of the loss at the network's output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def candidates(a: Any, y: Any, f: Any, true: Any, by_output: Any, bce: bool) -> Iterator[tuple[str, str, Any]]:
    """Yield a code, words and the value of everything in the catalogue for the top of the backward pass.

    Parameters
    ----------
    a, y, f : array
        The output, the labels in its shape, the slope of the output's activation.
    true : array
        What should stand there; `by_output` is the derivative of the loss by `a`.
    bce : bool
        Whether the loss is a cross entropy, by its derivative.
    """
    e = a - y
    safe = np.where(a * (1 - a) == 0, np.nan, a * (1 - a))
    by_z = not np.allclose(true, by_output)
    loss = "cross entropy" if bce else "squared error"
    if by_z:
        yield (
            "upstream_dlda",
            "is the derivative of the loss by the output, not yet multiplied by the output's slope",
            by_output,
        )
    if by_z:  # with labels of 0 and 1 a wrong sign inside the cross entropy makes the same numbers
        yield "error_abs", "is made from |e|, where e = output − labels has a sign", np.abs(e)
    if bce:
        for slope in (f, a * (1 - a)):
            yield "mse_delta_with_bce", f"is the delta of the squared error, but the loss is the {loss}", e * slope
        if not by_z:
            yield "mse_delta_with_bce", f"is the derivative of the squared error, but the loss is the {loss}", e
        yield (
            "bce_half",
            "is the derivative of half the cross entropy: the part with 1 − y is missing",
            -y / a * (f if by_z else 1),
        )
        yield (
            "bce_half",
            "is the derivative of half the cross entropy: the part with y is missing",
            (1 - y) / (1 - a) * (f if by_z else 1),
        )
        yield (
            "bce_sign",
            "has a wrong sign between the two parts of the cross entropy",
            (y / a + (1 - y) / (1 - a)) * (f if by_z else 1),
        )
        yield "swapped", "has y and 1 − y the wrong way round", ((1 - y) / a - y / (1 - a)) * (f if by_z else 1)
        yield "swapped", "has a and 1 − a the wrong way round", (y / (1 - a) - (1 - y) / a) * (f if by_z else 1)
        yield (
            "bce_sign",
            "has 1 + a where the cross entropy has 1 − a",
            (-y / a + (1 - y) / (1 + a)) * (f if by_z else 1),
        )
        yield (
            "bce_sign",
            "has 1 + y where the cross entropy has 1 − y",
            (-y / a + (1 + y) / (1 - a)) * (f if by_z else 1),
        )
    else:
        yield (
            "bce_delta_with_mse",
            "is the delta of the cross entropy, but the loss is the squared error",
            e if by_z else e / safe,
        )
    if by_z:
        yield "derivative_squared", "has the output's slope once too often", true * f
        yield "derivative_squared", "has the output's slope twice too often", true * f * f
    for slope, more in ((1.0, ""), (f, ", times the output's slope")):
        yield "error_abs", f"is made from |e|, where e = output − labels has a sign{more}", np.abs(e) * slope
        yield "error_squared", f"is made from e², which is the loss and not its derivative{more}", e * e * slope
        yield "sign_of_error", f"is only the sign of the error{more}", np.sign(e) * slope
        yield "plus_for_minus", f"adds output and labels where it should subtract{more}", (a + y) * slope
        yield "labels_missing", f"is made from the output alone: the labels are missing{more}", a * slope
        yield "output_missing", f"is made from the labels alone{more}", y * slope
        yield "wrong_labels", f"compares with 1 − y, not with y{more}", (a - (1 - y)) * slope
        yield "product_for_difference", f"multiplies output and labels where it should subtract{more}", a * y * slope
    yield "upstream_raw_error", "is the raw error, output − labels, which is not the delta of this loss", e
    yield "upstream_raw_error", "is the error times the slope where this loss has the error alone", e * f
    yield "error_missing", "is the slope alone: the error is missing", f
    yield "divided_by_slope", "is divided by the output's slope", true / np.where(f == 0, np.nan, f)
