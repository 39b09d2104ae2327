"""Facts about values, outside the graph: comparisons, whole numbers, tests. There is no derivative, or it is zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import outside

_facts: dict[str, list[Any]] = {
    "comparisons": [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal],
    "closeness": [np.isclose, np.allclose, np.array_equal, np.array_equiv],
    "truth": [np.logical_and, np.logical_or, np.logical_xor, np.logical_not, np.all, np.any],
    "rounding": [np.floor, np.ceil, np.rint, np.trunc, np.fix, np.round, np.around, np.floor_divide],
    "signs and gaps": [np.sign, np.signbit, np.spacing],
    "kinds of numbers": [np.isnan, np.isinf, np.isfinite, np.isneginf, np.isposinf, np.isreal, np.iscomplex],
    "positions": [np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.count_nonzero],
    "integers": [np.gcd, np.lcm, np.left_shift, np.right_shift],
    "bits": [np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.bitwise_count, np.invert],
    "shapes and types": [np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.isrealobj, np.iscomplexobj],
    "arrays like it": [np.zeros_like, np.ones_like, np.empty_like],
    "text": [np.array_repr, np.array_str, np.array2string],
    "memory": [np.shares_memory, np.may_share_memory],
}
for _functions in _facts.values():
    outside(*_functions)
