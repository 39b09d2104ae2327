"""All that numpy offers, called with Tensors: differentiated, a fact, or refused by name, as docs/numpy.md lists.

The calls are found by trial: argument lists that numpy accepts with plain arrays are repeated with a Tensor in place of
each array in turn. A plain result is then a lost gradient, unless it stays the same when the array is moved a little.
"""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.op import handlers, strip

PAGE = Path(autodiff.__file__).parents[1] / "docs" / "numpy.md"
MODULES = {
    "np": np,
    "np.linalg": np.linalg,
    "np.fft": np.fft,
    "np.emath": np.emath,
    "np.lib.stride_tricks": np.lib.stride_tricks,
}
#: Not called: they read, write or print files and settings, or take no array of real numbers.
NO_ARRAYS = """
    bartlett base_repr binary_repr bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not
    bitwise_or bitwise_right_shift bitwise_xor blackman bmat broadcast_shapes busday_count busday_offset
    datetime_as_string datetime_data empty empty_like eye fftfreq from_dlpack frombuffer fromfile fromfunction
    fromiter frompyfunc fromregex fromstring gcd genfromtxt get_include get_printoptions getbufsize geterr
    geterrcall hamming hanning identity indices info invert is_busday isdtype isfortran isnat issubdtype lcm
    left_shift load loadtxt mask_indices mintypecode nested_iters ones packbits printoptions promote_types
    ravel_multi_index rfftfreq right_shift save savetxt savez savez_compressed set_printoptions setbufsize seterr
    seterrcall show_config show_runtime test tri tril_indices triu_indices typename unpackbits unravel_index zeros
"""
#: Names of arguments that hold no numbers to differentiate by.
SETTINGS = """
    M N UPLO assume_unique axes axis axis1 axis2 bias bins bitorder casting compute_uv copy cov ddof decimals deg
    deltas density device dims discont dtype edge_order equal_nan full full_matrices fweights hermitian indices
    indices_or_sections invert k keepdims kind kth like maxlen method mode ndmin newshape num offset optimize ord
    order out precision rcond repeats reps requirements return_counts return_index return_inverse returned rowvar
    shape shift side size sorter start strides subok tol type_code typecode unique upper window_shape
"""
#: Where the mask stands of those that write into an array.
MASKED = {"place": 1, "putmask": 1}
#: Declared `outside` although its numbers move with the operand: indices made of floats.
OF_FLOATS = {"ix_"}

# Away from whole and half numbers, where rounding jumps.
MATRIX = np.array([[2.03, 0.52, 0.27], [0.52, 3.04, 0.13], [0.27, 0.13, 4.06]])
VECTOR = np.array([0.53, 0.77, 0.28])
NUMBER = np.array(0.57)
CUBE = np.linspace(0.53, 2.07, 27).reshape(3, 3, 3)
FOUR = np.eye(4).reshape(2, 2, 2, 2) + 0.07
HIGH = VECTOR > 0.3
#: Argument lists to try. An array of floats stands for an operand.
TRIED: list[tuple[Any, ...]] = [
    *[(x, 0.71 * x, 1.37 * x)[:n] for n in (1, 2, 3) for x in (MATRIX, VECTOR, NUMBER)],
    *[([x, x],) for x in (MATRIX, VECTOR, NUMBER)],
    (MATRIX, VECTOR), (MATRIX, 1), (MATRIX, 0, 1), (MATRIX, 3), (MATRIX, (3, 3)), (MATRIX, 0, 1, 2), (MATRIX, [0, 1]),
    (MATRIX, [MATRIX, MATRIX]), (MATRIX, np.array([[0, 1, 2]]), 0), (MATRIX, np.array([[0]]), NUMBER, 0),
    ([MATRIX, MATRIX, MATRIX],),
    (VECTOR, 1), (VECTOR, 1, 0), (VECTOR, (3, 3)), (VECTOR, [0], 1.5), (VECTOR, 0, VECTOR),
    (VECTOR, float), (VECTOR, HIGH, VECTOR), (VECTOR, [0], VECTOR[:1], 0), (VECTOR[:2], [1, 2]), (VECTOR, VECTOR, 1),
    ([1, 0], VECTOR[:2]),
    (HIGH, VECTOR), (HIGH, VECTOR, VECTOR), ([HIGH], [VECTOR]), (VECTOR, [HIGH], [1.0, 2.0]), (3, NUMBER),
    ([0, 1, 0], [VECTOR, VECTOR]), ("ij,jk", MATRIX, MATRIX), ("i,i", VECTOR, VECTOR), (np.sum, MATRIX, 0),
    (lambda v: v * v, 0, MATRIX), (CUBE,), (CUBE, 1.37 * CUBE), (CUBE, 3), (FOUR,), (FOUR, MATRIX[:2, :2]),
]  # fmt: skip


def surface() -> Iterator[tuple[str, Callable[..., Any]]]:
    for prefix, module in MODULES.items():
        for name in sorted(getattr(module, "__all__", None) or dir(module)):
            function = getattr(module, name, None) if not name.startswith("_") else None
            if callable(function) and not isinstance(function, type) and name not in NO_ARRAYS.split():
                yield f"{prefix}.{name}", function


def operands(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[tuple[int, int | None]]:
    """The places of float arrays among the arguments: (argument, place in it if it is a list)."""
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:
        names = []
    for i, argument in enumerate(arguments):
        if i < len(names) and names[i] in SETTINGS.split():
            continue
        for j, x in enumerate(argument) if isinstance(argument, list) else [(None, argument)]:
            if isinstance(x, np.ndarray) and x.dtype.kind == "f":
                yield i, j


def quietly(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call with copies of the arrays, as some functions write into them, and without warnings."""
    fresh = [x.copy() if isinstance(x, np.ndarray) else list(x) if isinstance(x, list) else x for x in arguments]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*fresh)


def replaced(
    arguments: tuple[Any, ...], place: tuple[int, int | None], change: Callable[[Any], Any]
) -> tuple[Any, ...]:
    i, j = place
    x = arguments[i]
    new = change(x) if j is None else [change(item) if k == j else item for k, item in enumerate(x)]
    return (*arguments[:i], new, *arguments[i + 1 :])


def leaves(x: Any) -> list[Any]:
    """The arrays and numbers in nested results."""
    if isinstance(x, dict):
        x = list(x.values())
    return [leaf for item in x for leaf in leaves(item)] if isinstance(x, (tuple, list)) else [x]


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...], place: tuple[int, int | None]) -> str:
    """Call with a Tensor in one place; say what came of its gradient."""
    tensors: list[Tensor] = []

    def track(x: Any) -> Tensor:
        tensors.append(Tensor(x, requires_grad=True) * 1.0)
        return tensors[0]

    name = function.__name__.rpartition(".")[2]
    try:
        result = quietly(function, replaced(arguments, place, track))
    except NotImplementedError as error:
        return "refused" if re.search(rf"\b{name}", str(error)) else f"refused without its name: {error}"
    except TypeError as error:
        return "refused" if "gradient" in str(error) else f"failed: {error!r}"
    except Exception as error:
        return f"failed: {error!r}"
    found = leaves(result)
    if any(isinstance(x, Tensor) and x.requires_grad for x in found):
        return "recorded"
    if result is None:
        written = tensors[0].op is not None and tensors[0].op.name == "setitem"
        return "recorded" if written else "fact" if MASKED.get(name) == place[0] else "LOST: written"
    if name in OF_FLOATS:
        return "fact"
    moved = leaves(quietly(function, replaced(arguments, place, lambda x: np.asarray(x * (1 + 1e-9)))))
    for x, y in zip(found, moved, strict=True):
        x, y = np.asarray(strip(x)), np.asarray(y)
        if x.dtype.kind in "fc" and not np.array_equal(x, y, equal_nan=True):
            return f"LOST: {result!r}"
    return "fact"


@cache
def outcomes(name: str) -> dict[str, str]:
    function = FUNCTIONS[name]
    found = {}
    for number, arguments in enumerate(TRIED):
        places = list(operands(function, arguments))
        if not places:
            continue
        try:
            quietly(function, arguments)
        except Exception:
            continue
        for place in places:
            found[f"arguments {number}, operand {place}"] = outcome(function, arguments, place)
    return found


FUNCTIONS = dict(surface())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_of_numpys_loses_a_gradient(name: str) -> None:
    found = outcomes(name)
    assert found, f"no call of {name} was found that numpy accepts: add one to TRIED, or the name to NO_ARRAYS"
    assert set(found.values()) & {"recorded", "fact", "refused"}, found
    assert not {call: how for call, how in found.items() if how.startswith(("LOST", "refused "))}


def refused() -> set[str]:
    """The functions that are refused in every call."""
    return {name for name in FUNCTIONS if set(outcomes(name).values()) == {"refused"}}


def test_the_page_lists_what_is_not_differentiated() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = text[text.index("## Not differentiated") :].splitlines()
    first = " ".join(row.split("|")[1] for row in rows if row.startswith("|"))
    listed = set(re.findall(r"`(np\.[\w.]+)`", first)) & set(FUNCTIONS)  # of those that this numpy has
    assert listed == refused(), (
        f"not on the page: {sorted(refused() - listed)}; on the page though it works: {sorted(listed - refused())}"
    )


UFUNCS = {name: f for name, f in FUNCTIONS.items() if isinstance(f, np.ufunc) and f.signature is None}
METHODS = [
    (name, method)
    for (name, ufunc), method in itertools.product(UFUNCS.items(), ("reduce", "accumulate", "reduceat", "outer", "at"))
    if (ufunc.nin, ufunc.nout) == (2, 1) or (method == "at" and ufunc.nout == 1)
]


@pytest.mark.parametrize(("name", "method"), METHODS, ids=[".".join(pair) for pair in METHODS])
def test_no_method_of_a_ufunc_loses_a_gradient(name: str, method: str) -> None:
    ufunc = UFUNCS[name]
    x = Tensor(VECTOR, requires_grad=True) * 1.0
    arguments = {
        "reduce": [(x,)],
        "accumulate": [(x,)],
        "reduceat": [(x, [0, 1])],
        "outer": [(x, VECTOR), (VECTOR, x)],
        "at": [(x, [0]), (x, [0], 1.0), (VECTOR.copy(), [0], x[0])],
    }[method]
    for given in arguments:
        try:
            quietly(getattr(ufunc, method), tuple(strip(x) for x in given))
        except (TypeError, ValueError):
            continue  # numpy has it for other types only, or takes no second operand
        message, result = "", None
        try:
            result = getattr(ufunc, method)(*given)
        except (NotImplementedError, TypeError) as error:
            message = str(error)
        if message:
            assert ufunc.__name__ in message
            assert "gradient" in message or "differentiated" in message
        elif method == "at":
            assert x.requires_grad
        elif "outside" not in getattr(handlers[ufunc], "__qualname__", ""):
            assert any(isinstance(part, Tensor) and part.requires_grad for part in leaves(result))
