"""Transforms say what they were given, what they expected and what to write instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff.transforms import grad, hessian, hvp, jacobian, jvp, vjp

X = np.array([0.3, -1.2, 0.8])


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda: grad(lambda x: x * 2)(X), ValueError, r"shape \(3,\).*\.sum\(\).*jacobian"),
        (lambda: grad(3.0), TypeError, r"takes a function, got a float: write value_and_grad\(f\)"),
        (lambda: grad(lambda x: x)(3), TypeError, r"argument 0 holds int.*pass floating-point.*3\.0 instead of 3"),
        (lambda: grad(lambda p: p)({"w": [np.arange(3)]}), TypeError, r"argument 0\['w'\]\[0\] holds int.*astype"),
        (lambda: grad(lambda x: x)(True), TypeError, "argument 0 holds bool"),
        (lambda: grad(lambda x: x)(1j), TypeError, "complex128; only real"),
        (lambda: grad(lambda x: x)("text"), TypeError, "argument 0 is a str"),
        (lambda: grad(lambda x: x, 1)(2.0), ValueError, "argnums=1.*1 positional argument:.*by position"),
        (lambda: grad(lambda x: x, -2)(2.0), ValueError, "argnums=-2"),
        (lambda: grad(lambda x, y: x, (0, -2))(2.0, 1.0), ValueError, "twice"),
        (lambda: grad(lambda x: x, "x"), TypeError, "argnums is the position.*got 'x'"),
        (lambda: grad(lambda x: x, True), TypeError, "argnums is the position"),
        (lambda: grad(lambda x: x, ()), TypeError, "argnums is the position"),
        (lambda: grad(lambda x: None)(2.0), TypeError, "returned None; a gradient is taken of one number"),
        (lambda: grad(lambda x: (x, x))(2.0), TypeError, "returned a tuple.*has_aux=True"),
        (lambda: grad(lambda x: "loss")(2.0), TypeError, "returned a str, not an array"),
        (lambda: grad(lambda x: x, has_aux=True)(2.0), TypeError, r"must return a pair.*returned a Tensor"),
        (lambda: grad(lambda x: (x,), has_aux=True)(2.0), TypeError, "a tuple of 1"),
        (lambda: vjp(np.sin, X)[1](np.ones(4)), ValueError, r"the gradient has shape \(4,\).*result has shape \(3,\)"),
        (lambda: vjp(lambda x: {"a": x}, X)[1](X), TypeError, r"nested as the result.*'a'"),
        (lambda: vjp(lambda x: (x, x), X)[1]((X,)), TypeError, r"nothing stands at the gradient\[1\]"),
        (lambda: vjp(lambda x: x, X)[1](1j * X), TypeError, "complex"),
        (lambda: jvp(np.sin, X, X), TypeError, r"primals is a ndarray.*jvp\(f, \(x,\), \(v,\)\)"),
        (lambda: jvp(np.add, (X, X), (X,)), TypeError, "2 primals and 1 tangents"),
        (lambda: jvp(np.sin, (X,), (1.0,)), ValueError, r"tangents\[0\] has shape \(\).*primals\[0\].*\(3,\)"),
        (lambda: jvp(np.sin, ([X],), (X,)), TypeError, "nested as primals"),
        (lambda: hvp(np.sin, (X,), (X,)), ValueError, "one number"),
        (lambda: jacobian(lambda x: "no")(X), TypeError, "returned a str"),
        (lambda: hessian(lambda x: x * 2)(X), ValueError, r"shape \(3,\)"),
    ],
)
def test_what_is_refused(attempt: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        attempt()
